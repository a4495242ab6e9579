#pragma once
// What `schemagate status` found, for people and for machines (docs/json.md). Pure.

#include <string>

#include "schemagate/base/json.hpp"
#include "schemagate/commands/status.hpp"

namespace schemagate {

// A tree for people. `colour`: with the escapes of a terminal.
[[nodiscard]] std::string as_text(const StatusReport& report, bool colour);
void add_status(Json& document, const StatusReport& report);

}  // namespace schemagate
