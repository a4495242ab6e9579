#pragma once
// A statement of a migration that PostgreSQL refused: what it said, what that means for us, and how
// it is told (what to do about it: advice.hpp). Pure.

#include <string>

#include "schemagate/formats/folder.hpp"
#include "schemagate/postgres/session.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {

// What PostgreSQL said about one statement of a script, or about its end.
struct StatementFailed : std::runtime_error {
  StatementFailed(pg::Error cause, const Statement* failed)
      : std::runtime_error{cause.what()}, error{std::move(cause)}, statement{failed} {}
  pg::Error error;
  const Statement* statement;  // null: at the end of the script (deferred constraints, bookkeeping)
};

// The same statement may work a moment later: a lock, a deadlock, a serialization failure, or a
// race for an object of the catalogue.
[[nodiscard]] bool is_retryable(const pg::Error& error);
// It does not run inside a transaction block, which only the server could tell.
[[nodiscard]] bool refuses_transactions(const std::string& sqlstate);
// It uses an enum value that its own transaction has added.
[[nodiscard]] bool needs_commit_before(const std::string& sqlstate);
// What was to be created exists, or what was to be dropped does not.
[[nodiscard]] bool says_it_was_done(const std::string& sqlstate);

// Several lines: migration, file:line:column, SQLSTATE, message, detail, statement. Without
// passwords: a script may create a role.
[[nodiscard]] std::string describe(const Migration& migration, const StatementFailed& failure);

}  // namespace schemagate
