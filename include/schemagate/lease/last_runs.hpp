#pragma once
// The SQL texts about our own tables, continued (statements.hpp): what the last runs left, for
// whoever only looks.

namespace schemagate::statements {

// $1 app, $2 scope
inline constexpr const char* k_recent_runs = R"sql(
SELECT id, release, mode, status, applied, coalesce(error_code, 0), coalesce(error, ''),
       coalesce(to_jsonb(run) ->> 'note', ''), host,
       to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
       coalesce(round(extract(epoch FROM finished_at - started_at) * 1000)::bigint, -1)
  FROM schemagate.run WHERE app = $1 AND coalesce(to_jsonb(run) ->> 'scope', '') IN ('', $2)
 ORDER BY id DESC LIMIT 5)sql";

// $1 app, $2 scope
inline constexpr const char* k_recent_markers = R"sql(
SELECT release, status, coalesce(error_code, 0),
       coalesce(to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), '')
  FROM schemagate.marker WHERE app = $1 AND coalesce(to_jsonb(marker) ->> 'scope', '') IN ('', $2)
 ORDER BY run_id DESC LIMIT 5)sql";

// $1 app, $2 release, $3 scope. Not by corrections of the history, which are runs as well.
inline constexpr const char* k_first_completion = R"sql(
SELECT (extract(epoch FROM min(finished_at)) * 1000000)::bigint,
       to_char(min(finished_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"')
  FROM schemagate.run
 WHERE app = $1 AND release = $2 AND coalesce(to_jsonb(run) ->> 'scope', '') IN ('', $3)
   AND status = 'complete' AND mode NOT IN ('resolve', 'baseline', 'verify')
   AND digest IN (SELECT digest FROM schemagate.marker
                   WHERE app = $1 AND release = $2 AND status = 'complete'
                     AND coalesce(to_jsonb(marker) ->> 'scope', '') IN ('', $3)))sql";

}  // namespace schemagate::statements
