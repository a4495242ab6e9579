#include "schemagate/migrate/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

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
                  "restore the file, or remove the directory"};
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

std::vector<Segment> segments_of(const Folder& folder, const Migration& migration) {
  check_readable(folder, migration);
  try {
    return split_into_segments(parse_script(migration.sql));
  } catch (const ScriptRefused& e) {
    throw Failure{
        ExitCode::migration_failed,
        fmt::format("{}: {}; nothing was applied", location(migration, e.line, e.column), e.what()),
        e.hint};
  }
}

// Where the earlier run stopped, if what it finished is still the same in this cut of the script.
bool continue_after(PlannedMigration& planned, const std::map<int, Step>& steps) {
  for (const auto& [number, step] : steps) {
    const auto index = static_cast<std::size_t>(number);
    const bool is_same =
        index < planned.segments.size() && planned.segments[index].digest() == step.digest;
    const bool is_next = index == planned.first_segment;  // a gap would be skipped for good
    if (step.finished && !(is_same && is_next)) return false;
    if (step.finished) ++planned.first_segment;
    else if (is_same && is_next) planned.interrupted = step;
  }
  return true;
}

// What commits by itself half-way must not be executed twice. Steps with a digest are begun outside
// of transactions only: where the script has a transaction now, it was such a statement that only
// the server knew (with_statement_alone), and that was changed since. Whose run was refused was
// told.
void check_can_be_repeated(const PlannedMigration& planned, const std::map<int, Step>& steps) {
  const auto begun = steps.find(static_cast<int>(planned.first_segment));
  if (begun == steps.end() || begun->second.finished || begun->second.digest.empty()) return;
  const bool is_same = !planned.interrupted.digest.empty();
  const auto& migration = *planned.migration;
  auto where = display_path(migration);
  auto what = std::string{"what stood here before the file was changed"};
  int line = 1;
  bool may_be_half_done = false;
  bool stands_alone = false;
  const bool has_statement = planned.first_segment < planned.segments.size() &&
                             !planned.segments[planned.first_segment].statements.empty();
  if (has_statement) {
    const auto& segment = planned.segments[planned.first_segment];
    const auto& statement = segment.statements.front();
    line = statement.line;
    where = location(migration, line, statement.column);
    may_be_half_done = segment.may_be_half_done();
    stands_alone = !segment.transactional;
    if (is_same) what = fmt::format("this statement ({})", statement.what);
  }
  if (!may_be_half_done && (is_same || stands_alone || planned.was_refused)) return;
  throw Failure{ExitCode::history,
                fmt::format("{}: an earlier run {} in {}; how far it came cannot be told", where,
                            planned.was_refused ? "failed" : "was interrupted", what),
                finish_by_hand(migration, line, planned.first_segment)};
}

// An earlier run of ours got part of the way, and the parts it did are still the same in the
// script.
std::optional<PlannedMigration> resumed(const HistoryRow& row, const History& history,
                                        const Folder& folder) {
  const auto steps = history.steps.find(row.id);
  const auto* migration = folder.find(row.name);
  if (steps == history.steps.end() || migration == nullptr) return std::nullopt;
  const PlannedMigration whole{.migration = migration,
                               .segments = segments_of(folder, *migration),
                               .row_id = row.id,
                               .first_segment = 0,
                               .interrupted = {},
                               .was_refused = !row.logs.empty()};
  std::vector<PlannedMigration> cuts = {whole};
  // That run may have learnt from the server that a statement has to stand alone.
  if (whole.segments.size() == 1)
    for (const auto& statement : whole.segments.front().statements)
      cuts.push_back(with_statement_alone(whole, statement));
  std::optional<PlannedMigration> found;
  for (auto& cut : cuts) {
    if (!continue_after(cut, steps->second)) continue;
    const bool tells_more = found && found->interrupted.digest.empty();
    if (!found || (tells_more && !cut.interrupted.digest.empty())) found = std::move(cut);
  }
  if (found) {
    check_can_be_repeated(*found, steps->second);
    return found;
  }
  const auto done = std::count_if(steps->second.begin(), steps->second.end(),
                                  [](const auto& step) { return step.second.finished; });
  throw Failure{ExitCode::history,
                fmt::format("{}: an earlier run applied the first {} of this script, but that was "
                            "changed since; it cannot be continued",
                            display_path(*migration),
                            counted(static_cast<std::size_t>(done), "part")),
                "restore the part that was applied; what follows it may be changed"};
}

std::vector<std::string> warnings_or_throw(const std::vector<Discrepancy>& found,
                                           const Manifest::Migrations& policies) {
  std::vector<std::string> warnings;
  std::vector<std::string> failures;
  for (const auto& one : found) {
    const auto policy = policy_for(one.kind, policies);
    if (policy == Policy::warn) warnings.push_back(one.text);
    if (policy == Policy::fail) failures.push_back(one.text);
  }
  if (failures.empty()) return warnings;
  throw Failure{
      ExitCode::history, join(failures, "\n"),
      "undo the change, or allow it: migrations.edited, .missing and .out_of_order take fail, warn or allow"};
}

void check_one_transaction_is_possible(const Plan& plan) {
  std::vector<std::pair<std::string, std::string>> new_values;  // enum value, where it was added
  for (const auto& planned : plan.pending) {
    const auto refuse = [&](const Statement& at, const std::string& why) {
      throw Failure{ExitCode::refused,
                    fmt::format("{}: atomic: release is not possible: {}",
                                location(*planned.migration, at.line, at.column), why),
                    "deploy this release with migrations.atomic: migration"};
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
    for (const auto& statement : first.statements) {
      if (statement.kind == Statement::Kind::add_enum_value) {
        new_values.emplace_back(statement.value,
                                location(*planned.migration, statement.line, statement.column));
        continue;
      }
      if (lower_case(statement.text).starts_with("set transaction"))
        refuse(statement, "the script sets its own transaction's properties");
      for (const auto& [value, where] : new_values)
        if (mentions(statement, value))
          refuse(statement, fmt::format("it uses the enum value '{}' added at {}", value, where));
    }
  }
}

}  // namespace

std::optional<Failure> obstacle_to_continuing(const HistoryRow& row, const History& history,
                                              const Folder& folder) {
  try {
    (void)resumed(row, history, folder);
    return std::nullopt;
  } catch (const Failure& failure) {
    return failure;
  }
}

PlannedMigration with_statement_alone(const PlannedMigration& planned, const Statement& statement) {
  auto script = planned.segments.front().statements;
  for (auto& candidate : script) {
    if (candidate.line != statement.line || candidate.column != statement.column) continue;
    candidate.kind = Statement::Kind::alone;
    candidate.rerun = Statement::Rerun::unknown;
    candidate.what = "a statement that the server does not run in a transaction";
  }
  auto cut = planned;
  cut.segments = split_into_segments(script);
  return cut;
}

std::string finish_by_hand(const Migration& migration, int line, std::size_t parts_done) {
  const auto name = shell_word(migration.name);
  const auto done = parts_done == 0   ? std::string{}
                    : parts_done == 1 ? "part 1 is committed; "
                                      : fmt::format("parts 1 to {} are committed; ", parts_done);
  return fmt::format(
      "{}look at what the statement on line {} did, do the rest of the script by hand, then: schemagate "
      "resolve {} --applied; or undo all of the script by hand, then: schemagate resolve {} --rolled-back",
      done, line, name, name);
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
    case Discrepancy::Kind::edited: return policies.edited;
    case Discrepancy::Kind::missing: return policies.missing;
    case Discrepancy::Kind::out_of_order: return policies.out_of_order;
  }
  return Policy::fail;
}

std::vector<Discrepancy> discrepancies(const Folder& folder, const History& history) {
  using Kind = Discrepancy::Kind;
  std::vector<Discrepancy> found;
  std::set<std::string> on_disk;
  std::map<std::string, const HistoryRow*> applied;
  for (const auto& row : history.rows)
    if (row.applied()) applied[row.name] = &row;
  std::string last_applied;
  for (const auto& migration : folder.migrations) {
    on_disk.insert(migration.name);
    const auto row = applied.find(migration.name);
    if (row == applied.end()) continue;
    last_applied = migration.name;
    if (!migration.file_missing && !folder.has_content(migration, row->second->checksum))
      found.push_back(
          {Kind::edited, migration.name,
           fmt::format("{}: the file was edited after it was applied", display_path(migration))});
  }
  for (const auto& [name, row] : applied) {
    if (!on_disk.contains(name))
      found.push_back(
          {Kind::missing, name,
           fmt::format(
               "migration {} is applied, but not in {} (an older image, or a deleted directory)",
               name, folder.directory.string())});
  }
  for (const auto& migration : folder.migrations) {
    if (migration.name == last_applied || last_applied.empty()) break;
    if (!applied.contains(migration.name))
      found.push_back(
          {Kind::out_of_order, migration.name,
           fmt::format("migration {} is pending, but {}, which sorts after it, is already applied",
                       migration.name, last_applied)});
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
    plan.pending.push_back({.migration = &migration,
                            .segments = segments_of(folder, migration),
                            .row_id = {},
                            .interrupted = {}});
    if (migration.was_invalid_utf8)
      plan.warnings.push_back(
          fmt::format("{}: invalid UTF-8 in a comment is read as U+FFFD", display_path(migration)));
  }
  if (policies.atomic == Atomic::release) check_one_transaction_is_possible(plan);
  return plan;
}

}  // namespace schemagate
