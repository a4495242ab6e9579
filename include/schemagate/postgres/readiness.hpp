#pragma once
// Waits until the server accepts us, is writable and not in recovery, and makes sure it is the
// database that the manifest expects.

#include <string>

#include "schemagate/base/wait.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

// Says what it waits for at once, then every few seconds. Throws Failure: (not_ready) after
// settings.wait with what the last attempt said; (not_ready) at once when waiting cannot help, that
// is a wrong password, an unknown role or a missing database that must not be created; (usage) at
// once for a mistake in the connection string that only libpq or the server could see; (refused)
// when it is another database than settings.expect says; or the Stop's reason.
[[nodiscard]] pg::Session wait_until_ready(Database& database, const Manifest::Database& settings,
                                           Stop& stop);

// One attempt, for commands that only read: a standby or a read-only database will do. Throws
// Failure: (not_ready) or (refused) as above.
[[nodiscard]] pg::Session connect_to_read(Database& database, const Manifest::Database& settings,
                                          Stop& stop);

// Throws Failure (refused) when this session is in another database than expected.
void check_expected(pg::Session& session, const Manifest::Database::Expect& expect);

// Why waiting will not help, as a hint, or empty. libpq gives connection failures no SQLSTATE, so
// the server's English words decide; in other languages we wait. Exposed for tests.
struct Diagnosis {
  bool database_missing = false;
  bool is_mistake = false;  // in the connection string, or in a file that it names
  std::string hint;
};
// The role and the database are those of the connection string, for the hint.
[[nodiscard]] Diagnosis diagnose(const std::string& connection_error,
                                 const std::string& role = "the_role",
                                 const std::string& database = "the_database");

// What to do about a connection that failed, or empty where time is likely to settle it.
[[nodiscard]] std::string remedy_of(const std::string& connection_error);

}  // namespace schemagate
