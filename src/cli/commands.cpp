#include "schemagate/cli/commands.hpp"

namespace schemagate::cli {

// Each is made in its own file. A new one is that file, its name here, and its line below.
std::unique_ptr<Command> run_command(), gate_command(), plan_command(), status_command(),
    resolve_command(), baseline_command(), verify_command(), diff_command(), rehearse_command();

namespace {

constexpr CommandEntry k_commands[] = {
    {"run", "wait for the database, migrate, verify, write the marker", true,
     "migrate deploy up apply upgrade update latest db:migrate migrate:latest", run_command},
    {"gate", "wait for this release's marker", true, "wait wait-for check", gate_command},
    {"plan", "tell what a run would do: locks, time, what is lost", false,
     "forecast preview explain dry-run dryrun sqlmigrate", plan_command},
    {"rehearse", "try the pending migrations in a throw-away copy of the database", false,
     "simulate try shadow", rehearse_command},
    {"status", "tell what is applied, what is wrong, and what settles it", false,
     "info list show pending history", status_command},
    {"verify", "fail unless all is there and nothing was changed past the migrations", false,
     "validate test assert drift", verify_command},
    {"diff", "compare two databases: history and structure", false, "compare", diff_command},
    {"resolve", "correct a migration's history: applied, or rolled back", false, "repair fix mark",
     resolve_command},
    {"baseline", "record as applied what the database has already", false, "stamp fake",
     baseline_command},
};

}  // namespace

std::span<const CommandEntry> commands() { return k_commands; }

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const auto& command : k_commands) names.emplace_back(command.name);
  return names;
}

}  // namespace schemagate::cli
