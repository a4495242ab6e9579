#pragma once
// Drift: what is in the database otherwise than the last good run left it, though no migration was
// executed since. After each good run the objects are stored (schemagate.snapshot), by the server
// itself: they never travel, only what differs does.

#include <string>
#include <vector>

#include "schemagate/catalogue/snapshot.hpp"
#include "schemagate/lease/fenced.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

struct Drift {
  enum class Look {
    compared,
    off,           // the manifest's policy
    no_snapshot,   // no run has stored one yet
    moved,         // what somebody else's migrations made since cannot be told from drift
    other_server,  // of another major version, which prints things otherwise
    not_allowed,   // this role may not read it
    mixed,         // our own tables are in the app's schema, which is left out
    locked,        // somebody holds a table, or it took too long; only a run says so
  } look = Look::no_snapshot;
  std::string since;        // the snapshot, by the server's clock
  std::string fingerprint;  // of the objects in it
  std::vector<Difference> differences;
  int slot = 0;         // where the snapshot is
  std::string renewed;  // its guard as it is now, where that is another but nothing differs

  [[nodiscard]] bool is_compared() const { return look == Look::compared; }
  // All of it, as sentences.
  [[nodiscard]] std::vector<std::string> lines() const { return describe(differences, {}); }
  // Why nothing was compared; empty where it was.
  [[nodiscard]] std::string why_not() const;
};

// Reads only: one cheap query where nothing was changed. `run_id`: of the run that looks, if one
// does.
[[nodiscard]] Drift look_for_drift(pg::Session& session, const Target& target,
                                   const std::string& run_id = "0");

// Where it is looked for: the history's schema and those that the scripts name, but none that holds
// another scope's work.
[[nodiscard]] std::vector<std::string> schemas_of(pg::Session& session, const Target& target);

// "the schema was changed outside of migrations: ..."
[[nodiscard]] std::string headline(const Drift& drift);
[[nodiscard]] Hint remedy_of_drift();
[[nodiscard]] Failure failure_of(const Drift& drift);

// Stores what is there now, but keeps of `known` what it was before it was changed outside of
// migrations: it stays told until somebody settles it. What a migration has changed further since
// is as the migration made it. A release does not fail because this does: it is told.
void store_snapshot(Fenced& transaction, const Target& target, const Drift& known,
                    const std::string& run_id);
// For a snapshot that still fits: it will be seen by the guard alone.
void renew_guard(Fenced& transaction, const Target& target, const Drift& drift);

// Around a correction of the history that changes nothing else: what was stored stays comparable.
[[nodiscard]] std::string state_of_history(pg::Session& session, const Target& target);
void keep_comparable(Fenced& transaction, const Target& target, const std::string& state_before);

}  // namespace schemagate
