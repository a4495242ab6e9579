#include "schemagate/migrate/statement_failure.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/plan.hpp"

namespace schemagate {
namespace {

// 42P06 schema, 42P07 relation, 42701 column, 42710 constraint, type, ... exists already.
bool says_it_exists(const std::string& sqlstate) {
  return sqlstate == "42P06" || sqlstate == "42P07" || sqlstate == "42701" || sqlstate == "42710";
}

// 42P01 relation, 42703 column does not exist.
bool says_it_is_missing(const std::string& sqlstate) {
  return sqlstate == "42P01" || sqlstate == "42703";
}

}  // namespace

// 55P03 lock_not_available, 40P01 deadlock_detected, 40001 serialization_failure; and 23505 or
// XX000 where another session made or altered the same object of the catalogue at the same moment:
// there IF NOT EXISTS does not look twice.
bool is_retryable(const pg::Error& error) {
  const auto& state = error.sqlstate;
  const auto says = [&](const char* part) { return error.message.find(part) != std::string::npos; };
  return state == "55P03" || state == "40P01" || state == "40001" ||
         (state == "23505" && says("\"pg_")) || (state == "XX000" && says("tuple concurrently"));
}

// Class 53, insufficient resources: the script is not to blame, and may work another time.
bool lacks_resource(const std::string& sqlstate) { return sqlstate.starts_with("53"); }

Hint advice(const Migration& migration, const std::string& sqlstate) {
  const auto file = display_path(migration);
  if (lacks_resource(sqlstate)) return "free what is missing on the server, then run again";
  if (sqlstate == "42501")
    return "give the role this right or the ownership (deploy/sql/run-role.sql), then run again";
  if (sqlstate == "57014")
    return "somebody or a timeout ended the statement: run again, or raise migrations.statement_timeout";
  if (says_it_exists(sqlstate))
    return "if a `db push` or a person made it: " +
           own_command("resolve " + shell_word(migration.name) + " --auto") + "; else fix " + file +
           " and deploy again";
  if (says_it_is_missing(sqlstate))
    return own_command("status") +
           " tells whether the history claims what is not there; else fix " + file +
           " and deploy again";
  if (sqlstate == "23502")  // not_null_violation
    return "fix " + file +
           " (fill the column first, or give it a DEFAULT) and deploy again; where " + file +
           " is applied already in another environment, correct the data, then: " +
           own_command("run");
  if (sqlstate.starts_with("23"))
    return "correct the data, then: " + own_command("run") + "; or, where " + file +
           " is applied in no other environment: fix it and deploy again";
  return "fix " + file + " and deploy again";
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

// 42P04, 42710: exists already; 3D000, 42704: does not exist.
bool says_it_was_done(const std::string& sqlstate) {
  return sqlstate == "42P04" || sqlstate == "42710" || sqlstate == "3D000" || sqlstate == "42704";
}

}  // namespace schemagate
