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

namespace schemagate {

class Replay {
 public:
  // In an environment like `live`'s. All must outlive it. Throws CannotTell: no scratch can be
  // had, or the manifest forbids it.
  Replay(pg::Session& live, const Target& target, const Stop& stop);

  // `after_statement` is called after each statement of the script, BEGIN and COMMIT among them,
  // with its number from 1; inside the transaction that it belongs to. Returns the statement that
  // failed, with the reason; what stands before it in its own transaction is gone then. Throws
  // CannotTell: it may reach beyond the database, or takes too long, or too much room.
  struct Failed {
    std::size_t number;  // from 1
    std::string reason;
  };
  using AfterStatement = std::function<void(std::size_t number)>;
  [[nodiscard]] std::optional<Failed> execute(const Migration& migration,
                                              const AfterStatement& after_statement = {});
  // The same, for a script that is known to have worked: throws CannotTell where it fails.
  void execute_whole(const Migration& migration);

  [[nodiscard]] Snapshot snapshot();

  // What PostgreSQL prints of an object that is made anew from what it printed of it, as a restored
  // dump does ("varchar IN (...)"): nothing where that is the same, or cannot be tried.
  [[nodiscard]] std::optional<std::string> printed_again(const ObjectName& name,
                                                         const Object& object);

  // Statements that were left out, shortened.
  [[nodiscard]] const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  void refuse_what_may_reach_outside(const Migration& migration,
                                     const std::vector<Statement>& script);
  std::optional<Failed> attempt(const std::vector<Statement>& script,
                                const AfterStatement& after_statement);
  void run_segment(const std::vector<Statement>& script, const Segment& segment,
                   const AfterStatement& after_statement, const Statement*& at);
  static std::size_t number_of(const std::vector<Statement>& script, const Statement& statement);
  void keep_within_bounds(const Migration& migration);
  void reset();

  const Target& target_;
  const Stop& stop_;
  Beside beside_;
  Scratch scratch_;
  Deadline deadline_;
  bool in_transaction_ = false;
  bool has_dangerous_function_ = false;
  std::vector<std::string> left_out_;
};

// The key of a target's scratches.
[[nodiscard]] std::string scratch_key(const Target& target);
[[nodiscard]] Beside beside(const Target& target);

}  // namespace schemagate
