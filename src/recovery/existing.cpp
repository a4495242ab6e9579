#include "existing.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "schemagate/base/text.hpp"
#include "schemagate/recovery/diagnosis.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_names_max = 400;

std::vector<const Script*> pointers_to(const std::vector<Script>& scripts) {
  std::vector<const Script*> pointers;
  for (const auto& script : scripts) pointers.push_back(&script);
  return pointers;
}

}  // namespace

Catalogue catalogue_for(pg::Session& session, const Target& target,
                        const std::vector<Script>& scripts) {
  std::vector<Effects> effects;
  for (const auto& script : scripts)
    effects.insert(effects.end(), script.effects.begin(), script.effects.end());
  return read_catalogue(session, target.search_path(), effects);
}

Existing examine_pending(pg::Session& session, const Target& target, const History& history) {
  std::set<std::string> known;
  for (const auto& row : history.rows)
    if (!row.rolled_back) known.insert(row.name);
  Existing existing;
  std::vector<Script> scripts;
  for (const auto& migration : target.folder.migrations) {
    if (known.contains(migration.name) || migration.file_missing) continue;
    existing.pending.push_back(&migration);
    scripts.push_back(script_of(migration.sql));
  }
  const auto prefix = judge_sequence(pointers_to(scripts), catalogue_for(session, target, scripts));
  existing.closest = prefix.closest;
  existing.differences = prefix.differences;
  // Scripts that leave no trace are not there because of that.
  const auto leaves_trace = [](const Script& script) {
    return std::any_of(script.effects.begin(), script.effects.end(),
                       [](const auto& one) { return !one.effects.empty(); });
  };
  existing.there = prefix.length;
  while (existing.there > 0 && !leaves_trace(scripts[existing.there - 1])) --existing.there;
  return existing;
}

Failure not_baselined(const Target& target, const History& history, const Existing& existing) {
  auto text =
      fmt::format("the schema {} of {} is not empty, but has no migration history{}; tables: {}",
                  target.schema(), target.database.address().display(),
                  target.folder.code_of(Problem::not_baselined),
                  shortened(join(history.foreign_tables, ", "), k_names_max));
  const auto all = existing.pending.size();
  if (existing.there > 0) {
    const auto& last = existing.pending[existing.there - 1]->name;
    text +=
        fmt::format("\n  what {} makes is there already, in the same shape: {}, or the migrations "
                    "themselves without their history",
                    existing.there == 1 ? "migration " + last
                    : existing.there == all
                        ? fmt::format("each of the {} migrations", all)
                        : fmt::format("each of the first {} of {} migrations", existing.there, all),
                    target.folder.format->way_around());
    return {ExitCode::history, text,
            own_command((existing.there == 1 ? "baseline " : "baseline --through ") +
                        shell_word(last)) +
                " && " + own_command("run")};
  }
  if (!existing.differences.empty()) {
    const auto* closest =
        existing.closest == 0 ? nullptr : &existing.pending[existing.closest - 1]->name;
    text += closest == nullptr
                ? "\n  the migrations would start with an empty schema, but:"
                : fmt::format("\n  it comes closest to what the migrations up to {} make, but:",
                              *closest);
    for (const auto& difference : existing.differences) text += "\n    " + difference;
    return {
        ExitCode::history, text,
        closest == nullptr
            ? "is this the right database? if so: complete by hand what the first migration makes, "
              "then: " +
                  own_command("baseline NAME") +
                  "; or move away what is in its way, if nobody needs it"
            : "is this the right database? if so: correct these by hand, then: " +
                  own_command("baseline --through " + shell_word(*closest)) + " && " +
                  own_command("run")};
  }
  return {ExitCode::history, text + "\n  none of them is what a migration of this folder makes",
          "is this the right database? if so: give the app a schema of its own (?schema= or "
          "migrations.schema); or, if the first migrations made these tables, record them: " +
              own_command("baseline NAME...")};
}

std::vector<MigrationRemainder> remainders_of(pg::Session& session, const Target& target,
                                              const std::vector<const Migration*>& applied) {
  std::vector<Script> scripts;
  for (const auto* migration : applied)
    scripts.push_back(migration->file_missing ? Script{} : script_of(migration->sql));
  const auto remains = remains_of(pointers_to(scripts), catalogue_for(session, target, scripts));
  std::vector<MigrationRemainder> remainders;
  for (std::size_t i = 0; i < applied.size(); ++i) remainders.push_back({remains[i], applied[i]});
  return remainders;
}

std::vector<MigrationRemainder> examine_marked(pg::Session& session, const Target& target,
                                               const History& history) {
  std::vector<const Migration*> applied;
  bool any_marked = false;
  for (const auto& migration : target.folder.migrations) {
    const auto* row = history.applied(migration.name);
    if (row == nullptr) continue;
    applied.push_back(&migration);
    any_marked = any_marked || row->steps == 0;
  }
  if (!any_marked) return {};
  auto remainders = remainders_of(session, target, applied);
  std::erase_if(remainders, [&](const auto& one) {
    return history.applied(one.migration->name)->steps > 0 || one.missing.empty() ||
           !one.is_certain;
  });
  return remainders;
}

}  // namespace schemagate
