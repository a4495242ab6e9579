#include "schemagate/formats/history.hpp"

#include <fmt/core.h>

#include "schemagate/lease/statements.hpp"

namespace schemagate {
namespace {

// $1 the table's oid
constexpr const char* k_writers = R"sql(
SELECT quote_ident(rolname) FROM pg_roles r, pg_class c
 WHERE c.oid = $1 AND NOT rolsuper AND NOT starts_with(rolname, 'pg_')
   AND r.oid <> relowner AND rolname <> current_user
   AND (has_table_privilege(r.oid, c.oid, 'INSERT') OR has_table_privilege(r.oid, c.oid, 'UPDATE')
        OR has_table_privilege(r.oid, c.oid, 'DELETE') OR has_table_privilege(r.oid, c.oid, 'TRUNCATE'))
 ORDER BY 1)sql";

// $1 a schema
constexpr const char* k_writers_of_new_tables = R"sql(
SELECT DISTINCT coalesce(quote_ident(rolname), 'PUBLIC')
  FROM pg_default_acl d, aclexplode(defaclacl) AS granted LEFT JOIN pg_roles r ON r.oid = grantee
 WHERE defaclobjtype = 'r' AND pg_get_userbyid(defaclrole) = current_user AND grantee <> defaclrole
   AND (defaclnamespace = 0 OR defaclnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1))
   AND privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
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

const HistoryRow* History::applied(const std::string& name) const {
  for (const auto& row : rows)
    if (row.name == name && row.applied()) return &row;
  return nullptr;
}

std::map<std::string, std::map<int, Step>> read_steps(pg::Session& session,
                                                      const Bookkeeping& bookkeeping) {
  std::map<std::string, std::map<int, Step>> steps;
  if (!bookkeeping.may_read(session, "step")) return steps;
  for (const auto& row : session.query(bookkeeping.sql(statements::k_read_steps)))
    steps[row.text(0)][static_cast<int>(row.number(1))] = {
        .digest = row.text(2), .evidence = row.text(3), .finished = row.flag(4)};
  return steps;
}

std::vector<std::string> others_who_may_write(pg::Session& session, std::int64_t table) {
  return first_column(session.query(k_writers, {std::to_string(table)}));
}

std::vector<std::string> others_who_may_write_new_tables(pg::Session& session,
                                                         const std::string& schema) {
  return first_column(session.query(k_writers_of_new_tables, {schema}));
}

void keep_from_others(Fenced& transaction, const TableName& table) {
  for (const auto& grantee :
       first_column(transaction.query(k_grantees, {table.schema, table.name})))
    transaction.execute(
        fmt::format("REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {} FROM {}",
                    table.quoted(), grantee));
}

FoundTable find_table(pg::Session& session, const std::string& name,
                      const std::vector<std::string>& search_path) {
  FoundTable found{.name = {search_path.front(), name}};
  auto path = search_path;
  if (const auto dot = name.find('.'); dot != std::string::npos) {
    found.name = {name.substr(0, dot), name.substr(dot + 1)};
    path = {found.name.schema};
  }
  std::string places;
  for (std::size_t i = 0; i < path.size(); ++i)
    places += fmt::format("{}({}, {})", i == 0 ? "" : ", ", i, pg::quote_literal(path[i]));
  const auto rows = session.query(
      fmt::format("SELECT place.name, c.oid FROM (VALUES {}) AS place (number, name) "
                  "JOIN pg_namespace n ON nspname = place.name JOIN pg_class c ON relnamespace = n.oid "
                  "WHERE relname = $1 AND relkind NOT IN ('i', 'I') ORDER BY number LIMIT 1",
                  places),
      {found.name.name});
  if (!rows.empty()) found.name.schema = rows[0].text(0), found.oid = rows[0].number(1);
  return found;
}

}  // namespace schemagate
