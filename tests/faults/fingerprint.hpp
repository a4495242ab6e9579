#pragma once
// The whole of a deployment's database as text that two databases share exactly when they hold the
// same: columns, constraints, indexes with their validity, enums, rows, history, markers. All on
// the test's own session to it.

#include <string>

#include "support/server.hpp"

namespace testing {

namespace pg = schemagate::pg;

inline std::string value(pg::Session& session, const std::string& sql) {
  return session.query(sql).at(0).at(0).value_or("NULL");
}

// What migrations make: schema, rows, history.
inline std::string work_in(pg::Session& session) {
  const bool has_history =
      value(session, "SELECT to_regclass('public._prisma_migrations') IS NOT NULL") == "t";
  return value(session, std::string{R"sql(
WITH ours AS (SELECT c.oid, c.relname, c.oid::regclass::text AS name FROM pg_class c
              WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S'))
SELECT coalesce(string_agg(line, E'\n' ORDER BY line), '') FROM (
  SELECT format('column %s.%s %s', o.name, a.attname, format_type(a.atttypid, a.atttypmod)) AS line
    FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid WHERE a.attnum > 0 AND NOT attisdropped
  UNION ALL SELECT format('constraint %s %s', o.name, pg_get_constraintdef(k.oid))
    FROM ours o JOIN pg_constraint k ON k.conrelid = o.oid
  UNION ALL SELECT format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM ours o JOIN pg_index i ON i.indrelid = o.oid
  UNION ALL SELECT format('enum %s %s', e.enumtypid::regtype, e.enumlabel) FROM pg_enum e
  UNION ALL SELECT format('rows %s %s', o.name, query_to_xml('SELECT * FROM ' || o.name, true, true, ''))
    FROM ours o WHERE o.relname <> '_prisma_migrations' )sql"} +
                            (has_history ? R"sql(
  UNION ALL SELECT format('history %s %s finished %s rolled back %s', migration_name, checksum,
                          finished_at IS NOT NULL, rolled_back_at IS NOT NULL)
    FROM public._prisma_migrations )sql"
                                         : "") +
                            ") AS lines");
}

inline std::string marker_in(pg::Session& session) {
  if (value(session, "SELECT to_regclass('schemagate.marker') IS NULL") == "t") return "no tables";
  return value(session, "SELECT coalesce(string_agg(status || ' ' || digest, ', '), 'none')"
                        "  FROM schemagate.marker");
}

inline bool is_lease_free(pg::Session& session) {
  return value(session,
               "SELECT count(*) FROM schemagate.lock WHERE expires_at > clock_timestamp()") == "0";
}

inline std::string left_backends(pg::Session& session) {
  return value(session, "SELECT coalesce(string_agg(application_name || ': ' || query, ', '), '')"
                        "  FROM pg_stat_activity WHERE datname = current_database()"
                        "   AND application_name LIKE 'schemagate%'");
}

}  // namespace testing
