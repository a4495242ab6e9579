#include "schemagate/formats/history.hpp"

#include <fmt/core.h>

#include "schemagate/base/text.hpp"
#include "schemagate/lease/statements.hpp"

namespace schemagate {
namespace {

// Tables that do not make a database "not empty": PostGIS's own. (Prisma compares without case.)
constexpr const char* k_tables_of_schema = R"sql(
SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
 WHERE relkind = 'r' AND nspname = $1
   AND lower(relname) NOT IN ('spatial_ref_sys', 'geometry_columns', 'geography_columns', 'raster_columns',
                              'raster_overviews')
   AND NOT (nspname = $2 AND relname IN ('lock', 'run', 'step', 'marker', 'version'))
 ORDER BY relname)sql";

constexpr const char* k_read = R"sql(
SELECT id, migration_name, checksum, coalesce(logs, ''), finished_at IS NOT NULL, rolled_back_at IS NOT NULL,
       applied_steps_count, coalesce(logs = '' AND started_at = finished_at AND applied_steps_count = 0, false),
       CASE WHEN $1 OR finished_at IS NULL
            THEN to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') END,
       CASE WHEN $1 THEN to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"') END
  FROM {} ORDER BY started_at)sql";

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

const HistoryRow* History::applied(const std::string& name) const {
  for (const auto& row : rows)
    if (row.name == name && row.applied()) return &row;
  return nullptr;
}

std::string current_schema(pg::Session& session) {
  return session.row("SELECT coalesce(current_schema(), 'public')").text(0);
}

HistoryTable::HistoryTable(const std::string& schema, const Bookkeeping& bookkeeping)
    : schema_{schema},
      table_{pg::quote_identifier(schema) + "." + pg::quote_identifier("_prisma_migrations")},
      bookkeeping_{bookkeeping} {}

History HistoryTable::read(pg::Session& session, Times times) const {
  History history;
  history.exists = session.row("SELECT to_regclass($1) IS NOT NULL", {table_}).flag(0);
  if (!history.exists) {
    for (const auto& row : session.query(k_tables_of_schema, {schema_, bookkeeping_.schema_name()}))
      history.foreign_tables.push_back(row.text(0));
    return history;
  }
  bool unfinished = false;
  for (const auto& row :
       session.query(fmt::format(k_read, table_), {times == Times::all ? "t" : "f"})) {
    history.rows.push_back({.id = row.text(0),
                            .name = row.text(1),
                            .checksum = row.text(2),
                            .logs = row.text(3),
                            .started_at = row.text(8),
                            .finished_at = row.text(9),
                            .steps = static_cast<int>(row.number(6)),
                            .by_resolve = row.flag(7),
                            .finished = row.flag(4),
                            .rolled_back = row.flag(5)});
    unfinished = unfinished || history.rows.back().failed();
  }
  if (unfinished && bookkeeping_.may_read(session, "step")) {
    for (const auto& row : session.query(bookkeeping_.sql(statements::k_read_steps))) {
      history.steps[row.text(0)][static_cast<int>(row.number(1))] = {
          .digest = row.text(2), .evidence = row.text(3), .finished = row.flag(4)};
    }
  }
  return history;
}

void HistoryTable::create_if_missing(pg::Session& session) const {
  if (session.row("SELECT to_regclass($1) IS NOT NULL", {table_}).flag(0)) return;
  if (session.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", {schema_}).empty())
    session.execute("CREATE SCHEMA " + pg::quote_identifier(schema_));
  session.execute(fmt::format(k_create, table_));
}

std::string HistoryTable::insert_applied_sql(const std::string& id, const std::string& name,
                                             const std::string& checksum,
                                             const std::string& started_at) const {
  return fmt::format(
      "INSERT INTO {} (id, checksum, migration_name, started_at, finished_at, applied_steps_count) "
      "VALUES ({}, {}, {}, {}, clock_timestamp(), 1)",
      table_, pg::quote_literal(id), pg::quote_literal(checksum), pg::quote_literal(name),
      started_at);
}

std::string HistoryTable::finish_sql(const std::string& id, const std::string& checksum) const {
  return fmt::format(
      "UPDATE {} SET finished_at = clock_timestamp(), applied_steps_count = 1, logs = NULL, "
      "checksum = {} WHERE id = {}",
      table_, pg::quote_literal(checksum), pg::quote_literal(id));
}

void HistoryTable::insert_started(pg::Session& session, const std::string& id,
                                  const std::string& name, const std::string& checksum) const {
  session.query(fmt::format("INSERT INTO {} (id, checksum, migration_name, started_at) "
                            "VALUES ($1, $2, $3, clock_timestamp())",
                            table_),
                {id, checksum, name});
}

void HistoryTable::insert_rolled_back(pg::Session& session, const std::string& id,
                                      const std::string& name, const std::string& checksum,
                                      const std::string& logs) const {
  session.query(
      // One reading of the clock: PostgreSQL evaluates in the order of the table's columns.
      fmt::format("INSERT INTO {} (id, checksum, migration_name, logs, started_at, rolled_back_at) "
                  "SELECT $1, $2, $3, $4, at, at FROM clock_timestamp() AS at",
                  table_),
      {id, checksum, name, logs});
}

void HistoryTable::set_failed(pg::Session& session, const std::string& id,
                              const std::string& logs) const {
  session.query(fmt::format("UPDATE {} SET logs = $2 WHERE id = $1", table_), {id, logs});
}

void HistoryTable::forget_logs(pg::Session& session, const std::string& id) const {
  session.query(fmt::format("UPDATE {} SET logs = NULL WHERE id = $1", table_), {id});
}

void HistoryTable::set_rolled_back(pg::Session& session, const std::string& id,
                                   const std::string& logs) const {
  session.query(
      fmt::format("UPDATE {} SET logs = $2, rolled_back_at = clock_timestamp() WHERE id = $1",
                  table_),
      {id, logs});
}

void HistoryTable::mark_applied(pg::Session& session, const std::string& name,
                                const std::string& checksum) const {
  session.query(
      fmt::format("INSERT INTO {} (id, checksum, logs, started_at, finished_at, migration_name) "
                  "SELECT $1, $2, '', at, at, $3 FROM clock_timestamp() AS at",
                  table_),
      {random_uuid(), checksum, name});
}

void HistoryTable::mark_rolled_back(pg::Session& session, const std::string& id) const {
  session.query(
      fmt::format("UPDATE {} SET rolled_back_at = clock_timestamp() WHERE id = $1", table_), {id});
}

bool HistoryTable::is_finished(pg::Session& session, const std::string& id) const {
  return !session
              .query(
                  fmt::format("SELECT 1 FROM {} WHERE id = $1 AND finished_at IS NOT NULL", table_),
                  {id})
              .empty();
}

}  // namespace schemagate
