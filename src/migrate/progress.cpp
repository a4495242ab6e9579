#include "schemagate/migrate/progress.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "schemagate/base/log.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_sample = 1s;
constexpr std::array<std::chrono::seconds, 3> k_told_again = {10s, 30s, 2min};

// Not what it executes: that holds people's data. What a role may not know is left out.
constexpr const char* k_blockers = R"sql(
SELECT a.pid,
       concat_ws(', ', 'user ' || a.usename, nullif(a.application_name, ''),
                 coalesce(a.state || coalesce(' for ' || extract(epoch FROM clock_timestamp() - a.xact_start)::bigint || ' s', ''),
                          'its state is hidden from this role: GRANT pg_read_all_stats TO ' || quote_ident(current_user))),
       CASE WHEN NOT pg_has_role(a.usesysid, 'USAGE') AND NOT pg_has_role('pg_signal_backend', 'USAGE')
            THEN format('as a superuser, as %I, or as a role with pg_signal_backend: ', a.usename) END
  FROM unnest(pg_blocking_pids($1::integer)) AS b(pid) JOIN pg_stat_activity a ON a.pid = b.pid
 ORDER BY a.xact_start LIMIT 1)sql";

constexpr const char* k_how_far = R"sql(
SELECT phase || CASE WHEN blocks_total > 0 THEN ', ' || 100 * blocks_done / blocks_total || ' %' ELSE '' END
  FROM pg_stat_progress_create_index WHERE pid = $1::integer
UNION ALL
SELECT phase || CASE WHEN heap_blks_total > 0 THEN ', ' || 100 * heap_blks_scanned / heap_blks_total || ' %' ELSE '' END
  FROM pg_stat_progress_vacuum WHERE pid = $1::integer
UNION ALL
SELECT phase || CASE WHEN heap_blks_total > 0 THEN ', ' || 100 * heap_blks_scanned / heap_blks_total || ' %' ELSE '' END
  FROM pg_stat_progress_cluster WHERE pid = $1::integer)sql";

}  // namespace

Progress::Progress(const Database& database)
    : database_{database}, thread_{[this](const std::stop_token& done) { watch(done); }} {}

void Progress::started(int pid, const std::string& label, Milliseconds look_after) {
  {
    const std::lock_guard lock{mutex_};
    job_ = Job{pid, label, Clock::now(), look_after};
    blocker_ = {};
  }
  changed_.notify_all();
}

void Progress::done() {
  const std::lock_guard lock{mutex_};
  job_.reset();
}

Progress::Blocker Progress::last_blocker() const {
  const std::lock_guard lock{mutex_};
  return blocker_;
}

bool Progress::is_current(const Job& job) const {
  const std::lock_guard lock{mutex_};
  return job_ && job_->since == job.since;
}

void Progress::watch(const std::stop_token& done) {
  name_this_thread("progress");
  for (;;) {
    std::optional<Job> job;
    {
      std::unique_lock lock{mutex_};
      if (!changed_.wait(lock, done, [this] { return job_.has_value(); })) return;
      job = job_;
    }
    // Most statements are over by now; notifications are not needed to see that.
    const auto waited = std::chrono::duration_cast<Milliseconds>(Clock::now() - job->since);
    if (!sleep(std::max<Milliseconds>(job->look_after - waited, 0ms), done)) return;
    if (!is_current(*job)) continue;
    told_at_ = Clock::now();
    told_ = 0;
    while (is_current(*job)) {
      try {
        if (!session_) session_.emplace(database_.open("schemagate"));
        observe(*job);
      } catch (const std::exception& e) {
        log::debug(fmt::format("cannot watch the statement: {}", e.what()));
        session_.reset();
      }
      if (!sleep(k_sample, done)) return;
    }
  }
}

void Progress::observe(const Job& job) {
  const auto pid = std::to_string(job.pid);
  const auto blockers = session_->query(k_blockers, {pid});
  if (!is_current(job)) return;
  bool news = false;
  if (!blockers.empty()) {
    const auto& row = blockers.front();
    const Blocker blocker{fmt::format("pid {} ({})", row.text(0), row.text(1)),
                          static_cast<int>(row.number(0)), row.text(2)};
    const std::lock_guard lock{mutex_};
    news = blocker_.pid != blocker.pid;
    blocker_ = blocker;
  }
  const auto pause = k_told_again.at(std::min(told_, k_told_again.size() - 1));
  if (!news && Clock::now() - told_at_ < pause) return;
  told_at_ = Clock::now();
  ++told_;
  const auto running = std::chrono::duration_cast<Milliseconds>(Clock::now() - job.since);
  if (!blockers.empty()) {
    log::warn(fmt::format("{}: waiting for a lock, blocked by {}", job.label, last_blocker().text));
    return;
  }
  const auto how_far = session_->query(k_how_far, {pid});
  log::info(fmt::format("{}: still running after {}{}", job.label, for_people(running),
                        how_far.empty() ? "" : " (" + how_far[0].text(0) + ")"));
}

}  // namespace schemagate
