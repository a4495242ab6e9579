#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "inspector.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/other_writers.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/recovery/diagnosis.hpp"
#include "schemagate/recovery/existing.hpp"

namespace schemagate {
namespace {

using Outcome = Settlement::Outcome;

constexpr std::size_t k_differences_max = 10;

const char* state_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::running: return "running";
    case Outcome::resumable: return "interrupted";
    case Outcome::half_applied: return "half-applied";
    default: return "failed";
  }
}

const char* state_of(Discrepancy::Kind kind) {
  switch (kind) {
    case Discrepancy::Kind::renamed: return "renamed";
    case Discrepancy::Kind::edited: return "edited";
    case Discrepancy::Kind::missing: return "not-in-folder";
    case Discrepancy::Kind::out_of_order: return "out-of-order";
  }
  return "";
}

}  // namespace

void Inspector::look_at_history(pg::Session& session) {
  history_ = target_.history()->read(session, HistoryTable::Times::all);
  if (!history_.foreign_tables.empty()) {
    const auto failure =
        not_baselined(target_, history_, examine_pending(session, target_, history_, stop_));
    add({"not-baselined", "", failure.what(), {}, failure.hint(), failure.code()});
  } else if (target_.writable_history() != nullptr) {
    look_at_failed(session);
    look_at_applied();
    look_at_marked(session);
  }
  look_at_pending(session);
  list_migrations();
}

void Inspector::look_at_writers(pg::Session& session) {
  for (const auto& [who, tables, remedy] :
       other_writers(session, target_.bookkeeping, history_.oid))
    add({"history-writable",
         "",
         fmt::format("{} may write {}: what it says is believed, whoever wrote it", who, tables),
         {},
         "as the owner: " + remedy,
         ExitCode::done});
}

void Inspector::look_at_failed(pg::Session& session) {
  for (const auto& settlement : examine_failed(session, target_, history_, stop_)) {
    const bool is_ours_at_work = run_is_at_work() && history_.steps.contains(settlement.row->id);
    const bool is_running = settlement.outcome == Outcome::running || is_ours_at_work;
    const bool by_itself = settlement.proven && target_.settings.repair == Repair::automatic &&
                           target_.settings.tool != Tool::command;
    if (settle_first_.empty() && !by_itself) settle_first_ = settlement.hint;
    auto evidence = describe(settlement);
    evidence.erase(evidence.begin());
    const auto* state = is_running ? "running" : state_of(settlement.outcome);
    add({state, settlement.row->name,
         is_ours_at_work
             ? "a run is executing it"
             : fmt::format("started at {} and did not finish{}", settlement.row->started_at,
                           target_.folder.code_of(Problem::failed)),
         evidence,
         is_ours_at_work ? "wait for the run at work"
         : by_itself     ? own_command("run") + ": it settles this by itself"
                         : settlement.hint,
         is_running ? ExitCode::lease_held : ExitCode::history});
    states_[settlement.row->name] = state;
  }
}

void Inspector::look_at_applied() {
  if (!folder_is_readable_) return;
  for (const auto& one : discrepancies(target_.folder, history_)) {
    const auto policy = policy_for(one.kind, target_.settings);
    if (policy == Policy::allow) continue;
    // One that failed is to be settled first, and then it is pending.
    if (one.kind == Discrepancy::Kind::out_of_order && states_.contains(one.migration)) continue;
    add({state_of(one.kind),
         one.migration,
         one.text,
         {},
         one.remedy,
         policy == Policy::fail ? ExitCode::history : ExitCode::done});
    if (one.kind != Discrepancy::Kind::out_of_order) states_[one.migration] = state_of(one.kind);
  }
  std::map<std::string, int> times_applied;
  for (const auto& row : history_.rows)
    if (row.applied()) ++times_applied[row.name];
  for (const auto& [name, times] : times_applied)
    if (times > 1)
      add({"duplicate",
           name,
           fmt::format("is recorded as applied {} times; {} and schemagate take it as one", times,
                       target_.folder.format->title()),
           {},
           "",
           ExitCode::done});
}

// Whoever asks for all of it has to know of what there was no answer.
void Inspector::tell_what_is_untold(const Judgement& applied) {
  if (applied.cannot_tell)
    return add({"not-compared",
                "",
                cannot_be_told(*applied.cannot_tell),
                {},
                applied.cannot_tell->hint,
                ExitCode::refused});
  for (const auto& one : applied.migrations)
    if (one.kind == MigrationState::Kind::untold)
      add({"not-compared",
           one.migration->name,
           "was compared with the database in part only: " + one.untold,
           {},
           "",
           ExitCode::done});
}

void Inspector::look_at_marked(pg::Session& session) {
  std::set<std::string> hollow;
  const auto applied = look_ == Look::deep || drift_.may_miss_something()
                           ? examine_applied(session, target_, history_, stop_)
                           : Judgement{};
  if (look_ == Look::deep) tell_what_is_untold(applied);
  for (const auto& one : applied.migrations) {
    const bool is_absent = one.kind == MigrationState::Kind::absent;
    if (!is_absent && one.kind != MigrationState::Kind::mixed) continue;
    const auto name = one.migration->name;
    if (states_.contains(name)) continue;  // edited: that is told
    hollow.insert(name);
    states_[name] = "not-there";
    const auto hint = is_absent ? execute_again(*one.migration)
                                : Hint{"correct what differs by hand, or by a new migration"};
    if (settle_first_.empty()) settle_first_ = hint;
    add({"not-there", name,
         is_absent ? "is recorded as applied, but nothing of it is there"
                   : "is recorded as applied, but not all of it is there",
         some_of(one.differences, k_differences_max), hint, ExitCode::history});
  }
  for (const auto& row : history_.rows) {
    if (!row.applied() || row.steps > 0 || hollow.contains(row.name)) continue;
    if (!states_.contains(row.name))
      states_[row.name] = row.by_resolve ? "applied (baselined)" : "applied (written by hand)";
    if (!row.by_resolve)
      add({"written-by-hand",
           row.name,
           "its row was written by hand or by another tool: no script was executed for it",
           {},
           "",
           ExitCode::done});
  }
}

void Inspector::tell_what_is_there(Finding& finding, const MigrationState& state,
                                   const Judgement& judgement) const {
  using Kind = MigrationState::Kind;
  if (state.kind == Kind::there) {
    finding.what = fmt::format("is not applied, but everything it makes is there already, exactly: "
                               "{}, or by hand",
                               target_.folder.format->way_around());
    finding.hint = record_and_run(target_, history_, judgement.there());
  } else if (state.kind == Kind::mixed) {
    finding.what = "is not applied, but a part of what it makes is there, or in another shape";
    for (const auto& line : some_of(state.differences, k_differences_max))
      finding.evidence.push_back(line);
    finding.hint = own_command("resolve " + shell_word(state.migration->name) + " --auto") +
                   " tells what can be done about it";
  } else {
    return;
  }
  if (!settle_first_.empty()) finding.hint = settle_first_;
}

void Inspector::look_at_pending(pg::Session& session) {
  const bool has_failed = std::any_of(history_.rows.begin(), history_.rows.end(),
                                      [](const auto& row) { return row.failed(); });
  const bool is_doubtful = history_.exists() && drift_.may_hold_something();
  const auto existing = is_doubtful && !has_failed  // which has to be settled first
                            ? examine_pending(session, target_, history_, stop_)
                            : Judgement{};
  for (const auto* migration : pending_of(target_.folder, history_)) {
    if (states_.contains(migration->name)) continue;
    Finding finding{"pending", migration->name,    "is not applied",
                    {},        own_command("run"), ExitCode::history};
    for (const auto& row : history_.rows)
      if (row.name == migration->name && row.rolled_back && !row.logs.empty()) {
        finding.evidence = {"the last attempt was rolled back: " +
                            shortened(join(row.reason, " "), 400)};
        finding.hint =
            settle_first_.empty() ? "fix the cause, then: " + own_command("run") : settle_first_;
      }
    if (run_is_at_work()) {
      finding.hint = "wait for the run at work";
      finding.code = ExitCode::lease_held;
    }
    if (const auto* state = existing.find(migration->name))
      tell_what_is_there(finding, *state, existing);
    states_.try_emplace(migration->name, "pending");
    add(std::move(finding));
  }
  for (const auto& migration : target_.folder.migrations) {
    if (!migration.file_missing || history_.applied(migration.name) != nullptr) continue;
    states_[migration.name] = "no-script";
    add({"no-script",
         migration.name,
         fmt::format("{} does not exist, but its directory does{}", display_path(migration),
                     target_.folder.code_of(Problem::no_script)),
         {},
         remedy_for_missing_file(migration),
         ExitCode::history});
  }
}

void Inspector::list_migrations() {
  std::set<std::string> listed;
  const auto list = [&](const std::string& name) {
    if (!listed.insert(name).second) return;
    const auto* row = history_.applied(name);
    const auto state = states_.find(name);
    report_.migrations.push_back({name,
                                  state != states_.end() ? state->second
                                  : row != nullptr       ? "applied"
                                                         : "pending",
                                  row == nullptr ? "" : row->finished_at});
  };
  for (const auto& migration : target_.folder.migrations) list(migration.name);
  if (target_.writable_history() == nullptr) return;  // it may hold other packages' as well
  for (const auto& row : history_.rows)
    if (row.applied() || row.failed()) list(row.name);
}

}  // namespace schemagate
