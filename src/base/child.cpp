#include "schemagate/base/child.hpp"

#include <fmt/core.h>
#include <linux/close_range.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio.hpp>
#include <boost/process/v2.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "schemagate/base/fault.hpp"
#include "schemagate/base/text.hpp"

extern char** environ;

namespace schemagate {
namespace {

namespace asio = boost::asio;
namespace process = boost::process::v2;

constexpr std::size_t k_line_size_max = 64 * 1024;

// Boost calls on_setup before the fork and on_exec_setup in the child, before exec.
struct ChildSetup {
  pid_t parent;
  const std::vector<const char*>& environment;  // null-terminated

  // Boost 1.81's own process_environment is declared, but defined only in its compiled library.
  template <class Launcher, class Path>
  process::error_code on_setup(Launcher& launcher, const Path&, const char* const*) {
    launcher.env = environment.data();
    return {};
  }

  template <class Launcher, class Path>
  process::error_code on_exec_setup(Launcher&, const Path&, const char* const*) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // the parent died before prctl
    ::dup2(STDOUT_FILENO, STDERR_FILENO);     // Boost loses one of two ends bound to the same pipe
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    return {};
  }
};

std::vector<std::string>
merged_environment(const std::map<std::string, std::optional<std::string>>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text{*entry};
    if (!added.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : added)
    if (value) all.push_back(name + "=" + *value);
  return all;
}

std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  for (const auto& text : texts) pointers.push_back(text.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

class Runner {
 public:
  Runner(const ChildCommand& command, const std::function<void(std::string_view)>& on_line)
      : command_{command}, on_line_{on_line}, environment_{merged_environment(command.environment)},
        environment_pointers_{pointers_to(environment_)},
        child_{io_, find_program(command.argv.front()),
               std::vector<std::string>(command.argv.begin() + 1, command.argv.end()),
               process::process_stdio{nullptr, output_, nullptr},
               ChildSetup{::getpid(), environment_pointers_}},
        group_{-child_.id()} {}

  ChildOutcome run(const std::stop_token& stop) {
    deadline_.expires_after(command_.timeout);
    deadline_.async_wait([this](auto error) {
      if (!error) end(TimedOut{});
    });
    const std::stop_callback on_stop{stop, [this] { asio::post(io_, [this] { end(Stopped{}); }); }};
    read();
    child_.async_wait([this](auto, int) { finished(); });
    io_.run();
    if (!std::holds_alternative<Exited>(outcome_)) return outcome_;
    const int status = child_.native_exit_code();
    if (WIFSIGNALED(status)) return KilledBy{WTERMSIG(status)};
    return Exited{WEXITSTATUS(status)};
  }

 private:
  void end(ChildOutcome why) {
    if (!std::holds_alternative<Exited>(outcome_) || is_finished_) return;
    outcome_ = why;
    ::kill(group_, SIGTERM);
    kill_timer_.expires_after(command_.grace);
    kill_timer_.async_wait([this](auto error) {
      if (!error) ::kill(group_, SIGKILL);
    });
  }

  void finished() {
    is_finished_ = true;
    deadline_.cancel();
    kill_timer_.cancel();
    ::kill(group_, SIGKILL);  // grandchildren, which would also keep the pipe open
    if (is_output_over_) return;
    // One that left the group may still hold it, and write: what is in it now is read, and no more
    // (but for what was read already and is not handled yet).
    left_ = in_pipe() + chunk_.size();
    if (in_pipe() == 0) output_.close();
  }

  [[nodiscard]] std::size_t in_pipe() {
    int bytes = 0;
    return ::ioctl(output_.native_handle(), FIONREAD, &bytes) == 0 ? static_cast<std::size_t>(bytes)
                                                                   : 0;
  }

  void read() {
    output_.async_read_some(asio::buffer(chunk_), [this](auto error, std::size_t size) {
      buffer_.append(chunk_.data(), size);
      for (auto end = buffer_.find('\n'); end != std::string::npos; end = buffer_.find('\n')) {
        on_line_(std::string_view{buffer_}.substr(0, end));
        buffer_.erase(0, end + 1);
      }
      left_ -= std::min(left_, size);
      const bool is_last = error || (is_finished_ && (left_ == 0 || in_pipe() == 0));
      if (!buffer_.empty() && (is_last || buffer_.size() > k_line_size_max)) {
        on_line_(buffer_);
        buffer_.clear();
      }
      if (is_last) is_output_over_ = true;
      else read();
    });
  }

  const ChildCommand& command_;
  const std::function<void(std::string_view)>& on_line_;
  std::vector<std::string> environment_;
  std::vector<const char*> environment_pointers_;
  asio::io_context io_;
  asio::readable_pipe output_{io_};
  process::process child_;
  pid_t group_;
  asio::steady_timer deadline_{io_};
  asio::steady_timer kill_timer_{io_};
  std::array<char, 4096> chunk_{};
  std::string buffer_;
  ChildOutcome outcome_ = Exited{0};
  bool is_finished_ = false;
  std::size_t left_ = 0;  // to be read, once it is finished
  bool is_output_over_ = false;
};

}  // namespace

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  const auto directories =
      name.find('/') != std::string::npos
          ? std::vector<std::string>{""}
          : split(path == nullptr ? "/usr/local/bin:/usr/bin:/bin" : path, ':');
  for (const auto& directory : directories) {
    const auto candidate = directory.empty() ? name : directory + "/" + name;
    std::error_code error;
    if (std::filesystem::is_regular_file(candidate, error) &&
        ::access(candidate.c_str(), X_OK) == 0)
      return candidate;
  }
  throw Failure{ExitCode::usage,
                fmt::format("the program \"{}\" is not there or not executable", name),
                "it must be in this image, in $PATH or with its full path"};
}

ChildOutcome run_child(const ChildCommand& command,
                       const std::function<void(std::string_view)>& on_line,
                       const std::stop_token& stop) {
  fault::step("child.start");
  std::optional<Runner> runner;
  try {
    runner.emplace(command, on_line);
  } catch (const boost::system::system_error& e) {
    throw Failure{ExitCode::usage,
                  fmt::format("the program \"{}\" cannot be started: {}", command.argv.front(),
                              e.code().message()),
                  "is what its first line names (#!) in this image, and built for this machine?"};
  }
  fault::step("child.started");
  const auto outcome = runner->run(stop);
  fault::step("child.ended");
  return outcome;
}

}  // namespace schemagate
