#pragma once
// `schemagate verify`: is everything as this release needs it, and nothing otherwise? For monitors,
// `helm test`, the last step of a pipeline. Looks as status does (Look::verify).

#include "schemagate/base/wait.hpp"
#include "schemagate/commands/status.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

// Under the lease: what is there now becomes what drift is told from; who said so is noted.
void accept_drift(const Manifest& manifest, Stop& stop);

}  // namespace schemagate
