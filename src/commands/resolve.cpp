#include "schemagate/commands/resolve.hpp"

#include <fmt/core.h>

#include "correcting.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/database_errors.hpp"

namespace schemagate {
namespace {

using Outcome = Settlement::Outcome;
using Corrections = std::vector<Correction>;

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
  Corrections decide_marked(const HistoryRow& row, Decision decision);
  [[nodiscard]] std::optional<MigrationRemainder> remainder(const std::string& name);
  [[nodiscard]] Settlement settlement_of(const std::string& name, const HistoryRow* failed);

  HistoryRow none_{};  // for a migration without a row
};

Settlement Resolve::settlement_of(const std::string& name, const HistoryRow* failed) {
  if (failed == nullptr) {
    none_.name = name;
    none_.checksum = migration(name)->checksum;
    none_.steps = 0;
    return examine(session_, target_, *migration(name), none_);
  }
  for (auto& settlement : examine_failed(session_, target_, history_))
    if (settlement.row == failed) return settlement;
  throw std::logic_error{"a failed row without settlement"};
}

std::optional<MigrationRemainder> Resolve::remainder(const std::string& name) {
  for (auto& one : examine_marked(session_, target_, history_))
    if (one.migration->name == name) return one;
  return std::nullopt;
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
  if (history_.applied(name) != nullptr) {
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
    if (remainder(name)) return decide_marked(*row, Decision::rolled_back);
    throw Failure{ExitCode::history,
                  fmt::format("migration {} is applied and did not fail{}", name,
                              target_.folder.code_of(Problem::did_not_fail)),
                  "what it did is undone by a new migration"};
  }
  if (last_row(name, false) == nullptr)
    throw Failure{ExitCode::history,
                  fmt::format("migration {} has never been applied here{}", name,
                              target_.folder.code_of(Problem::is_not_applied)),
                  "it is pending: schemagate run"};
  nothing(name, "is already rolled back");
  return {};
}

// Recorded by hand or by `resolve --applied`: true? Whether its data was written cannot be seen.
Corrections Resolve::decide_marked(const HistoryRow& row, Decision decision) {
  const auto left = remainder(row.name);
  if (!left) {
    nothing(row.name, "is recorded as applied, and what it makes is there as far as can be seen");
    return {};
  }
  const auto refused = [&](const std::string& why, const std::string& hint) {
    return Failure{
        ExitCode::history,
        fmt::format("migration {} is recorded as applied, but {}: {}; nothing was changed",
                    row.name, why, missing_list(*left)),
        hint};
  };
  if (!left->is_nothing())
    throw refused("part of it is missing", "make what is missing by hand, or by a new migration");
  if (decision == Decision::automatic && left->changes_data)
    throw refused(
        "nothing of it is there as far as can be seen, and it changes data, too",
        fmt::format("if its data was not changed either: schemagate resolve {} --rolled-back",
                    shell_word(row.name)));
  log::info(fmt::format("{} is recorded as applied, but {}", row.name, missing_list(*left)));
  return {{row.name, false, {}, {row.id}, "recorded as applied, but nothing of it is there"}};
}

Corrections Resolve::decide_by_evidence(const std::string& name) {
  const auto* failed = last_row(name, true);
  const auto* done = history_.applied(name);
  if (failed == nullptr && done != nullptr) {
    if (done->steps == 0 && migration(name) != nullptr)
      return decide_marked(*done, Decision::automatic);
    nothing(name, "is applied");
    return {};
  }
  if (failed == nullptr && migration(name) == nullptr) {
    nothing(name, "is rolled back, and its directory is gone");
    return {};
  }
  const auto settlement = settlement_of(name, failed);
  if (settlement.outcome == Outcome::running) throw undecided(settlement);
  if (failed == nullptr && settlement.outcome == Outcome::rolled_back) {
    nothing(name, "is pending, and nothing of it is there: schemagate run applies it");
    return {};
  }
  switch (settlement.outcome) {
    case Outcome::applied: tell(settlement); return {as_applied(name, settlement.because)};
    case Outcome::rolled_back: tell(settlement); return {as_rolled_back(name, settlement.because)};
    case Outcome::resumable: nothing(name, "is continued by the next run"); return {};
    default: throw undecided(settlement);
  }
}

}  // namespace

void resolve(const Manifest& manifest, const std::string& name, Decision decision, Stop& stop,
             std::vector<Correction>& settled) {
  explaining_database_errors(stop,
                             [&] { Resolve{manifest, stop, settled}.resolve(name, decision); });
}

}  // namespace schemagate
