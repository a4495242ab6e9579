#pragma once
// `schemagate resolve`: settles a migration in the history, by a person's word or by the evidence,
// which is told before. Changes bookkeeping only.

#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {

enum class Decision {
  applied,      // --applied: a person says so
  rolled_back,  // --rolled-back: a person says so
  automatic,    // --auto: the evidence decides, or nobody
};

// Appends what was settled to `settled`; nothing where nothing had to be. Throws Failure: (history)
// the evidence is not clear, or the decision is not possible; (usage) no such migration.
void resolve(const Manifest& manifest, const std::string& name, Decision decision, Stop& stop,
             std::vector<Correction>& settled);

}  // namespace schemagate
