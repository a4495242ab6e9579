#include "correcting.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/commands/under_lease.hpp"
#include "schemagate/formats/tool_lock.hpp"
#include "schemagate/postgres/cancel_on_stop.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/drift.hpp"

namespace schemagate {
namespace {

pg::Session ready(Target& target, Stop& stop) {
  auto session = wait_until_ready(target.database, target.manifest.database, stop);
  target.find_history(session);
  if (target.writable_history() == nullptr)
    throw Failure{ExitCode::usage, "there is no history that schemagate may correct",
                  fmt::format("only that of {}; another tool corrects its own by its own commands",
                              k_writable_histories)};
  target.refuse_untrusted(session, Bookkeeping::Trust::to_work);
  return session;
}

}  // namespace

Correcting::Correcting(const Manifest& manifest, Stop& stop, std::vector<Correction>& settled)
    : stop_{stop}, target_{manifest, folder_of(manifest)}, session_{ready(target_, stop)},
      history_{target_.history()->read(session_)}, settled_{settled} {}

void Correcting::work(const std::string& mode,
                      const std::function<std::vector<Correction>()>& decide) {
  under_lease(session_, target_, true, stop_, [&](const Lease& lease) {
    const CancelOnStop cancel{session_, stop_};  // a row or the table may be locked by somebody
    ToolLock tool_lock{session_, *target_.folder.format, target_.database,
                       target_.manifest.lease.wait, stop_};
    tool_lock.acquire();
    history_ = target_.history()->read(session_);
    const auto corrections = decide();
    if (!corrections.empty()) write(mode, lease, corrections);
  });
}

void Correcting::begin_history() {
  if (history_.exists()) return log::info("there is a history already; nothing to do");
  under_lease(session_, target_, true, stop_, [&](const Lease& lease) {
    write("baseline", lease, {});
    log::info("a history begins that holds no migration: the next run applies all of them");
  });
}

void Correcting::write(const std::string& mode, const Lease& lease,
                       const std::vector<Correction>& corrections) {
  fenced(session_, lease, [&](Fenced& transaction) {
    RunRecord record;
    record.begin(transaction, target_.bookkeeping, target_.id, mode, target_.folder.digest,
                 lease.fence());
    const auto before = state_of_history(session_, target_);
    schemagate::write(transaction, *target_.writable_history(), corrections, record);
    keep_comparable(transaction, target_, before);
    record.complete(transaction, 0);
    stop_.check();
  });
  for (const auto& one : corrections) {
    log::info(fmt::format("migration {} {}", one.name,
                          !one.edited_id.empty() ? "accepted as its file is now"
                          : one.applied          ? "marked as applied"
                                                 : "marked as rolled back"));
    settled_.push_back(one);
  }
}

const Migration* Correcting::migration(const std::string& name) const {
  const auto* found = target_.folder.find(name);
  return found != nullptr && !found->file_missing ? found : nullptr;
}

const HistoryRow* Correcting::last_row(const std::string& name, bool failed_only) const {
  const HistoryRow* last = nullptr;
  for (const auto& row : history_.rows)
    if (row.name == name && (!failed_only || row.failed())) last = &row;
  return last;
}

Failure Correcting::no_script(const Migration& migration) const {
  return {ExitCode::history,
          fmt::format("{} does not exist, but its directory does{}", migration.file.string(),
                      target_.folder.code_of(Problem::unknown)),
          remedy_for_missing_file(migration)};
}

Failure Correcting::unknown(const std::string& name) const {
  if (const auto* found = target_.folder.find(name)) return no_script(*found);
  std::vector<std::string> names;
  for (const auto& one : target_.folder.migrations) names.push_back(one.name);
  for (const auto& row : history_.rows) names.push_back(row.name);
  const auto meant = closest(name, names);
  return {ExitCode::usage,
          fmt::format("there is no migration {}: neither in {} nor in the history{}", name,
                      target_.folder.directory.string(), target_.folder.code_of(Problem::unknown)),
          meant.empty() ? "give the whole name of the directory"
                        : "did you mean " + shell_word(meant) + "?"};
}

std::vector<std::string> Correcting::failed_rows(const std::string& name) const {
  std::vector<std::string> ids;
  for (const auto& row : history_.rows)
    if (row.name == name && row.failed()) ids.push_back(row.id);
  return ids;
}

Correction Correcting::as_applied(const std::string& name, const std::string& because) const {
  const auto* found = migration(name);
  return {.name = name,
          .applied = true,
          .checksum = found != nullptr ? found->checksum : last_row(name, false)->checksum,
          .row_ids = failed_rows(name),
          .because = because};
}

Correction Correcting::as_rolled_back(const std::string& name, const std::string& because) const {
  return {.name = name, .row_ids = failed_rows(name), .because = because};
}

void Correcting::nothing(const std::string& name, const std::string& why) {
  log::info(fmt::format("migration {} {}; nothing to settle", name, why));
}

}  // namespace schemagate
