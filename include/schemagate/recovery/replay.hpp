#pragma once
// What scripts make, as PostgreSQL itself says: they are executed in a scratch database, by the
// segments that a run would use, and the catalogue is looked at in between. Nothing reaches beyond
// that database: statements that would are left out, and scripts that may are not executed.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/catalogue/scratch.hpp"
#include "schemagate/catalogue/snapshot.hpp"
#include "schemagate/migrate/segments.hpp"
#include "schemagate/recovery/target.hpp"
#include "schemagate/recovery/ways_out.hpp"

namespace schemagate {

class Replay {
 public:
  // In an environment like `live`'s. `target` and `stop` must outlive it. Throws CannotTell: no
  // scratch can be had, or the manifest forbids it.
  Replay(pg::Session& live, const Target& target, const Stop& stop);

  // `after_statement` is called after each statement of the script but BEGIN and COMMIT, with its
  // number from 1, inside the transaction that it belongs to; with the same numbers again where
  // that had to be done again. What fails, mostly for want of something that no migration made, is
  // left out, and told. Throws CannotTell: the script may reach beyond the database, takes too
  // long, or too much room, or too much of it fails.
  struct Failed {
    std::size_t number;  // of the statement; 0: at the COMMIT
    std::string reason;
  };
  using AfterStatement = std::function<void(std::size_t number)>;
  std::vector<Failed> execute(const Migration& migration,
                              const AfterStatement& after_statement = {});

  // Instead of scripts: the statements of a pg_dump --schema-only, each by itself; what fails, or
  // may reach beyond the database, is left out.
  void restore(const std::string& dump);

  // Throws CannotTell: the script, behind all that was executed here, may reach beyond the
  // database.
  void refuse_what_may_reach_outside(const Migration& migration,
                                     const std::vector<Statement>& script);

  [[nodiscard]] Snapshot snapshot(const pg::Value& only_in = {});  // as Beside has it

  // What PostgreSQL prints of an object that is made anew from what it printed of it, as a restored
  // dump does ("varchar IN (...)"): nothing where that is the same, or cannot be tried.
  [[nodiscard]] std::optional<std::string> printed_again(const ObjectName& name,
                                                         const Object& object);

  // For who goes on where the scripts ended.
  [[nodiscard]] Scratch& scratch() { return scratch_; }

  // Statements that were left out, shortened.
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  std::vector<Failed> attempt(const Migration& migration, const std::vector<Statement>& script,
                              const AfterStatement& after_statement);
  void run_segment(const std::vector<Statement>& script, const Segment& segment,
                   const std::vector<Failed>& failed, const AfterStatement& after_statement,
                   const Statement*& at);
  void execute_within_limits(const Statement& statement);
  static std::size_t number_of(const std::vector<Statement>& script, const Statement& statement);
  void keep_within_bounds(const Migration& migration);
  void reset();

  const Target& target_;
  const Stop& stop_;
  Beside beside_;
  Scratch scratch_;
  Deadline deadline_;
  bool in_transaction_ = false;
  WaysOut ways_out_;
  std::vector<std::string> left_out_;
};

// The key of a target's scratches.
[[nodiscard]] std::string scratch_key(const Target& target);
[[nodiscard]] Beside beside(const Target& target);

}  // namespace schemagate
