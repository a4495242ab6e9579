#pragma once
// Watches a running statement from a connection of its own: says how long it runs, how far it is
// where PostgreSQL tells (pg_stat_progress_*), and who blocks it. Opens that connection only when a
// statement takes longer than a moment.

#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "schemagate/base/wait.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

class Progress {
 public:
  // `database` must outlive this.
  explicit Progress(const Database& database);

  // The statement that backend `pid` runs from now on, until done(). `label` is for the log.
  // `look_after`: when to look for blockers first; give less than the lock_timeout.
  void started(int pid, const std::string& label, Milliseconds look_after);
  void done();

  // Who blocked the last statement, as last seen: a sentence, or empty. And its pid, or 0.
  struct Blocker {
    std::string text;
    int pid = 0;
    std::string as_whom = {};  // who may look at it and end it, where this role may not
  };
  [[nodiscard]] Blocker last_blocker() const;

 private:
  struct Job {
    int pid;
    std::string label;
    Clock::time_point since;
    Milliseconds look_after;
  };
  void watch(const std::stop_token& done);
  void observe(const Job& job);
  [[nodiscard]] bool is_current(const Job& job) const;

  const Database& database_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Job> job_;
  Blocker blocker_;
  std::optional<pg::Session> session_;  // of the watching thread
  Clock::time_point told_at_;
  std::size_t told_ = 0;  // times about this statement
  std::jthread thread_;
};

}  // namespace schemagate
