#include "schemagate/formats/prisma.hpp"

#include <fmt/core.h>

#include "schemagate/base/hash.hpp"
#include "schemagate/lease/other_writers.hpp"

namespace schemagate::prisma {
namespace {

// Tables that do not make a database "not empty": PostGIS's own. (Prisma compares without case.)
constexpr const char* k_tables_of_schema = R"sql(
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE relkind = 'r' AND nspname = $1
   AND lower(relname) NOT IN ('spatial_ref_sys', 'geometry_columns', 'geography_columns', 'raster_columns',
                              'raster_overviews')
   AND NOT (nspname = $2 AND relname IN ('lock', 'run', 'step', 'marker', 'snapshot', 'version'))
 ORDER BY relname)sql";

// Only what somebody asks for: the logs of what was applied are kept for ever, and so is each
// attempt that was rolled back.
constexpr const char* k_read = R"sql(
SELECT id, migration_name, checksum,
       CASE WHEN finished_at IS NULL OR rolled_back_at IS NOT NULL THEN coalesce(left(logs, 10000), '') ELSE '' END,
       finished_at IS NOT NULL, rolled_back_at IS NOT NULL,
       applied_steps_count, coalesce(logs = '' AND started_at = finished_at AND applied_steps_count = 0, false),
       CASE WHEN $1 OR finished_at IS NULL
            THEN to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') END,
       CASE WHEN $1 THEN to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') END,
       CASE WHEN $1 THEN (extract(epoch FROM finished_at) * 1000000)::bigint END
  FROM {0}
 WHERE (rolled_back_at IS NULL
        OR id IN (SELECT DISTINCT ON (migration_name) id FROM {0} WHERE rolled_back_at IS NOT NULL
                   ORDER BY migration_name, started_at DESC)){1}
 ORDER BY started_at)sql";

constexpr std::size_t k_others_max = 1000;
constexpr std::size_t k_of_one_name_max = 3;
constexpr const char* k_only_what_matters = R"sql(
   AND id IN (SELECT id FROM
               (SELECT id, row_number() OVER (PARTITION BY migration_name ORDER BY started_at DESC) AS of_name
                  FROM {0} WHERE migration_name IN (VALUES {1}) OR finished_at IS NULL) AS ours
               WHERE of_name <= {3}
              UNION ALL
              (SELECT id FROM {0} WHERE finished_at IS NOT NULL AND migration_name NOT IN (VALUES {1})
                ORDER BY started_at DESC LIMIT {2})))sql";

constexpr const char* k_create = R"sql(
CREATE TABLE {} (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
))sql";

}  // namespace

Table::Table(const std::string& schema, const Bookkeeping& bookkeeping, const Folder& folder)
    : name_{schema, "_prisma_migrations"}, table_{name_.quoted()}, bookkeeping_{bookkeeping},
      folder_{folder} {}

// For a table of more rows than a folder explains.
std::string Table::only_what_matters_sql() const {
  std::string names;
  for (const auto& migration : folder_.migrations)
    names += fmt::format("{}({})", names.empty() ? "" : ", ", pg::quote_literal(migration.name));
  if (names.empty()) names = "('')";
  return fmt::format(k_only_what_matters, table_, names, k_others_max, k_of_one_name_max);
}

History Table::read(pg::Session& session, Times times) const {
  History history;
  history.oid = session.row("SELECT to_regclass($1)::oid", {table_}).number(0);
  if (!history.exists()) {
    for (const auto& row :
         session.query(k_tables_of_schema, {name_.schema, bookkeeping_.schema_name()}))
      history.foreign_tables.push_back(row.text(0));
    return history;
  }
  bool unfinished = false;
  const auto rows_max = 4 * folder_.migrations.size() + k_others_max;
  const bool is_huge =
      session
          .row(fmt::format("SELECT count(*) > {} FROM (SELECT FROM {} LIMIT {}) AS seen", rows_max,
                           table_, rows_max + 1))
          .flag(0);
  for (const auto& row :
       session.query(fmt::format(k_read, table_, is_huge ? only_what_matters_sql() : ""),
                     {times == Times::all ? "t" : "f"})) {
    history.rows.push_back({.id = row.text(0),
                            .name = row.text(1),
                            .checksum = row.text(2),
                            .logs = row.text(3),
                            .started_at = row.text(8),
                            .finished_at = row.text(9),
                            .finished_us = row.number(10),
                            .steps = static_cast<int>(row.number(6)),
                            .by_resolve = row.flag(7),
                            .finished = row.flag(4),
                            .rolled_back = row.flag(5)});
    auto& last = history.rows.back();
    if (!last.applied()) last.reason = reason_in(last.logs);
    unfinished = unfinished || last.failed();
  }
  if (unfinished) history.steps = read_steps(session, bookkeeping_);
  return history;
}

void Table::create_if_missing(Fenced& transaction) const {
  if (transaction.row("SELECT to_regclass($1) IS NOT NULL", {table_}).flag(0)) return;
  if (transaction.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", {name_.schema}).empty())
    transaction.execute("CREATE SCHEMA " + pg::quote_identifier(name_.schema));
  transaction.execute(create_sql());
  keep_from_others(transaction, name_);
}

std::string Table::create_sql() const { return fmt::format(k_create, table_); }

std::string Table::insert_applied_sql(const std::string& id, const std::string& name,
                                      const std::string& checksum,
                                      const std::string& started_at) const {
  return fmt::format(
      "INSERT INTO {} (id, checksum, migration_name, started_at, finished_at, applied_steps_count) "
      "VALUES ({}, {}, {}, {}, clock_timestamp(), 1)",
      table_, pg::quote_literal(id), pg::quote_literal(checksum), pg::quote_literal(name),
      started_at);
}

std::string Table::finish_sql(const std::string& id, const std::string& checksum) const {
  return fmt::format(
      "UPDATE {} SET finished_at = clock_timestamp(), applied_steps_count = 1, logs = NULL, "
      "checksum = {} WHERE id = {}",
      table_, pg::quote_literal(checksum), pg::quote_literal(id));
}

void Table::insert_started(Fenced& transaction, const std::string& id, const std::string& name,
                           const std::string& checksum) const {
  transaction.query(fmt::format("INSERT INTO {} (id, checksum, migration_name, started_at, "
                                "applied_steps_count) VALUES ($1, $2, $3, clock_timestamp(), 0)",
                                table_),
                    {id, checksum, name});
}

void Table::insert_rolled_back(Fenced& transaction, const std::string& id, const std::string& name,
                               const std::string& checksum, const std::string& logs) const {
  transaction.query(
      // One reading of the clock: PostgreSQL evaluates in the order of the table's columns.
      fmt::format(
          "INSERT INTO {} (id, checksum, migration_name, logs, started_at, rolled_back_at, applied_steps_count) "
          "SELECT $1, $2, $3, $4, at, at, 0 FROM clock_timestamp() AS at",
          table_),
      {id, checksum, name, logs});
}

void Table::set_failed(Fenced& transaction, const std::string& id, const std::string& logs) const {
  transaction.query(fmt::format("UPDATE {} SET logs = $2 WHERE id = $1", table_), {id, logs});
}

void Table::forget_logs(Fenced& transaction, const std::string& id) const {
  transaction.query(fmt::format("UPDATE {} SET logs = NULL WHERE id = $1", table_), {id});
}

void Table::set_rolled_back(Fenced& transaction, const std::string& id,
                            const std::string& logs) const {
  transaction.query(
      fmt::format("UPDATE {} SET logs = $2, rolled_back_at = clock_timestamp() WHERE id = $1",
                  table_),
      {id, logs});
}

void Table::mark_applied(Fenced& transaction, const std::string& name,
                         const std::string& checksum) const {
  transaction.query(
      fmt::format(
          "INSERT INTO {} (id, checksum, logs, started_at, finished_at, migration_name, applied_steps_count) "
          "SELECT $1, $2, '', at, at, $3, 0 FROM clock_timestamp() AS at",
          table_),
      {random_uuid(), checksum, name});
}

void Table::mark_rolled_back(Fenced& transaction, const std::string& id) const {
  transaction.query(
      fmt::format("UPDATE {} SET rolled_back_at = clock_timestamp() WHERE id = $1", table_), {id});
}

void Table::set_checksum(Fenced& transaction, const std::string& id,
                         const std::string& checksum) const {
  transaction.query(fmt::format("UPDATE {} SET checksum = $2 WHERE id = $1", table_),
                    {id, checksum});
}

bool Table::is_finished(pg::Session& session, const std::string& id) const {
  return !session
              .query(
                  fmt::format("SELECT 1 FROM {} WHERE id = $1 AND finished_at IS NOT NULL", table_),
                  {id})
              .empty();
}

}  // namespace schemagate::prisma
