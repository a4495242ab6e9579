#include "schemagate/impact/measure.hpp"

#include <algorithm>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

// A row for each lock of a relation, one without a lock for the others. What is locked and gone was
// dropped. A script may have set limits that this must not meet. The index of a TOAST table is a
// part of that: it comes into being with a first column of long values, and no row is read for it.
constexpr const char* k_look = R"sql(
SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
WITH mine AS (
  SELECT relation, mode FROM pg_locks
   WHERE locktype = 'relation' AND granted AND pid = pg_backend_pid()
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), there AS (
  SELECT c.oid, format('%I.%I', nspname, c.relname) AS name,
         CASE WHEN toasts.oid IS NULL THEN c.relkind ELSE 't' END AS relkind, c.relfilenode,
         coalesce(toasts.oid, heap.oid, indrelid, c.oid) AS owner,
         CASE WHEN c.relispartition THEN (SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid) END AS parent
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_class heap ON heap.reltoastrelid = c.oid AND c.relkind = 't'
    LEFT JOIN pg_class toasts ON toasts.reltoastrelid = i.indrelid
   WHERE c.relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema')
     AND c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S', 'i', 'I', 't')
)
SELECT coalesce(oid, relation), name, relkind, relfilenode, owner, parent, mode,
       pg_stat_get_xact_numscans(oid),
       pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid)
         + pg_stat_get_xact_tuples_deleted(oid)
  FROM there FULL JOIN mine ON relation = oid
 WHERE oid IS NOT NULL OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = relation))sql";

bool is_index(char kind) { return kind == 'i' || kind == 'I'; }
// That such work takes, of a statement whose own locks were given back.
LockMode usual_lock(Work work, bool is_concurrent) {
  if (work == Work::rewrite) return LockMode::access_exclusive;
  if (work == Work::index)
    return is_concurrent ? LockMode::share_update_exclusive : LockMode::share;
  return work == Work::rows ? LockMode::row_exclusive : LockMode::access_share;
}

bool holds_rows(char kind) { return kind == 'r' || kind == 'm'; }

}  // namespace

Measure::Measure(pg::Session& session) : session_{session} {
  for (const auto& [oid, relation] : look())
    if (relation.table == oid && !relation.name.empty()) there_.insert(oid);
}

Measure::State Measure::look() {
  State state;
  for (const auto& row : session_.query_aside(k_look)) {
    const auto kind = row.text(2);
    auto& one = state
                    .try_emplace(row.number(0), Relation{.name = row.text(1),
                                                         .kind = kind.empty() ? '\0' : kind[0],
                                                         .file = row.text(3),
                                                         .table = row.number(4),
                                                         .parent = row.number(5),
                                                         .scans = row.number(7),
                                                         .rows = row.number(8)})
                    .first->second;
    one.lock = std::max(one.lock, lock_mode_of(row.text(6)));
  }
  return state;
}

void Measure::before() { before_ = look(); }

const Measure::Relation* Measure::table_of(const Relation& relation) const {
  const auto table = before_.find(relation.table);
  return is_known(relation) && table != before_.end() ? &table->second : nullptr;
}

// An index whose file was there before is another entry for the same index.
std::vector<Impact> Measure::works(const State& now, bool truncates) const {
  std::vector<Impact> impacts;
  std::set<std::string> files;
  for (const auto& [oid, relation] : before_) files.insert(relation.file);
  for (const auto& [oid, relation] : now) {
    const auto* table = table_of(relation);
    if (table == nullptr) continue;
    const auto was = before_.find(oid);
    const bool is_new_file = !truncates && relation.file != "0" && !files.contains(relation.file);
    if (is_index(relation.kind)) {
      if (is_new_file) impacts.push_back({table->name, LockMode::none, Work::index});
    } else if (holds_rows(relation.kind) && was != before_.end()) {
      if (is_new_file) impacts.push_back({table->name, LockMode::none, Work::rewrite});
      const bool reads_all = !truncates && relation.scans > was->second.scans;
      // A statement that writes rows finds them by whichever plan.
      const bool writes =
          relation.rows > was->second.rows || (relation.lock == LockMode::row_exclusive &&
                                               (was->second.lock < relation.lock || reads_all));
      if (writes || reads_all)
        impacts.push_back({table->name, LockMode::none, writes ? Work::rows : Work::scan});
    }
  }
  return impacts;
}

std::vector<Impact> Measure::after(const Statement& statement) {
  const auto now = look();
  auto impacts = works(now, lower_case(statement.text).starts_with("truncate"));
  for (const auto& [oid, relation] : now) {
    const auto was = before_.find(oid);
    if (was == before_.end()) continue;
    const auto* table = table_of(was->second);
    if (table == nullptr || relation.lock <= std::max(was->second.lock, table->lock)) continue;
    // nextval(), which nobody waits for.
    if (was->second.kind == 'S' && relation.lock == LockMode::row_exclusive) continue;
    // Planning any query on a table opens all of its indexes.
    if (!is_index(was->second.kind) || relation.lock == LockMode::access_exclusive)
      impacts.push_back({table->name, relation.lock});
  }
  return together(std::move(impacts));
}

std::vector<Impact> Measure::after_alone(const Statement& statement) {
  const bool is_concurrent = statement.what.find("CONCURRENTLY") != std::string::npos;
  const auto now = look();
  auto impacts = works(now, false);
  for (auto& impact : impacts) impact.lock = usual_lock(impact.work, is_concurrent);
  for (const auto& [oid, was] : before_) {
    const auto* table = table_of(was);
    const auto is = now.find(oid);
    if (table == nullptr) continue;
    if (is_index(was.kind) && is == now.end())
      impacts.push_back({table->name, is_concurrent ? LockMode::share_update_exclusive
                                                    : LockMode::access_exclusive});
    if (was.parent == 0 || is == now.end() || is->second.parent != 0) continue;
    impacts.push_back({was.name, LockMode::access_exclusive});  // DETACH ... CONCURRENTLY
    if (const auto parent = before_.find(was.parent); parent != before_.end())
      impacts.push_back({parent->second.name, LockMode::share_update_exclusive});
  }
  return together(std::move(impacts));
}

}  // namespace schemagate
