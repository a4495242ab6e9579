#include "schemagate/migrate/external_command.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

#include "schemagate/base/child.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/advice.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_grace = 5s;             // between TERM and KILL
constexpr std::size_t k_last_lines = 5;  // quoted when the command fails

constexpr std::array<std::string_view, 5> k_secret_words = {"pass", "secret", "token", "key",
                                                            "url"};

bool names_a_secret(const std::string& name) {
  const auto lower = lower_case(name);
  return std::any_of(k_secret_words.begin(), k_secret_words.end(),
                     [&](const auto& word) { return lower.find(word) != std::string::npos; });
}

struct OutputTail {
  std::vector<std::string> lines;
  std::optional<std::string> advice;  // of the last line that says why

  void add(std::string_view line, const ConnectionString& address) {
    if (lines.size() == k_last_lines) lines.erase(lines.begin());
    lines.emplace_back(log::redact(std::string{line}));
    if (auto found = advice_on_output(std::string{line}, address.value("user"), address.database());
        !found.empty())
      advice = std::move(found);
  }
};

Failure failed(const Manifest& manifest, const std::string& how, const OutputTail& tail) {
  auto text = fmt::format("the migration command {} {}",
                          as_written(manifest.migrations.command.front(), manifest.variables), how);
  for (const auto& line : tail.lines) text += "\n  | " + line;
  return {ExitCode::command_failed, text,
          tail.advice.value_or("its whole output is in the log above; correct its cause") +
              "; run it again by deploying again"};
}

}  // namespace

void run_command(const Manifest& manifest, const std::string& release, const Database& database,
                 const Lease& lease, Stop& stop) {
  const auto url = database.address().with_application_name(lease.application_name());
  ChildCommand command{.argv = manifest.migrations.command,
                       .environment = {{"DATABASE_URL", url},
                                       {"DIRECT_URL", url},
                                       {"SCHEMAGATE_DATABASE_URL", url},
                                       {"SCHEMAGATE_RELEASE", release},
                                       {"SCHEMAGATE_APP", manifest.app},
                                       {"PGAPPNAME", lease.application_name()}},
                       .timeout = manifest.migrations.timeout,
                       .grace = k_grace};
  for (const auto& [name, value] : manifest.migrations.env) {
    command.environment[name] = value;
    if (names_a_secret(name)) log::keep_secret(value);
  }

  OutputTail tail;
  // Before it is shortened: half a secret would not be found.
  const auto told = [&](const std::string& text) {
    return log::redact(as_written(text, manifest.variables));
  };
  log::info(fmt::format("running {}", shortened(told(join(command.argv, " ")), 200)));
  const auto outcome = run_child(
      command,
      [&](std::string_view bytes) {
        const auto line = told(valid_utf8(bytes));
        log::info("| " + line);
        tail.add(line, database.address());
      },
      stop.token());
  stop.check();
  if (std::holds_alternative<TimedOut>(outcome))
    throw failed(manifest,
                 fmt::format("did not end within migrations.timeout ({}) and was stopped",
                             for_people(command.timeout)),
                 tail);
  if (const auto* killed = std::get_if<KilledBy>(&outcome))
    throw failed(manifest, fmt::format("was ended by signal {}", killed->signal), tail);
  if (const auto* exited = std::get_if<Exited>(&outcome); exited != nullptr && exited->code != 0)
    throw failed(manifest, fmt::format("ended with exit code {}", exited->code), tail);
}

}  // namespace schemagate
