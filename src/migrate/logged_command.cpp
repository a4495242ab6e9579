#include "schemagate/migrate/logged_command.hpp"

#include <fmt/core.h>

#include "schemagate/base/child.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/advice.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_grace = 5s;             // between TERM and KILL
constexpr std::size_t k_last_lines = 5;  // quoted when the command fails

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

// How it ended, where that was not well.
std::optional<std::string> misfortune(const ChildOutcome& outcome, const LoggedCommand& command) {
  if (std::holds_alternative<TimedOut>(outcome))
    return fmt::format("did not end within {} ({}) and was stopped", command.timeout_key,
                       for_people(command.timeout));
  if (const auto* killed = std::get_if<KilledBy>(&outcome))
    return fmt::format("was ended by signal {}", killed->signal);
  if (const auto* exited = std::get_if<Exited>(&outcome); exited != nullptr && exited->code != 0)
    return fmt::format("ended with exit code {}", exited->code);
  return std::nullopt;
}

}  // namespace

std::map<std::string, std::optional<std::string>> environment_of_run(const std::string& app,
                                                                     const std::string& release,
                                                                     const Database& database,
                                                                     const std::string& name) {
  const auto url = database.address().with_application_name(name);
  return {
      {"DATABASE_URL", url},           {"DIRECT_URL", url},     {"SCHEMAGATE_DATABASE_URL", url},
      {"SCHEMAGATE_RELEASE", release}, {"SCHEMAGATE_APP", app}, {"PGAPPNAME", name}};
}

void run_logged(const LoggedCommand& command, const Variables& variables, const Database& database,
                Stop& stop) {
  // Before it is shortened: half a secret would not be found.
  const auto told = [&](const std::string& text) {
    return log::redact(as_written(text, variables));
  };
  log::info(
      fmt::format("{}running {}", command.prefix, shortened(told(join(command.argv, " ")), 200)));
  OutputTail tail;
  const auto outcome = run_child(
      {.argv = command.argv,
       .environment = command.environment,
       .timeout = command.timeout,
       .grace = k_grace},
      [&](std::string_view bytes) {
        const auto line = told(valid_utf8(bytes));
        log::info("| " + line);
        tail.add(line, database.address());
      },
      stop.token());
  stop.check();
  const auto how = misfortune(outcome, command);
  if (!how) return;
  auto text = fmt::format("{}{}{} {}", command.prefix, command.called,
                          as_written(command.argv.front(), variables), *how);
  for (const auto& line : tail.lines) text += "\n  | " + line;
  throw Failure{command.failure, text,
                tail.advice.value_or("its whole output is in the log above; correct its cause") +
                    "; run it again by deploying again"};
}

}  // namespace schemagate
