#pragma once
// What every command that changes something does around its work.

#include <functional>

#include "schemagate/base/wait.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

// Makes our tables, checks the rights, takes the lease, works, and gives the lease back on
// `session` however the work ends. Throws what Bookkeeping and Lease throw, and the work's own
// Failure; database errors of the work are explained. `writes_history`: whether the history is ours
// to make where it is missing.
void under_lease(pg::Session& session, const Target& target, bool writes_history, Stop& stop,
                 const std::function<void(const Lease&)>& work);

}  // namespace schemagate
