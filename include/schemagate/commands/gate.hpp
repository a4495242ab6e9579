#pragma once
// `schemagate gate`: keeps an app from starting before a run for its release has finished. Reads
// only; needs USAGE on our schema and SELECT on schemagate.marker (and on the history for
// gate.match: migrations). Unknown means closed.

#include <filesystem>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

struct GateOptions {
  bool once = false;           // one look, for probes
  std::filesystem::path file;  // look at this marker file instead of the database
};

// Returns when the gate is open. Throws Failure: (gate_timeout) still closed after gate.timeout, or
// at once with `once`; (gate_failed) as soon as the run for this release has failed for good;
// (refused) for another database than the manifest expects; or the Stop's reason.
void wait_at_gate(const Manifest& manifest, const GateOptions& options, Stop& stop);

}  // namespace schemagate
