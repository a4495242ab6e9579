#pragma once
// What cannot be fenced, or not be set, through a pooler. Each throws Failure (refused).

#include <string>

#include "schemagate/migrate/plan.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

[[nodiscard]] bool may_run_unfenced(const Target& target);
void refuse_unfenced(const Target& target, const std::string& what);
void refuse_what_a_pooler_forbids(const Target& target, const Plan& plan);

}  // namespace schemagate
