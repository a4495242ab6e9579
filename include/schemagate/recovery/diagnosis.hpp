#pragma once
// What became of migrations whose history rows do not say, or say what is not so: judged by the
// live catalogue. Reads only. `run` settles what is proven, `resolve --auto` what is clear,
// `status` tells all of it.

#include <string>
#include <vector>

#include "schemagate/catalogue/evidence.hpp"
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
  std::string hint;                 // what to type
};
[[nodiscard]] std::vector<Settlement> examine_failed(pg::Session& session, const Target& target,
                                                     const History& history);
// The same for a migration whatever its rows say, by the evidence alone.
[[nodiscard]] Settlement examine(pg::Session& session, const Target& target,
                                 const Migration& migration, const HistoryRow& row);

// With the evidence of each. Exit code lease_held while somebody is at work, else history.
[[nodiscard]] Failure blocked_by(const Target& target, const std::vector<Settlement>& settlements);
// One settlement for people: a line, then its evidence.
[[nodiscard]] std::vector<std::string> describe(const Settlement& settlement);

// Pending migrations whose objects are there already: made past the history.
struct Existing {
  std::vector<const Migration*> pending;
  std::size_t there = 0;                 // the first so many of them
  std::vector<std::string> differences;  // where the catalogue fits no number of them
  std::size_t closest = 0;               // it comes closest to so many
};
[[nodiscard]] Existing examine_pending(pg::Session& session, const Target& target,
                                       const History& history);
// Tables, but no history. With the command that records what is there.
[[nodiscard]] Failure not_baselined(const Target& target, const History& history,
                                    const Existing& existing);

// What a migration should have made, no later one took away, and is missing.
struct MigrationRemainder : Remainder {
  const Migration* migration = nullptr;
};
// One for each of `applied`, if exactly these are applied, in this order.
[[nodiscard]] std::vector<MigrationRemainder>
remainders_of(pg::Session& session, const Target& target,
              const std::vector<const Migration*>& applied);
// Of those whose rows a person wrote or had written, where something is
// certainly missing.
[[nodiscard]] std::vector<MigrationRemainder>
examine_marked(pg::Session& session, const Target& target, const History& history);

}  // namespace schemagate
