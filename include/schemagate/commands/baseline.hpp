#pragma once
// `schemagate baseline`: records migrations as applied on a database that has already what they
// make. Changes bookkeeping only.

#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {

// `through`: all migrations up to and including this one; else `names`.
struct BaselineOptions {
  std::vector<std::string> names;
  std::string through;
};

// Appends what was recorded to `settled`. Throws Failure: (history) what is demonstrably not there,
// or has failed; (usage) no such migration.
void baseline(const Manifest& manifest, const BaselineOptions& options, Stop& stop,
              std::vector<Correction>& settled);

}  // namespace schemagate
