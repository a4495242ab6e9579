#pragma once
// What became of migrations whose history rows do not say: judged by a replay. Reads only. `run`
// settles what is proven, `resolve --auto` what is clear, `status` tells all of it.

#include <string>
#include <vector>

#include "schemagate/formats/format.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

// A failed row: neither finished nor rolled back.
struct Settlement {
  enum class Outcome {
    running,       // somebody is executing it now
    resumable,     // an earlier run of ours recorded how far it came; the next one continues
    rolled_back,   // nothing of it is there
    applied,       // all of it is there
    half_applied,  // some statements are done
    unclear,
  };
  const HistoryRow* row = nullptr;       // in the History
  const Migration* migration = nullptr;  // in the Folder; null: its directory is gone
  Outcome outcome = Outcome::unclear;
  bool proven = false;              // of rolled_back and applied: certain enough without a person
  std::string because;              // a sentence
  std::vector<std::string> report;  // statement by statement, where that tells more
  Hint hint;                        // what to type
};
[[nodiscard]] std::vector<Settlement> examine_failed(pg::Session& session, const Target& target,
                                                     const History& history, const Stop& stop);
// The same for a migration whatever its rows say, by the evidence alone. `row` may be in no
// history.
[[nodiscard]] Settlement examine(pg::Session& session, const Target& target, const History& history,
                                 const Migration& migration, const HistoryRow& row,
                                 const Stop& stop);

// With the evidence of each. Exit code lease_held while somebody is at work, else history.
[[nodiscard]] Failure blocked_by(const Target& target, const std::vector<Settlement>& settlements);
// One settlement for people: a line, then its evidence.
[[nodiscard]] std::vector<std::string> describe(const Settlement& settlement);

}  // namespace schemagate
