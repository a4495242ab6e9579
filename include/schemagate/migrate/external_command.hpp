#pragma once
// tool: command. Runs any migration command under our readiness, lease and marker. What such a tool
// does cannot be fenced by transactions: it gets a direct connection whose application_name lets a
// successor end it.

#include <string>
#include <vector>

#include "schemagate/lease/lease.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

// The child's output goes into the log line by line; its environment holds DATABASE_URL,
// DIRECT_URL, SCHEMAGATE_DATABASE_URL, SCHEMAGATE_RELEASE, SCHEMAGATE_APP and PGAPPNAME, then
// migrations.env. Throws Failure (command_failed), or the Stop's reason.
void run_command(const Manifest& manifest, const std::string& release, const Database& database,
                 const Lease& lease, Stop& stop);

}  // namespace schemagate
