#include "hooks.hpp"

#include <fmt/core.h>

#include "schemagate/base/child.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/logged_command.hpp"

namespace schemagate {
namespace {

// Linux starts no program with a longer variable than 128 KiB (MAX_ARG_STRLEN).
constexpr std::size_t k_names_size_max = 64 * 1024;
constexpr std::size_t k_error_size_max = 4000;

// What is wrong with a program of a hook is the hook's failure, not the command line's.
Failure as_of_hook(const std::string& name, const Failure& failure, const Variables& variables) {
  return {ExitCode::hook_failed,
          as_written(fmt::format("hooks.{}: {}", name, failure.what()), variables), failure.hint()};
}

}  // namespace

void Hooks::before(const Lease& lease, std::optional<std::vector<std::string>> pending) {
  pending_ = std::move(pending);
  refuse_missing_programs();
  if (!pending_ || !pending_->empty() || target_.settings.tool == Tool::command)
    run_all("before", settings().before, lease, "no migration was begun");
}

void Hooks::after(const Lease& lease) const {
  run_all("after", settings().after, lease,
          "the migrations are applied, but the release is not complete");
}

void Hooks::failed(const Lease& lease, const Failure& failure) const {
  if (settings().failed.empty() || stop_.requested()) return;
  try {
    run_all("failed", settings().failed, lease, "the run had failed before",
            {{"SCHEMAGATE_EXIT_CODE", std::to_string(static_cast<int>(failure.code()))},
             {"SCHEMAGATE_ERROR", shortened(log::redact(failure.what()), k_error_size_max)}});
  } catch (const std::exception& e) {
    log::warn(e.what());
  }
}

// What is missing for the end shows at the beginning.
void Hooks::refuse_missing_programs() const {
  const std::vector<std::pair<std::string, const Commands&>> all = {
      {"before", settings().before}, {"after", settings().after}, {"failed", settings().failed}};
  for (const auto& [name, commands] : all) {
    for (const auto& argv : commands) {
      try {
        (void)find_program(argv.front());
      } catch (const Failure& failure) {
        throw as_of_hook(name, failure, target_.manifest.variables);
      }
    }
  }
}

void Hooks::run_all(const std::string& name, const Commands& commands, const Lease& lease,
                    const std::string& consequence, const Environment& more) const {
  for (const auto& argv : commands) {
    LoggedCommand command{.prefix = "hooks." + name + ": ",
                          .called = {},
                          .argv = argv,
                          .environment = environment(name, lease),
                          .timeout = settings().timeout,
                          .timeout_key = "hooks.timeout",
                          .failure = ExitCode::hook_failed};
    for (const auto& [variable, value] : more) command.environment[variable] = value;
    try {
      run_logged(command, target_.manifest.variables, target_.database, stop_);
    } catch (const Failure& failure) {
      if (failure.code() == ExitCode::usage)
        throw as_of_hook(name, failure, target_.manifest.variables);
      if (failure.code() != ExitCode::hook_failed) throw;
      throw Failure{failure.code(), fmt::format("{}\n  {}", failure.what(), consequence),
                    failure.hint()};
    }
  }
}

Hooks::Environment Hooks::environment(const std::string& name, const Lease& lease) const {
  const auto& address = target_.database.address();
  // A pooled backend must not keep our name: a successor would end it under a neighbour.
  const auto connection_name =
      target_.database.pooled() ? std::string{"schemagate"} : lease.application_name();
  auto all = environment_of_run(target_.manifest.app, target_.id.release, target_.database,
                                connection_name);
  for (const auto& [variable, value] : address.environment()) all[variable] = value;
  all["SCHEMAGATE_HOOK"] = name;
  all["SCHEMAGATE_HOST"] = address.host();
  all["SCHEMAGATE_DATABASE"] = address.database();
  all["SCHEMAGATE_SCHEMA"] = target_.schema();
  all["SCHEMAGATE_PENDING"] = pending_ ? std::to_string(pending_->size()) : "";
  all["SCHEMAGATE_PENDING_NAMES"] =
      pending_ ? shortened(join(*pending_, "\n"), k_names_size_max) : "";
  return all;
}

}  // namespace schemagate
