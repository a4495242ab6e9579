#pragma once
// Every SQL text about our own tables, as it can be pasted into psql. Bookkeeping::sql() puts the
// configured schema in place of "schemagate.". Only the server's clock is stored or compared.
// The formats are described in docs/internals.md.

#include <array>

namespace schemagate::statements {

// --- tables
// ---------------------------------------------------------------------------------------

inline constexpr int k_tables_version = 2;

// Two first runs may meet here; the lock lasts only as long as the transaction that creates. It is
// the same for every schema: a quoted name has no place in a literal.
inline constexpr const char* k_lock_tables =
    "SELECT pg_advisory_xact_lock(hashtextextended('schemagate version', 0))";

inline constexpr const char* k_create_tables = R"sql(
CREATE TABLE schemagate.lock (
  name        text PRIMARY KEY,
  holder      text NOT NULL,
  fence       bigint NOT NULL,
  app         text NOT NULL,
  release     text NOT NULL,
  host        text NOT NULL,
  acquired_at timestamptz NOT NULL,
  renewed_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);
CREATE TABLE schemagate.run (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  app          text NOT NULL,
  release      text NOT NULL,
  fence        bigint NOT NULL,
  mode         text NOT NULL,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz,
  status       text NOT NULL DEFAULT 'running',
  applied      integer NOT NULL DEFAULT 0,
  error_code   integer,
  error        text,
  digest       text NOT NULL,
  tool_version text NOT NULL,
  host         text NOT NULL
);
CREATE TABLE schemagate.step (
  migration_id   text NOT NULL,
  migration_name text NOT NULL,
  segment        integer NOT NULL,
  digest         text NOT NULL,
  evidence       text NOT NULL DEFAULT '',
  started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at    timestamptz,
  PRIMARY KEY (migration_id, segment)
);
CREATE TABLE schemagate.marker (
  app          text NOT NULL,
  release      text NOT NULL,
  status       text NOT NULL CHECK (status IN ('running', 'complete', 'failed')),
  digest       text NOT NULL,
  run_id       bigint NOT NULL,
  error_code   integer,
  error        text,
  completed_at timestamptz,
  PRIMARY KEY (app, release)
);
CREATE TABLE schemagate.version (version integer NOT NULL);
INSERT INTO schemagate.version VALUES (1);
)sql";

// From each version to the next; the first one leads from 1 to 2. Each raises the version itself.
inline constexpr std::array k_upgrades = {
    R"sql(
ALTER TABLE schemagate.run ADD COLUMN note text;
UPDATE schemagate.version SET version = 2;
)sql",
};

inline constexpr const char* k_read_version = "SELECT version FROM schemagate.version";

// --- lease
// ----------------------------------------------------------------------------------------

// $1 name, $2 holder, $3 app, $4 release, $5 host, $6 ttl in ms
inline constexpr const char* k_take_lease = R"sql(
INSERT INTO schemagate.lock AS held (name, holder, fence, app, release, host, acquired_at, renewed_at, expires_at)
VALUES ($1, $2, 1, $3, $4, $5, clock_timestamp(), clock_timestamp(),
        clock_timestamp() + $6::bigint * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE
   SET holder = excluded.holder, fence = held.fence + 1, app = excluded.app, release = excluded.release,
       host = excluded.host, acquired_at = clock_timestamp(), renewed_at = clock_timestamp(),
       expires_at = clock_timestamp() + $6::bigint * interval '1 millisecond'
 WHERE held.expires_at < clock_timestamp()
RETURNING fence)sql";

// $1 name
inline constexpr const char* k_read_lease = R"sql(
SELECT holder, fence, app, release, host,
       to_char(acquired_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
       extract(epoch FROM clock_timestamp() - renewed_at)::bigint,
       expires_at < clock_timestamp()
  FROM schemagate.lock WHERE name = $1)sql";

// $1 name, $2 holder, $3 fence, $4 ttl in ms
inline constexpr const char* k_renew_lease = R"sql(
UPDATE schemagate.lock
   SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 millisecond'
 WHERE name = $1 AND holder = $2 AND fence = $3 AND expires_at > clock_timestamp()
RETURNING 1)sql";

// $1 name, $2 holder, $3 fence
inline constexpr const char* k_release_lease = R"sql(
UPDATE schemagate.lock SET expires_at = '-infinity' WHERE name = $1 AND holder = $2 AND fence = $3)sql";

// $1 name, $2 holder, $3 fence. Whoever takes over has to wait for this row until we have
// committed.
inline constexpr const char* k_check_fence = R"sql(
SELECT 1 FROM schemagate.lock WHERE name = $1 AND holder = $2 AND fence = $3 FOR UPDATE)sql";

// $1 prefix of application_name, $2 fence: backends of older fences. The CASE keeps the cast away
// from names that are not ours.
inline constexpr const char* k_older_backends = R"sql(
SELECT pid, usename FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND CASE WHEN left(application_name, length($1)) = $1
             AND substr(application_name, length($1) + 1) ~ '^[0-9]{1,18}$'
            THEN substr(application_name, length($1) + 1)::bigint < $2::bigint ELSE false END)sql";

inline constexpr const char* k_terminate_backend = "SELECT pg_terminate_backend($1::integer)";

// --- runs
// -----------------------------------------------------------------------------------------

// $1 app, $2 release, $3 fence, $4 mode, $5 digest, $6 tool version, $7 host
inline constexpr const char* k_begin_run = R"sql(
INSERT INTO schemagate.run (app, release, fence, mode, digest, tool_version, host)
VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id)sql";

// $1 id, $2 what was settled, by whom and why: one line each
inline constexpr const char* k_note_run = R"sql(
UPDATE schemagate.run SET note = concat_ws(E'\n', note, $2::text) WHERE id = $1)sql";

// $1 id, $2 status, $3 applied, $4 error code, $5 error
inline constexpr const char* k_finish_run = R"sql(
UPDATE schemagate.run SET finished_at = clock_timestamp(), status = $2, applied = $3, error_code = $4, error = $5
 WHERE id = $1)sql";

// The note came with version 2 of the tables.
inline constexpr const char* k_recent_runs = R"sql(
SELECT id, release, mode, status, applied, coalesce(error_code, 0), coalesce(error, ''),
       coalesce(to_jsonb(run) ->> 'note', ''), host,
       to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
       coalesce(round(extract(epoch FROM finished_at - started_at) * 1000)::bigint, -1)
  FROM schemagate.run WHERE app = $1 ORDER BY id DESC LIMIT 5)sql";

// --- markers
// --------------------------------------------------------------------------------------

// $1 app, $2 release, $3 status, $4 digest, $5 run, $6 error code, $7 error. A failure that comes
// before anything was begun (a rolled-back image that meets a newer, broken history) does not undo
// completeness.
inline constexpr const char* k_write_marker = R"sql(
INSERT INTO schemagate.marker (app, release, status, digest, run_id, error_code, error, completed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $3 = 'complete' THEN clock_timestamp() END)
ON CONFLICT (app, release) DO UPDATE
   SET status = excluded.status, digest = excluded.digest, run_id = excluded.run_id,
       error_code = excluded.error_code, error = excluded.error, completed_at = excluded.completed_at
 WHERE excluded.status <> 'failed' OR marker.status <> 'complete' OR marker.digest <> excluded.digest
RETURNING status)sql";

// $1 app, $2 release
inline constexpr const char* k_read_marker = R"sql(
SELECT status, digest, coalesce(error_code, 0), coalesce(error, ''),
       to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.marker WHERE app = $1 AND release = $2)sql";

inline constexpr const char* k_newer_release = R"sql(
SELECT newer.release, to_char(newer.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.marker AS newer, schemagate.marker AS own
 WHERE own.app = $1 AND own.release = $2 AND newer.app = $1 AND newer.status = 'complete'
   AND newer.completed_at > own.completed_at
 ORDER BY newer.completed_at DESC LIMIT 1)sql";

inline constexpr const char* k_recent_markers = R"sql(
SELECT release, status, coalesce(error_code, 0),
       coalesce(to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), '')
  FROM schemagate.marker WHERE app = $1 ORDER BY run_id DESC LIMIT 5)sql";

// --- steps of migrations that cannot be one transaction
// ---------------------------------------------

inline constexpr const char* k_read_steps = R"sql(
SELECT migration_id, segment, digest, evidence, finished_at IS NOT NULL FROM schemagate.step ORDER BY 1, 2)sql";

// $1 migration id, $2 migration name, $3 segment, $4 digest, $5 evidence
inline constexpr const char* k_start_step = R"sql(
INSERT INTO schemagate.step (migration_id, migration_name, segment, digest, evidence)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (migration_id, segment) DO UPDATE
   SET evidence = CASE WHEN step.digest = excluded.digest THEN step.evidence ELSE excluded.evidence END,
       digest = excluded.digest)sql";

// $1 migration id, $2 migration name, $3 segment, $4 digest
inline constexpr const char* k_finish_step = R"sql(
INSERT INTO schemagate.step (migration_id, migration_name, segment, digest, finished_at)
VALUES ($1, $2, $3, $4, clock_timestamp())
ON CONFLICT (migration_id, segment) DO UPDATE SET digest = excluded.digest, finished_at = clock_timestamp())sql";

// $1 migration id, $2 segment
inline constexpr const char* k_step_is_finished = R"sql(
SELECT 1 FROM schemagate.step WHERE migration_id = $1 AND segment = $2::integer AND finished_at IS NOT NULL)sql";

}  // namespace schemagate::statements
