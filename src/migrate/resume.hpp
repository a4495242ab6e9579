#pragma once
// Goes on with what an earlier run began: what that recorded is compared with the script as it
// stands there now. Pure.

#include <optional>
#include <vector>

#include "schemagate/migrate/plan.hpp"

namespace schemagate {

// Throws Failure where the file cannot be read as a script.
[[nodiscard]] std::vector<Statement> statements_of(const Folder& folder,
                                                   const Migration& migration);
// Fills planned.segments. Throws Failure where the script cannot be executed.
void cut_into_segments(PlannedMigration& planned, std::vector<Statement> script);

// What is left to do of the migration of an unfinished row. Nothing where no run of ours recorded
// how far it came. Throws Failure (history) where what is done is not the beginning of the script,
// or where nobody can tell how far an interrupted statement came.
[[nodiscard]] std::optional<PlannedMigration> resumed(const HistoryRow& row, const History& history,
                                                      const Folder& folder);

}  // namespace schemagate
