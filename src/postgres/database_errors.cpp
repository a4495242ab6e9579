#include "schemagate/postgres/database_errors.hpp"

#include <fmt/core.h>

#include "schemagate/base/error.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {
namespace {

// An error of our own bookkeeping, not of a script: what it means for the one who reads it.
Failure explained(const pg::Error& e) {
  const auto error = fmt::format("ERROR {}: {}{}", e.sqlstate, e.message,
                                 e.detail.empty() ? "" : " (" + e.detail + ")");
  const auto text = "the database refused our own bookkeeping: " + error;
  if (e.sqlstate == "42501")
    return {
        ExitCode::refused, text,
        "give the role the right: GRANT USAGE ON SCHEMA schemagate (or what database.bookkeeping_schema "
        "says); GRANT SELECT, INSERT, UPDATE on its tables and on the history; psql -v role=ROLE -f "
        "deploy/sql/run-role.sql gives all that a run needs"};
  // 55P03 lock_not_available, 40P01 deadlock_detected, 40001 serialization_failure
  if (e.sqlstate == "55P03" || e.sqlstate == "40P01" || e.sqlstate == "40001")
    return {ExitCode::lock_timeout,
            "somebody holds a lock on the history or on schemagate's own tables: " + error,
            std::string{"see who is in a transaction: "} + k_open_transactions +
                "; then run again"};
  if (e.sqlstate == "25006")
    return {ExitCode::connection_lost, text,
            "the database has become read-only (a failover?): run again once its primary is back"};
  if (e.sqlstate.starts_with("53") || e.sqlstate.starts_with("57"))
    return {ExitCode::connection_lost, text, "free what is missing, then run again"};
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
