#pragma once
// Runs a program to its end: its own process group, no shell, output line by line, a deadline and a
// stop token. The only file that knows Boost.Process. The child dies with us (PR_SET_PDEATHSIG),
// and what it leaves in its process group is ended with it.

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "schemagate/base/wait.hpp"

namespace schemagate {

struct ChildCommand {
  std::vector<std::string> argv;  // argv[0] is looked up in $PATH
  // Added to ours, or replacing it; nothing: taken out of it.
  std::map<std::string, std::optional<std::string>> environment;
  Milliseconds timeout{};  // then TERM, after `grace` KILL
  Milliseconds grace{};
};

struct Exited {
  int code;
};
struct KilledBy {
  int signal;
};
struct TimedOut {};
struct Stopped {};  // the token asked for it
using ChildOutcome = std::variant<Exited, KilledBy, TimedOut, Stopped>;

// `on_line` gets stdout and stderr together, without line ends, on the calling thread. Throws
// Failure (usage) when the program cannot be found or started.
[[nodiscard]] ChildOutcome run_child(const ChildCommand& command,
                                     const std::function<void(std::string_view)>& on_line,
                                     const std::stop_token& stop);

// The program's path as execvp would find it; throws Failure (usage) when there is none.
[[nodiscard]] std::string find_program(const std::string& name);

}  // namespace schemagate
