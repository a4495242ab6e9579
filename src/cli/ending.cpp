#include "schemagate/cli/ending.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/manifest/typed_hint.hpp"

namespace schemagate::cli {
namespace {

using namespace std::chrono_literals;

constexpr const char* k_termination_log =
    "/dev/termination-log";  // Kubernetes shows it in `kubectl describe`
constexpr std::size_t k_termination_log_size_max = 4096;
constexpr auto k_stop_bound = 15s;
constexpr Milliseconds k_hold_retryable_max = 1min;

void write_termination_log(const std::string& text) {
  const int fd = ::open(k_termination_log, O_WRONLY | O_TRUNC | O_CLOEXEC);  // never created by us
  if (fd < 0) return;
  const auto summary = shortened(printable(text), k_termination_log_size_max);
  if (::write(fd, summary.data(), summary.size()) < 0)
    log::debug(fmt::format("cannot write {}: {}", k_termination_log, std::strerror(errno)));
  ::close(fd);
}

// A stopped run normally ends in milliseconds; a peer that swallows packets must not keep it
// longer.
class LastResort {
 public:
  explicit LastResort(const Stop& stop) : arm_{stop.token(), Arm{*this, stop}} {}

 private:
  struct Arm {
    LastResort& last_resort;
    const Stop& stop;
    void operator()() const {
      last_resort.thread_ = std::jthread{[&stop = stop](const std::stop_token& done) {
        if (sleep(k_stop_bound, done)) exit_now(stop);
      }};
    }
  };
  static void exit_now(const Stop& stop) {
    try {
      stop.check();
    } catch (const Failure& why) {
      log::error(fmt::format("{}; giving up on a connection that does not answer", why.what()));
      std::_Exit(static_cast<int>(why.code()));
    }
  }

  std::jthread thread_;
  std::stop_callback<Arm> arm_;  // after thread_: no arming while it is being destroyed
};

}  // namespace

Outcome guarded(const std::string& manifest, const std::function<void(Stop&)>& work) {
  Stop stop;
  const SignalWatch signals{stop};
  const LastResort last_resort{stop};
  try {
    work(stop);
    stop.check();  // asked to stop at the last moment: then no app is to be started either
    return {};
  } catch (const Failure& failure) {
    return {failure.code(), log::redact(failure.what()),
            log::redact(as_typed(failure.hint(), manifest))};
  } catch (const std::exception& e) {
    return {ExitCode::internal, fmt::format("internal error: {}", log::redact(e.what())),
            "please report this with the log"};
  }
}

bool print(const std::string& text) {
  if ((std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) || errno == EPIPE)
    return true;
  log::error(fmt::format("cannot write to stdout: {}", std::strerror(errno)));
  return false;
}

int finish(const Outcome& failure) {
  const auto code = static_cast<int>(failure.code);
  log::error(failure.summary, {{"exit_code", std::to_string(code)}});
  if (!failure.hint.empty()) log::error("hint: " + failure.hint);
  write_termination_log(fmt::format("{}{}{}\nexit code {}", failure.summary,
                                    failure.hint.empty() ? "" : "\nhint: ", failure.hint, code));
  return code;
}

void note_success(const std::string& good_news) {
  if (!good_news.empty()) write_termination_log(good_news);
}

int hold(int code, Milliseconds duration) {
  const auto exit_code = static_cast<ExitCode>(code);
  if (exit_code >= ExitCode::signal_base) return code;
  const auto bounded =
      is_retryable(exit_code) ? std::min(duration, k_hold_retryable_max) : duration;
  if (bounded == Milliseconds::zero()) return code;
  Stop stop;
  const SignalWatch signals{stop};
  log::info(fmt::format("exit code {} follows in {} (--hold)", code, for_people(bounded)));
  sleep(bounded, stop);
  return code;
}

}  // namespace schemagate::cli
