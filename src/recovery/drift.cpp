#include "schemagate/recovery/drift.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/drift.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/recovery/replay.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_lines_max = 10;

// PostgreSQL prints some objects under a lock of their table, which somebody may hold for long.
constexpr const char* k_limits =
    "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '60s';";

// {0} our snapshots' table, {1} the scope, {2} the slot, {3} what is compared, {4} kinds without a
// schema. What another scope's run has left just so is not ours to tell: schemas may be shared.
constexpr const char* k_differences = R"sql(,
stored AS (SELECT * FROM {0} WHERE scope = {1} AND slot = {2}),
was AS (SELECT e ->> 0 AS kind, e ->> 1 AS name, e ->> 2 AS parent, e ->> 3 AS definition
          FROM stored, jsonb_array_elements(objects) AS e),
live AS MATERIALIZED ({3}),
newer AS (SELECT DISTINCT ON (o.scope) o.* FROM {0} AS o, stored AS s
           WHERE o.scope <> s.scope AND o.taken_at > s.taken_at AND o.schemas && s.schemas
           ORDER BY o.scope, o.taken_at DESC),
theirs AS (SELECT e ->> 0 AS kind, e ->> 1 AS name, e ->> 3 AS definition
             FROM newer, jsonb_array_elements(objects) AS e)
SELECT coalesce(was.kind, live.kind), coalesce(was.name, live.name), was.kind IS NOT NULL, was.parent,
       was.definition, live.kind IS NOT NULL, live.parent, live.definition
  FROM was FULL JOIN live ON was.kind = live.kind AND was.name = live.name
 WHERE (was.kind IS NULL OR live.kind IS NULL OR was.definition IS DISTINCT FROM live.definition)
   AND NOT (was.kind IS NULL AND live.kind IN {4})
   AND NOT EXISTS (SELECT 1 FROM theirs t WHERE t.kind = live.kind AND t.name = live.name
                                            AND t.definition IS NOT DISTINCT FROM live.definition)
   AND NOT (live.kind IS NULL
            AND EXISTS (SELECT 1 FROM newer, unnest(schemas) AS one WHERE strpos(was.name, quote_ident(one) || '.') > 0)
            AND NOT EXISTS (SELECT 1 FROM theirs t WHERE t.kind = was.kind AND t.name = was.name))
 ORDER BY 1, 2)sql";

// {0} our snapshots' table, {1} the scope, {2} app, {3} run, {4} the history's state, {5} schemas,
// {6} the guard, {7} what is compared, {8} drift that is known: kind, name, digest of what was
// found.
constexpr const char* k_store = R"sql(,
live AS MATERIALIZED ({7}),
last AS (SELECT slot, taken_at, objects FROM {0} WHERE scope = {1} ORDER BY taken_at DESC LIMIT 1),
known (kind, name, found) AS ({8}),
was AS (SELECT e ->> 0 AS kind, e ->> 1 AS name, e ->> 2 AS parent, e ->> 3 AS definition
          FROM last, jsonb_array_elements(objects) AS e WHERE EXISTS (SELECT 1 FROM known)),
drifted AS (SELECT known.kind, known.name FROM known LEFT JOIN live USING (kind, name)
             WHERE found IS NOT DISTINCT FROM md5(live.definition)),
kept AS (
  SELECT * FROM live WHERE (kind, name) NOT IN (SELECT kind, name FROM drifted)
  UNION ALL SELECT was.* FROM was JOIN drifted USING (kind, name))
INSERT INTO {0} AS old
       (scope, slot, app, run_id, taken_at, server_major, history, schemas, guard, fingerprint, objects)
SELECT {1}, coalesce((SELECT (slot + 1) % 3 FROM last), 0), {2}, {3}::bigint,
       greatest(clock_timestamp(), (SELECT taken_at + interval '1 microsecond' FROM last)),
       current_setting('server_version_num')::integer / 10000, {4}, {5}::text[],
       CASE WHEN EXISTS (SELECT 1 FROM drifted) THEN '' ELSE {6} END,
       md5(coalesce(string_agg(md5(concat_ws(' ', kind, name, definition)), ''
                               ORDER BY kind COLLATE "C", name COLLATE "C"), '')),
       coalesce(jsonb_agg(jsonb_build_array(kind, name, parent, definition)), '[]')
  FROM kept
ON CONFLICT (scope, slot) DO UPDATE
   SET app = excluded.app, run_id = excluded.run_id, taken_at = excluded.taken_at,
       server_major = excluded.server_major, history = excluded.history, schemas = excluded.schemas,
       guard = excluded.guard, fingerprint = excluded.fingerprint, objects = excluded.objects)sql";

// $1 our schema
constexpr const char* k_schemas = R"sql(
SELECT nspname FROM pg_namespace
 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname <> $1 ORDER BY 1)sql";

std::vector<std::string> first_column(const pg::Rows& rows) {
  std::vector<std::string> values;
  for (const auto& row : rows) values.push_back(row.text(0));
  return values;
}

// An expression; the same text for as long as nobody writes the history. A run may have made it.
std::string state_sql(pg::Session& session, const Target& target) {
  const auto& table = target.history_table();
  if (!table ||
      (table->oid == 0 &&
       !session.row("SELECT to_regclass($1) IS NOT NULL", {table->name.quoted()}).flag(0)))
    return "''";
  return fmt::format(
      "(SELECT count(*) || ':' || ((count(*) * age('3'::xid)::bigint - coalesce(sum(age(xmin)), "
      "0)) & 4294967295) FROM {})",
      table->name.quoted());
}

std::vector<std::string> own_schemas(const Target& target) {
  std::vector<std::string> own = {target.schema()};
  if (const auto& table = target.history_table(); table && table->name.schema != own.front())
    own.push_back(table->name.schema);
  std::erase(own, target.bookkeeping.schema_name());
  return own;
}

// Schemas that hold the work of others; never our own, which they may share.
std::vector<std::string> schemas_of_others(pg::Session& session, const Target& target) {
  auto others = first_column(
      session.query(target.bookkeeping.sql(statements::k_schemas_of_others), {target.id.scope}));
  const auto own = own_schemas(target);
  std::erase_if(others, [&](const auto& schema) {
    return std::find(own.begin(), own.end(), schema) != own.end();
  });
  return others;
}

std::string snapshots_table(const Target& target) {
  return target.bookkeeping.sql("schemagate.snapshot");
}

Beside beside_in(const Target& target, const std::string& schemas) {
  auto what = beside(target);
  what.only_in = schemas;
  return what;
}

std::vector<Difference> differences(pg::Session& session, const Target& target, int slot,
                                    const std::string& schemas) {
  const auto rows = session.query(
      k_limits + snapshot_sql(beside_in(target, schemas),
                              fmt::format(k_differences, snapshots_table(target),
                                          pg::quote_literal(target.id.scope), slot,
                                          compared_sql(schemas), k_kinds_without_schema)));
  std::vector<Difference> all;
  for (const auto& row : rows) {
    auto& one = all.emplace_back(Difference{{row.text(0), row.text(1)}, {}, {}});
    if (row.flag(2)) one.wanted = Object{row.text(4), row.text(3)};
    if (row.flag(5)) one.found = Object{row.text(7), row.text(6)};
  }
  return all.empty() ? all
                     : that_count(std::move(all), schemas_of_others(session, target),
                                  target.manifest.drift.ignore);
}

// $1 our schema, $2 the history's oid
constexpr const char* k_may_look = R"sql(
SELECT count(*) FILTER (WHERE nspname = $1 AND relname IN ('snapshot', 'run', 'marker')) = 3,
       coalesce(bool_and(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), false)
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE c.oid = $2::oid OR nspname = $1 AND relname IN ('snapshot', 'run', 'marker'))sql";

Drift::Look what_forbids_it(pg::Session& session, const Target& target) {
  if (target.manifest.drift.policy == DriftPolicy::off) return Drift::Look::off;
  if (own_schemas(target).empty()) return Drift::Look::mixed;
  const auto& history = target.history_table();
  const auto may = session.row(
      k_may_look, {target.bookkeeping.schema_name(), std::to_string(history ? history->oid : 0)});
  if (!may.flag(0)) return Drift::Look::no_snapshot;
  return may.flag(1) ? Drift::Look::compared : Drift::Look::not_allowed;
}

// Rows: kind, name, and the digest of what was found.
std::string rows_of(const std::vector<Difference>& differences) {
  std::string all = "SELECT ''::text, ''::text, ''::text WHERE false";
  for (const auto& [object, wanted, found] : differences)
    all += fmt::format(" UNION ALL SELECT {}, {}, {}", pg::quote_literal(object.kind),
                       pg::quote_literal(object.name),
                       found ? "md5(" + pg::quote_literal(found->definition) + ")" : "NULL");
  return all;
}

}  // namespace

bool Drift::may_miss_something() const {
  return !is_compared() || std::any_of(differences.begin(), differences.end(),
                                       [](const auto& one) { return !one.found; });
}

bool Drift::may_hold_something() const {
  return !is_compared() || std::any_of(differences.begin(), differences.end(),
                                       [](const auto& one) { return one.found.has_value(); });
}

std::string Drift::why_not() const {
  switch (look) {
    case Look::compared: return {};
    case Look::off: return "policy.drift is off";
    case Look::no_snapshot: return "no run has stored yet what it left";
    case Look::moved:
      return fmt::format("since {} the history was changed by others, or a run ended half-way: "
                         "what they made cannot be told from drift",
                         since);
    case Look::other_server:
      return fmt::format("at {} this was a server of another major version", since);
    case Look::not_allowed:
      return "this role may not read what is needed (deploy/sql/status-role.sql)";
    case Look::mixed: return "schemagate's own tables are in the app's schema";
    case Look::locked: return "somebody holds a table by an exclusive lock, or it took too long";
  }
  return {};
}

Drift look_for_drift(pg::Session& session, const Target& target, const std::string& run_id) {
  Drift drift;
  drift.home = target.schema();
  drift.look = what_forbids_it(session, target);
  if (!drift.is_compared()) return drift;
  const auto rows =
      session.query("SELECT last.*, current_setting('server_version_num')::integer / 10000, " +
                        state_sql(session, target) + ", " + catalogue_guard_sql() + " FROM (" +
                        target.bookkeeping.sql(statements::k_last_snapshot) + ") AS last",
                    {target.id.scope, run_id});
  drift.look = Drift::Look::no_snapshot;
  if (rows.empty()) return drift;
  const auto& row = rows.front();
  drift.slot = static_cast<int>(row.number(0));
  drift.since = row.text(1);
  drift.fingerprint = row.text(6);
  if (row.number(2) != row.number(8)) drift.look = Drift::Look::other_server;
  else if (row.text(3) != row.text(9) || row.flag(7)) drift.look = Drift::Look::moved;
  else drift.look = Drift::Look::compared;
  if (!drift.is_compared() || row.text(5) == row.text(10)) return drift;
  drift.differences = differences(session, target, drift.slot, row.text(4));
  if (drift.differences.empty()) drift.renewed = row.text(10);
  return drift;
}

std::vector<std::string> schemas_of(pg::Session& session, const Target& target) {
  auto schemas = own_schemas(target);
  std::vector<std::string_view> scripts;
  for (const auto& migration : target.folder.migrations) scripts.emplace_back(migration.sql);
  const auto& bookkeeping = target.bookkeeping;
  const bool is_known = bookkeeping.is_current(session) &&
                        bookkeeping.may_read(session, "marker") &&
                        bookkeeping.may_read(session, "run");
  const auto others = is_known ? schemas_of_others(session, target) : std::vector<std::string>{};
  const auto all = first_column(session.query(k_schemas, {target.bookkeeping.schema_name()}));
  for (const auto& schema : schemas_named(all, scripts))
    if (std::find(schemas.begin(), schemas.end(), schema) == schemas.end() &&
        std::find(others.begin(), others.end(), schema) == others.end())
      schemas.push_back(schema);
  return schemas;
}

std::string headline(const Drift& drift) {
  return fmt::format("the schema was changed outside of migrations: {} from the snapshot of {}",
                     counted(drift.lines().size(), "difference"), drift.since);
}

Hint remedy_of_drift() {
  return "undo it, or make it a migration as well; what is to stay as it is: " +
         own_command("verify --accept");
}

Failure failure_of(const Drift& drift) {
  return {ExitCode::drift,
          headline(drift) + "\n  " + join(some_of(drift.lines(), k_lines_max), "\n  "),
          remedy_of_drift()};
}

void store_snapshot(Fenced& transaction, const Target& target, const Drift& known,
                    const std::string& run_id) {
  auto& session = transaction.session();
  const auto schemas = pg::array_of(schemas_of(session, target));
  const auto store = snapshot_sql(
      beside_in(target, schemas),
      fmt::format(k_store, snapshots_table(target), pg::quote_literal(target.id.scope),
                  pg::quote_literal(target.id.app), pg::quote_literal(run_id),
                  state_sql(session, target), pg::quote_literal(schemas), catalogue_guard_sql(),
                  compared_sql(schemas), rows_of(known.differences)));
  try {
    transaction.execute("SAVEPOINT schemagate_store;" + std::string{k_limits} + store +
                        "; RELEASE SAVEPOINT schemagate_store");
  } catch (const pg::Error& e) {
    transaction.execute("ROLLBACK TO SAVEPOINT schemagate_store");
    log::warn(fmt::format("what this run leaves could not be stored, so that the next one cannot "
                          "tell what somebody changes meanwhile: {}",
                          e.message));
  }
}

void renew_guard(Fenced& transaction, const Target& target, const Drift& drift) {
  transaction.query(target.bookkeeping.sql(statements::k_renew_guard),
                    {target.id.scope, std::to_string(drift.slot), drift.renewed});
}

std::string state_of_history(pg::Session& session, const Target& target) {
  return session.row("SELECT " + state_sql(session, target)).text(0);
}

void keep_comparable(Fenced& transaction, const Target& target, const std::string& state_before) {
  transaction.query(
      target.bookkeeping.sql(statements::k_history_was_corrected),
      {target.id.scope, state_before, state_of_history(transaction.session(), target)});
}

}  // namespace schemagate
