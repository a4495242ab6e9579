#include "schemagate/database_errors.hpp"

#include <fmt/core.h>

#include "schemagate/error.hpp"
#include "schemagate/postgres.hpp"

namespace schemagate {
namespace {

// An error of our own bookkeeping, not of a script: what it means for the one who reads it.
Failure explained(const pg::Error& e) {
  const auto text =
      fmt::format("the database refused our own bookkeeping: ERROR {}: {}{}", e.sqlstate, e.message,
                  e.detail.empty() ? "" : " (" + e.detail + ")");
  if (e.sqlstate == "42501")
    return {
        ExitCode::refused, text,
        "give the role what it lacks: GRANT USAGE ON SCHEMA schemagate; GRANT SELECT, INSERT, UPDATE on "
        "its tables and on _prisma_migrations; GRANT CREATE ON SCHEMA for the migrations' own "
        "(deploy/sql/run-role.sql)"};
  const bool passing = e.sqlstate.starts_with("53") || e.sqlstate.starts_with("57") ||
                       e.sqlstate == "25006" || e.sqlstate == "55P03" || e.sqlstate == "40P01" ||
                       e.sqlstate == "40001";
  if (passing) return {ExitCode::connection_lost, text, "free what is missing, then run again"};
  return {ExitCode::internal, text, "please report this with the log"};
}

}  // namespace

void explaining_database_errors(const Stop& stop, const std::function<void()>& work) {
  try {
    work();
  } catch (const pg::Error& e) {
    stop.check();
    throw explained(e);
  } catch (const pg::ConnectionLost& e) {
    stop.check();
    throw Failure{ExitCode::connection_lost,
                  fmt::format("connection lost while working: {}; what was not committed is rolled "
                              "back",
                              e.what()),
                  "run again: what is missing will be done then"};
  }
}

}  // namespace schemagate
