#include "schemagate/recovery/existing.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Which = MigrationState::Kind;

constexpr std::size_t k_names_max = 300;
constexpr const char* k_not_there = "recorded as applied, but nothing of it is there: ";

Hint and_run() { return " && " + own_command("run"); }

// "migration 1_a", "each of the first 3 of 5 migrations", "3 of 5 migrations (1_a, 3_c, 4_d)"
std::string which_are_there(const Judgement& judgement) {
  const auto there = judgement.there();
  const auto all = judgement.migrations.size();
  if (there.size() == 1) return "migration " + there.front()->name;
  if (there.size() == all) return fmt::format("each of the {} migrations", all);
  const bool is_first =
      std::equal(there.begin(), there.end(), judgement.migrations.begin(),
                 [](const auto* one, const auto& state) { return one == state.migration; });
  if (is_first) return fmt::format("each of the first {} of {} migrations", there.size(), all);
  std::vector<std::string> names;
  for (const auto* one : there) names.push_back(one->name);
  return fmt::format("{} of {} migrations ({})", there.size(), all,
                     shortened(join(names, ", "), k_names_max));
}

// Those before the last one that is there.
std::vector<std::string> unseen_data(const Judgement& judgement) {
  std::vector<std::string> names;
  for (const auto& one : judgement.migrations) {
    if (one.migration == judgement.there().back()) break;
    if (one.kind == Which::no_trace && one.changes_data) names.push_back(one.migration->name);
  }
  return names;
}

// One that is there in part only stands before one that is there.
bool has_gap_of_parts(const Judgement& judgement) {
  bool is_part = false;
  for (const auto& one : judgement.migrations) {
    if (is_part && one.kind == Which::there) return true;
    is_part = is_part || one.kind == Which::mixed;
  }
  return false;
}

// The run then tells what can be recorded.
Hint complete_or_undo() {
  return "a person decides: complete by hand what a migration makes, or undo by hand what is there of "
         "it where nobody needs that; then: " +
         own_command("run");
}

Failure with(ExitCode code, std::string text, const std::vector<std::string>& lines, Hint hint) {
  for (const auto& line : lines) text += "\n    " + line;
  return {code, text, std::move(hint)};
}

}  // namespace

std::string cannot_be_told(const CannotTell& why) {
  return std::string{"what is there cannot be told: "} + why.what();
}

Judge::Migrations pending_of(const Folder& folder, const History& history) {
  std::set<std::string> known;
  for (const auto& row : history.rows)
    if (!row.rolled_back) known.insert(row.name);
  Judge::Migrations pending;
  for (const auto& migration : folder.migrations)
    if (!known.contains(migration.name) && !migration.file_missing) pending.push_back(&migration);
  return pending;
}

Judge::Migrations not_applied_of(const Folder& folder, const History& history) {
  Judge::Migrations open;
  for (const auto& migration : folder.migrations)
    if (history.applied(migration.name) == nullptr && !migration.file_missing)
      open.push_back(&migration);
  return open;
}

Judgement examine_pending(pg::Session& session, const Target& target, const History& history,
                          const Stop& stop) {
  return Judge{session, target, stop}.migrations(applied_in_order(history, target.folder),
                                                 pending_of(target.folder, history), false);
}

Judgement examine_applied(pg::Session& session, const Target& target, const History& history,
                          const Stop& stop) {
  return Judge{session, target, stop}.migrations({}, applied_in_order(history, target.folder), true,
                                                 not_applied_of(target.folder, history));
}

Hint execute_again(const Migration& migration) {
  return own_command("resolve " + shell_word(migration.name) + " --auto") + and_run();
}

std::optional<Failure> not_there(const Judgement& applied) {
  std::vector<const Migration*> absent;
  std::string names;
  std::vector<std::string> lines;
  for (const auto& one : applied.migrations) {
    if (one.kind != Which::absent) continue;
    names += (absent.empty() ? "" : ", ") + one.migration->name;
    absent.push_back(one.migration);
    for (const auto& line : one.differences) lines.push_back(one.migration->name + ": " + line);
  }
  if (absent.empty()) return std::nullopt;
  return with(ExitCode::history, k_not_there + names, some_of(lines, 20),
              execute_again(*absent.front()));
}

std::optional<FoundNotThere> found_not_there(pg::Session& session, const Target& target) {
  const auto last = find_last_outcome(session, target.bookkeeping, target.id.scope);
  if (!last || last->error_code != static_cast<int>(ExitCode::history) ||
      !last->error.starts_with(k_not_there))
    return std::nullopt;
  const auto first_line = split(last->error, '\n').front();
  // A name may hold a comma.
  const auto names = ", " + first_line.substr(std::string_view{k_not_there}.size()) + ", ";
  for (const auto& migration : target.folder.migrations)
    if (names.find(", " + migration.name + ", ") != std::string::npos)
      return FoundNotThere{
          &migration,
          fmt::format("migration {} is recorded as applied, but nothing of it is there, as the "
                      "run for release {} found at {}",
                      migration.name, last->release, last->at)};
  return std::nullopt;
}

void refuse_other_shapes(pg::Session& session, const Target& target,
                         const Judge::Migrations& before, const Judge::Migrations& made,
                         const Stop& stop) {
  const auto judgement = Judge{session, target, stop}.migrations(before, made, true);
  if (judgement.cannot_tell)
    log::warn("IF NOT EXISTS left something that was there already; " +
              cannot_be_told(*judgement.cannot_tell));
  std::vector<std::string> lines;
  for (const auto& one : judgement.migrations)
    if (one.kind == Which::mixed || one.kind == Which::absent)
      for (const auto& line : one.differences) lines.push_back(one.migration->name + ": " + line);
  if (lines.empty()) return;
  throw with(
      ExitCode::check_failed,
      "IF NOT EXISTS left something that was there already, in another shape; nothing of it "
      "was committed:",
      some_of(lines, 20),
      "is what was there needed? correct it by hand until it is what the script makes, or let "
      "the script change it (ALTER), and deploy again");
}

// All that stand before the last one, or are recorded already, are meant by --through.
Hint record_and_run(const Target& target, const History& history,
                    const std::vector<const Migration*>& there) {
  const auto& last = there.back()->name;
  bool is_through = there.size() > 1;
  for (const auto& migration : target.folder.migrations) {
    const bool is_meant = std::find(there.begin(), there.end(), &migration) != there.end() ||
                          history.applied(migration.name) != nullptr;
    is_through = is_through && is_meant;
    if (migration.name == last) break;
  }
  std::string names;
  for (const auto* one : there) names += " " + shell_word(one->name);
  return own_command("baseline" + (is_through ? " --through " + shell_word(last) : names)) +
         and_run();
}

Failure not_baselined(const Target& target, const History& history, const Judgement& judgement) {
  auto text =
      fmt::format("the schema {} of {} is not empty, but has no migration history{}; tables: {}",
                  target.schema(), target.database.address().display(),
                  target.folder.code_of(Problem::not_baselined),
                  shortened(join(history.foreign_tables, ", "), k_names_max));
  const auto there = judgement.there();
  if (!there.empty() && !has_gap_of_parts(judgement)) {
    text += fmt::format("\n  what {} makes is there already, exactly: {}, or the migrations "
                        "themselves without their history",
                        which_are_there(judgement), target.folder.format->way_around());
    if (const auto unseen = unseen_data(judgement); !unseen.empty())
      text +=
          fmt::format("\n  whether data was changed cannot be seen; if you know that these were "
                      "executed, name them in the command, too, or the run executes them: {}",
                      shortened(join(unseen, " "), k_names_max));
    std::vector<std::string> lines;
    for (const auto& one : judgement.migrations)
      if (one.kind == Which::mixed)
        for (const auto& line : one.differences) lines.push_back(one.migration->name + ": " + line);
    if (lines.empty()) return {ExitCode::history, text, record_and_run(target, history, there)};
    return with(ExitCode::history, text + "\n  of others there is a part:", some_of(lines, 10),
                complete_or_undo());
  }
  if (judgement.cannot_tell)
    return {
        ExitCode::history, text + "\n  " + cannot_be_told(*judgement.cannot_tell),
        (judgement.cannot_tell->hint == Hint{} ? Hint{} : judgement.cannot_tell->hint + "; ") +
            "is this the right database? if so, and if the migrations made these tables, record "
            "them by name: " +
            own_command("baseline NAME... --force --because \"...\"")};
  if (!judgement.fits) {
    const auto* closest = judgement.closest == 0
                              ? nullptr
                              : &judgement.migrations[judgement.closest - 1].migration->name;
    text += closest == nullptr
                ? "\n  the migrations would start with an empty schema, but:"
                : fmt::format("\n  it comes closest to what the migrations up to {} make, but:",
                              *closest);
    return with(ExitCode::history, text, judgement.differences,
                closest == nullptr
                    ? "is this the right database? if so, " + complete_or_undo()
                    : "is this the right database? if so: correct these by hand, then: " +
                          own_command("baseline --through " + shell_word(*closest)) + and_run());
  }
  return {ExitCode::history, text + "\n  none of them is what a migration of this folder makes",
          "is this the right database? if so: give the app a schema of its own (?schema= or "
          "migrations.schema); or, if the tables are to stay beside it, begin a history that holds "
          "nothing yet: " +
              own_command("baseline --none")};
}

}  // namespace schemagate
