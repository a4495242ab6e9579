#pragma once
// What the pending migrations would do to this database, told before anything is done: locks, work,
// what is lost, what an app of the release before would break on, and the safe way to write it.
// Reads only. What cannot be told from a text (DO blocks, functions) is said to be so.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/impact/impact.hpp"
#include "schemagate/migrate/plan.hpp"

namespace schemagate {

struct Estimate {  // both 0: at once
  Milliseconds low{};
  Milliseconds high{};
};

struct Remark {
  enum class Kind {
    destructive,   // rows or values are lost
    incompatible,  // an app of the release before, still running, breaks on it
    safer,         // there is a way that locks less
    unknown,       // its text does not tell what it does
  };
  Kind kind;
  std::string rule;          // stable: "drop_table", "set_not_null", ...
  std::string text;          // a sentence
  std::string instead = {};  // safer: SQL, ready to paste
};

struct StatementForecast {
  int line = 1;
  int column = 1;
  std::string text;                  // shortened to one line, without passwords
  std::vector<Impact> impacts = {};  // on relations that are there before this release
  Estimate estimate = {};
  std::vector<Remark> remarks = {};
  std::size_t more = 0;  // INSERTs into the same relation that follow it
};

// What a relation suffers between the first statement that locks it against writes, or against
// reads, and the COMMIT: locks add up.
struct Hold {
  std::string relation;
  LockMode lock = LockMode::none;  // of that statement
  int from_line = 1;
  Work work = Work::catalogue;  // the longest under it, of whatever relation
  std::int64_t work_bytes = 0;  // of all relations that are read or written under it
  std::string work_on = {};     // the largest of these; empty: none
  Estimate estimate = {};
};

struct SegmentForecast {
  bool transactional = true;
  std::string reason = {};  // why it could not be part of the segment before; empty for the first
  std::vector<StatementForecast> statements = {};
  std::vector<Hold> holds = {};
};

struct MigrationForecast {
  std::string name;
  std::string path;  // of the script, as displayed
  std::vector<SegmentForecast> segments = {};
};

struct Traffic {
  double reads_per_s = 0;   // scans begun
  double writes_per_s = 0;  // rows
};

struct TouchedRelation {
  std::int64_t oid = 0;
  bool has_rows = true;         // of its own: no view, no sequence
  std::int64_t heap_bytes = 0;  // with TOAST
  std::int64_t index_bytes = 0;
  double rows = -1;  // as the last ANALYZE counted; -1: unknown
  std::optional<Traffic> traffic = {};
};

struct Forecast {
  std::vector<MigrationForecast> migrations = {};
  std::map<std::string, TouchedRelation> relations = {};  // those that impacts name; offline: none
  int server_major_version = 0;                           // 0: offline, the newest is assumed
};

// `watch`: how long traffic is counted; 0: not at all. Throws what the session throws; a lock that
// somebody holds on a table is not waited for.
[[nodiscard]] Forecast forecast(pg::Session& session, const std::vector<std::string>& search_path,
                                const Plan& plan, Milliseconds watch, const Stop& stop);
// Without a database: every relation that the folder's earlier migrations make is taken to be there
// and to hold rows.
[[nodiscard]] Forecast forecast_offline(const Folder& folder, const Plan& plan,
                                        int server_major_version);

}  // namespace schemagate
