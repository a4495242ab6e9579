#include "schemagate/migrate/external_command.hpp"

#include <algorithm>
#include <array>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/logged_command.hpp"

namespace schemagate {
namespace {

constexpr std::array<std::string_view, 5> k_secret_words = {"pass", "secret", "token", "key",
                                                            "url"};

bool names_a_secret(const std::string& name) {
  const auto lower = lower_case(name);
  return std::any_of(k_secret_words.begin(), k_secret_words.end(),
                     [&](const auto& word) { return lower.find(word) != std::string::npos; });
}

}  // namespace

void run_command(const Manifest& manifest, const std::string& release, const Database& database,
                 const Lease& lease, Stop& stop) {
  LoggedCommand command{
      .prefix = {},
      .called = "the migration command ",
      .argv = manifest.migrations.command,
      .environment = environment_of_run(manifest.app, release, database, lease.application_name()),
      .timeout = manifest.migrations.timeout,
      .timeout_key = "migrations.timeout",
      .failure = ExitCode::command_failed};
  for (const auto& [name, value] : manifest.migrations.env) {
    command.environment[name] = value;
    if (names_a_secret(name)) log::keep_secret(value);
  }
  run_logged(command, manifest.variables, database, stop);
}

}  // namespace schemagate
