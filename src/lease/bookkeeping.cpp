#include "schemagate/lease/bookkeeping.hpp"

#include <fmt/core.h>

#include "schemagate/base/error.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/other_writers.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/lease/tables.hpp"

namespace schemagate {
namespace {

// $1 our schema, where its tables are missing
constexpr const char* k_grant_for_tables = R"sql(
SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)
            THEN format('in database %I, as its owner or a superuser: GRANT USAGE, CREATE ON SCHEMA %I TO %I',
                        current_database(), $1::text, current_user)
            ELSE format('in database %1$I, as its owner or a superuser: GRANT CREATE ON DATABASE %1$I TO %2$I; or create the schema for it: CREATE SCHEMA %3$I AUTHORIZATION %2$I',
                        current_database(), current_user, $1::text) END)sql";

// $1 the history's schema, $2 its name
constexpr const char* k_may_not_create_history = R"sql(
SELECT format('in database %I, as the schema''s owner (%I) or a superuser: GRANT USAGE, CREATE ON SCHEMA %I TO %I',
              current_database(), pg_get_userbyid(nspowner), nspname, current_user) FROM pg_namespace n
 WHERE nspname = $1 AND NOT (has_schema_privilege(oid, 'CREATE') AND has_schema_privilege(oid, 'USAGE'))
   AND NOT EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = n.oid AND relname = $2))sql";

// $1 our schema, $2 the history's, $3 its name
constexpr const char* k_missing_rights = R"sql(
SELECT string_agg(format('%s on %I.%I', rights, nspname, relname), '; ' ORDER BY nspname, relname),
       format('in database %I, as the owner (%s) or a superuser: ', current_database(),
              string_agg(DISTINCT quote_ident(pg_get_userbyid(relowner)), ', ')) ||
       string_agg(format('GRANT %s ON %I.%I TO %I', rights, nspname, relname, current_user), '; '
                  ORDER BY nspname, relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
       LATERAL (SELECT string_agg(name, ', ') AS rights FROM unnest('{SELECT,INSERT,UPDATE}'::text[]) AS name
                 WHERE NOT has_table_privilege(c.oid, name)) AS missing
 WHERE rights IS NOT NULL AND (nspname = $1 AND relname IN ('lock', 'run', 'step', 'marker', 'snapshot')
                               OR nspname = $2 AND relname = $3))sql";

constexpr std::chrono::milliseconds k_try_within{500};

// $1 our schema, $2 the history's, $3 its name: what fails, with no row too, where a publication
// does not let the table be updated.
constexpr const char* k_try_updates = R"sql(
SELECT string_agg(format('UPDATE %1$I.%2$I SET %3$I = %3$I WHERE false', nspname, relname, attname), ';')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace,
       LATERAL (SELECT attname FROM pg_attribute
                 WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = ''
                 LIMIT 1) AS a
 WHERE nspname = $1 AND relname IN ('lock', 'run', 'step', 'marker', 'snapshot') OR nspname = $2 AND relname = $3)sql";

// The start of a message that changes the tables. One message is one implicit transaction: a runner
// that is paused here holds nobody up. Whoever meets another one in it waits for its end (the new
// schema's name is unique, the version's table is locked first), fails, and looks again.
constexpr const char* k_change_tables =
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL lock_timeout = '30s';";

// $1 our schema: whose tables are another's than whoever would make one now
constexpr const char* k_other_owner = R"sql(
SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE nspname = $1 AND relname = 'version' AND pg_get_userbyid(relowner) <> current_user)sql";

// $1 our schema
constexpr const char* k_missing_tables = R"sql(
SELECT name FROM unnest('{version,lock,run,step,marker,snapshot}'::text[]) AS name
 WHERE NOT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                    WHERE nspname = $1 AND relname = name))sql";

// $1 our schema, $2 the history's, $3 its name, $4 whether this is to work, $5 the role that works
// where it is not this one, or empty. What can be typed is the second column. A superuser counts as
// a member of every role: that is no reason to trust one. A type of somebody's may come with a
// cast, which is somebody's function; and what is constant in an index or in statistics is computed
// by whoever plans a query.
constexpr const char* k_untrusted = R"sql(
WITH member AS (
  SELECT c.oid, 'TABLE' AS what, relkind, relowner AS owner, nspname = $1 AS is_ours, relname,
         format('%I.%I', nspname, relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE nspname = $1 AND relname IN ('version', 'lock', 'run', 'step', 'marker', 'snapshot')
      OR nspname = $2 AND relname = $3 AND relkind NOT IN ('i', 'I')
  UNION ALL SELECT 0, 'SCHEMA', 'r', nspowner, true, '', format('%I', nspname) FROM pg_namespace WHERE nspname = $1),
worker AS (SELECT coalesce(nullif($5, ''), current_user) AS worker),
trusted AS (
  SELECT r.oid FROM pg_roles r, pg_roles me, worker
   WHERE me.rolname IN (current_user, worker)
     AND (r.rolsuper OR r.rolname = 'pg_database_owner' OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
          OR CASE WHEN me.rolsuper THEN EXISTS (SELECT 1 FROM pg_auth_members WHERE roleid = r.oid AND member = me.oid)
                  ELSE pg_has_role(me.oid, r.oid, 'MEMBER') END)),
judged AS (
  SELECT member.*, tgname, rulename,
         CASE WHEN relkind <> 'r' THEN 'kind' WHEN tgname IS NOT NULL THEN 'trigger'
              WHEN rulename IS NOT NULL THEN 'rule' WHEN row_security_active(member.oid) THEN 'policy'
              WHEN is_ours AND relname NOT IN ('', 'version') AND NOT EXISTS (SELECT 1 FROM pg_index WHERE indrelid = member.oid AND indisprimary)
                THEN 'key'
              WHEN owner IN (SELECT oid FROM trusted) THEN NULL
              WHEN $4 OR is_ours AND NOT CASE
                WHEN EXISTS (SELECT 1 FROM member h WHERE NOT h.is_ours)
                  THEN EXISTS (SELECT 1 FROM member h WHERE NOT h.is_ours AND has_table_privilege(member.owner, h.oid, 'INSERT'))
                ELSE EXISTS (SELECT 1 FROM pg_namespace n WHERE nspname = $2 AND has_schema_privilege(owner, n.oid, 'CREATE')) END
                THEN 'owner'
              WHEN EXISTS (SELECT 1 FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
                            WHERE attrelid = member.oid AND typnamespace <> 'pg_catalog'::regnamespace)
                   OR EXISTS (SELECT 1 FROM pg_index WHERE indrelid = member.oid AND (indexprs IS NOT NULL OR indpred IS NOT NULL))
                   OR EXISTS (SELECT 1 FROM pg_statistic_ext WHERE stxrelid = member.oid)
                   OR EXISTS (SELECT 1 FROM pg_inherits WHERE inhparent = member.oid) THEN 'type' END AS problem
    FROM member LEFT JOIN pg_trigger ON tgrelid = member.oid AND NOT tgisinternal
         LEFT JOIN pg_rewrite ON ev_class = member.oid),
hiding AS (
  SELECT string_agg(name, ', ' ORDER BY name) AS names,
         string_agg(format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', name), '; ' ORDER BY name) AS remedy
    FROM judged WHERE problem = 'policy')
SELECT CASE WHEN what = 'SCHEMA' THEN 'schema ' ELSE '' END || CASE WHEN problem = 'policy' THEN names ELSE name END || CASE problem
         WHEN 'kind' THEN ' is no ordinary table'
         WHEN 'trigger' THEN format(' has a trigger, %I', tgname)
         WHEN 'rule' THEN format(' has a rule, %I', rulename)
         WHEN 'policy' THEN format(': rows are hidden from role %I by row-level security', current_user)
         WHEN 'key' THEN ' has no primary key (a copy that left it out?)'
         WHEN 'owner' THEN format(' belongs to %I, whom role %I has no reason to trust', pg_get_userbyid(owner), worker)
         ELSE format(' may execute code when it is read (by a type, an index, statistics or a child of its own), and belongs to %I, whom role %I has no reason to trust',
                     pg_get_userbyid(owner), worker) END,
       CASE problem
         WHEN 'kind' THEN CASE WHEN is_ours THEN 'choose another schema: database.bookkeeping_schema'
                          ELSE 'whose is it? a history is a table that the migration tool itself has made' END
         WHEN 'trigger' THEN format('as its owner: DROP TRIGGER %I ON %s', tgname, name)
         WHEN 'rule' THEN format('as its owner: DROP RULE %I ON %s', rulename, name)
         WHEN 'policy' THEN format('as their owner: %s; or as a superuser: ALTER ROLE %I BYPASSRLS', remedy, current_user)
         WHEN 'key' THEN format('as its owner: ALTER TABLE %s ADD PRIMARY KEY (%s)', name,
           CASE relname WHEN 'lock' THEN 'name' WHEN 'run' THEN 'id' WHEN 'step' THEN 'migration_id, segment'
                        WHEN 'marker' THEN 'app, release, scope' WHEN 'snapshot' THEN 'scope, slot' ELSE 'version' END)
         ELSE CASE WHEN NOT $4 THEN format('whoever migrates this database looks at it: \d+ %s. A reader cannot mend it: what is ours belongs to the role that runs migrations', name)
              ELSE format('if you know it for ours: run as %I; or as a superuser: ALTER %s %s OWNER TO %I', pg_get_userbyid(owner), what, name, worker)
              || CASE WHEN is_ours THEN '. If not, choose another schema: database.bookkeeping_schema' ELSE '' END END END
  FROM judged, hiding, worker WHERE problem IS NOT NULL ORDER BY 1 LIMIT 1)sql";

}  // namespace

Bookkeeping::Bookkeeping(const std::string& schema)
    : name_{schema}, schema_{pg::quote_identifier(schema) + "."} {}

std::string Bookkeeping::sql(const char* statement) const {
  constexpr std::string_view k_default = "schemagate.";
  std::string text{statement};
  for (auto at = text.find(k_default); at != std::string::npos;
       at = text.find(k_default, at + schema_.size()))
    text.replace(at, k_default.size(), schema_);
  return text;
}

bool Bookkeeping::exists(pg::Session& session) const {
  // Not to_regclass: its cache may miss what another runner committed while we waited for the lock.
  return !session
              .query("SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                     "WHERE n.nspname = $1 AND c.relname = 'version'",
                     {name_})
              .empty();
}

bool Bookkeeping::may_read(pg::Session& session, const std::string& table) const {
  return !session
              .query(
                  "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                  "WHERE n.nspname = $1 AND c.relname = $2 AND has_schema_privilege(n.oid, 'USAGE') "
                  "AND has_table_privilege(c.oid, 'SELECT')",
                  {name_, table})
              .empty();
}

void Bookkeeping::refuse_untrusted(pg::Session& session, const std::optional<TableName>& history,
                                   Trust trust, const std::string& worker) const {
  const auto table = history.value_or(TableName{});
  const auto rows = session.query(
      k_untrusted, {name_, table.schema, table.name, trust == Trust::to_work ? "t" : "f", worker});
  if (rows.empty()) return;
  throw Failure{ExitCode::refused,
                fmt::format("refused: {}: what it says cannot be believed", rows[0].text(0)),
                rows[0].text(1)};
}

bool Bookkeeping::is_current(pg::Session& session) const {
  return version_by_columns(session) == statements::k_tables_version;
}

bool Bookkeeping::has_scopes(pg::Session& session) const {
  return version_by_columns(session) >= 3;
}

// 0: an older one, or none.
int Bookkeeping::version_by_columns(pg::Session& session) const {
  const auto columns = session.query(
      "SELECT c.relname || '.' || attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid "
      "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname IN "
      "('marker', 'snapshot') AND attname IN ('scope', 'fingerprint')",
      {name_});
  int newest = 0;
  for (const auto& [version, table, column] : statements::k_signs) {
    const auto sign = fmt::format("{}.{}", table, column);
    if (std::none_of(columns.begin(), columns.end(),
                     [&](const auto& row) { return row.text(0) == sign; }))
      break;
    newest = version;
  }
  return newest;
}

void Bookkeeping::create_if_missing(pg::Session& session) const {
  try {
    refuse_untrusted(session, std::nullopt, Trust::to_work);
    if (!exists(session) && !has_scopes(session)) {
      create(session);
      refuse_untrusted(session, std::nullopt, Trust::to_work);  // another's, in the meantime
    }
    int version = exists(session) ? read_version(session) : statements::k_tables_version;
    if (version < statements::k_tables_version) {
      upgrade(session, version);
      version = read_version(session);
    }
    if (version > statements::k_tables_version) {
      throw Failure{
          ExitCode::refused,
          fmt::format(
              "the tables in schema {} are of version {}, written by a newer schemagate; this "
              "one knows version {}",
              name_, version, statements::k_tables_version),
          "use the newer schemagate for this deploy too"};
    }
    make_missing_again(session);
  } catch (const pg::Error& e) {
    if (!e.context.empty()) throw;  // somebody's event trigger, whatever it says
    if (e.sqlstate == "42P07" || e.sqlstate == "42P01" || e.sqlstate == "42703") {
      throw Failure{ExitCode::refused,
                    fmt::format("the schema {} holds something else than schemagate's tables: {}",
                                name_, e.message),
                    "choose another one: database.bookkeeping_schema"};
    }
    const auto is_about = [&](const char* what) {
      return e.message.starts_with(fmt::format("permission denied for {} ", what));
    };
    if (exists(session) || !(is_about("schema") || is_about("database"))) throw;
    throw Failure{
        ExitCode::refused,
        fmt::format("the role may not use or create schemagate's own tables: {}", e.message),
        session.row(k_grant_for_tables, {name_}).text(0)};
  }
}

void Bookkeeping::check_rights(pg::Session& session,
                               const std::optional<TableName>& history) const {
  const auto table = history.value_or(TableName{});
  const auto missing = session.row(k_missing_rights, {name_, table.schema, table.name});
  if (const auto& rights = missing.at(0))
    throw Failure{ExitCode::refused,
                  fmt::format("refused: the role lacks rights that a run needs: {}", *rights),
                  missing.text(1)};
  try {
    session.query_within(k_try_within,
                         session.row(k_try_updates, {name_, table.schema, table.name}).text(0));
  } catch (const pg::Error& e) {  // whoever locks one now is waited for when it is written
    if (e.sqlstate != "55P03" && e.sqlstate != "57014") throw;
  }
  if (!history) return;
  const auto grant = session.query(k_may_not_create_history, {table.schema, table.name});
  if (grant.empty()) return;
  throw Failure{ExitCode::refused,
                fmt::format("refused: the role may not create tables in schema {}, and there is no "
                            "{} in it yet",
                            table.schema, table.name),
                grant[0].text(0)};
}

// A copy of the tables without their rows is as new as its columns.
int Bookkeeping::read_version(pg::Session& session) const {
  auto rows = session.query(sql(statements::k_read_version));
  if (rows.empty())
    if (const auto version = version_by_columns(session); version > 0)
      rows = session.query(sql(statements::k_write_version), {std::to_string(version)});
  if (rows.empty())
    throw Failure{
        ExitCode::refused,
        fmt::format("nothing in the schema {} says which version schemagate's tables there are of",
                    name_),
        "choose another one: database.bookkeeping_schema"};
  return static_cast<int>(rows[0].number(0));
}

void Bookkeeping::upgrade(pg::Session& session, int version) const {
  std::string text = std::string{k_change_tables} + pg::k_guard;
  for (auto from = static_cast<std::size_t>(version); from <= statements::k_upgrades.size(); ++from)
    text += sql(statements::k_upgrades.at(from - 1));
  text += keep_from_others_sql(session, "snapshot") + owner_sql(session, "snapshot");
  try {
    session.execute(text);
  } catch (const pg::Error& e) {
    if (read_version(session) != version) return;  // another runner was first
    if (e.sqlstate != "42501") throw;
    throw Failure{
        ExitCode::refused,
        fmt::format("schemagate's own tables in schema {} are of an older version, and the role "
                    "may not change them: {}",
                    name_, e.message),
        "run once as the role that owns them"};
  }
}

void Bookkeeping::create(pg::Session& session) const {
  // IF NOT EXISTS asks for CREATE on the database even where the schema is there.
  const auto schema = session.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", {name_});
  std::string text = std::string{k_change_tables} + pg::k_guard;
  if (schema.empty()) text += "CREATE SCHEMA IF NOT EXISTS " + pg::quote_identifier(name_) + ";";
  text += create_sql();
  for (const auto* table : {"version", "lock", "run", "step", "marker", "snapshot"})
    text += keep_from_others_sql(session, table);
  try {
    session.execute(text);
  } catch (const pg::Error&) {
    if (!exists(session)) throw;  // else another runner was first
  }
}

std::string Bookkeeping::create_sql() const {
  auto text = sql(statements::k_create_tables);
  for (const auto* step : statements::k_upgrades) text += sql(step);
  return text;
}

// From what default privileges give on new tables.
std::string Bookkeeping::keep_from_others_sql(pg::Session& session,
                                              const std::string& table) const {
  std::string text;
  for (const auto& other : other_writers_of_new_tables(session, name_))
    text += keep_from_sql(session, schema_ + table, other);
  return text;
}

// A role that is a member of the owner of the others may have made it.
std::string Bookkeeping::owner_sql(pg::Session& session, const std::string& table) const {
  std::string text;
  for (const auto& row : session.query(k_other_owner, {name_}))
    text += fmt::format("ALTER TABLE {}{} OWNER TO {};", schema_, table, row.text(0));
  return text;
}

// What somebody dropped: as all of them are made aside.
void Bookkeeping::make_missing_again(pg::Session& session) const {
  const auto missing = session.query(k_missing_tables, {name_});
  if (missing.empty()) return;
  std::string text =
      std::string{k_change_tables} + pg::k_guard + Bookkeeping{"pg_temp"}.create_sql();
  std::vector<std::string> names;
  for (const auto& row : missing) {
    const auto& name = names.emplace_back(row.text(0));
    text += fmt::format("CREATE TABLE {0}{1} (LIKE pg_temp.{1} INCLUDING ALL);", schema_, name) +
            keep_from_others_sql(session, name);
  }
  text += "DROP TABLE pg_temp.version, pg_temp.lock, pg_temp.run, pg_temp.step, pg_temp.marker, "
          "pg_temp.snapshot";
  try {
    session.execute(text);
  } catch (const pg::Error&) {
    if (!session.query(k_missing_tables, {name_}).empty()) throw;  // else another runner was first
    return;
  }
  log::warn(fmt::format(
      "in schema {} somebody had dropped {}: made again, without rows and without the rights "
      "that others had (deploy/sql/gate-role.sql)",
      name_, join(names, ", ")));
}

}  // namespace schemagate
