#pragma once
// Pending migrations executed in a copy as a run would execute them in the live database: by the
// same segments, under the same limits, with the same words for what PostgreSQL refuses; and what
// each statement asked of the relations that were there before the first of them.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/impact/impact.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/recovery/replay.hpp"

namespace schemagate {

struct RehearsedStatement {
  int line = 1;
  int column = 1;
  std::string text;       // shortened to one line, without passwords
  bool left_out = false;  // it reaches beyond the database
  std::vector<Impact> impacts = {};
  Milliseconds took{};
};

struct RehearsedSegment {
  bool transactional = true;
  std::string reason = {};  // why it could not be part of the segment before
  std::vector<RehearsedStatement> statements = {};
};

struct RehearsedMigration {
  std::string name;
  std::string path;  // of the script, as displayed
  std::vector<RehearsedSegment> segments = {};
};

struct Rehearsal {
  std::vector<RehearsedMigration> migrations;  // the last one may have failed
  std::optional<Failure> failure;              // as the run's would be
};

// `copy` is changed by it, and of no use where it has failed. Throws Failure: (refused) a script
// may reach beyond the database by what it executes, (connection_lost), or the Stop's reason.
[[nodiscard]] Rehearsal rehearse(Replay& copy, const Target& target, const Plan& plan,
                                 const Stop& stop);

}  // namespace schemagate
