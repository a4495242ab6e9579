#include "schemagate/recovery/judge.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Kind = ScriptState::Kind;
using Trace = Statement::Trace;
using Vote = Stages::Vote;
using Which = MigrationState::Kind;

constexpr std::size_t k_differences_max = 20;

bool changes_data(const Migration& migration) {
  const auto script = parse_script(migration.sql);
  return std::any_of(script.begin(), script.end(), [](const auto& one) {
    return counts(one) && (one.trace == Trace::data || one.trace == Trace::outside);
  });
}

bool makes_something(const Migration& migration) {
  const auto script = parse_script(migration.sql);
  return std::any_of(script.begin(), script.end(),
                     [](const auto& one) { return one.trace == Trace::catalogue; });
}

// Of the statements behind `from`, up to `to`, both counted from 1.
bool holds_data(const std::vector<Statement>& script, std::size_t from, std::size_t to) {
  return std::any_of(script.begin() + static_cast<std::ptrdiff_t>(from),
                     script.begin() + static_cast<std::ptrdiff_t>(to),
                     [](const auto& one) { return one.trace == Trace::data; });
}

// Of what was executed between these, some cannot be seen: `failed` in the scratch.
bool is_unseen(const ScriptState& state, const std::vector<Replay::Failed>& failed) {
  const auto from = state.done_at_least;
  const auto to = state.done_at_most;
  if (holds_data(state.statements, from, to)) return true;
  return from > 0 && std::any_of(failed.begin(), failed.end(), [&](const auto& one) {
           return one.number == 0 || (one.number > from && one.number <= to);
         });
}

void judge_stages(ScriptState& state, const Stages& stages, const Snapshot& live,
                  const std::vector<Replay::Failed>& failed) {
  const auto all = state.statements.size();
  if (!stages.touches_anything()) {
    state.kind = Kind::no_trace;
    state.done_at_most = all;
    return;
  }
  const auto fits = stages.fits(live);
  if (fits.empty()) {
    state.kind = Kind::other;
    return;
  }
  state.done_at_least = fits.front();
  state.done_at_most = fits.back() == stages.count() ? all : fits.back();
  const bool is_ambiguous = fits.back() - fits.front() + 1 != fits.size();
  if (is_ambiguous || is_unseen(state, failed)) state.kind = Kind::unseen;
  else if (state.done_at_least == 0) state.kind = Kind::none;
  else if (state.done_at_most == all) state.kind = Kind::all;
  else state.kind = Kind::part;
}

// Whatever it touches first is as it was before.
bool is_first_not_done(const std::vector<Statement>& script, const Stages& stages,
                       const Snapshot& live) {
  for (std::size_t number = 1; number <= stages.count(); ++number) {
    if (script[number - 1].trace == Trace::data) return false;
    if (!stages.touched_by(number).empty()) return stages.is_undone(number, live);
  }
  return false;
}

}  // namespace

CannotTell Judgement::why_untold(const MigrationState& state) const {
  if (cannot_tell) return *cannot_tell;
  return {state.untold.empty() ? "its script is not in the folder" : state.untold, {}};
}

std::vector<const Migration*> Judgement::there() const {
  std::vector<const Migration*> all;
  std::vector<const Migration*> without_effect;
  for (const auto& one : migrations) {
    if (one.kind == Which::no_trace && !one.changes_data) without_effect.push_back(one.migration);
    if (one.kind != Which::there) continue;
    all.insert(all.end(), without_effect.begin(), without_effect.end());
    without_effect.clear();
    all.push_back(one.migration);
  }
  return all;
}

const MigrationState* Judgement::find(const std::string& name) const {
  for (const auto& one : migrations)
    if (one.migration->name == name) return &one;
  return nullptr;
}

// When one was recorded tells nothing where it was not executed: it goes by its place in the
// folder.
Judge::Migrations applied_in_order(const History& history, const Folder& folder) {
  Judge::Migrations all;
  std::set<std::string> executed;
  for (const auto& row : history.rows) {
    if (!row.applied() || row.steps == 0 || !executed.insert(row.name).second) continue;
    const auto* migration = folder.find(row.name);
    if (migration != nullptr && !migration->file_missing) all.push_back(migration);
  }
  for (const auto& migration : folder.migrations) {
    if (migration.file_missing || executed.contains(migration.name) ||
        history.applied(migration.name) == nullptr)
      continue;
    const auto sorts_after = [&](const Migration* other) { return other > &migration; };
    all.insert(std::find_if(all.begin(), all.end(), sorts_after), &migration);
  }
  return all;
}

// PostgreSQL prints nothing of a table that somebody holds exclusively.
const Snapshot& Judge::live() try {
  if (!live_snapshot_) live_snapshot_ = take_snapshot(live_, beside(target_));
  return *live_snapshot_;
} catch (const pg::Error& e) {
  if (e.sqlstate != "55P03") throw;
  throw CannotTell{"somebody holds a table by an exclusive lock",
                   own_command("status") + " looks again"};
}

void Judge::tell_progress(std::size_t number, std::size_t count) {
  if (quiet_.passed() && reminder_.is_due("replaying"))
    log::info(
        fmt::format("replaying the migrations in a scratch database: {} of {}", number, count));
}

// What is the same, but was printed by a server that had read it from a dump, becomes what is
// wanted. An index that a CONCURRENTLY left INVALID is not there.
Snapshot Judge::live_as_printed_in(Replay& replay, const Snapshot& wanted,
                                   const std::set<ObjectName>& names) {
  auto as_printed = live();
  for (const auto& name : names) {
    const auto found = as_printed.find(name);
    if (found == as_printed.end()) continue;
    const auto should = wanted.find(name);
    if (name.kind == "index" && found->second.definition.ends_with(" INVALID") &&
        (should == wanted.end() || !should->second.definition.ends_with(" INVALID"))) {
      as_printed.erase(found);
    } else if (should != wanted.end() && !is_as_wanted(name, &should->second, &found->second) &&
               replay.printed_again(name, should->second) == found->second.definition) {
      found->second.definition = should->second.definition;
    }
  }
  return as_printed;
}

std::vector<std::string> Judge::told(const std::vector<Difference>& all) const {
  return some_of(describe(all, target_.schema()), k_differences_max);
}

ScriptState Judge::script(const Migrations& before, const Migration& migration) {
  ScriptState state;
  for (auto& statement : parse_script(migration.sql))
    if (counts(statement)) state.statements.push_back(std::move(statement));
  try {
    Replay replay{live_, target_, stop_};
    std::size_t number = 0;
    for (const auto* one : before) {
      replay.execute(*one);
      tell_progress(++number, before.size());
    }
    Stages stages{replay.snapshot()};
    const auto failed = replay.execute(
        migration, [&](std::size_t statement) { stages.set(statement, replay.snapshot()); });
    const auto as_printed = live_as_printed_in(replay, stages.last(), stages.touched());
    judge_stages(state, stages, as_printed, failed);
    state.order_proves_none = is_first_not_done(state.statements, stages, as_printed);
    if (!failed.empty())
      state.because = fmt::format("its statement {} fails in an empty database: {}",
                                  failed.front().number, failed.front().reason);
    if (state.kind == Kind::other)
      state.differences = told(stages.differences(stages.closest(as_printed), as_printed));
  } catch (const CannotTell& e) {
    state.because = e.what();
    state.hint = e.hint;
  }
  return state;
}

Stages Judge::replayed(Replay& replay, const Migrations& before, const Migrations& asked,
                       Judgement& judgement, Look look) {
  std::size_t number = 0;
  const auto count = before.size() + asked.size();
  for (const auto* one : before) {
    replay.execute(*one);
    tell_progress(++number, count);
  }
  Stages stages{replay.snapshot()};
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto failed = replay.execute(*asked[i]);
    if (!failed.empty())
      judgement.migrations[i].untold =
          fmt::format("its statement {} fails in an empty database: {}", failed.front().number,
                      failed.front().reason);
    if (look == Look::after_each || i + 1 == asked.size()) stages.set(i + 1, replay.snapshot());
    tell_progress(++number, count);
  }
  return stages;
}

// In every object as after the last of them: then no stage in between tells more, and 400 snapshots
// are saved.
bool Judge::is_all_there(const Migrations& before, const Migrations& asked, Judgement& judgement) {
  Replay replay{live_, target_, stop_};
  const Stages stages = replayed(replay, before, asked, judgement, Look::at_the_end);
  const auto& wanted = stages.last();
  std::set<ObjectName> names;
  for (const auto* snapshot : {&wanted, &live()})
    for (const auto& [name, object] : *snapshot) names.insert(name);
  if (!differences(wanted, live_as_printed_in(replay, wanted, names), names).empty()) return false;
  for (auto& state : judgement.migrations)
    set_state(state, Which::there, {}, !makes_something(*state.migration));
  return true;
}

// Where `live` is as a step of `perhaps` makes it, it is taken for what that step found.
void Judge::undo_what_others_changed(Replay& replay, const Migrations& perhaps,
                                     const Stages& stages, Snapshot& live) {
  Stages further{stages.last()};
  const auto look = [&](std::size_t step) { further.set(step, replay.snapshot()); };
  for (const auto* one : perhaps) {
    const bool is_first = one == perhaps.front();
    replay.execute(*one, is_first ? look : Replay::AfterStatement{});
    if (!is_first) look(further.count() + 1);
  }
  for (const auto& name : further.touched()) {
    if (!further.was_once(name, live)) continue;
    const auto was = stages.last().find(name);
    if (was == stages.last().end()) live.erase(name);
    else live[name] = was->second;
  }
}

Judgement Judge::migrations(const Migrations& before, const Migrations& asked, bool claimed,
                            const Migrations& perhaps) {
  Judgement judgement;
  for (const auto* one : asked)
    judgement.migrations.push_back({.migration = one, .changes_data = changes_data(*one)});
  if (asked.empty()) return judgement;
  try {
    if (claimed && is_all_there(before, asked, judgement)) return judgement;
    Replay replay{live_, target_, stop_};
    const auto stages = replayed(replay, before, asked, judgement, Look::after_each);
    auto as_printed = live_as_printed_in(replay, stages.last(), stages.touched());
    auto fits = stages.fits(as_printed);
    if (!perhaps.empty() && (fits.empty() || fits.back() != asked.size())) {
      undo_what_others_changed(replay, perhaps, stages, as_printed);
      fits = stages.fits(as_printed);
    }
    if (fits.empty()) {
      judge_selection(before, asked, stages, as_printed, claimed, judgement);
      return judgement;
    }
    const auto done = claimed ? fits.back() : fits.front();
    for (std::size_t i = 0; i < asked.size(); ++i)
      set_state(judgement.migrations[i], i < done ? Which::there : Which::absent,
                differences(stages.last(), as_printed, stages.touched_by(i + 1)),
                stages.touched_by(i + 1).empty());
  } catch (const CannotTell& e) {
    judgement.cannot_tell = e;
  }
  return judgement;
}

// What failed in the scratch is not seen to be there.
void Judge::set_state(MigrationState& state, Which kind, const std::vector<Difference>& left,
                      bool is_without_trace) const {
  if (!state.untold.empty() && (kind == Which::there || is_without_trace)) return;
  const bool is_seen_whole = state.untold.empty() || kind != Which::absent;
  state.kind = is_without_trace ? Which::no_trace : is_seen_whole ? kind : Which::mixed;
  if (kind != Which::there && !is_without_trace) state.differences = told(left);
}

// Like no first so many of them: some may have been left out in between. Which ones, each thing
// tells by itself; a replay of the others has to agree.
void Judge::judge_selection(const Migrations& before, const Migrations& asked, const Stages& stages,
                            const Snapshot& live, bool claimed, Judgement& judgement) {
  const auto votes = stages.votes(live);
  judgement.closest = stages.closest(live);
  judgement.differences = told(stages.differences(judgement.closest, live));
  const auto is_done = [&](std::size_t i) { return votes[i] != Vote::not_done; };
  Replay replay{live_, target_, stop_};
  for (const auto* one : before) replay.execute(*one);
  for (std::size_t i = 0; i < asked.size(); ++i)
    if (is_done(i)) replay.execute(*asked[i]);
  const auto wanted = replay.snapshot();
  judgement.fits = differences(wanted, live, stages.touched()).empty();
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const auto names = stages.touched_by(i + 1);
    const auto left = differences(wanted, live, names);
    const auto left_of_all = differences(stages.last(), live, names);
    const auto kind = claimed && left_of_all.empty() ? Which::there
                      : !left.empty()                ? Which::mixed
                      : is_done(i)                   ? Which::there
                                                     : Which::absent;
    const bool is_asked_whole = claimed || kind == Which::absent;
    set_state(judgement.migrations[i], kind, is_asked_whole ? left_of_all : left, names.empty());
  }
}

}  // namespace schemagate
