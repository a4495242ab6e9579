#pragma once
// What a statement asks of the relations that are there: the lock it takes, which it keeps until
// COMMIT, and the work it does under it. Predicted from its text (rules.hpp) and measured on a
// server (measure.hpp) in the same words, so that the one can be held against the other.

#include <string>
#include <string_view>
#include <vector>

namespace schemagate {

// PostgreSQL manual 13.3.1, table-level lock modes; each blocks at least what the one before it
// does, but for `share`, which lets itself in.
enum class LockMode {
  none,
  access_share,
  row_share,
  row_exclusive,
  share_update_exclusive,
  share,
  share_row_exclusive,
  exclusive,
  access_exclusive,
};

enum class Waiting { nobody, writes, reads_and_writes };

// Of ordinary traffic: SELECT reads, INSERT, UPDATE and DELETE write.
[[nodiscard]] Waiting who_waits(LockMode lock);
// "ACCESS EXCLUSIVE"; empty for none.
[[nodiscard]] std::string_view name_of(LockMode lock);
// As pg_locks.mode has it: "AccessExclusiveLock".
[[nodiscard]] LockMode lock_mode_of(std::string_view pg_locks_mode);

// Each is at least as long as the one before it.
enum class Work {
  catalogue,  // no row is read, however many there are
  rows,       // INSERT, UPDATE, DELETE: as many as it says
  scan,       // all rows are read
  index,      // and an index is built of them
  rewrite,    // all rows are written anew, and all indexes with them
};
// "catalogue", "rows", "scan", "index build", "rewrite".
[[nodiscard]] std::string_view name_of(Work work);

struct Impact {
  std::string relation;  // qualified and quoted as PostgreSQL writes it; no index: an index that is
                         // locked against readers counts for its table
  LockMode lock = LockMode::none;
  Work work = Work::catalogue;
  bool operator==(const Impact&) const = default;
};

// One for each relation, by name: the strongest lock and the longest work.
[[nodiscard]] std::vector<Impact> together(std::vector<Impact> impacts);

}  // namespace schemagate
