#include "schemagate/migrate/statement_failure.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/plan.hpp"

namespace schemagate {
// 55P03 lock_not_available, 40P01 deadlock_detected, 40001 serialization_failure; and 23505 or
// XX000 where another session made or altered the same object of the catalogue at the same moment:
// there IF NOT EXISTS does not look twice.
bool is_retryable(const pg::Error& error) {
  const auto& state = error.sqlstate;
  const auto says = [&](const char* part) { return error.message.find(part) != std::string::npos; };
  return state == "55P03" || state == "40P01" || state == "40001" ||
         (state == "23505" && says("\"pg_")) || (state == "XX000" && says("tuple concurrently"));
}

std::string describe(const Migration& migration, const StatementFailed& failure) {
  const auto& e = failure.error;
  std::string text;
  if (failure.statement == nullptr) {
    text = fmt::format("migration {} failed at its end ({}):", migration.name,
                       display_path(migration));
  } else {
    auto line = failure.statement->line;
    auto column = failure.statement->column;
    if (e.position) {
      column = e.position->line == 1 ? column + e.position->column - 1 : e.position->column;
      line += e.position->line - 1;
    }
    text = fmt::format("migration {} failed at {}:", migration.name,
                       location(migration, line, column));
  }
  // Further lines of what a script may have said itself stand below their first.
  const auto add = [&](const std::string& label, const std::string& what, std::size_t size_max) {
    if (what.empty()) return;
    const auto told = without_password(log::redact(what), size_max);
    text += "\n  " + label + ": " + join(split(told, '\n'), "\n    ");
  };
  add("ERROR " + e.sqlstate, e.message, 2000);
  add("detail", e.detail, 600);
  add("server's hint", e.hint, 600);
  add("context", e.context, 400);
  if (failure.statement != nullptr) add("statement", failure.statement->text, 300);
  return text;
}

// 25001: cannot run inside a transaction block; 2D000: a procedure ends transactions itself.
bool refuses_transactions(const std::string& sqlstate) {
  return sqlstate == "25001" || sqlstate == "2D000";
}

// 55P04: unsafe use of a new value of an enum.
bool needs_commit_before(const std::string& sqlstate) { return sqlstate == "55P04"; }

// 42P04, 42710: exists already; 3D000, 42704: does not exist.
bool says_it_was_done(const std::string& sqlstate) {
  return sqlstate == "42P04" || sqlstate == "42710" || sqlstate == "3D000" || sqlstate == "42704";
}

}  // namespace schemagate
