#pragma once
// Every SQL text about our own tables, as it can be pasted into psql. Bookkeeping::sql() puts the
// configured schema in place of "schemagate.". Only the server's clock is stored or compared.
// The formats are described in docs/internals.md.

namespace schemagate::statements {

inline constexpr const char* k_read_version = "SELECT version FROM schemagate.version";
// $1 version
inline constexpr const char* k_write_version =
    "INSERT INTO schemagate.version VALUES ($1) RETURNING version";

// --- lease
// ----------------------------------------------------------------------------------------

// $1 name, $2 holder, $3 nonce, $4 app, $5 release, $6 host, $7 ttl in ms, $8 the sign of life (as
// k_read_lease gives it) of a holder that has given none for its whole ttl, or NULL
inline constexpr const char* k_take_lease = R"sql(
INSERT INTO schemagate.lock AS held
       (name, holder, nonce, role, fence, app, release, host, acquired_at, renewed_at, expires_at)
VALUES ($1, $2, $3, session_user, 1, $4, $5, $6, clock_timestamp(), clock_timestamp(),
        clock_timestamp() + $7::bigint * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE
   SET holder = excluded.holder, nonce = excluded.nonce, role = excluded.role, fence = held.fence + 1,
       app = excluded.app, release = excluded.release, host = excluded.host, acquired_at = clock_timestamp(),
       renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $7::bigint * interval '1 millisecond'
 WHERE held.expires_at < clock_timestamp()
       OR held.fence || ' ' || held.nonce || ' ' || extract(epoch FROM held.renewed_at) = $8::text
RETURNING fence)sql";

// What came with later versions of the tables is read so that status can look at older ones, too.

// $1 name. A clock that was set back shows as a sign of life in the future. The ttl is 0 where the
// lease was given back.
inline constexpr const char* k_read_lease = R"sql(
SELECT app, release, host, to_char(acquired_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
       greatest(extract(epoch FROM clock_timestamp() - renewed_at)::bigint, 0),
       expires_at < clock_timestamp(), holder, fence, to_jsonb(lock) ->> 'role',
       fence || ' ' || coalesce(to_jsonb(lock) ->> 'nonce', '') || ' ' || extract(epoch FROM renewed_at),
       CASE WHEN isfinite(expires_at)
            THEN ceil(extract(epoch FROM expires_at - renewed_at) * 1000)::bigint ELSE 0 END
  FROM schemagate.lock WHERE name = $1)sql";

// $1 app
inline constexpr const char* k_last_worker = R"sql(
SELECT rolname FROM schemagate.lock JOIN pg_roles ON rolname = to_jsonb(lock) ->> 'role'
 WHERE app = $1 ORDER BY acquired_at DESC LIMIT 1)sql";

// $1 name. Needs SELECT on these two columns only.
inline constexpr const char* k_is_lease_held =
    "SELECT expires_at > clock_timestamp() FROM schemagate.lock WHERE name = $1";

// $1 name, $2 nonce, $3 fence, $4 ttl in ms
inline constexpr const char* k_renew_lease = R"sql(
UPDATE schemagate.lock
   SET renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $4::bigint * interval '1 millisecond'
 WHERE name = $1 AND nonce = $2 AND fence = $3 AND expires_at > clock_timestamp()
RETURNING 1)sql";

// $1 name, $2 nonce, $3 fence
inline constexpr const char* k_release_lease = R"sql(
UPDATE schemagate.lock SET expires_at = '-infinity' WHERE name = $1 AND nonce = $2 AND fence = $3)sql";

// $1 name, $2 nonce, $3 fence. Whoever takes over has to wait for this row until we have
// committed.
inline constexpr const char* k_check_fence = R"sql(
SELECT 1 FROM schemagate.lock WHERE name = $1 AND nonce = $2 AND fence = $3 FOR UPDATE)sql";

// $1 prefix of application_name; $2 what follows it in our own, FENCE:NONCE, once the lease is
// ours: all other backends. Before, with an empty one, those below $3, a fence. The CASE keeps the
// cast away from names that are not ours.
inline constexpr const char* k_other_backends = R"sql(
SELECT pid, usename, usename = session_user FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND CASE WHEN starts_with(application_name, $1)
             AND substr(application_name, length($1) + 1) ~ '^[0-9]{1,18}:[0-9a-f]+$'
            THEN CASE WHEN $2 = '' THEN split_part(substr(application_name, length($1) + 1), ':', 1)::bigint < $3::bigint
                      ELSE NOT starts_with(application_name, $1 || $2) END
            ELSE false END)sql";

inline constexpr const char* k_terminate_backend = "SELECT pg_terminate_backend($1::integer)";

// --- runs
// -----------------------------------------------------------------------------------------

// $1 app, $2 release, $3 scope, $4 fence, $5 mode, $6 digest, $7 tool version, $8 host. Not from
// the sequence, nor by defaults: a logical copy of a database has the rows, but not where the
// sequences stood, and some tools leave defaults out. Nothing is returned where another run took
// the number meanwhile.
inline constexpr const char* k_begin_run = R"sql(
INSERT INTO schemagate.run
       (id, app, release, scope, fence, mode, digest, tool_version, host, started_at, status, applied)
OVERRIDING SYSTEM VALUE
VALUES ((SELECT coalesce(max(id), 0) + 1 FROM schemagate.run), $1, $2, $3, $4, $5, $6, $7, $8,
        clock_timestamp(), 'running', 0)
ON CONFLICT (id) DO NOTHING RETURNING id)sql";

// $1 id, $2 what was settled, by whom and why: one line each
inline constexpr const char* k_note_run = R"sql(
UPDATE schemagate.run SET note = concat_ws(E'\n', note, $2::text) WHERE id = $1)sql";

// $1 id, $2 status, $3 applied, $4 error code, $5 error
inline constexpr const char* k_finish_run = R"sql(
UPDATE schemagate.run SET finished_at = clock_timestamp(), status = $2, applied = $3, error_code = $4, error = $5
 WHERE id = $1)sql";

// --- markers
// --------------------------------------------------------------------------------------

// $1 app, $2 release, $3 scope, $4 status, $5 digest, $6 run, $7 error code, $8 error, $9 the
// history's oid. A failure that comes before anything was begun (a rolled-back image that meets a
// newer, broken history) does not undo completeness.
inline constexpr const char* k_write_marker = R"sql(
INSERT INTO schemagate.marker AS old
       (app, release, scope, status, digest, run_id, error_code, error, history_oid, completed_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $4 = 'complete' THEN clock_timestamp() END, clock_timestamp())
ON CONFLICT (app, release, scope) DO UPDATE
   SET status = excluded.status, digest = excluded.digest, run_id = excluded.run_id,
       error_code = excluded.error_code, error = excluded.error, history_oid = excluded.history_oid,
       completed_at = excluded.completed_at, changed_at = excluded.changed_at
 WHERE excluded.status <> 'failed' OR old.status <> 'complete' OR old.digest <> excluded.digest
RETURNING status)sql";

// $1 app, $2 release, $3 scope, $4 run, $5 error code, $6 error: a run that had closed the gates
// has ended, and another one may do better.
inline constexpr const char* k_end_marker = R"sql(
UPDATE schemagate.marker SET error_code = $5, error = $6, changed_at = clock_timestamp()
 WHERE app = $1 AND release = $2 AND scope = $3 AND status = 'running' AND run_id = $4)sql";

// $1 app, $2 release, $3 scope
inline constexpr const char* k_read_marker = R"sql(
SELECT status, digest, coalesce(error_code, 0), coalesce(error, ''), coalesce(history_oid, 0),
       to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.marker WHERE app = $1 AND release = $2 AND scope = $3)sql";

// $1 app, $2 release, $3 scope
inline constexpr const char* k_newer_release = R"sql(
SELECT newer.release, to_char(newer.completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.marker AS newer, schemagate.marker AS own
 WHERE own.app = $1 AND own.release = $2 AND own.scope = $3
   AND newer.app = $1 AND newer.scope = $3 AND newer.status = 'complete'
   AND newer.completed_at > own.completed_at
 ORDER BY newer.completed_at DESC LIMIT 1)sql";

// $1 scope: how its last run ended, whichever release's it was
inline constexpr const char* k_last_outcome = R"sql(
SELECT release, coalesce(error_code, 0), coalesce(error, ''), to_char(changed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.marker WHERE scope = $1 AND status <> 'running' ORDER BY changed_at DESC LIMIT 1)sql";

// $1 app, $2 release, $3 scope, $4 digest: what somebody who misses a marker should know of, the
// likeliest first: the same release elsewhere, another one with the same migrations, the last one.
inline constexpr const char* k_other_markers = R"sql(
SELECT release, scope, digest = $4, to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.marker
 WHERE app = $1 AND status = 'complete' AND NOT (release = $2 AND scope = $3)
   AND (scope = $3 OR release = $2)
 ORDER BY scope = $3 AND digest = $4 DESC, release = $2 DESC, completed_at DESC LIMIT 1)sql";

// --- snapshots: what the last good runs left
// ------------------------------------------------------------------------

// $1 scope, $2 the run that asks. The last column: a command was at work since, of which nobody can
// tell what it changed.
inline constexpr const char* k_last_snapshot = R"sql(
SELECT slot, to_char(taken_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), server_major, history,
       schemas, guard, fingerprint,
       EXISTS (SELECT 1 FROM schemagate.run r
                WHERE r.scope = s.scope AND r.id > s.run_id AND mode = 'command' AND status <> 'complete'
                  AND coalesce(error_code, 0) <> 22 AND r.id::text <> $2)
  FROM schemagate.snapshot s WHERE scope = $1 ORDER BY taken_at DESC LIMIT 1)sql";

// $1 scope, $2 slot, $3 guard
inline constexpr const char* k_renew_guard =
    "UPDATE schemagate.snapshot SET guard = $3 WHERE scope = $1 AND slot = $2::integer";

// $1 scope, $2 the history's state before, $3 and after what changed nothing but the history
inline constexpr const char* k_history_was_corrected =
    "UPDATE schemagate.snapshot SET history = $3 WHERE scope = $1 AND history = $2";

// $1 scope: schemas that hold what belongs to others, by their scopes ("FORMAT:SCHEMA" and more).
inline constexpr const char* k_schemas_of_others = R"sql(
SELECT DISTINCT nspname
  FROM pg_namespace, (SELECT scope FROM schemagate.marker UNION SELECT scope FROM schemagate.run) AS known
 WHERE scope <> $1 AND scope <> ''
   AND starts_with(substr(scope, strpos(scope, ':') + 1) || ':', nspname || ':'))sql";

// --- steps of migrations that cannot be one transaction
// ---------------------------------------------

inline constexpr const char* k_read_steps = R"sql(
SELECT migration_id, segment, digest, evidence, finished_at IS NOT NULL FROM schemagate.step ORDER BY 1, 2)sql";

// $1 migration id, $2 migration name, $3 segment, $4 digest, $5 evidence
inline constexpr const char* k_start_step = R"sql(
INSERT INTO schemagate.step (migration_id, migration_name, segment, digest, evidence, started_at)
VALUES ($1, $2, $3, $4, $5, clock_timestamp()) ON CONFLICT (migration_id, segment) DO UPDATE
   SET evidence = CASE WHEN step.digest = excluded.digest THEN step.evidence ELSE excluded.evidence END,
       digest = excluded.digest)sql";

// $1 migration id
inline constexpr const char* k_forget_begun = R"sql(
UPDATE schemagate.step SET digest = '', evidence = '' WHERE migration_id = $1 AND finished_at IS NULL)sql";

// $1 migration id, $2 migration name, $3 segment, $4 digest
inline constexpr const char* k_finish_step = R"sql(
INSERT INTO schemagate.step (migration_id, migration_name, segment, digest, evidence, started_at, finished_at)
VALUES ($1, $2, $3, $4, '', clock_timestamp(), clock_timestamp())
ON CONFLICT (migration_id, segment) DO UPDATE SET digest = excluded.digest, finished_at = clock_timestamp())sql";

// $1 migration id, $2 segment
inline constexpr const char* k_step_is_finished = R"sql(
SELECT 1 FROM schemagate.step WHERE migration_id = $1 AND segment = $2::integer AND finished_at IS NOT NULL)sql";

}  // namespace schemagate::statements
