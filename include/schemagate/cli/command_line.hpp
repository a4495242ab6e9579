#pragma once
// `schemagate COMMAND [OPTIONS] [-- CMD]`, understood.

#include <memory>
#include <string>
#include <vector>

#include "schemagate/cli/command.hpp"

namespace schemagate::cli {

struct CommandLine {
  std::string answer;                // help or version: to be printed, and nothing else to be done
  std::unique_ptr<Command> command;  // null then
  Invocation invocation;
};

// `words`: without the program's own name, at least one. Throws Failure (usage).
[[nodiscard]] CommandLine read_command_line(const std::vector<std::string>& words);

// The help of the program.
[[nodiscard]] std::string overview();

}  // namespace schemagate::cli
