#include "schemagate/migrate/verify.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_problem_size_max = 500;

std::string quoted_table(const std::vector<std::string>& parts, const std::string& schema) {
  if (parts.size() == 1) return pg::quote_identifier(schema) + "." + pg::quote_identifier(parts[0]);
  return pg::quote_identifier(parts[0]) + "." + pg::quote_identifier(parts[1]);
}

// What a check has found in a table may be a person's.
std::string told_answer(const pg::Value& answer, const std::string& check) {
  if (!answer) return "nothing";
  const bool is_count =
      answer->size() <= 8 && answer->find_first_not_of("0123456789.-") == std::string::npos;
  const bool is_said = check.find(*answer) != std::string::npos;
  return *answer == "f" || is_count || is_said ? *answer : "a text";
}

// Empty when the check holds.
std::string answer_against(pg::Session& session, const Check& check,
                           const Expectation& expectation) {
  const auto& schema = expectation.schema;
  auto parts = split(check.text, '.');
  switch (check.kind) {
    case Check::Kind::table:
      if (session.row("SELECT to_regclass($1) IS NOT NULL", {quoted_table(parts, schema)}).flag(0))
        return {};
      return fmt::format("table {} does not exist", check.text);
    case Check::Kind::column: {
      const auto column = parts.back();
      parts.pop_back();
      const auto rows = session.query(
          "SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND NOT attisdropped",
          {quoted_table(parts, schema), column});
      return rows.empty() ? fmt::format("column {} does not exist", check.text) : "";
    }
    case Check::Kind::sql: {
      const auto rows = session.query_of_user(expectation.search_path, check.text);
      const auto answer = rows.empty() || rows[0].empty() ? pg::Value{} : rows[0][0];
      if (answer == "t") return {};
      return fmt::format("check returned {}, not true: {}", told_answer(answer, check.text),
                         check.text);
    }
  }
  return {};
}

// A check is a question: whatever it calls can write nothing, and its failure ends nothing else.
constexpr const char* k_before_check =
    "SAVEPOINT schemagate_check; SET LOCAL transaction_read_only = on; "
    "SET LOCAL statement_timeout = '5min'";
constexpr const char* k_after_check =
    "ROLLBACK TO SAVEPOINT schemagate_check; RELEASE SAVEPOINT schemagate_check";

std::string why_not(pg::Session& session, const Check& check, const Expectation& expectation) {
  std::string why;
  session.execute(k_before_check);
  try {
    why = answer_against(session, check, expectation);
  } catch (const pg::Error& e) {
    why = fmt::format("check fails with {}: {}: {}", e.sqlstate, e.message, check.text);
  }
  session.execute(k_after_check);
  return why;
}

}  // namespace

std::vector<std::string> not_applied(const Folder& folder, const History& history, Policy edited) {
  std::map<std::string, const HistoryRow*> applied;
  for (const auto& row : history.rows)
    if (row.applied()) applied[row.name] = &row;
  const auto remark = history.remark.empty() ? "" : ": " + history.remark;
  std::vector<std::string> missing;
  // A project that has no migrations yet is let through, an image that lacks them is not.
  if (!folder.directory.empty() && folder.migrations.empty() && !history.rows.empty())
    missing.push_back(fmt::format("{} holds no migrations, but the history holds {}",
                                  folder.directory.string(), counted(history.rows.size(), "row")));
  for (const auto& migration : folder.migrations) {
    const auto found = applied.find(migration.name);
    if (found == applied.end())
      missing.push_back(fmt::format("migration {} is not applied{}", migration.name, remark));
    else if (edited == Policy::fail && !migration.file_missing &&
             !folder.has_content(migration, found->second->checksum))
      missing.push_back(
          fmt::format("migration {} is applied with another content", migration.name));
  }
  return missing;
}

std::vector<std::string> failed_checks(pg::Session& session, const Expectation& expectation) {
  std::vector<std::string> problems;
  for (const auto& check : expectation.checks)
    if (const auto problem = why_not(session, check, expectation); !problem.empty())
      problems.push_back(
          shortened(log::redact(as_written(problem, expectation.variables)), k_problem_size_max));
  return problems;
}

Verified verify(pg::Session& session, const Expectation& expectation) {
  std::vector<std::string> problems;
  std::int64_t history_oid = 0;
  if (expectation.history != nullptr) {
    const auto history = expectation.history->read(session);
    history_oid = history.oid;
    problems = not_applied(expectation.folder, history, expectation.edited);
  }
  for (auto& problem : failed_checks(session, expectation)) problems.push_back(std::move(problem));
  if (problems.empty()) return Verified{expectation.folder.digest, history_oid};
  throw Failure{
      ExitCode::check_failed,
      "the database is not as this release needs it:\n  " + join(problems, "\n  "),
      "the app does not start until this holds: correct the check in the manifest, or add a migration (one that "
      "is applied must not be edited), then deploy again"};
}

}  // namespace schemagate
