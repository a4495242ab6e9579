#include "schemagate/recovery/settle.hpp"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <set>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
std::string this_user() {
  const auto* entry = ::getpwuid(::geteuid());
  return (entry != nullptr ? entry->pw_name : std::to_string(::geteuid())) + "@" + this_host();
}

void settle(Fenced& transaction, const WritableHistory& history,
            const std::vector<Settlement>& proven, const RunRecord& record) {
  std::set<std::string> recorded;  // two rows of one name become one that is applied
  std::vector<std::string> notes;
  for (const auto& settlement : proven) {
    const auto& row = *settlement.row;
    const bool is_applied = settlement.outcome == Settlement::Outcome::applied;
    history.mark_rolled_back(transaction, row.id);
    if (is_applied && recorded.insert(row.name).second)
      history.mark_applied(transaction, row.name,
                           settlement.migration != nullptr ? settlement.migration->checksum
                                                           : row.checksum);
    notes.push_back(fmt::format("{} settled as {}: {}", row.name,
                                is_applied ? "applied" : "rolled back", settlement.because));
    log::warn(fmt::format(
        "migration {}, which an earlier deploy left unfinished, is settled as {}: {}", row.name,
        is_applied ? "applied" : "rolled back, and will be executed again", settlement.because));
  }
  record.note(transaction, join(notes, "\n"));
}

History as_settled(History history, const std::vector<Settlement>& proven) {
  for (auto& row : history.rows) {
    for (const auto& settlement : proven) {
      if (settlement.row->id != row.id) continue;
      row.finished = settlement.outcome == Settlement::Outcome::applied;
      row.rolled_back = !row.finished;
    }
  }
  return history;
}

void write(Fenced& transaction, const WritableHistory& history,
           const std::vector<Correction>& corrections, const RunRecord& record) {
  const auto role = transaction.row("SELECT session_user").text(0);
  history.create_if_missing(transaction);
  std::vector<std::string> notes;
  for (const auto& one : corrections) {
    for (const auto& id : one.row_ids) history.mark_rolled_back(transaction, id);
    if (!one.edited_id.empty()) history.set_checksum(transaction, one.edited_id, one.checksum);
    else if (one.applied) history.mark_applied(transaction, one.name, one.checksum);
    notes.push_back(fmt::format("{} {} by {} (role {}): {}", one.name,
                                !one.edited_id.empty() ? "accepted as its file is now"
                                : one.applied          ? "marked as applied"
                                                       : "marked as rolled back",
                                this_user(), role, one.because));
  }
  record.note(transaction, join(notes, "\n"));
}

}  // namespace schemagate
