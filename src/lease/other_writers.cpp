#include "schemagate/lease/other_writers.hpp"

#include <fmt/core.h>

namespace schemagate {
namespace {

// $1 the history's oid, $2 our schema. A right on a column is a right to write, too; a REVOKE on
// the table takes it away (PostgreSQL manual, REVOKE). pg_write_all_data came with PostgreSQL 14.
constexpr const char* k_writers = R"sql(
WITH believed AS (
  SELECT c.oid, relowner, relacl, format('%I.%I', nspname, relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE c.oid = $1 OR nspname = $2 AND relname IN ('version', 'lock', 'run', 'step', 'marker', 'snapshot')),
granted AS (
  SELECT b.oid, grantee FROM believed b, aclexplode(relacl)
   WHERE privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE') AND grantee <> relowner
  UNION
  SELECT b.oid, grantee FROM believed b JOIN pg_attribute ON attrelid = b.oid, aclexplode(attacl)
   WHERE privilege_type IN ('INSERT', 'UPDATE') AND grantee <> relowner),
writer AS (
  SELECT granted.oid, 'PUBLIC' AS who, 'PUBLIC' AS source FROM granted WHERE grantee = 0
  UNION ALL
  SELECT granted.oid, quote_ident(r.rolname) || CASE WHEN r.oid = grantee THEN '' ELSE format(' (as %I)', g.rolname) END,
         quote_ident(g.rolname)
    FROM granted JOIN pg_roles g ON g.oid = grantee
         JOIN pg_roles r ON r.oid = grantee OR NOT r.rolsuper AND pg_has_role(r.oid, grantee, 'MEMBER')
         JOIN believed b ON b.oid = granted.oid
   WHERE r.rolname <> current_user AND NOT r.rolsuper AND NOT pg_has_role(r.oid, relowner, 'MEMBER')
  UNION ALL
  SELECT b.oid, format('%I (as pg_write_all_data)', r.rolname), NULL
    FROM believed b, pg_auth_members m JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = roleid
   WHERE g.rolname = 'pg_write_all_data' AND r.rolname <> current_user AND NOT r.rolsuper
     AND NOT pg_has_role(r.oid, relowner, 'MEMBER'))
SELECT who, string_agg(name, ', ' ORDER BY name),
       CASE WHEN source IS NULL THEN 'REVOKE pg_write_all_data FROM ' || split_part(who, ' (as ', 1)
            ELSE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %s FROM %s',
                        string_agg(name, ', ' ORDER BY name), source) END
  FROM writer JOIN believed USING (oid) GROUP BY who, source ORDER BY 1)sql";

// $1 a schema
constexpr const char* k_writers_of_new_tables = R"sql(
SELECT DISTINCT coalesce(quote_ident(rolname), 'PUBLIC')
  FROM pg_default_acl d, aclexplode(defaclacl) AS granted LEFT JOIN pg_roles r ON r.oid = grantee
 WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = current_user AND grantee <> defaclrole
   AND (defaclnamespace = 0 OR defaclnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))
   AND privilege_type <> 'SELECT'
 ORDER BY 1)sql";

// $1 a schema, $2 a table in it
constexpr const char* k_grantees = R"sql(
SELECT DISTINCT coalesce(quote_ident(rolname), 'PUBLIC')
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) AS granted
       LEFT JOIN pg_roles r ON r.oid = grantee
 WHERE nspname = $1 AND relname = $2 AND grantee <> relowner AND privilege_type <> 'SELECT')sql";

std::vector<std::string> first_column(const pg::Rows& rows) {
  std::vector<std::string> values;
  for (const auto& row : rows) values.push_back(row.text(0));
  return values;
}

}  // namespace

std::vector<OtherWriter> other_writers(pg::Session& session, const Bookkeeping& bookkeeping,
                                       std::int64_t history) {
  std::vector<OtherWriter> writers;
  for (const auto& row :
       session.query(k_writers, {std::to_string(history), bookkeeping.schema_name()}))
    writers.push_back({.who = row.text(0), .tables = row.text(1), .remedy = row.text(2)});
  return writers;
}

std::vector<std::string> other_writers_of_new_tables(pg::Session& session,
                                                     const std::string& schema) {
  return first_column(session.query(k_writers_of_new_tables, {schema}));
}

std::string keep_from_sql(const pg::Session& session, const std::string& table,
                          const std::string& grantee) {
  return fmt::format(
      "REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER{} ON {} FROM {};",
      session.server_major_version() >= 17 ? ", MAINTAIN" : "", table, grantee);
}

void keep_from_others(Fenced& transaction, const TableName& table) {
  for (const auto& grantee :
       first_column(transaction.query(k_grantees, {table.schema, table.name})))
    transaction.execute(keep_from_sql(transaction.session(), table.quoted(), grantee));
}

}  // namespace schemagate
