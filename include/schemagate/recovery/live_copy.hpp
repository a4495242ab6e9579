#pragma once
// The structure of the live database, without a row, in a scratch: made by what the history says
// is applied, and compared; where that is not the same, made by pg_dump, if there is one. Reads
// only in the live database.

#include <memory>
#include <string>
#include <vector>

#include "schemagate/recovery/replay.hpp"

namespace schemagate {

struct LiveCopy {
  std::unique_ptr<Replay> scratch;
  std::string made_by;                   // "a replay of 3 applied migrations", "pg_dump 17.2"
  std::vector<std::string> differences;  // from the live structure, which should be: sentences
};

// Compares what drift is looked for in. Throws CannotTell: there is no scratch, or neither way
// makes one.
[[nodiscard]] LiveCopy copy_structure(pg::Session& live, const Target& target,
                                      const History& history, const Stop& stop);

}  // namespace schemagate
