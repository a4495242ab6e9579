// Options in, one exit code out.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "schemagate/base/log.hpp"
#include "schemagate/cli/command_line.hpp"
#include "schemagate/cli/ending.hpp"

namespace {

// The first connection would get the number of a stream that is closed, and our words with it.
void open_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != fd) std::_Exit(1);
}

// Who reads our output may go away: a write that fails is enough. By a handler, because what is
// ignored would be so in every program that we start. And who ignores SIGCHLD, as our parent may
// have, is not told how its children end.
void settle_signals() {
  std::signal(SIGPIPE, [](int) {});
  std::signal(SIGCHLD, SIG_DFL);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace schemagate;
  open_standard_streams();
  settle_signals();
  if (argc < 2) {
    std::fputs(cli::overview().c_str(), stderr);
    return static_cast<int>(ExitCode::usage);
  }
  try {
    const auto line = cli::read_command_line({argv + 1, argv + argc});
    log::configure(line.invocation.log);
    if (line.command == nullptr) return cli::print(line.answer) ? 0 : 1;
    return cli::perform(*line.command, line.invocation);
  } catch (const Failure& mistake) {  // on the command line: it did not come to a log
    log::configure({});
    return cli::finish({mistake.code(), mistake.what(), mistake.hint().text()});
  }
}
