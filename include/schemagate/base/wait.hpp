#pragma once
// Everything about local time: deadlines, sleeping that a stop ends at once, jitter, and the reason
// why the work must stop. Uses the steady clock only; what is stored or compared across machines is
// the database server's clock and lives in SQL. All types here may be used from any thread.

#include <chrono>
#include <csignal>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "schemagate/base/error.hpp"

namespace schemagate {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

class Deadline {
 public:
  explicit Deadline(Milliseconds from_now) : at_{Clock::now() + from_now} {}
  [[nodiscard]] bool passed() const { return Clock::now() >= at_; }
  [[nodiscard]] Milliseconds remaining() const;  // never negative

 private:
  Clock::time_point at_;
};

// Grows from `first` to `most`, doubling, each value changed by up to a quarter either way, so that
// many waiters do not come back at the same moment.
class Backoff {
 public:
  Backoff(Milliseconds first, Milliseconds most) : next_{first}, most_{most} {}
  [[nodiscard]] Milliseconds next();

 private:
  Milliseconds next_;
  Milliseconds most_;
};

// When to say again that something lasts: at once what is new, then after 1 s, 5 s, 30 s and every
// 2 minutes, so that a long wait does not bury what came before it.
class Reminder {
 public:
  // True when it is time to tell `state`.
  [[nodiscard]] bool is_due(const std::string& state);

 private:
  std::string state_;
  std::size_t told_ = 0;
  Clock::time_point next_{};
};

[[nodiscard]] Milliseconds jittered(Milliseconds around);

// "850 ms", "12 s", "3 min 20 s".
[[nodiscard]] std::string for_people(Milliseconds duration);

// Why the work must end. The first reason wins and stays.
class Stop {
 public:
  void request(const Failure& why);
  [[nodiscard]] bool requested() const { return source_.stop_requested(); }
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  void check() const;  // throws the reason, if there is one

 private:
  mutable std::mutex mutex_;
  std::optional<Failure> why_;
  std::stop_source source_;
};

// Returns early, with false, when a stop is requested.
bool sleep(Milliseconds duration, const std::stop_token& stop);
bool sleep(Milliseconds duration, const Stop& stop);

// For ps, top and debuggers; at most 15 characters (pthread_setname_np(3)).
void name_this_thread(const char* name);

// While it lives, SIGTERM, SIGINT, SIGHUP and SIGQUIT (STOPSIGNAL of some images; process 1 of a
// container ignores what it does not handle) request a stop (exit code 128 + n) instead of killing
// the process. One that was ignored from the start stays so: who starts us by nohup, by trap '' or
// in a shell's background means it. Make it first in main, before any other thread; the destructor
// restores the signal mask, so that a program started by exec afterwards is not affected.
class SignalWatch {
 public:
  explicit SignalWatch(Stop& stop);
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

 private:
  int signals_;  // signalfd
  int done_;     // eventfd: ends the thread without waiting for a signal
  sigset_t mask_before_{};
  std::thread thread_;
};

}  // namespace schemagate
