#include "schemagate/postgres/readiness.hpp"

#include <doctest/doctest.h>

#include <string>

#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

TEST_SUITE("readiness") {
  TEST_CASE(
      "what libpq finds wrong in the connection string is a mistake, not something to wait for") {
    for (
        const std::string words :
        {"invalid sslmode value: \"Require\"", "invalid require_auth value: \"x\"",
         "invalid load_balance_hosts value: \"x\"", "invalid port number: \"99999\"",
         "invalid integer value \"abc\" for connection option \"connect_timeout\"",
         "could not match 2 port numbers to 3 hosts",
         "could not parse network address \"1.2.3\": Name or service not known",
         "definition of service \"shop\" not found",
         "weak sslmode \"prefer\" may not be used with sslnegotiation=direct (use \"require\")",
         "host name must be specified for a verified SSL connection",
         "Unix-domain socket path \"/very/long\" is too long (maximum 107 bytes)",
         "root certificate file \"/ca.pem\" does not exist",
         "could not read certificate file \"/c.pem\": No such file or directory",
         "certificate present, but not private key file \"/k.pem\"",
         "private key file \"/k.pem\" has group or world access",
         "channel binding required, but SSL not in use",
         "authentication method requirement \"scram-sha-256\" failed: server did not complete authentication",
         "connection to server at \"h\" (1.2.3.4), port 5432 failed: FATAL:  unrecognized configuration "
         "parameter \"serch_path\"",
         "FATAL:  invalid value for parameter \"lock_timeout\": \"x\""}) {
      CAPTURE(words);
      const auto diagnosis = diagnose(words);
      CHECK(diagnosis.is_mistake);
      CHECK_FALSE(diagnosis.hint.empty());
    }
  }

  TEST_CASE("what the server refuses is told at once, and may be right another time") {
    for (const std::string words :
         {"FATAL:  password authentication failed for user \"shop\"",
          "FATAL:  role \"shop\" does not exist", "FATAL:  database \"shop\" does not exist",
          "FATAL:  role \"shop\" is not permitted to log in",
          "FATAL:  permission denied for database \"shop\"", "fe_sendauth: no password supplied",
          "server does not support SSL, but SSL was required",
          "SSL error: certificate verify failed"}) {
      CAPTURE(words);
      const auto diagnosis = diagnose(words);
      CHECK_FALSE(diagnosis.is_mistake);
      CHECK_FALSE(diagnosis.hint.empty());
    }
    CHECK(diagnose("FATAL:  database \"shop\" does not exist").database_missing);
    CHECK(diagnose("FATAL:  permission denied for database \"shop\"", "My Role", "shop").hint ==
          contains("GRANT CONNECT ON DATABASE shop TO \"My Role\""));
  }

  TEST_CASE("what time settles is waited for") {
    for (const std::string words :
         {"could not translate host name \"db\" to address: Name or service not known",
          "could not translate host name \"db\" to address: Temporary failure in name resolution",
          "connection to server at \"db\" (1.2.3.4), port 5432 failed: Connection refused",
          "FATAL:  the database system is starting up",
          "FATAL:  the database system is shutting down", "FATAL:  sorry, too many clients already",
          "timeout expired", "server closed the connection unexpectedly",
          "FATAL:  terminating connection due to "
          "administrator command"}) {
      CAPTURE(words);
      CHECK(diagnose(words).hint.empty());
      CHECK_FALSE(diagnose(words).is_mistake);
    }
  }
}
