#include "schemagate/migrate/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "resume.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

constexpr const char* k_replacement_character = "\xEF\xBF\xBD";

Failure cannot_be_executed(const Migration& migration, const std::string& why,
                           const std::string& hint) {
  return {ExitCode::migration_failed,
          fmt::format("{}: {}; nothing was applied", display_path(migration), why), hint};
}

void check_readable(const Folder& folder, const Migration& migration) {
  if (migration.file_missing) {
    throw Failure{ExitCode::history,
                  fmt::format("{} does not exist, but its directory does{}; nothing was applied",
                              display_path(migration), folder.code_of(Problem::no_script)),
                  remedy_for_missing_file(migration)};
  }
  if (migration.sql.find('\0') != std::string::npos) {
    throw cannot_be_executed(
        migration, "the file holds NUL bytes, as UTF-16 has them (PowerShell's > writes it)",
        fmt::format("convert it: iconv -f UTF-16 -t UTF-8 {0} > utf8.sql && mv utf8.sql {0}",
                    display_path(migration)));
  }
  if (migration.was_invalid_utf8 &&
      without_comments(migration.sql).find(k_replacement_character) != std::string::npos) {
    throw cannot_be_executed(
        migration, "the file is not valid UTF-8, and not only in comments: data would be changed",
        fmt::format("convert it: iconv -f LATIN1 -t UTF-8 {0} > utf8.sql && mv utf8.sql {0}",
                    display_path(migration)));
  }
}

std::vector<std::string> warnings_or_throw(const std::vector<Discrepancy>& found,
                                           const Manifest::Migrations& policies) {
  std::vector<std::string> warnings;
  std::vector<std::string> failures;
  std::map<Discrepancy::Kind, Hint> remedies;  // the first of a kind tells it
  for (const auto& one : found) {
    const auto policy = policy_for(one.kind, policies);
    if (policy == Policy::warn) warnings.push_back(one.text);
    if (policy != Policy::fail) continue;
    failures.push_back(one.text);
    remedies.emplace(one.kind, one.remedy);
  }
  if (failures.empty()) return warnings;
  Hint hint;
  for (const auto& [kind, remedy] : remedies) hint = (hint.empty() ? Hint{} : hint + "; ") + remedy;
  throw Failure{ExitCode::history, join(failures, "\n"), hint};
}

using Rows = std::map<std::string, const HistoryRow*>;

bool does_something(const Migration& migration) {
  const auto script = parse_script(migration.sql);
  return std::any_of(script.begin(), script.end(), [](const auto& one) {
    return counts(one) && one.trace != Statement::Trace::nothing;
  });
}

// `gone`: those of `applied` whose directory is missing.
std::vector<Discrepancy> renamed(const Folder& folder, const Rows& applied, const Rows& gone) {
  std::vector<Discrepancy> found;
  std::string names;
  for (const auto& migration : folder.migrations) {
    if (migration.file_missing || applied.contains(migration.name)) continue;
    const auto old = std::find_if(gone.begin(), gone.end(), [&](const auto& one) {
      const auto& checksum = one.second->checksum;
      return !checksum.empty() && folder.has_content(migration, checksum);
    });
    if (old == gone.end() || !does_something(migration)) continue;
    names += " " + shell_word(migration.name);
    found.push_back({Discrepancy::Kind::renamed,
                     migration.name,
                     fmt::format("migration {} was renamed to {} after it was applied; it is not "
                                 "executed again",
                                 old->first, migration.name),
                     {}});
  }
  for (auto& one : found)
    one.remedy = own_command("baseline" + names) + " && " + own_command("run");
  return found;
}

void check_one_transaction_is_possible(const Plan& plan) {
  for (const auto& planned : plan.pending) {
    const auto refuse = [&](const Statement& at, const std::string& why) {
      throw not_as_one(*planned.migration, at, why);
    };
    const auto& first = planned.segments.front();
    const Statement start = first.statements.empty() ? Statement{} : first.statements.front();
    if (!planned.row_id.empty())
      refuse(start, "an earlier run stopped in the middle of this migration");
    if (planned.segments.size() > 1)
      refuse(planned.segments[1].statements.front(), planned.segments[1].reason);
    if (!first.transactional) refuse(start, start.what + " refuses transactions");
    if (!first.transaction_options.empty())
      refuse(start, "the script sets its own transaction's " + first.transaction_options);
    for (const auto& statement : first.statements)
      if (lower_case(statement.text).starts_with("set transaction"))
        refuse(statement, "the script sets its own transaction's properties");
  }
}

}  // namespace

Failure not_as_one(const Migration& migration, const Statement& at, const std::string& why) {
  return {ExitCode::refused,
          fmt::format("{}: atomic: release is not possible: {}",
                      location(migration, at.line, at.column), why),
          "deploy this release with migrations.atomic: migration"};
}

std::optional<Failure> obstacle_to_continuing(const HistoryRow& row, const History& history,
                                              const Folder& folder) {
  try {
    (void)resumed(row, history, folder);
    return std::nullopt;
  } catch (const Failure& failure) {
    return failure;
  }
}

std::vector<Statement> statements_of(const Folder& folder, const Migration& migration) {
  check_readable(folder, migration);
  return parse_script(migration.sql);
}

void cut_into_segments(PlannedMigration& planned, std::vector<Statement> script) {
  try {
    planned.segments =
        split_into_segments(std::move(script), planned.cuts, planned.statements_done);
  } catch (const ScriptRefused& e) {
    throw Failure{ExitCode::migration_failed,
                  fmt::format("{}: {}; nothing was applied",
                              location(*planned.migration, e.line, e.column), e.what()),
                  e.hint};
  }
}

std::optional<PlannedMigration> with_cut(const PlannedMigration& planned, const Cut& cut) {
  auto again = planned;
  again.cuts.push_back(cut);
  cut_into_segments(again, parse_script(planned.migration->sql));
  const auto more = again.segments.size() - planned.segments.size();
  if (more == 0 && cut.kind == Cut::Kind::before) return std::nullopt;
  if (!again.interrupted.digest.empty() &&
      again.segments[again.interrupted_segment + more].statements.front().line >= cut.line)
    again.interrupted_segment += more;
  return again;
}

Hint finish_by_hand(const Migration& migration, int line, std::size_t parts_done) {
  const auto name = shell_word(migration.name);
  const auto done = parts_done == 0   ? std::string{}
                    : parts_done == 1 ? "part 1 is committed; "
                                      : fmt::format("parts 1 to {} are committed; ", parts_done);
  return fmt::format("{}look at what the statement on line {} did, do the rest of the script by "
                     "hand, then: ",
                     done, line) +
         own_command("resolve " + name + " --applied") +
         "; or undo all of the script by hand, then: " +
         own_command("resolve " + name + " --rolled-back");
}

std::string display_path(const Migration& migration) {
  const auto relative = migration.file.lexically_proximate(std::filesystem::current_path());
  const bool shorter = relative.native().size() < migration.file.native().size();
  return (shorter ? relative : migration.file).string();
}

std::string location(const Migration& migration, int line, int column) {
  return fmt::format("{}:{}:{}", display_path(migration), line, column);
}

bool PlannedMigration::sets_outside_transactions() const {
  return std::any_of(segments.begin(), segments.end(), [](const auto& segment) {
    return !segment.transactional && !segment.settings.empty();
  });
}

bool Plan::sets_outside_transactions() const {
  return std::any_of(pending.begin(), pending.end(),
                     [](const auto& planned) { return planned.sets_outside_transactions(); });
}

bool Plan::needs_direct_connection() const {
  return std::any_of(pending.begin(), pending.end(), [](const auto& planned) {
    return std::any_of(planned.segments.begin(), planned.segments.end(),
                       [](const auto& segment) { return !segment.transactional; });
  });
}

Policy policy_for(Discrepancy::Kind kind, const Manifest::Migrations& policies) {
  switch (kind) {
    case Discrepancy::Kind::renamed: break;
    case Discrepancy::Kind::edited: return policies.edited;
    case Discrepancy::Kind::missing: return policies.missing;
    case Discrepancy::Kind::out_of_order: return policies.out_of_order;
  }
  return Policy::fail;
}

std::vector<Discrepancy> discrepancies(const Folder& folder, const History& history) {
  using Kind = Discrepancy::Kind;
  Rows applied;
  for (const auto& row : history.rows)
    if (row.applied()) applied[row.name] = &row;
  auto gone = applied;
  for (const auto& migration : folder.migrations) gone.erase(migration.name);
  auto found = renamed(folder, applied, gone);
  std::set<std::string> new_names;
  for (const auto& one : found) new_names.insert(one.migration);
  std::string last_applied;
  for (const auto& migration : folder.migrations) {
    const auto row = applied.find(migration.name);
    if (row == applied.end()) continue;
    last_applied = migration.name;
    if (!migration.file_missing && !folder.has_content(migration, row->second->checksum))
      found.push_back(
          {Kind::edited, migration.name,
           fmt::format("{}: the file was edited after it was applied (the history holds "
                       "its checksum, {:.12}..., not its text; now it is {:.12}...)",
                       display_path(migration), row->second->checksum, migration.checksum),
           fmt::format("undo the edit (git log -p -- {} shows it), and write a new "
                       "migration that does what it should do; or, where the database is as the "
                       "file makes it now: ",
                       shell_word(display_path(migration))) +
               own_command("resolve " + shell_word(migration.name) + " --auto")});
  }
  for (const auto& [name, row] : gone)
    found.push_back(
        {Kind::missing, name,
         fmt::format(
             "migration {} is applied, but not in {} (an older image, or a deleted directory)",
             name, folder.directory.string()),
         "restore the directory; a rolled-back image may leave it so (migrations.missing: "
         "allow)"});
  for (const auto& migration : folder.migrations) {
    if (migration.name == last_applied || last_applied.empty()) break;
    if (applied.contains(migration.name) || new_names.contains(migration.name)) continue;
    found.push_back(
        {Kind::out_of_order, migration.name,
         fmt::format("migration {} is pending, but {}, which sorts after it, is already applied",
                     migration.name, last_applied),
         "give it a name that sorts last; or migrations.out_of_order: warn, and a run applies it "
         "all the same"});
  }
  return found;
}

Plan make_plan(const Folder& folder, const History& history, const Manifest::Migrations& policies) {
  Plan plan;
  for (const auto& row : history.rows) {
    if (!row.failed()) continue;
    if (auto planned = resumed(row, history, folder)) plan.pending.push_back(std::move(*planned));
    else plan.blocking.push_back(&row);
  }
  plan.warnings = warnings_or_throw(discrepancies(folder, history), policies);
  std::set<std::string> known;
  for (const auto& row : history.rows)
    if (!row.rolled_back) known.insert(row.name);
  for (const auto& migration : folder.migrations) {
    if (known.contains(migration.name)) continue;
    plan.pending.push_back({.migration = &migration});
    cut_into_segments(plan.pending.back(), statements_of(folder, migration));
    if (migration.was_invalid_utf8)
      plan.warnings.push_back(
          fmt::format("{}: invalid UTF-8 in a comment is read as U+FFFD", display_path(migration)));
  }
  if (policies.atomic == Atomic::release) check_one_transaction_is_possible(plan);
  return plan;
}

}  // namespace schemagate
