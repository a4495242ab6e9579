#include <fmt/core.h>

#include "inspector.hpp"
#include "schemagate/migrate/verify.hpp"
#include "schemagate/recovery/drift.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_lines_max = 40;

// $1 schema. An index that is being built is INVALID until it is ready.
constexpr const char* k_invalid_indexes = R"sql(
SELECT c.relname, t.relname, coalesce((SELECT pid::text FROM pg_stat_progress_create_index p
                                        WHERE p.index_relid = c.oid), '')
  FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
       JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT indisvalid AND c.relkind = 'i' AND nspname = $1 ORDER BY 1)sql";

// PostgreSQL 18 also knows constraints that are NOT ENFORCED: nothing to validate there. Older ones
// have no such column.
constexpr const char* k_not_validated = R"sql(
SELECT conname, relname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
       JOIN pg_namespace n ON n.oid = relnamespace
 WHERE NOT convalidated AND coalesce(to_jsonb(pg_constraint) ->> 'conenforced', 'true') = 'true'
   AND nspname = $1 ORDER BY 1)sql";

// REINDEX CONCURRENTLY builds a copy under such a name, and leaves it when it is interrupted
// (PostgreSQL manual, REINDEX).
Hint repair_of_index(const std::string& index, const std::string& quoted_name) {
  const bool is_copy =
      index.find("_ccnew") != std::string::npos || index.find("_ccold") != std::string::npos;
  const auto drop = "DROP INDEX CONCURRENTLY " + quoted_name;
  if (is_copy) return drop;
  return "REINDEX INDEX CONCURRENTLY " + quoted_name + "; if it was to be dropped: " + drop +
         "; if its migration has not ended: " + own_command("run");
}

}  // namespace

void Inspector::look_at_catalogue(pg::Session& session) {
  const auto& schema = target_.schema();
  for (const auto& row : session.query(k_invalid_indexes, {schema})) {
    const auto index = row.text(0);
    const auto pid = row.text(2);
    const auto name = pg::quote_identifier(schema) + "." + pg::quote_identifier(index);
    if (!pid.empty()) {
      add({"index-being-built",
           index,
           fmt::format("index {} of {} is being built by pid {}", index, row.text(1), pid),
           {},
           "",
           ExitCode::done});
      continue;
    }
    add({"invalid-index",
         index,
         fmt::format("index {} of {} is INVALID: a CREATE, REINDEX or DROP INDEX CONCURRENTLY did "
                     "not come to its end, and queries do not use it",
                     index, row.text(1)),
         {},
         repair_of_index(index, name),
         ExitCode::history});
  }
  for (const auto& row : session.query(k_not_validated, {schema}))
    add({"not-validated",
         row.text(0),
         fmt::format("constraint {} of {} is NOT VALID: rows from before it was made may break it",
                     row.text(0), row.text(1)),
         {},
         fmt::format("ALTER TABLE {}.{} VALIDATE CONSTRAINT {}", pg::quote_identifier(schema),
                     pg::quote_identifier(row.text(1)), pg::quote_identifier(row.text(0))),
         ExitCode::done});
}

// A run at work changes the schema, and says so itself.
void Inspector::look_at_drift() {
  const auto& drift = drift_;
  report_.drift =
      StatusReport::Drift{.since = drift.since,
                          .fingerprint = drift.fingerprint,
                          .differences = drift.lines(),
                          .why_not = run_is_at_work() ? "a run is at work" : drift.why_not()};
  const bool counts = look_ != Look::status || manifest_.drift.policy == DriftPolicy::fail;
  if (!drift.differences.empty())
    add({"drift", "", headline(drift), some_of(drift.lines(), k_lines_max), remedy_of_drift(),
         counts ? ExitCode::drift : ExitCode::done});
  if (look_ == Look::status || drift.is_compared() || drift.look == Drift::Look::off) return;
  const bool no_right = drift.look == Drift::Look::not_allowed;
  add({"drift-unknown",
       "",
       "nobody can tell whether the schema was changed outside of migrations: " +
           report_.drift->why_not,
       {},
       run_is_at_work() ? "wait for the run at work"
       : no_right       ? Hint{"let the role read schemagate's tables and the history: "
                               "deploy/sql/status-role.sql"}
                        : own_command("run") +
                        ": it stores what it leaves; what is there now is "
                        "right: " +
                        own_command("verify --accept"),
       run_is_at_work() ? ExitCode::lease_held
       : no_right       ? ExitCode::refused
                        : ExitCode::drift});
}

void Inspector::look_at_checks(pg::Session& session) {
  for (const auto& problem : failed_checks(session, expectation_of(target_)))
    add({"check",
         "",
         problem,
         {},
         "correct the check in the manifest, or add a migration, then: " + own_command("run"),
         ExitCode::check_failed});
}

}  // namespace schemagate
