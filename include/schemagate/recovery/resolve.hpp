#pragma once
// The commands that settle a history: `resolve` and `baseline`. They change bookkeeping only: rows
// as Prisma's `migrate resolve` writes them, under our lease and its fence, all in one transaction,
// with a note in schemagate.run of who did it and why. The evidence is told before.

#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/lease/run_record.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/recovery/diagnosis.hpp"

namespace schemagate {

enum class Decision {
  applied,      // --applied: a person says so
  rolled_back,  // --rolled-back: a person says so
  automatic,    // --auto: the evidence decides, or nobody
};

struct Settled {
  std::string name;
  bool applied = false;  // else rolled back
  std::string because;
};

// Appends what was settled to `settled`; nothing where nothing had to be. Throws Failure: (history)
// the evidence is not clear, or the decision is not possible; (usage) no such migration.
void resolve(const Manifest& manifest, const std::string& name, Decision decision, Stop& stop,
             std::vector<Settled>& settled);

// `through`: all migrations up to and including this one; else `names`. Refuses (history) what is
// demonstrably not there.
struct BaselineOptions {
  std::vector<std::string> names;
  std::string through;
};
void baseline(const Manifest& manifest, const BaselineOptions& options, Stop& stop,
              std::vector<Settled>& settled);

// For a run, which settles what is proven. Belongs into a transaction that ends with the fence
// check.
void settle(pg::Session& session, const HistoryTable& history,
            const std::vector<Settlement>& proven, const RunRecord& record);
// The history as it will be then.
[[nodiscard]] History as_settled(History history, const std::vector<Settlement>& proven);

}  // namespace schemagate
