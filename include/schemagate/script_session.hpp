#pragma once
// The session that scripts run on, and its hygiene: whatever a script sets (search_path, role,
// time-outs) reaches neither the next migration nor our bookkeeping, and nothing stays behind on a
// pooled backend. Temporary tables live as long as the session, as they do under Prisma.

#include <string>

#include "schemagate/apply.hpp"

namespace schemagate {

// What PostgreSQL said about one statement of a script, or about its end.
struct StatementFailed : std::runtime_error {
  StatementFailed(pg::Error cause, const Statement* failed)
      : std::runtime_error{cause.what()}, error{std::move(cause)}, statement{failed} {}
  pg::Error error;
  const Statement* statement;  // null: at the end of the script (deferred constraints)
};

class ScriptSession {
 public:
  ScriptSession(pg::Session& session, const ApplyContext& context);

  // Inside a transaction: a clean session, then the segment's statements, then a clean session
  // again and every deferred constraint checked, so that COMMIT has no surprises left.
  void run_in_transaction(const Segment& segment, const std::string& label);

  // Outside: a clean session with the segment's settings, carrying the lease's name.
  void prepare_alone(const Segment& segment);
  void run_alone(const Statement& statement, const std::string& label);
  void clean() { session_.execute(reset()); }

  [[nodiscard]] Progress& progress() { return progress_; }

 private:
  enum class Scope { transaction, session };
  [[nodiscard]] std::string own_name() const;
  [[nodiscard]] std::string reset() const;
  [[nodiscard]] std::string limits(Scope scope, Milliseconds lock_timeout) const;
  void execute(const Statement& statement, const std::string& label);

  pg::Session& session_;
  const ApplyContext& context_;
  Progress progress_;
};

}  // namespace schemagate
