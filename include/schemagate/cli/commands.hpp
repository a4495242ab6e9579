#pragma once
// The commands of the program, for everything that has to know them all: the command line and the
// help.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "schemagate/cli/command.hpp"

namespace schemagate::cli {

struct CommandEntry {
  const char* name;
  const char* summary;          // one line of the help
  bool takes_program;           // `-- CMD`, to become after success; then --hold, too
  const char* other_tools_say;  // words, for who types one of them
  std::unique_ptr<Command> (*make)();
};

[[nodiscard]] std::span<const CommandEntry> commands();
[[nodiscard]] std::vector<std::string> command_names();

}  // namespace schemagate::cli
