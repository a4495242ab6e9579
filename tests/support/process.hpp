#pragma once
// Starts programs as a user would, and shows what they print.

#include <sys/types.h>

#include <chrono>
#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace testing {

// Said by what ends a program that does not end by itself within 15 s.
inline constexpr const char* k_last_resort = "giving up on a connection that does not answer";

// For what is sure to come. A busy machine may take many seconds for anything.
inline constexpr std::chrono::seconds k_patience{60};

struct Result {
  int exit_code = -1;  // 128 + n when ended by signal n, as a shell says
  std::string out;
  std::string err;
};

// CHECK(result == exits(21, "42703")): with this code, saying this (and more) on stderr. A failure
// prints all that the program said, and what was wanted.
struct Exits {
  int code;
  std::vector<std::string> saying;
};
template <class... Words> Exits exits(int code, const Words&... saying) {
  return {code, {std::string{saying}...}};
}
bool operator==(const Result& result, const Exits& wanted);
std::ostream& operator<<(std::ostream& out, const Result& result);
std::ostream& operator<<(std::ostream& out, const Exits& wanted);

struct ProcessOptions {
  std::map<std::string, std::string> environment;  // added to ours
  std::string directory;                           // to start in; empty: ours
};

// A program in the background, with stdout and stderr collected. Killed at destruction.
class Process {
 public:
  explicit Process(const std::vector<std::string>& argv, const ProcessOptions& options = {});
  ~Process();
  Process(Process&&) noexcept;
  Process& operator=(Process&&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  void signal(int number) const;
  [[nodiscard]] Result wait();       // to its end; throws after two minutes
  [[nodiscard]] Result terminate();  // SIGTERM, and to its end
  void kill();                       // SIGKILL, likewise
  void freeze() const;               // SIGSTOP, until it stands still; SIGCONT wakes it
  [[nodiscard]] bool is_stopped() const;
  [[nodiscard]] bool is_running();
  [[nodiscard]] std::string output_so_far() const;  // stderr
  // Waits until stderr holds the text; false after `limit`.
  [[nodiscard]] bool says(const std::string& text, std::chrono::seconds limit = k_patience);

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
  std::string out_file_;
  std::string err_file_;
};

[[nodiscard]] Result run(const std::vector<std::string>& argv, const ProcessOptions& options = {});
// The schemagate that is tested: $SCHEMAGATE_BINARY (one with sanitizers), or the one built with
// us.
[[nodiscard]] std::string tested_program();
// `schemagate ARGUMENTS...`
[[nodiscard]] Result schemagate(const std::vector<std::string>& arguments,
                                const ProcessOptions& options = {});
[[nodiscard]] Process start_schemagate(const std::vector<std::string>& arguments,
                                       const ProcessOptions& options = {});

// Waits until the condition holds; false after `limit`.
template <class Condition>
[[nodiscard]] bool eventually(Condition&& condition, std::chrono::seconds limit = k_patience);

}  // namespace testing

#include <thread>

namespace testing {
template <class Condition> bool eventually(Condition&& condition, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (std::chrono::steady_clock::now() < end) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
  return static_cast<bool>(condition());  // this process may have stood still, too
}
}  // namespace testing
