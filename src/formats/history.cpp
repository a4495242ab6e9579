#include "schemagate/formats/history.hpp"

#include <fmt/core.h>

#include "schemagate/lease/statements.hpp"

namespace schemagate {
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
      fmt::format(
          "SELECT place.name, c.oid FROM (VALUES {}) AS place (number, name) "
          "JOIN pg_namespace n ON nspname = place.name JOIN pg_class c ON relnamespace = n.oid "
          "WHERE relname = $1 AND relkind NOT IN ('i', 'I') ORDER BY number LIMIT 1",
          places),
      {found.name.name});
  if (!rows.empty()) found.name.schema = rows[0].text(0), found.oid = rows[0].number(1);
  return found;
}

}  // namespace schemagate
