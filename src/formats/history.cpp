#include "schemagate/formats/history.hpp"

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

}  // namespace schemagate
