#pragma once
// What `schemagate plan` found, for people and for machines (docs/json.md). Pure.

#include <string>

#include "schemagate/base/json.hpp"
#include "schemagate/commands/plan.hpp"

namespace schemagate {

// Plain text, fit for a terminal and for a pull request: what matters most comes first. What was
// read in a database or a script can do nothing to a terminal, and begins no line.
[[nodiscard]] std::string as_text(const PlanReport& report);
void add_plan(Json& document, const PlanReport& report);

}  // namespace schemagate
