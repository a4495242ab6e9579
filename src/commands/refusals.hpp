#pragma once
// What stops a run although nothing has failed: each throws Failure, or returns it, and changes
// nothing.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/migrate/plan.hpp"
#include "schemagate/recovery/diagnosis.hpp"
#include "schemagate/recovery/drift.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

// Whether work that cannot be fenced is possible, or allowed: not through a pooler.
[[nodiscard]] bool may_run_unfenced(const Target& target);
void refuse_unfenced(const Target& target, const std::string& what);
void refuse_what_a_pooler_forbids(const Target& target, const Plan& plan);

// Failed rows that a run settles by itself. Those that need somebody's decision stop it.
[[nodiscard]] std::vector<Settlement> proven_failures(pg::Session& session, const Target& target,
                                                      const History& history, const Stop& stop);
// What is to be done, unless something stands in the way of all of it.
[[nodiscard]] Plan plan_unless_refused(pg::Session& session, const Target& target,
                                       const History& history, const Drift& drift,
                                       const Stop& stop);

// A folder that holds nothing, beside a history that holds something.
void refuse_lost_folder(const Target& target, const History& history);
// A migration that the history holds as applied, of which nothing is there. Looked at by a replay
// only where there is a doubt.
[[nodiscard]] std::optional<Failure> claims_nothing(pg::Session& session, const Target& target,
                                                    const History& history, const Drift& drift,
                                                    const Stop& stop);
// An external command ended well, but the history does not hold what the folder holds.
void refuse_what_the_command_left_out(pg::Session& session, const Target& target);

}  // namespace schemagate
