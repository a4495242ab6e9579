#include "one_look.hpp"

#include <fmt/core.h>

#include "schemagate/lease/statements.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/missing_right.hpp"
#include "schemagate/postgres/readiness.hpp"

namespace schemagate {
namespace {

std::string settings_of(const pg::Session& session) {
  return std::string{pg::k_guard} +
         "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '60s';" +
         // It may be idle while a replay is at work.
         "SET LOCAL idle_in_transaction_session_timeout = 0;" +
         (session.server_major_version() >= 17 ? "SET LOCAL transaction_timeout = 0;" : "");
}

Failure explained(const pg::Error& e, const std::string& again) {
  if (e.sqlstate == "42501")
    return {ExitCode::refused, fmt::format("the role may not read the history: {}", e.message),
            remedy_of_missing_right(e, "SELECT")};
  return {ExitCode::lock_timeout,
          fmt::format("cannot look: {}: somebody holds a table by an exclusive lock", e.message),
          std::string{"see who is in a transaction: "} + k_open_transactions +
              "; then look again: " + own_command(again)};
}

}  // namespace

void in_one_look(Database& database, const Manifest::Database& settings, const std::string& again,
                 Stop& stop, const std::function<void(pg::Session&)>& look) {
  explaining_database_errors(stop, [&] {
    try {
      auto session = connect_to_read(database, settings, stop);
      const pg::Transaction one{session, settings_of(session), pg::Transaction::Kind::snapshot};
      look(session);
    } catch (const pg::Error& e) {
      if (e.sqlstate != "42501" && e.sqlstate != "55P03" && e.sqlstate != "57014") throw;
      throw explained(e, again);
    }
  });
}

}  // namespace schemagate
