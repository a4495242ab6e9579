#pragma once
// The session that scripts run on, and its hygiene: whatever a script sets (search_path, role,
// time-outs) reaches neither the next migration nor our bookkeeping, and nothing stays behind on a
// pooled backend. Temporary tables live as long as the session.

#include <string>

#include "schemagate/lease/fenced.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/migrate/progress.hpp"
#include "schemagate/migrate/segments.hpp"
#include "schemagate/migrate/statement_failure.hpp"

namespace schemagate {

// How a session for scripts under this lease is opened, and opened again. Direct: its connection
// carries our name and limits, so that RESET ALL brings them back. Pooled: an ordinary one;
// everything is set for each transaction. All that is referred to must outlive it.
struct ScriptConnection {
  const Database& database;
  const Lease& lease;
  const Manifest::Migrations& settings;
  const std::string& search_path;  // of scripts, as SQL
  int server_major_version;

  [[nodiscard]] pg::Session open() const;  // throws pg::ConnectionLost
};

class ScriptSession {
 public:
  // Everything must outlive this; `session`, which `connection` opened, may be replaced by another
  // such one between calls.
  ScriptSession(pg::Session& session, const ScriptConnection& connection, const Stop& stop);

  // In a transaction, in this order:
  [[nodiscard]] std::string prologue(const Segment& segment) const;  // goes with BEGIN
  void begun();  // once, before anything else is set
  void run(const Segment& segment, const std::string& label);
  // Checks deferred constraints, cleans the session, runs `bookkeeping` (SQL) and the fence check,
  // all in one message: COMMIT has no surprises left.
  void conclude(Fenced& transaction, const std::string& bookkeeping);
  // The same without the fence check, where the transaction goes on for long: the check locks the
  // lease's row, and the lease could not be renewed until the COMMIT. Returns what `bookkeeping`
  // did.
  pg::Rows conclude_part(const std::string& bookkeeping);

  // For a transaction of bookkeeping alone.
  [[nodiscard]] std::string bookkeeping_prologue() const;

  // Outside of transactions. Through a pooler nothing is set here: it would stay on a backend that
  // is another client's next.
  void clean();  // ours again: role, settings, limits
  void wait_without_limits();
  // The script's, but for application_name; then its statements can be resolved.
  void apply_settings(const Segment& segment);
  // The one statement of a segment that stands alone: fence check, the script's settings,
  // statement.
  void run_alone(const Segment& segment, const std::string& label);

  [[nodiscard]] Progress::Blocker last_blocker() const { return progress_.last_blocker(); }

 private:
  [[nodiscard]] std::string settings_sql() const;
  [[nodiscard]] std::string restore_sql();
  void execute(const Statement& statement, const std::string& label);
  template <class Work> auto at_the_end(Work&& work);

  pg::Session& session_;
  const Database& database_;
  const Lease& lease_;
  const Manifest::Migrations& settings_;
  const std::string& search_path_;
  const Stop& stop_;
  Progress progress_;
  pg::Rows settings_before_;  // of a pooled backend: name, value
};

}  // namespace schemagate
