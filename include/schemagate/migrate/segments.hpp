#pragma once
// Decides how one migration script is executed: as one transaction wherever PostgreSQL allows it,
// else as a sequence of segments. Pure.
//
// BEGIN and COMMIT of the script are absorbed into our transaction where that means the same
// (deferred constraints are checked where the COMMIT stood). A new segment starts only where
// PostgreSQL forces it: around a statement that refuses transactions, at a COMMIT that ends a SET
// LOCAL, an ON COMMIT table or an isolation level, and where the server said so (Cut). What
// would lose work silently is refused: BEGIN without COMMIT, ROLLBACK, CONCURRENTLY inside BEGIN
// ... COMMIT, COPY FROM STDIN; and a BEGIN with options inside another one, which would cut that.

#include <stdexcept>
#include <string>
#include <vector>

#include "schemagate/sql/sql_script.hpp"

namespace schemagate {

// Runs what deferred constraints have pending; those that follow are deferred again. (Constraints
// that are deferrable but initially immediate are then deferred too, for the rest of the
// transaction.)
inline constexpr const char* k_check_deferred_constraints =
    "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED";

struct Segment {
  bool transactional = true;
  std::vector<Statement> statements;  // exactly one when not transactional
  std::vector<Statement> settings;    // SETs of earlier ones, sent again before this one
  std::string transaction_options;    // "ISOLATION LEVEL SERIALIZABLE", or empty
  std::string reason;  // why it could not be part of the segment before; empty for the first
  std::size_t own_settings = 0;  // the last of `settings`, which were in no earlier segment

  // Of the statements of the script that are done with it. Stored: another version reads them.
  [[nodiscard]] std::vector<std::string> digests() const;
  // It commits by itself, and nobody can tell how far it came when it was ended.
  [[nodiscard]] bool may_be_half_done() const;
};

struct ScriptRefused : std::runtime_error {
  ScriptRefused(const Statement& statement, const std::string& why, std::string advice)
      : std::runtime_error{why}, line{statement.line}, column{statement.column},
        hint{std::move(advice)} {}
  int line;
  int column;
  std::string hint;
};

// What the server said of the statement that stands there, when it was tried in one transaction.
struct Cut {
  enum class Kind {
    alone,   // it refuses transactions
    before,  // what stands before it has to be committed (the use of a new enum value)
  };
  int line;
  int column;
  Kind kind;
};

// Of the script without its first `done` statements, which earlier runs executed. At least one
// segment, also for an empty script. Throws ScriptRefused.
[[nodiscard]] std::vector<Segment> split_into_segments(std::vector<Statement> script,
                                                       const std::vector<Cut>& cuts = {},
                                                       std::size_t done = 0);
// Whether it is one of the `done` ones: BEGIN and COMMIT are not.
[[nodiscard]] bool counts(const Statement& statement);
// The same for the same words: blanks and comments do not count.
[[nodiscard]] std::string digest_of(const Statement& statement);

}  // namespace schemagate
