#include "schemagate/formats/tool_lock.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_poll = 200ms;

// $1 the key. A key of one bigint is shown in two halves (PostgreSQL manual, pg_locks).
constexpr const char* k_holder = R"sql(
SELECT a.pid, coalesce(a.usename, '?'), coalesce(a.application_name, '')
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND (l.classid::bigint << 32 | l.objid::bigint) = $1::bigint
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))sql";

struct Holder {
  std::string pid;
  std::string text;
};

Holder find_holder(pg::Session& session, const std::string& key) {
  const auto rows = session.query(k_holder, {key});
  if (rows.empty()) return {"", "nobody any more"};
  const auto pid = rows[0].text(0);
  return {pid, fmt::format("pid {} (user {} {})", pid, rows[0].text(1), rows[0].text(2))};
}

}  // namespace

ToolLock::ToolLock(pg::Session& session, const Format& format, const Database& database,
                   Milliseconds wait, Stop& stop)
    : session_{session}, owner_{format.title()}, key_{format.advisory_lock()}, wait_{wait},
      stop_{stop} {
  if (!key_ || !database.pooled()) return;
  key_.reset();
  log::warn(
      fmt::format("through a pooler {0}'s own lock cannot be held: do not run {1} migrate at the "
                  "same time (or set database.direct_url)",
                  owner_, format.name()));
}

ToolLock::~ToolLock() {
  try {
    if (held_) release();
  } catch (const std::exception&) {  // it ends with the connection
  }
}

void ToolLock::acquire() {
  if (!key_) return;
  const auto key = std::to_string(*key_);
  const Deadline deadline{wait_};
  Reminder reminder;
  while (!session_.row("SELECT pg_try_advisory_lock_shared($1)", {key}).flag(0)) {
    const auto holder = find_holder(session_, key);
    if (deadline.passed()) {
      throw Failure{ExitCode::lease_held,
                    fmt::format("{}'s migration lock is still held by {}", owner_, holder.text),
                    holder.pid.empty()
                        ? "run again"
                        : fmt::format("let that {} finish; if its process is gone: SELECT "
                                      "pg_terminate_backend({})",
                                      owner_, holder.pid)};
    }
    if (reminder.is_due(holder.text))
      log::info(fmt::format("waiting for {}'s migration lock, held by {}", owner_, holder.text));
    sleep(jittered(k_poll), stop_);
    stop_.check();
  }
  held_ = true;
}

void ToolLock::release() {
  if (!key_) return;
  held_ = false;
  session_.query("SELECT pg_advisory_unlock_shared($1)", {std::to_string(*key_)});
}

}  // namespace schemagate
