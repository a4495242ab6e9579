// Options in, one exit code out.

#include <cstdio>

#include "schemagate/base/log.hpp"
#include "schemagate/cli/command_line.hpp"
#include "schemagate/cli/ending.hpp"

int main(int argc, char** argv) {
  using namespace schemagate;
  if (argc < 2) {
    std::fputs(cli::overview().c_str(), stderr);
    return static_cast<int>(ExitCode::usage);
  }
  try {
    const auto line = cli::read_command_line({argv + 1, argv + argc});
    if (line.command == nullptr) return std::fputs(line.answer.c_str(), stdout) < 0 ? 1 : 0;
    log::configure(line.invocation.log);
    return cli::perform(*line.command, line.invocation);
  } catch (const Failure& mistake) {  // on the command line: it did not come to a log
    log::configure({});
    return cli::finish({mistake.code(), mistake.what(), mistake.hint()});
  }
}
