#pragma once
// `schemagate plan`: what a run would do here, told before it does anything. Reads only, in one
// READ ONLY transaction: creates nothing, takes no lock that somebody waits for, waits for nobody.
// Works for a role that may only read, on a standby, and on a database that has none of our tables.
// Where a run would be refused, so is this, in the same words; by policies only after all is told.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/migrate/policy.hpp"

namespace schemagate {

struct PlanReport {
  std::string app, release;
  std::string database, schema;  // empty without a database
  std::string folder;
  std::size_t folder_count = 0;      // of its migrations
  Forecast forecast;                 // of the pending ones; of those since a release
  std::vector<std::string> remarks;  // what cannot be told, and what a run would warn of
  std::vector<PolicyFinding> policies;
  std::optional<Failure> refused;  // by these
  // Of plan_since(): the release, and when its first complete run ended; else empty.
  std::string since, since_at;
};

// `watch`: how long the traffic of the tables is counted.
[[nodiscard]] PlanReport plan(const Manifest& manifest, Milliseconds watch, Stop& stop);

// Without a database. Pending are those of the folder behind `after`; all, where that is empty.
// Version 0: the newest that is known. Throws Failure (usage) where there is no such migration.
[[nodiscard]] PlanReport plan_offline(const Manifest& manifest, const std::string& after,
                                      int server_major_version);

// What an app of `release` would meet if it were started again: the migrations that were applied
// since its run was complete, forecast as if they were pending. Throws Failure (usage) where no run
// of it was ever complete here.
[[nodiscard]] PlanReport plan_since(const Manifest& manifest, const std::string& release,
                                    Stop& stop);

}  // namespace schemagate
