#pragma once
// Executes a Plan under a Lease. Every transaction that changes anything ends with the fence check;
// a migration and its history row commit together wherever PostgreSQL allows it; elsewhere each
// segment's success is recorded and a rerun resumes. docs/internals.md describes both shapes.

#include <functional>
#include <string>
#include <vector>

#include "schemagate/formats/history.hpp"
#include "schemagate/formats/prisma_lock.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/migrate/plan.hpp"

namespace schemagate {

struct ApplyContext {
  const Database& database;
  const Bookkeeping& bookkeeping;
  const HistoryTable& history;
  const Lease& lease;
  PrismaLock& prisma_lock;
  const Manifest::Migrations& settings;
  Stop& stop;
  int server_major_version;
  bool may_run_alone;  // a direct connection, or lease.unfenced: allow
};

// Applies plan.pending in order on `session` (from open_script_session; replaced by a new one if
// the connection was lost during a COMMIT that turns out to have happened). Appends each finished
// migration's name to `applied`, also when a later one fails (with atomic: release all or none).
// With atomic: release all of it is one transaction and `before_commit` runs inside it, last but
// for the fence check; otherwise it is not called. Throws Failure: migration_failed, lock_timeout,
// connection_lost, lease_lost, or the Stop's reason.
void apply(pg::Session& session, const Plan& plan, const ApplyContext& context,
           std::vector<std::string>& applied, const std::function<void()>& before_commit);

}  // namespace schemagate
