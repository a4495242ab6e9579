#pragma once
// Executes a Plan under a Lease. Every transaction that changes anything ends with the fence check;
// a migration and its history row commit together wherever PostgreSQL allows it; elsewhere each
// segment's success is recorded and a rerun resumes. docs/internals.md describes both shapes.

#include <functional>
#include <string>
#include <vector>

#include "schemagate/formats/tool_lock.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/migrate/script_session.hpp"

namespace schemagate {

struct ApplyContext {
  const ScriptConnection& connection;
  const Bookkeeping& bookkeeping;
  const WritableHistory& history;
  ToolLock& tool_lock;
  Stop& stop;
  bool may_run_alone;  // a direct connection, or lease.unfenced: allow
  // Asked before the COMMIT of what has left out something that was there already (IF NOT EXISTS):
  // is that what these were to make? Throws what ends the run. Empty: nobody asks.
  std::function<void(const std::vector<const Migration*>& made)> compare = {};
};

// Both work on `session` (opened by the connection; replaced by a new one if it was lost during a
// COMMIT that turns out to have happened) and append the names of what is applied to `applied`.
// Throw Failure: migration_failed, lock_timeout, connection_lost, lease_lost, or the Stop's reason.

// plan.pending in order, each a transaction of its own where it can be. What is done stays done
// when a later one fails.
void apply_each(pg::Session& session, const Plan& plan, const ApplyContext& context,
                std::vector<std::string>& applied);

// plan.pending, which must not be empty, in one transaction, or none of it. `before_commit` runs in
// it, last but for the fence check.
void apply_as_release(pg::Session& session, const Plan& plan, const ApplyContext& context,
                      std::vector<std::string>& applied,
                      const std::function<void(Fenced&)>& before_commit);

}  // namespace schemagate
