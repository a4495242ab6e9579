#include "schemagate/postgres/connection.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>
#include <postgresql/libpq-fe.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

using namespace schemagate;
using namespace testing;

namespace {

// What libpq itself reads out of a connection string.
std::map<std::string, std::string> libpq_reads(const std::string& conninfo) {
  char* reason = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&::PQconninfoFree)> parsed{
      ::PQconninfoParse(conninfo.c_str(), &reason), &::PQconninfoFree};
  const std::string why = reason == nullptr ? "" : reason;
  ::PQfreemem(reason);
  REQUIRE_MESSAGE(parsed != nullptr, why);
  std::map<std::string, std::string> values;
  for (auto* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values[option->keyword] = option->val;
  }
  return values;
}

std::map<std::string, std::string> sent(const std::string& text) {
  return libpq_reads(
      ConnectionString{text}.conninfo({.application_name = "test", .connect_timeout = {}}));
}

std::string error_of(const std::string& text) {
  try {
    const ConnectionString connection{text};
    FAIL_CHECK("was accepted");
    return {};
  } catch (const ConnectionStringError& error) {
    return error.what();
  }
}

std::string tls(const std::string& parameters) {
  return ConnectionString{"postgresql://h/d?" + parameters}.value("sslmode");
}

}  // namespace

TEST_SUITE("connection") {
  TEST_CASE("the system's authorities are a file that is there, and need verify-full") {
    const ConnectionString url{"postgresql://h/d?sslrootcert=system"};
    CHECK(url.value("sslmode") == "verify-full");
    const auto conninfo = url.conninfo({});
    const bool is_file = conninfo == contains("sslrootcert='/etc/ssl/certs/ca-certificates.crt'");
    // ca-certificates may be absent.
    CHECK((is_file || conninfo == contains("sslrootcert='system'")));
    CHECK(ConnectionString{"host=h dbname=d sslrootcert=system"}.value("sslmode") == "verify-full");
    CHECK_THROWS_AS(ConnectionString{"postgresql://h/d?sslmode=require&sslrootcert=system"},
                    ConnectionStringError);
    CHECK(ConnectionString{"postgresql://h/d?sslaccept=strict"}.value("sslrootcert") == "system");
  }

  TEST_CASE("a Prisma URL is understood") {
    const ConnectionString connection{
        "postgresql://alice:s3cret@db.example.org:5433/shop?schema=app"};
    CHECK(connection.value("user") == "alice");
    CHECK(connection.value("password") == "s3cret");
    CHECK(connection.host() == "db.example.org");
    CHECK(connection.value("port") == "5433");
    CHECK(connection.database() == "shop");
    CHECK(connection.schema() == "app");
    CHECK(connection.warnings().empty());
    CHECK(connection.display() == "alice@db.example.org:5433/shop");
  }

  TEST_CASE("blanks and line ends around a connection string do not count") {
    CHECK(ConnectionString{" \n postgres://u:p@h/d\r\n"}.database() == "d");
    CHECK(ConnectionString{"\thost=h dbname=d \n"}.database() == "d");
  }

  TEST_CASE("Prisma's schema never reaches libpq") {
    CHECK_FALSE(sent("postgresql://h/d?schema=app").contains("schema"));
    CHECK(ConnectionString{"postgresql://h/d?schema=my%20%22app%22"}.schema() == "my \"app\"");
    CHECK(ConnectionString{"postgresql://h/d"}.schema().empty());
  }

  TEST_CASE("sslmode means what libpq says") {
    for (const auto* mode : {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}) {
      CHECK(tls("sslmode=" + std::string{mode}) == mode);
    }
    CHECK(tls("schema=x").empty());
    CHECK(tls("sslmode=no-verify") == "require");
    CHECK(tls("ssl=true") == "require");
  }

  TEST_CASE("sslaccept=strict verifies the server, accept_invalid_certs changes nothing") {
    CHECK(tls("sslaccept=strict") == "verify-full");
    CHECK(tls("sslmode=require&sslaccept=strict") == "verify-full");
    CHECK(tls("sslaccept=strict&sslmode=require") == "verify-full");
    CHECK(tls("sslmode=prefer&sslaccept=nonsense") == "verify-full");
    CHECK(tls("sslmode=require&sslaccept=accept_invalid_certs") == "require");
    CHECK(tls("sslmode=verify-full&sslaccept=accept_invalid_certs") == "verify-full");
    CHECK(tls("sslaccept=accept_invalid_certs").empty());
  }

  TEST_CASE("a second, weaker word on TLS does not weaken the first") {
    CHECK(tls("sslmode=verify-full&ssl=true") == "verify-full");
    CHECK(tls("ssl=true&sslmode=verify-full") == "verify-full");
    CHECK(tls("sslmode=verify-ca&ssl=true") == "verify-ca");
    CHECK(tls("sslmode=allow&ssl=true") == "require");
  }

  TEST_CASE("sslcert is a CA as in Prisma, unless an sslkey stands beside it") {
    const ConnectionString authority{"postgresql://h/d?sslmode=require&sslcert=/ca.pem"};
    CHECK(authority.value("sslrootcert") == "/ca.pem");
    CHECK(authority.value("sslcert").empty());
    const ConnectionString client{
        "postgresql://h/d?sslkey=/k.pem&sslcert=/c.pem&sslrootcert=/ca.pem"};
    CHECK(client.value("sslcert") == "/c.pem");
    CHECK(client.value("sslkey") == "/k.pem");
    CHECK(client.value("sslrootcert") == "/ca.pem");
    const ConnectionString trusting{
        "postgresql://h/d?sslcert=/ca.pem&sslaccept=accept_invalid_certs"};
    CHECK(trusting.value("sslrootcert").empty());
    CHECK(trusting.value("sslcert").empty());
    CHECK(ConnectionString{"postgresql://h/d?sslcert=%2Ftmp%2Fmy%20ca.pem&sslaccept=strict"}.value(
              "sslrootcert") == "/tmp/my ca.pem");
  }

  TEST_CASE("a CA that was named as sslrootcert stays, whatever sslcert says") {
    CHECK(ConnectionString{"postgresql://h/d?sslrootcert=/ca.pem&sslcert=/client.pem"}.value(
              "sslrootcert") == "/ca.pem");
  }

  TEST_CASE(
      "TLS parameters that nobody here understands are refused, others are dropped with a warning") {
    CHECK(error_of("postgresql://h/d?sslidentity=/id.p12&sslpassword=hunter2") ==
          contains("openssl pkcs12"));
    CHECK(error_of("postgresql://h/d?sslidentity=/hunter2.p12") != contains("hunter2"));
    CHECK(error_of("postgresql://h/d?sslverify=full") == contains("sslverify"));
    CHECK(error_of("postgresql://h/d?ssl=1") == contains("ssl"));
    const ConnectionString connection{"postgresql://h/d?nonsense=hunter2&schema=app&nonsense2"};
    CHECK(connection.warnings().size() == 2);
    CHECK(connection.warnings().front() == contains("\"nonsense\""));
    CHECK(connection.warnings().front() != contains("hunter2"));
    CHECK(connection.schema() == "app");
  }

  TEST_CASE("Prisma's parameters for its own pool are dropped without a word") {
    const std::string url = "postgresql://h/d?connection_limit=5&pool_timeout=0&socket_timeout=9&"
                            "max_connection_lifetime=1&max_idle_connection_lifetime=1&"
                            "statement_cache_size=0&single_use_connections=true";
    CHECK(ConnectionString{url}.warnings().empty());
    CHECK_FALSE(sent(url).contains("connection_limit"));
  }

  TEST_CASE("libpq's own parameters pass, also in a URL") {
    const auto values =
        sent("postgresql://h/d?target_session_attrs=read-write&options=-c%20geqo%3Doff&"
             "channel_binding=require&keepalives_idle=60");
    CHECK(values.at("target_session_attrs") == "read-write");
    CHECK(values.at("options") == "-c geqo=off");
    CHECK(values.at("channel_binding") == "require");
    CHECK(values.at("keepalives_idle") == "60");
  }

  TEST_CASE("connect_timeout: the manifest's, else the string's, else five seconds") {
    const ConnectionString given{"postgresql://h/d?connect_timeout=17"};
    CHECK(libpq_reads(given.conninfo({.application_name = "a", .connect_timeout = {}}))
              .at("connect_timeout") == "17");
    CHECK(libpq_reads(
              given.conninfo({.application_name = "a", .connect_timeout = std::chrono::seconds{3}}))
              .at("connect_timeout") == "3");
    CHECK(sent("postgresql://h/d").at("connect_timeout") == "5");
  }

  TEST_CASE("our own name and encoding win over the string's") {
    const auto values = sent("postgresql://h/d?application_name=theirs&client_encoding=LATIN1");
    CHECK(values.at("application_name") == "test");
    CHECK(values.at("client_encoding") == "UTF8");
  }

  TEST_CASE("a dead peer is noticed unless the string says otherwise") {
    CHECK(sent("postgresql://h/d").at("tcp_user_timeout") == "15000");
    CHECK(sent("postgresql://h/d?tcp_user_timeout=1").at("tcp_user_timeout") == "1");
  }

  TEST_CASE("host= names a socket directory or wins over the URL's host") {
    CHECK(ConnectionString{"postgresql:///d?host=/var/run/postgresql"}.host() ==
          "/var/run/postgresql");
    CHECK(ConnectionString{"postgresql://u@localhost/d?host=%2Fcloudsql%2Fa%3Ab"}.host() ==
          "/cloudsql/a:b");
    CHECK(ConnectionString{"postgresql://%2Fvar%2Frun/d"}.host() == "/var/run");
    CHECK(ConnectionString{"postgresql:///d"}.host().empty());
    CHECK(ConnectionString{"postgresql:///d"}.display() == "localhost/d");
  }

  TEST_CASE("percent-encoding is undone in user, password, database and parameters") {
    const ConnectionString connection{"postgresql://a%40b:p%25%2F%3f%23%C3%A9@h/my%20db"};
    CHECK(connection.value("user") == "a@b");
    CHECK(connection.value("password") == "p%/?#é");
    CHECK(connection.database() == "my db");
    CHECK(ConnectionString{"postgresql://h/%41"}.database() == "A");
  }

  TEST_CASE("a password may hold a raw @, as in Prisma") {
    const ConnectionString connection{"postgresql://alice:p@ss@w@h:5433/d"};
    CHECK(connection.value("user") == "alice");
    CHECK(connection.value("password") == "p@ss@w");
    CHECK(connection.host() == "h");
    CHECK(connection.value("port") == "5433");
  }

  TEST_CASE("a password may hold a colon, an ampersand and a hash") {
    CHECK(ConnectionString{"postgresql://u:a:b@h/d"}.value("password") == "a:b");
    CHECK(ConnectionString{"postgresql://u:a&b=c@h/d"}.value("password") == "a&b=c");
    CHECK(ConnectionString{"postgresql://u:a'b c@h/d"}.value("password") == "a'b c");
  }

  TEST_CASE("a bad percent sequence is explained without quoting anything secret") {
    for (const auto* password :
         {"hunter%zz2", "hunter2%", "hunter2%4", "%00hunter2", "hunter2%%41"}) {
      CAPTURE(std::string{password});
      const auto error = error_of("postgresql://u:" + std::string{password} + "@h/d");
      CHECK(error == contains("%25"));
      CHECK(error != contains("hunter"));
    }
    CHECK(error_of("postgresql://u:p@h/d?password=hunter%zz2") != contains("hunter"));
    CHECK(error_of("postgresql://u:hunter2@h/d%") != contains("hunter"));
  }

  TEST_CASE(
      "a password with a raw slash is refused without quoting it, never taken for a port and a database") {
    const auto error = error_of("postgresql://alice:hun/ter2@db.example.org/shop");
    CHECK(error == contains("%2F"));
    CHECK(error != contains("hun"));
    CHECK(error != contains("ter2"));
    (void)error_of("postgresql://alice:123/ter2@db.example.org/shop");
  }

  TEST_CASE("a password with a raw question mark is refused without quoting it") {
    for (const auto* url :
         {"postgresql://alice:hun?ter2@h/shop", "postgresql://alice:h/un?ter2@h/shop",
          "postgresql://alice:$hun?ter2@h/shop", "postgresql://alice:hun?$ter2@h/shop",
          "postgresql://alice:hun?ter2%zz@h/shop", "postgresql://alice:hun?sslter2@h/shop"}) {
      CAPTURE(std::string{url});
      const auto error = error_of(url);
      CHECK(error != contains("hun"));
      CHECK(error != contains("ter2"));
    }
  }

  TEST_CASE("a password with a raw @ and a raw question mark is refused without quoting it") {
    for (const auto* url :
         {"postgresql://u:p@ss?hunter2@h/d", "postgresql://u:p@ss/d?hunter2=x@h/d",
          "postgresql://u:p@ss?$hunter2@h/d", "postgresql://u:p@ss/d?sslhunter2@h/d",
          "postgresql://u:p@ss/d?hunter2=%zz@h/d"}) {
      CAPTURE(std::string{url});
      const auto error = error_of(url);
      CHECK(error == contains("%3F"));
      CHECK(error != contains("hunter2"));
    }
    const ConnectionString fine{"postgresql://u:p@h/d?user=me@corp&schema=a@b"};
    CHECK(fine.value("user") == "me@corp");
    CHECK(fine.schema() == "a@b");
  }

  TEST_CASE("a fragment is left out, for us and for a tool") {
    for (const auto* url : {"postgresql://u:a#b@h/d#x", "postgresql://u:a#b@h/d?schema=s#x@y"}) {
      CAPTURE(std::string{url});
      const ConnectionString connection{url};
      CHECK(connection.value("password") == "a#b");
      CHECK(connection.database() == "d");
      const ConnectionString for_tool{connection.with_application_name("us")};
      CHECK(for_tool.value("application_name") == "us");
      CHECK(for_tool.database() == "d");
    }
  }

  TEST_CASE("no error text holds a part of the string that may be secret") {
    for (const auto* text :
         {"alice:hunter2://x@h/d", "alice:hunter2@h/d", "hunter2", "host=h password='hunter2",
          "host=h hunter2=x dbname=d", "postgresql://[hunter2/d", "mysql://u:hunter2@h/d",
          "postgresql://u:hunter2@h", "prisma://accelerate.example.org/?api_key=hunter2",
          "postgresql://u:hunter2@[::1/d", "host=h password=hunter2"}) {
      CAPTURE(std::string{text});
      CHECK(error_of(text) != contains("hunter2"));
    }
  }

  TEST_CASE("IPv6 hosts lose their brackets") {
    const ConnectionString connection{"postgresql://u@[2001:db8::1]:5433/d"};
    CHECK(connection.host() == "2001:db8::1");
    CHECK(connection.value("port") == "5433");
    CHECK(sent("postgresql://[::1]/d").at("host") == "::1");
  }

  TEST_CASE("several hosts pass to libpq as they are") {
    const auto values = sent("postgresql://a:1,b:2/d?target_session_attrs=read-write");
    CHECK(values.at("host") == "a,b");
    CHECK(values.at("port") == "1,2");
  }

  TEST_CASE("addresses of other things are refused with a reason") {
    CHECK(error_of("prisma://accelerate.prisma-data.net/?api_key=x") ==
          contains("database.direct_url"));
    CHECK(error_of("prisma+postgres://accelerate.prisma-data.net/?api_key=x") ==
          contains("database.direct_url"));
    CHECK(error_of("mysql://u:p@h/d") == contains("mysql://"));
    CHECK(error_of("file:./dev.db") == contains("neither"));
    CHECK(error_of("") == contains("empty"));
    CHECK(error_of(" \n") == contains("empty"));
  }

  TEST_CASE("a string that names no database is refused") {
    CHECK(error_of("postgresql://u@h") == contains("no database"));
    CHECK(error_of("postgresql://u@h/") == contains("no database"));
    CHECK(error_of("host=h user=u") == contains("no database"));
    CHECK(ConnectionString{"postgresql://h/?dbname=d"}.database() == "d");
    CHECK_NOTHROW(ConnectionString{"service=shop"});
  }

  TEST_CASE("libpq's key=value form is understood, quotes included") {
    const ConnectionString connection{
        R"(host=h port = 5433 user=alice password='it\'s a \\ secret' dbname='my db' sslmode=verify-full)"};
    CHECK(connection.value("password") == "it's a \\ secret");
    CHECK(connection.database() == "my db");
    CHECK(connection.value("port") == "5433");
    CHECK(connection.value("sslmode") == "verify-full");
    CHECK(connection.display() == "alice@h:5433/my db");
    CHECK(error_of("host=h dbname=d schema=app") == contains("key=value"));
    CHECK(ConnectionString{"host=h dbname=d sslcert=/c.pem"}.value("sslcert") == "/c.pem");
  }

  TEST_CASE("a key=value string may hold a URL in its password") {
    CHECK(ConnectionString{"host=h dbname=d password=a://b"}.value("password") == "a://b");
    CHECK(ConnectionString{"password=a://b?c host=h dbname=d"}.host() == "h");
  }

  TEST_CASE("a pooler is recognised by each of its three signs") {
    CHECK(ConnectionString{"postgresql://h/d?pgbouncer=true"}.is_pooler());
    CHECK(
        ConnectionString{"postgresql://ep-x-123-pooler.eu-central-1.aws.neon.tech/d"}.is_pooler());
    CHECK(ConnectionString{"postgresql://aws-0-eu.pooler.supabase.com:6543/d"}.is_pooler());
    CHECK(ConnectionString{"host=a-pooler.b dbname=d"}.is_pooler());
    CHECK(ConnectionString{"host=a port=6543 dbname=d"}.is_pooler());
    CHECK_FALSE(ConnectionString{"postgresql://h/d"}.is_pooler());
    CHECK_FALSE(ConnectionString{"postgresql://h/d?pgbouncer=false"}.is_pooler());
    CHECK_FALSE(ConnectionString{"postgresql://aws-0-eu.pooler.supabase.com:5432/d"}.is_pooler());
    CHECK_FALSE(ConnectionString{"postgresql://my-pooler/d-pooler.x"}.is_pooler());
  }

  TEST_CASE("what is displayed never holds the password") {
    for (const auto* text :
         {"postgresql://alice:hunter2@h/d", "postgresql://alice@h/d?password=hunter2",
          "host=h user=alice dbname=d password=hunter2", "postgresql://alice:hunter2@[::1]/d",
          "postgresql://alice:a@hunter2@h/d"}) {
      CAPTURE(std::string{text});
      const auto shown = ConnectionString{text}.display();
      CHECK(shown == contains("alice@"));
      CHECK(shown != contains("hunter2"));
    }
    CHECK(ConnectionString{"postgresql://h/d"}.display() == "h/d");
  }

  TEST_CASE("the secrets are the passwords, plain and encoded") {
    const auto has = [](const std::string& text, const std::string& secret) {
      const auto secrets = ConnectionString{text}.secrets();
      return std::find(secrets.begin(), secrets.end(), secret) != secrets.end();
    };
    CHECK(ConnectionString{"postgresql://u@h/d"}.secrets().empty());
    CHECK(has("postgresql://u:p%40ss@h/d", "p@ss"));
    CHECK(has("postgresql://u:p%40ss@h/d", "p%40ss"));
    CHECK(has("postgresql://u@h/d?password=topsecret", "topsecret"));
    CHECK(has("postgresql://h/d?sslkey=k&sslcert=c&sslpassword=keysecret", "keysecret"));
    CHECK(has("host=h dbname=d password=kvsecret", "kvsecret"));
  }

  TEST_CASE("the secrets hold the password as the user encoded it, since a tool gets that text") {
    for (const auto* written : {"p%2fss!word", "p%40ss!word", "p@ss!%77ord"}) {
      CAPTURE(std::string{written});
      const auto secrets =
          ConnectionString{"postgresql://u:" + std::string{written} + "@h/d"}.secrets();
      CHECK(std::find(secrets.begin(), secrets.end(), written) != secrets.end());
    }
  }

  TEST_CASE("an application name can be added for a tool that we start") {
    const std::string name = "schemagate:prisma:it's \"x\"?&#:7";
    for (const auto* text :
         {"postgresql://u:p@h/d", "postgresql://u:p@h/d?schema=app", "postgresql://u:p@h/d?",
          "postgres://u:p#x@h/d", "host=h user=u password=p dbname=d",
          "host=h dbname=d application_name=theirs", "postgresql://h/d?application_name=theirs",
          "host=h dbname=d password='a b'"}) {
      CAPTURE(std::string{text});
      const ConnectionString before{text};
      const ConnectionString after{before.with_application_name(name)};
      CHECK(after.value("application_name") == name);
      CHECK(after.value("password") == before.value("password"));
      CHECK(after.database() == before.database());
      CHECK(after.schema() == before.schema());
    }
  }

  TEST_CASE("an application name is added behind a password that looks like a URL") {
    const ConnectionString after{
        ConnectionString{"host=h dbname=d password=a://b"}.with_application_name("schemagate:x:1")};
    CHECK(after.value("application_name") == "schemagate:x:1");
    CHECK(after.value("password") == "a://b");
  }

  TEST_CASE("an application name is added before a fragment, and behind a backslash at the end") {
    CHECK(ConnectionString{
              ConnectionString{"postgresql://h/d?schema=a#note"}.with_application_name("n")}
              .value("application_name") == "n");
    const ConnectionString after{
        ConnectionString{R"(host=h dbname=d password=a\)"}.with_application_name("schemagate:x:1")};
    CHECK(after.value("application_name") == "schemagate:x:1");
  }

  TEST_CASE("awkward values come through to libpq unchanged") {
    for (const std::string value :
         {"it's", "back\\slash", "two  blanks", " around ", "a=b", "'quoted'", "\"double\"",
          "line\nbreak", "é日本", "ends with \\", "%41", "#?&@:/", "$(x)`y`;--", "'", "\\'"}) {
      CAPTURE(value);
      std::string encoded;
      for (const char c : value) {
        constexpr std::string_view k_digits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(c);
        encoded += '%';
        encoded += k_digits[byte >> 4U];
        encoded += k_digits[byte & 15U];
      }
      const auto values =
          sent("postgresql://" + encoded + ":" + encoded + "@h/" + encoded + "?options=" + encoded);
      CHECK(values.at("user") == value);
      CHECK(values.at("password") == value);
      CHECK(values.at("dbname") == value);
      CHECK(values.at("options") == value);
      CHECK(libpq_reads(ConnectionString{"postgresql://h/d"}.conninfo(
                            {.application_name = value, .connect_timeout = {}}))
                .at("application_name") == value);
    }
  }

  TEST_CASE("contradictions on TLS are refused, whichever stands first") {
    for (const std::string parameters :
         {"sslmode=disable&sslaccept=strict", "sslaccept=strict&sslmode=disable",
          "sslmode=disable&sslrootcert=/ca.pem", "sslmode=disable&sslcert=/ca.pem",
          "sslkey=/k.pem&sslcert=/c.pem&sslmode=disable", "ssl=true&sslmode=disable",
          "sslmode=disable&channel_binding=require", "sslmode=disable&sslrootcert=system"}) {
      CAPTURE(parameters);
      CHECK(error_of("postgresql://h/d?" + parameters) == contains("sslmode"));
    }
    CHECK(error_of("host=h dbname=d sslmode=disable sslrootcert=/ca.pem") ==
          contains("sslrootcert contradicts sslmode=disable"));
    CHECK(tls("sslmode=disable&sslaccept=accept_invalid_certs") == "disable");
    CHECK(tls("sslmode=disable&channel_binding=prefer") == "disable");
  }

  TEST_CASE("a parameter that is given twice must say the same") {
    for (const std::string text :
         {"postgresql://h/d?sslmode=verify-full&sslmode=disable",
          "postgresql://h/d?schema=a&schema=b", "postgresql://h/d?pgbouncer=true&pgbouncer=false",
          "host=h dbname=d sslmode=require sslmode=prefer",
          "host=h dbname=d sslmode='verify-full' sslmode = disable"}) {
      CAPTURE(text);
      CHECK(error_of(text) == contains("given twice"));
    }
    CHECK(error_of("host=h dbname=d password=hunter2 password=hunter3") != contains("hunter"));
    CHECK(tls("sslmode=require&schema=a&sslmode=require") == "require");
    CHECK(ConnectionString{"host=h dbname=d host=h"}.host() == "h");
  }

  TEST_CASE("a security promise is understood or refused, however its key is spelled") {
    for (const std::string parameter :
         {"SSLMODE=verify-full", "sslMode=require", "SslMode=require", "ssl_mode=require",
          "sslrootCert=/ca.pem", "Require_Auth=scram-sha-256", "require-auth=scram-sha-256",
          "CHANNEL_BINDING=require", "channelBinding=require", "gssEncMode=require", "tls=true",
          "useSSL=true", "TLS_mode=strict", "encrypt=true", "trustServerCertificate=false",
          "krbSrvName=x", "sslAccept=strict", "SSL=true", "sslverify=full"}) {
      CAPTURE(parameter);
      const auto key = parameter.substr(0, parameter.find('='));
      CHECK(error_of("postgresql://h/d?" + parameter) == contains("\"" + key + "\""));
    }
    // Which of these libpq knows depends on its version: honoured or refused, never left out.
    for (const std::string parameter : {"require_auth=scram-sha-256", "sslcertmode=require",
                                        "sslnegotiation=direct&sslmode=require", "gssdelegation=1",
                                        "ssl_min_protocol_version=TLSv1.3", "scram_client_key=x"}) {
      CAPTURE(parameter);
      try {
        const auto values = sent("postgresql://h/d?" + parameter);
        CHECK(values.contains(parameter.substr(0, parameter.find('='))));
      } catch (const ConnectionStringError& error) {
        CHECK(error.what() == contains("could weaken"));
      }
    }
  }

  TEST_CASE("other tools' words for a schema are refused, with ours") {
    for (const std::string key : {"search_path", "searchPath", "currentSchema", "current_schema",
                                  "Schema", "SCHEMA", "schemas", "default_schema", "SearchPath"}) {
      CAPTURE(key);
      CHECK(error_of("postgresql://h/d?" + key + "=shop") == contains("?schema=NAME"));
    }
    CHECK(error_of("host=h dbname=d schema=shop") == contains("migrations.schema"));
  }

  TEST_CASE("a schema that only a slip of the pen can have meant is refused") {
    const std::vector<std::pair<std::string, std::string>> k_slips = {
        {"", "empty"},
        {"public?connection_limit=1", "\"?\""},
        {"a,public", "comma"},
        {"public%20", "blank"},
        {"%20public", "blank"},
        {"a%0Ab", "control character"},
        {"a%09", "control character"},
        {"%C3", "UTF-8"},
        {"pg_shop", "PostgreSQL's own"},
        {"information_schema", "PostgreSQL's own"},
        {std::string(64, 'x'), "64 bytes"},
        {std::string(62, 'x') + "%C3%BC", "cuts names at 63"},
    };
    for (const auto& [schema, word] : k_slips) {
      CAPTURE(schema);
      CHECK(error_of("postgresql://h/d?schema=" + schema) == contains(word));
    }
    for (const std::string schema :
         {"my-shop_%C3%BC%20X", "a%22b", "it's", "a.b", "1", "Public", "pgx", "a%24b"})
      CHECK_NOTHROW(ConnectionString{"postgresql://h/d?schema=" + schema});
    CHECK(ConnectionString{"postgresql://h/d?schema=" + std::string(63, 'x')}.schema().size() ==
          63);
  }

  TEST_CASE("variables and templates that nobody filled in are named") {
    const std::vector<std::pair<std::string, std::string>> k_templates = {
        {"$DATABASE_URL", "$DATABASE_URL"},
        {"${DATABASE_URL}", "${DATABASE_URL}"},
        {"{{ secrets.url }}", "{{ secrets.url }}"},
        {"$(cat /run/secrets/url)", "$(cat /run/secrets/url)"},
        {"<your connection string>", "<your connection string>"},
        {"postgresql://u:p@$DB_HOST:5432/d", "$DB_HOST"},
        {"postgresql://u:p@${DB_HOST}:5432/d", "${DB_HOST}"},
        {"postgresql://u:p@${DB_HOST:-localhost}/d", "${DB_HOST"},
        {"postgresql://${USER}:x@h/d", "${USER}"},
        {"postgresql://u:p@h:$PORT/d", "$PORT"},
        {"postgresql://u:p@h/${DB}", "${DB}"},
        {"postgresql://u:p@h/app_$ENV", "$ENV"},
        {"postgresql://u:p@h/d?schema=$SCHEMA", "$SCHEMA"},
        {"postgresql://u:p@{{ .Values.host }}/d", "{{ .Values.host }}"},
        {"postgresql://<user>:p@h/d", "<user>"},
        {"postgresql://u:p@<your-host>/d", "<your-host>"},
        {"postgresql://u:p@$(hostname)/d", "$(hostname)"},
        {"host=$DB_HOST dbname=d", "$DB_HOST"},
        {"host='$DB_HOST' dbname=d", "$DB_HOST"},
        {"host=h dbname=${DB}", "${DB}"},
    };
    for (const auto& [text, word] : k_templates) {
      CAPTURE(text);
      CHECK(error_of(text) == contains(word));
    }
  }

  TEST_CASE("a template in place of the password is told, and not shown") {
    for (const std::string password :
         {"$DB_PASSWORD", "${DB_PASSWORD}", "$(cat /run/secrets/pw)", "{{ password }}",
          "<password>", "[YOUR-PASSWORD]", "$PGPASS", "$db_password"}) {
      CAPTURE(password);
      const auto error = error_of("postgresql://u:" + password + "@h/d");
      CHECK(error == contains("the password is a variable or a template"));
      CHECK(error != contains(password));
    }
    for (const std::string password : {"pa$$w0rd", "$ecret!", "a${b", "<3", "[x]", "$", "$1",
                                       "x$HOME", "%24DB_PASSWORD", "{}", "$ecretsauce"}) {
      CAPTURE(password);
      CHECK_NOTHROW(ConnectionString{"postgresql://u:" + password + "@h/d"});
    }
    CHECK(ConnectionString{"host=h dbname=d password='$DB_PASSWORD'"}.value("password") ==
          "$DB_PASSWORD");
  }

  TEST_CASE("a dollar that is meant is left alone") {
    for (const std::string text :
         {"postgresql://ops$joe@h/d", "postgresql://u@h/d?options=-csearch_path%3D\"$user\"",
          "postgresql://u@h/d?options=-csearch_path=\"$user\",public", "postgresql://u@h/%24HOME",
          "host=h dbname='$d'"}) {
      CAPTURE(text);
      CHECK_NOTHROW(ConnectionString{text});
    }
  }

  TEST_CASE("quotes and words of a shell around the string are told") {
    for (const std::string text :
         {"\"postgresql://u:hunter2@h/d\"", "'postgresql://u:hunter2@h/d'", "`cat hunter2`",
          "DATABASE_URL=postgresql://u:hunter2@h/d",
          "export DATABASE_URL=postgresql://u:hunter2@h/d",
          "DATABASE_URL=\"postgresql://u:hunter2@h/d\"", "psql 'postgresql://u:hunter2@h/d'",
          "psql postgres://u:hunter2@h/d"}) {
      CAPTURE(text);
      const auto error = error_of(text);
      CHECK(error == contains("begins with"));
      CHECK(error != contains("hunter2"));
    }
  }

  TEST_CASE("a value that no libpq would take is refused here, by its name") {
    const std::vector<std::pair<std::string, std::string>> k_values = {
        {"postgresql://h/d?sslmode=Require", "Require"},
        {"postgresql://h/d?sslmode=required", "required"},
        {"host=h dbname=d sslmode=verify_full", "verify_full"},
        {"postgresql://h:99999/d", "99999"},
        {"postgresql://h:0/d", "\"0\""},
        {"postgresql://a:5432,b:65536/d", "65536"},
        {"host=h port=5432x dbname=d", "5432x"},
        {"postgresql://h/d?port=-1", "-1"},
        {"postgresql://h/d?connect_timeout=abc", "connect_timeout"},
        {"postgresql://h/d?connect_timeout=5s", "5s"},
        {"postgresql://h/d?keepalives_idle=x", "keepalives_idle"},
        {"postgresql://h/d?tcp_user_timeout=1.5", "1.5"},
        {"postgresql://h/d?target_session_attrs=master", "master"},
        {"postgresql://h/d?gssencmode=yes", "gssencmode"},
        {"postgresql://h/d?channel_binding=required", "channel_binding"},
    };
    for (const auto& [text, word] : k_values) {
      CAPTURE(text);
      CHECK(error_of(text) == contains(word));
    }
    CHECK_NOTHROW(ConnectionString{"postgresql://a:1,b:65535,c/d?connect_timeout=0"});
  }

  TEST_CASE("a tool gets exactly one application name, ours") {
    for (const std::string text : {"postgresql://h/d?application_name=theirs&schema=a",
                                   "postgresql://h/d?schema=a&application_name=theirs",
                                   "postgresql://h/d?applic%61tion_name=theirs&schema=a"}) {
      CAPTURE(text);
      const auto named = ConnectionString{text}.with_application_name("ours");
      CHECK(named != contains("theirs"));
      CHECK(named == contains("application_name=ours"));
      CHECK(ConnectionString{named}.schema() == "a");
    }
  }

  TEST_CASE("what the environment says completes the string, and never weakens its TLS") {
    const auto with = [](const std::string& name, const std::string& value,
                         const std::string& text) {
      ::setenv(name.c_str(), value.c_str(), 1);
      try {
        auto completed = ConnectionString{text}.completed();
        ::unsetenv(name.c_str());
        return completed;
      } catch (...) {
        ::unsetenv(name.c_str());
        throw;
      }
    };
    const auto elsewhere = with("PGHOSTADDR", "10.0.0.9", "postgresql://h/d");
    CHECK(elsewhere.hosts() == std::vector<std::string>{"10.0.0.9"});
    CHECK(elsewhere.warnings().size() == 1);
    CHECK(with("PGHOST", "other", "postgresql:///d").hosts() == std::vector<std::string>{"other"});
    CHECK(with("PGHOST", "other", "postgresql://h/d").hosts() == std::vector<std::string>{"h"});
    CHECK(with("PGOPTIONS", "-c geqo=off", "postgresql://h/d").value("options") == "-c geqo=off");
    CHECK(with("PGSSLMODE", "verify-full", "postgresql://h/d").value("sslmode") == "verify-full");
    CHECK(with("PGSSLMODE", "disable", "postgresql://h/d?sslmode=require").value("sslmode") ==
          "require");
    CHECK(with("PGSSLROOTCERT", "/ca.pem", "postgresql://h/d?sslmode=disable").value("sslmode") ==
          "disable");
    CHECK_THROWS_AS(with("PGSSLMODE", "disable", "postgresql://h/d?sslrootcert=/ca.pem"),
                    ConnectionStringError);
    CHECK_THROWS_AS(with("PGSSLMODE", "Require", "postgresql://h/d"), ConnectionStringError);
    CHECK_THROWS_AS(with("PGPORT", "99999", "postgresql://h/d"), ConnectionStringError);
    CHECK_THROWS_AS(with("PGSERVICE", "nobody_has_this", "postgresql://h/d"),
                    ConnectionStringError);
    CHECK(ConnectionString{"postgresql://h/d"}.completed().value("sslmode").empty());
  }

  TEST_CASE("a URL to connect by has no password, and is right for sockets, lists and IPv6") {
    const auto url = [](const char* text) { return ConnectionString{text}.url(); };
    CHECK(url("postgresql://a%40b:geheim@db.example.org:5433/my%20db?sslmode=require") ==
          "postgresql://a%40b@db.example.org:5433/my%20db");
    CHECK(url("postgresql://u@/d?host=/run/a%26b&port=5433") ==
          "postgresql://u@/d?host=/run/a%26b&port=5433");
    CHECK(url("dbname=d") == "postgresql:///d");
    for (const auto* const text :
         {"postgresql://u:p@h/d", "postgresql://u:p@[::1]:5433/d", "host=/run/postgresql dbname=d",
          "postgresql://u:p@h:1,i:2/d", "host=h hostaddr=127.0.0.1 port=1 user=u dbname=d",
          "host=@abstract user='a/b c' dbname='d%?'"}) {
      const ConnectionString given{text};
      const ConnectionString again{given.url()};
      for (const auto* const key : {"user", "host", "hostaddr", "port", "dbname"})
        CHECK(again.value(key) == given.value(key));
      CHECK(again.value("password").empty());
    }
  }

  TEST_CASE("another database of the same server keeps everything else") {
    const auto other =
        ConnectionString{"postgresql://u:p@h/d?sslmode=require&schema=s"}.with_database("it's");
    CHECK(other.database() == "it's");
    CHECK(other.value("password") == "p");
    CHECK(other.value("sslmode") == "require");
    CHECK(libpq_reads(other.conninfo({.application_name = "a", .connect_timeout = {}}))
              .at("dbname") == "it's");
  }

  TEST_CASE("as libpq's variables a string says the same, and no service is beside them") {
    const ConnectionString connection{
        "postgresql://ada:p%40ss@db.example.com:5433/shop?sslmode=require&schema=app"};
    const std::map<std::string, std::optional<std::string>> variables{
        {"PGHOST", "db.example.com"}, {"PGPORT", "5433"},     {"PGUSER", "ada"},
        {"PGPASSWORD", "p@ss"},       {"PGDATABASE", "shop"}, {"PGSSLMODE", "require"},
        {"PGSERVICE", std::nullopt}};
    CHECK(connection.environment() == variables);
  }
}
