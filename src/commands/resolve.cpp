#include "schemagate/commands/resolve.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "correcting.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/recovery/existing.hpp"

namespace schemagate {
namespace {

using Outcome = Settlement::Outcome;
using Corrections = std::vector<Correction>;
using Which = MigrationState::Kind;

constexpr std::size_t k_differences_max = 6;

std::string some_differences(const MigrationState& state) {
  return join(some_of(state.differences, k_differences_max), "; ");
}

void tell(const Settlement& settlement) {
  for (const auto& line : describe(settlement)) log::info(line);
}

Failure undecided(const Settlement& settlement) {
  if (settlement.outcome == Outcome::running)
    return {ExitCode::lease_held,
            fmt::format("migration {}: {}", settlement.row->name, settlement.because),
            settlement.hint};
  return {ExitCode::history,
          fmt::format("migration {} is not settled, nothing was changed:\n  {}",
                      settlement.row->name, join(describe(settlement), "\n  ")),
          settlement.hint};
}

class Resolve : Correcting {
 public:
  using Correcting::Correcting;

  void resolve(const std::string& name, Decision decision) {
    refuse_unknown(name);  // before anything is created for a typing error
    work("resolve", [&] { return decide(name, decision); });
  }

 private:
  void refuse_unknown(const std::string& name) const {
    if (last_row(name, false) == nullptr && migration(name) == nullptr) throw unknown(name);
  }
  Corrections decide(const std::string& name, Decision decision);
  Corrections decide_applied(const std::string& name);
  Corrections decide_rolled_back(const std::string& name);
  Corrections decide_by_evidence(const std::string& name);
  Corrections decide_claim(const HistoryRow& row, Decision decision);
  Corrections decide_edited(const HistoryRow& row, Decision decision);
  Corrections decide_pending(const std::string& name);
  Corrections decide_failed(const HistoryRow& failed);
  void add_pending_there(Corrections& corrections, const Judge::Migrations& done);
  [[nodiscard]] bool is_edited(const HistoryRow& row) const;
  // What is really there of one that is recorded as applied.
  [[nodiscard]] MigrationState claim(const std::string& name);
  [[nodiscard]] Settlement settlement_of(const std::string& name, const HistoryRow* failed);

  HistoryRow none_{};  // for a migration without a row
  std::optional<Judgement> applied_;
};

Settlement Resolve::settlement_of(const std::string& name, const HistoryRow* failed) {
  if (failed == nullptr) {
    none_.name = name;
    none_.checksum = migration(name)->checksum;
    none_.steps = 0;
    return examine(session_, target_, history_, *migration(name), none_, stop_);
  }
  for (auto& settlement : examine_failed(session_, target_, history_, stop_))
    if (settlement.row == failed) return settlement;
  throw std::logic_error{"a failed row without settlement"};
}

MigrationState Resolve::claim(const std::string& name) {
  if (!applied_) applied_ = examine_applied(session_, target_, history_, stop_);
  const auto* state = applied_->find(name);
  return state == nullptr ? MigrationState{} : *state;
}

bool Resolve::is_edited(const HistoryRow& row) const {
  const auto* found = migration(row.name);
  return found != nullptr && !row.checksum.empty() &&
         !target_.folder.has_content(*found, row.checksum);
}

Corrections Resolve::decide(const std::string& name, Decision decision) {
  refuse_unknown(name);
  switch (decision) {
    case Decision::applied: return decide_applied(name);
    case Decision::rolled_back: return decide_rolled_back(name);
    case Decision::automatic: break;
  }
  return decide_by_evidence(name);
}

Corrections Resolve::decide_applied(const std::string& name) {
  if (const auto* row = history_.applied(name)) {
    if (is_edited(*row)) return decide_edited(*row, Decision::applied);
    nothing(name, "is already recorded as applied" + target_.folder.code_of(Problem::is_applied));
    return {};
  }
  const auto* failed = last_row(name, true);
  if (failed != nullptr || migration(name) != nullptr) {
    const auto settlement = settlement_of(name, failed);
    if (settlement.outcome == Outcome::running) throw undecided(settlement);
    tell(settlement);
    if (settlement.outcome != Outcome::applied)
      log::warn(fmt::format(
          "migration {} is recorded as applied because you say so; what is missing of it "
          "will not be made by any later run",
          name));
  }
  return {as_applied(name, "a person said so (--applied)")};
}

Corrections Resolve::decide_rolled_back(const std::string& name) {
  if (const auto* failed = last_row(name, true)) {
    const auto settlement = settlement_of(name, failed);
    if (settlement.outcome == Outcome::running) throw undecided(settlement);
    tell(settlement);
    if (settlement.outcome != Outcome::rolled_back)
      log::warn(fmt::format("migration {} is recorded as rolled back because you say so; {}", name,
                            settlement.migration != nullptr
                                ? "the next run executes the whole script"
                                : "its script is gone, so that no run executes it"));
    return {as_rolled_back(name, "a person said so (--rolled-back)")};
  }
  if (const auto* row = history_.applied(name)) {
    const auto state = claim(name);
    if (state.kind == Which::absent) return decide_claim(*row, Decision::rolled_back);
    const bool is_part = state.kind == Which::mixed;
    throw Failure{
        ExitCode::history,
        fmt::format("migration {} is applied and did not fail{}{}", name,
                    target_.folder.code_of(Problem::did_not_fail),
                    is_part ? "; but not all of it is there: " + some_differences(state) : ""),
        is_part ? "make what is missing by hand, or by a new migration"
                : "what it did is undone by a new migration"};
  }
  if (last_row(name, false) == nullptr)
    throw Failure{ExitCode::history,
                  fmt::format("migration {} has never been applied here{}", name,
                              target_.folder.code_of(Problem::is_not_applied)),
                  "it is pending: " + own_command("run")};
  nothing(name, "is already rolled back");
  return {};
}

// Recorded as applied: true? Whether its data was written cannot be seen.
Corrections Resolve::decide_claim(const HistoryRow& row, Decision decision) {
  if (migration(row.name) == nullptr) {
    nothing(row.name, "is recorded as applied, and its script is not in the folder");
    return {};
  }
  const auto state = claim(row.name);
  const auto refused = [&](const std::string& why, const Hint& hint) {
    return Failure{
        ExitCode::history,
        fmt::format(
            "migration {} is recorded as applied, but {}; nothing was changed{}", row.name, why,
            decision == Decision::rolled_back ? target_.folder.code_of(Problem::did_not_fail) : ""),
        hint};
  };
  const auto missing = some_differences(state);
  switch (state.kind) {
    case Which::there:
      nothing(row.name, "is recorded as applied, and all of it is there");
      return {};
    case Which::no_trace:
      nothing(row.name, "is recorded as applied, and the catalogue shows nothing of it either way");
      return {};
    case Which::untold: {
      const auto why = applied_->why_untold(state);
      throw refused(
          cannot_be_told(why),
          (why.hint.empty() ? why.hint : why.hint + "; or ") +
              "look at what is there, and make what is missing by hand, or by a new migration");
    }
    case Which::mixed:
      throw refused("not all of it is there: " + missing,
                    "correct what differs by hand, or by a new migration");
    case Which::absent: break;
  }
  if (decision == Decision::automatic && state.changes_data)
    throw refused("nothing of it is there as far as can be seen, and it changes data, too: " +
                      missing,
                  "look at its data; if that was not changed either: " +
                      own_command("resolve " + shell_word(row.name) + " --rolled-back"));
  log::info(
      fmt::format("{} is recorded as applied, but nothing of it is there: {}", row.name, missing));
  const auto taken_back = [](const HistoryRow& one) {
    return Correction{.name = one.name,
                      .row_ids = {one.id},
                      .because = "recorded as applied, but nothing of it is there"};
  };
  Corrections corrections{taken_back(row)};
  if (decision == Decision::automatic)
    for (const auto& one : applied_->migrations)
      if (one.kind == Which::absent && one.migration->name != row.name && !one.changes_data)
        corrections.push_back(taken_back(*history_.applied(one.migration->name)));
  return corrections;
}

// The file says something else than what was applied. The row takes its checksum over where the
// database is as the file makes it, or where a person says so of this one file.
Corrections Resolve::decide_edited(const HistoryRow& row, Decision decision) {
  const auto accepted = [&](const std::string& because) {
    return Corrections{{.name = row.name,
                        .applied = true,
                        .checksum = migration(row.name)->checksum,
                        .edited_id = row.id,
                        .because = because}};
  };
  const auto state = claim(row.name);
  if (decision == Decision::applied) {
    for (const auto& line : some_of(state.differences, k_differences_max))
      log::warn(fmt::format("migration {}: {}", row.name, line));
    return accepted("edited after it was applied; a person accepts the file as it is (--applied)");
  }
  if (state.kind == Which::there && !state.changes_data)
    return accepted("edited after it was applied; the database is as the file makes it now");
  const auto why = state.kind == Which::untold ? cannot_be_told(applied_->why_untold(state))
                   : state.differences.empty()
                       ? "what its file does now cannot all be seen in the database"
                       : "the database is not as its file makes it now: " + some_differences(state);
  throw Failure{
      ExitCode::history,
      fmt::format("migration {} was edited after it was applied, and {}; nothing was changed",
                  row.name, why),
      "undo the edit, and write a new migration that does what it should do; or, if you know that "
      "the database is as it should be, accept this one file: " +
          own_command("resolve " + shell_word(row.name) + " --applied")};
}

// Made past the history? Then also those beside it that are proven to be.
Corrections Resolve::decide_pending(const std::string& name) {
  auto failed = examine_failed(session_, target_, history_, stop_);
  std::erase_if(failed, [](const auto& one) { return one.outcome == Outcome::resumable; });
  if (!failed.empty()) throw blocked_by(target_, failed);  // what these have done stands between
  const auto judgement = examine_pending(session_, target_, history_, stop_);
  const auto* state = judgement.find(name);
  const auto refused = [&](const std::string& why, const Hint& hint) {
    return Failure{ExitCode::history,
                   fmt::format("migration {} is not settled, nothing was changed: {}", name, why),
                   hint};
  };
  const auto by_person = "look at what is there; if all of it is done: " +
                         own_command("resolve " + shell_word(name) + " --applied") +
                         "; to have it executed: " + own_command("run");
  switch (state->kind) {
    case Which::absent:
      nothing(name, "is pending, and nothing of it is there: schemagate run applies it");
      return {};
    case Which::untold:
      throw refused(cannot_be_told(judgement.why_untold(*state)),
                    judgement.why_untold(*state).hint == Hint{}
                        ? by_person
                        : judgement.why_untold(*state).hint + "; or: " + by_person);
    case Which::no_trace: throw refused("the catalogue shows nothing of it either way", by_person);
    case Which::mixed:
      throw refused("a part of it is there, or in another shape:\n  " +
                        join(some_of(state->differences, k_differences_max), "\n  "),
                    "make the rest by hand; then: " +
                        own_command("resolve " + shell_word(name) + " --applied") +
                        "; or undo what is there; then: " + own_command("run"));
    case Which::there: break;
  }
  if (state->changes_data)
    throw refused(
        "what it makes is there, but it changes data, too, and whether that was done cannot be seen",
        by_person);
  Corrections corrections{as_applied(name, "all of it is there")};
  for (const auto& one : judgement.migrations)
    if (one.kind == Which::there && one.migration->name != name && !one.changes_data)
      corrections.push_back(as_applied(one.migration->name, "all of it is there, too"));
  return corrections;
}

// With the others that are told by the same look: one command settles what can be settled.
Corrections Resolve::decide_failed(const HistoryRow& failed) {
  const auto settlements = examine_failed(session_, target_, history_, stop_);
  const auto own = std::find_if(settlements.begin(), settlements.end(),
                                [&](const auto& one) { return one.row == &failed; });
  if (own == settlements.end()) throw std::logic_error{"a failed row without settlement"};
  if (own->outcome == Outcome::resumable) {
    nothing(failed.name, "is continued by the next run");
    return {};
  }
  Corrections corrections;
  auto done = applied_in_order(history_, target_.folder);
  const auto add = [&](const Settlement& one) {
    const auto& name = one.row->name;
    const bool is_applied = one.outcome == Outcome::applied;
    if (!is_applied && one.outcome != Outcome::rolled_back) return false;
    tell(one);
    corrections.push_back(is_applied ? as_applied(name, one.because)
                                     : as_rolled_back(name, one.because));
    if (is_applied && one.migration != nullptr) done.push_back(one.migration);
    return true;
  };
  if (!add(*own)) throw undecided(*own);
  for (const auto& one : settlements)
    if (std::none_of(corrections.begin(), corrections.end(),
                     [&](const auto& other) { return other.name == one.row->name; }))
      (void)add(one);
  if (own->outcome == Outcome::applied) add_pending_there(corrections, done);
  return corrections;
}

void Resolve::add_pending_there(Corrections& corrections, const Judge::Migrations& done) {
  const auto judgement =
      Judge{session_, target_, stop_}.migrations(done, pending_of(target_.folder, history_), false);
  for (const auto& one : judgement.migrations)
    if (one.kind == Which::there && !one.changes_data)
      corrections.push_back(as_applied(one.migration->name, "all of it is there, too"));
}

Corrections Resolve::decide_by_evidence(const std::string& name) {
  if (!history_.foreign_tables.empty())
    throw not_baselined(target_, history_, examine_pending(session_, target_, history_, stop_));
  if (const auto* failed = last_row(name, true)) return decide_failed(*failed);
  if (const auto* done = history_.applied(name))
    return is_edited(*done) ? decide_edited(*done, Decision::automatic)
                            : decide_claim(*done, Decision::automatic);
  if (migration(name) != nullptr) return decide_pending(name);
  nothing(name, "is rolled back, and its directory is gone");
  return {};
}

}  // namespace

void resolve(const Manifest& manifest, const std::string& name, Decision decision, Stop& stop,
             std::vector<Correction>& settled) {
  explaining_database_errors(stop,
                             [&] { Resolve{manifest, stop, settled}.resolve(name, decision); });
}

}  // namespace schemagate
