#include "schemagate/postgres/database_errors.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/postgres/session.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

namespace {

Failure told(const std::string& sqlstate, const std::string& text) {
  auto error = pg::parse_error("ERROR:  " + text + "\n", sqlstate, "SELECT 1");
  error.role = "deploy";
  error.database = "shop";
  Stop stop;
  try {
    explaining_database_errors(stop, [&] { throw error; });
  } catch (const Failure& failure) {
    return failure;
  }
  return {ExitCode::done, ""};
}

struct Example {
  std::string sqlstate;
  std::string text;
  ExitCode code;
  std::string hint;
};

}  // namespace

TEST_SUITE("database errors") {
  TEST_CASE(
      "an error of our bookkeeping has the code of its cause, the server's words and a hint") {
    for (const auto& [sqlstate, text, code, hint] : std::vector<Example>{
             {"P0001", "DDL is frozen\nCONTEXT:  PL/pgSQL function no_ddl() line 1 at RAISE",
              ExitCode::refused, "no_ddl()"},
             {"P0001", "DDL is frozen", ExitCode::refused, "trigger"},
             {"42704", "no such thing\nCONTEXT:  SQL function \"audit\" statement 1",
              ExitCode::refused, "audit"},
             {"23514", "no\nCONTEXT:  PL/pgSQL function audit.log() line 3 at RAISE",
              ExitCode::refused, "audit.log()"},
             {"42501", "permission denied for schema schemagate", ExitCode::refused,
              "GRANT USAGE ON SCHEMA schemagate TO deploy"},
             {"42501", "new row violates row-level security policy for table \"run\"",
              ExitCode::refused, "BYPASSRLS"},
             {"55000",
              "cannot update table \"lock\" because it does not have a replica identity and "
              "publishes updates",
              ExitCode::refused, "REPLICA IDENTITY FULL"},
             {"0A000", "RDS Proxy currently doesn't support this", ExitCode::refused,
              "database.direct_url"},
             {"22P05", "character has no equivalent in encoding \"LATIN1\"", ExitCode::refused,
              "UTF8"},
             {"23514", "new row violates check constraint \"c\"", ExitCode::refused, "deploy"},
             {"54000", "index row size exceeds", ExitCode::refused, "server's words"},
             {"25006", "cannot execute UPDATE in a read-only transaction",
              ExitCode::connection_lost, "read-only"},
             {"53200",
              "out of shared memory\nHINT:  You might need to increase "
              "max_locks_per_transaction.",
              ExitCode::connection_lost, "max_locks_per_transaction"},
             {"53100", "could not extend file", ExitCode::connection_lost, "disk is full"},
             {"53300", "too many connections", ExitCode::connection_lost, "max_connections"},
             {"57014", "canceling statement due to statement timeout", ExitCode::connection_lost,
              "statement_timeout"},
             {"55P03", "canceling statement due to lock timeout", ExitCode::lock_timeout,
              "pg_stat_activity"},
             {"XX000", "tuple concurrently updated", ExitCode::lock_timeout, "run again"}}) {
      CAPTURE(text);
      const auto failure = told(sqlstate, text);
      CHECK(failure.code() == code);
      CHECK(std::string{failure.what()} == contains(text.substr(0, text.find('\n'))));
      CHECK(failure.hint().text() == contains(hint));
      CHECK(failure.hint().text() != contains("please report"));
    }
  }

  TEST_CASE("only what must be our own mistake is to be reported") {
    for (const std::string sqlstate : {"42601", "42883", "XX000", "25P02"}) {
      CAPTURE(sqlstate);
      const auto failure = told(sqlstate, "something");
      CHECK(failure.code() == ExitCode::internal);
      CHECK(failure.hint().text() == contains("please report"));
    }
  }
}
