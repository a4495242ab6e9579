#include "schemagate/formats/prisma_lock.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_poll = 200ms;
constexpr auto k_told_again = 10s;

constexpr const char* k_holder = R"sql(
SELECT a.pid, coalesce(a.usename, '?'), coalesce(a.application_name, '')
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = 72707369 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))sql";

struct Holder {
  std::string pid;
  std::string text;
};

Holder find_holder(pg::Session& session) {
  const auto rows = session.query(k_holder);
  if (rows.empty()) return {"", "nobody any more"};
  const auto pid = rows[0].text(0);
  return {pid, fmt::format("pid {} (user {} {})", pid, rows[0].text(1), rows[0].text(2))};
}

}  // namespace

PrismaLock::PrismaLock(pg::Session& session, const Database& database, Milliseconds wait,
                       Stop& stop)
    : session_{session}, usable_{!database.pooled()}, wait_{wait}, stop_{stop} {
  if (!usable_)
    log::warn(
        "through a pooler Prisma's own lock cannot be held: do not run prisma migrate at the same time "
        "(or set database.direct_url)");
}

PrismaLock::~PrismaLock() {
  try {
    if (held_) release();
  } catch (const std::exception&) {  // it ends with the connection
  }
}

void PrismaLock::acquire() {
  if (!usable_) return;
  const Deadline deadline{wait_};
  std::optional<Clock::time_point> told_at;
  while (!session_.row("SELECT pg_try_advisory_lock_shared(72707369)").flag(0)) {
    const auto holder = find_holder(session_);
    if (deadline.passed()) {
      throw Failure{
          ExitCode::lease_held,
          fmt::format("Prisma's migration lock is still held by {}", holder.text),
          holder.pid.empty()
              ? "run again"
              : fmt::format("let that prisma migrate finish; if its process is gone: SELECT "
                            "pg_terminate_backend({})",
                            holder.pid)};
    }
    if (!told_at || Clock::now() - *told_at > k_told_again) {
      log::info(fmt::format("waiting for Prisma's migration lock, held by {}", holder.text));
      told_at = Clock::now();
    }
    sleep(jittered(k_poll), stop_);
    stop_.check();
  }
  held_ = true;
}

void PrismaLock::release() {
  if (!usable_) return;
  held_ = false;
  session_.query("SELECT pg_advisory_unlock_shared(72707369)");
}

}  // namespace schemagate
