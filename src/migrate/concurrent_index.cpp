#include "schemagate/migrate/concurrent_index.hpp"

#include <algorithm>

#include "schemagate/base/text.hpp"

namespace schemagate::concurrent_index {
namespace {

using Action = Statement::Index::Action;

constexpr const char* k_invalid = " INVALID";  // behind a name in the evidence

// $1 the table's oid, or $2 that of an index of it; whichever there is.
constexpr const char* k_indexes_of_table = R"sql(
SELECT n.nspname, c.relname, i.indisvalid,
       EXISTS (SELECT 1 FROM pg_stat_progress_create_index p WHERE p.index_relid = c.oid)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.indrelid = coalesce($1::oid, (SELECT indrelid FROM pg_index WHERE indexrelid = $2::oid))
 ORDER BY c.relname)sql";

std::string qualified(const std::string& schema, const std::string& name) {
  if (name.empty()) return {};
  return (schema.empty() ? "" : pg::quote_identifier(schema) + ".") + pg::quote_identifier(name);
}

// The oid of what a script of this session means by the name.
pg::Value resolved(pg::Session& session, const std::string& name) {
  if (name.empty()) return std::nullopt;
  return session.query_unguarded("SELECT pg_catalog.to_regclass($1)::pg_catalog.oid", {name})
      .at(0)
      .at(0);
}

struct Found {
  std::string qualified_name;
  std::string name;
  bool valid;
  bool being_built;
};

std::vector<Found> indexes_of_table(pg::Session& session, const Statement::Index& index) {
  std::vector<Found> found;
  for (const auto& row : session.query(k_indexes_of_table,
                                       {resolved(session, qualified(index.schema, index.table)),
                                        resolved(session, qualified(index.schema, index.name))})) {
    const auto name = row.text(1);
    found.push_back({qualified(row.text(0), name), name, row.flag(2), row.flag(3)});
  }
  return found;
}

bool is_in(const std::string& name, const std::string& lines) {
  const auto names = split(lines, '\n');
  return std::find(names.begin(), names.end(), name) != names.end();
}

// REINDEX CONCURRENTLY builds a copy under such a name and leaves it when it is interrupted.
bool is_leftover_of_reindex(const std::string& name) {
  return name.find("_ccnew") != std::string::npos || name.find("_ccold") != std::string::npos;
}

// Could this index have been made by the statement?
bool is_its_own(const Statement::Index& index, const Found& found, const std::string& before) {
  switch (index.action) {
    case Action::create:
      if (!index.name.empty()) return found.name == index.name;
      return !is_in(found.name, before) && !is_in(found.name + k_invalid, before);
    case Action::rebuild: return is_leftover_of_reindex(found.name);
    case Action::drop: return false;
  }
  return false;
}

}  // namespace

std::string evidence(pg::Session& session, const Statement::Index& index) {
  std::vector<std::string> names;
  for (const auto& found : indexes_of_table(session, index))
    names.push_back(found.name + (found.valid ? "" : k_invalid));
  return join(names, "\n");
}

bool is_done(pg::Session& session, const Statement::Index& index, const std::string& before) {
  switch (index.action) {
    case Action::drop: return !resolved(session, qualified(index.schema, index.name));
    case Action::create:
      for (const auto& found : indexes_of_table(session, index)) {
        if (found.valid && is_its_own(index, found, before) && !is_in(found.name, before))
          return true;
      }
      return false;
    case Action::rebuild: return false;  // rebuilding twice does no harm
  }
  return false;
}

std::vector<std::string> left_invalid(pg::Session& session, const Statement::Index& index,
                                      const std::string& before) {
  std::vector<std::string> names;
  if (index.action == Action::drop) return names;
  for (const auto& found : indexes_of_table(session, index)) {
    if (!found.valid && !found.being_built && is_its_own(index, found, before))
      names.push_back(found.qualified_name);
  }
  return names;
}

}  // namespace schemagate::concurrent_index
