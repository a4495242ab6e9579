#pragma once
// What a command of the program is: its options, its work, and what it tells. Everything else that
// a command does, the way it ends above all, is the same for all of them (perform).

#include <string>
#include <vector>

#include "schemagate/base/json.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/wait.hpp"
#include "schemagate/cli/options.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate::cli {

class Command {
 public:
  Command() = default;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  virtual ~Command() = default;

  // Its own options, beside those that all have.
  virtual void declare(Options&) {}
  [[nodiscard]] virtual Manifest manifest(const std::string& file) const;
  // Throws Failure, or the Stop's reason; what was done until then is told nevertheless.
  virtual void execute(const Manifest& manifest, Stop& stop) = 0;
  // Its members of the --json document (docs/json.md). `code`: how execute() ended.
  virtual void describe(Json& document, ExitCode code) const = 0;
  // What is printed on stdout without --json. Only after execute() has returned.
  [[nodiscard]] virtual std::string text() const { return {}; }
  // The exit code where execute() has returned: of what was found.
  [[nodiscard]] virtual ExitCode verdict() const { return ExitCode::done; }
  // One line for the platform's record, then. Empty: none.
  [[nodiscard]] virtual std::string good_news() const { return {}; }
};

// What all commands are told.
struct Invocation {
  std::string manifest;
  bool json = false;
  log::Options log;
  Milliseconds hold{0};
  std::vector<std::string> program;  // to become after success; empty: none
};

// Returns the exit code, or never: after success this process becomes the program.
[[nodiscard]] int perform(Command& command, const Invocation& invocation);

}  // namespace schemagate::cli
