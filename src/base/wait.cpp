#include "schemagate/base/wait.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <random>

namespace schemagate {
namespace {

// A signalfd reads what is blocked even where it is ignored.
sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    struct sigaction now{};
    ::sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  return set;
}

const sigset_t k_no_signals{};

Failure ended_by(int signal) {
  const auto code = static_cast<ExitCode>(static_cast<int>(ExitCode::signal_base) + signal);
  return {code, fmt::format("stopped by signal {} ({})", signal, ::strsignal(signal)),
          "run the same command again; nothing has to be cleaned up first"};
}

}  // namespace

Milliseconds Deadline::remaining() const {
  const auto left = std::chrono::duration_cast<Milliseconds>(at_ - Clock::now());
  return std::max(left, Milliseconds::zero());
}

Milliseconds Backoff::next() {
  const auto now = next_;
  next_ = std::min(next_ * 2, most_);
  return jittered(now);
}

bool Reminder::is_due(const std::string& state) {
  using namespace std::chrono_literals;
  static constexpr std::array<std::chrono::seconds, 4> k_pauses = {1s, 5s, 30s, 2min};
  const auto now = Clock::now();
  if (told_ > 0 && state == state_ && now < next_) return false;
  if (state != state_) told_ = 0;
  state_ = state;
  next_ = now + k_pauses.at(std::min(told_++, k_pauses.size() - 1));
  return true;
}

Milliseconds jittered(Milliseconds around) {
  thread_local std::mt19937 random{std::random_device{}()};
  const auto quarter = around.count() / 4;
  return around + Milliseconds{std::uniform_int_distribution<long>{-quarter, quarter}(random)};
}

std::string for_people(Milliseconds duration) {
  const auto ms = duration.count();
  if (ms < 1000) return fmt::format("{} ms", ms);
  if (ms < 10'000 && ms % 1000 != 0) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1e3);
  if (ms < 60'000) return fmt::format("{} s", ms / 1000);
  const auto seconds = ms / 1000 % 60;
  return seconds == 0 ? fmt::format("{} min", ms / 60'000)
                      : fmt::format("{} min {} s", ms / 60'000, seconds);
}

void Stop::request(const Failure& why) {
  {
    const std::lock_guard lock{mutex_};
    if (!why_) why_ = why;
  }
  source_.request_stop();  // outside the lock: callbacks may ask for the reason
}

void Stop::check() const {
  const std::lock_guard lock{mutex_};
  if (why_) throw Failure{*why_};
}

bool sleep(Milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any condition;
  std::unique_lock lock{mutex};
  condition.wait_for(lock, stop, duration, [] { return false; });
  return !stop.stop_requested();
}

bool sleep(Milliseconds duration, const Stop& stop) { return sleep(duration, stop.token()); }

void name_this_thread(const char* name) { ::pthread_setname_np(::pthread_self(), name); }

SignalWatch::SignalWatch(Stop& stop)
    : signals_{::signalfd(-1, &k_no_signals, SFD_CLOEXEC)}, done_{::eventfd(0, EFD_CLOEXEC)} {
  const auto set = stop_signals();
  ::pthread_sigmask(SIG_BLOCK, &set, &mask_before_);
  ::signalfd(signals_, &set, 0);
  thread_ = std::thread{[this, &stop] {
    pollfd watched[] = {{signals_, POLLIN, 0}, {done_, POLLIN, 0}};
    for (;;) {
      ::poll(watched, 2, -1);
      if (watched[1].revents != 0) return;
      signalfd_siginfo info{};
      if (watched[0].revents != 0 && ::read(signals_, &info, sizeof info) == sizeof info)
        stop.request(ended_by(static_cast<int>(info.ssi_signo)));
    }
  }};
}

SignalWatch::~SignalWatch() {
  ::eventfd_write(done_, 1);
  thread_.join();
  ::close(signals_);
  ::close(done_);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

}  // namespace schemagate
