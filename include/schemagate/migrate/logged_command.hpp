#pragma once
// A program of the user's that is run to its end as a part of a run: the migration command, a hook.
// What it prints becomes lines of the log; neither there nor in a Failure is told what the
// manifest's variables hold.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

struct LoggedCommand {
  std::string prefix;  // of its messages: "hooks.before: "
  std::string called;  // before its program's name where it failed: "the migration command "
  std::vector<std::string> argv;
  std::map<std::string, std::optional<std::string>> environment;  // as of ChildCommand
  Milliseconds timeout{};
  std::string timeout_key;  // of the manifest
  ExitCode failure{};
};

// What every such program is told: DATABASE_URL, DIRECT_URL, SCHEMAGATE_DATABASE_URL,
// SCHEMAGATE_RELEASE, SCHEMAGATE_APP, PGAPPNAME. `name`: of its connections.
[[nodiscard]] std::map<std::string, std::optional<std::string>>
environment_of_run(const std::string& app, const std::string& release, const Database& database,
                   const std::string& name);

// Throws Failure (command.failure) with the last lines where it does not end with 0 in time, what
// run_child() throws where it cannot be started, or the Stop's reason.
void run_logged(const LoggedCommand& command, const Variables& variables, const Database& database,
                Stop& stop);

}  // namespace schemagate
