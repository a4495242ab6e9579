#pragma once
// `schemagate baseline`: records migrations as applied on a database that has already what they
// make. Changes bookkeeping only.

#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {

// `through`: all migrations up to and including this one; `none`: none of them, but the history
// begins; else `names`.
struct BaselineOptions {
  std::vector<std::string> names;
  std::string through;
  bool none = false;
  bool force = false;   // whatever the evidence says
  std::string because;  // why, with `force`; for the note
};

// Appends what was recorded to `settled`. Throws Failure: (history) the database is not exactly as
// these make it, or nobody can tell, or one has failed; (usage) no such migration.
void baseline(const Manifest& manifest, const BaselineOptions& options, Stop& stop,
              std::vector<Correction>& settled);

}  // namespace schemagate
