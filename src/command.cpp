#include "schemagate/command.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/child.hpp"
#include "schemagate/log.hpp"
#include "schemagate/text.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_grace = 10s;            // between TERM and KILL
constexpr std::size_t k_last_lines = 5;  // quoted when the command fails

// An argument may be a whole shell line.
std::vector<std::string> words_of(const std::vector<std::string>& argv) {
  std::vector<std::string> words;
  for (auto argument : argv) {
    for (auto& c : argument)
      if (std::string_view{" \t\n;&|()'\"`"}.find(c) != std::string_view::npos) c = ' ';
    for (auto& word : split(argument, ' '))
      if (!word.empty()) words.push_back(lower_case(word));
  }
  return words;
}

struct OutputTail {
  std::vector<std::string> lines;

  void add(std::string_view line) {
    if (lines.size() == k_last_lines) lines.erase(lines.begin());
    lines.emplace_back(line);
  }
};

Failure failed(const Manifest& manifest, const std::string& how, const OutputTail& tail) {
  auto text = fmt::format("the migration command {} {}", manifest.migrations.command.front(), how);
  for (const auto& line : tail.lines) text += "\n  | " + line;
  return {ExitCode::command_failed, text,
          "its whole output is in the log above; run it again by deploying again"};
}

}  // namespace

void refuse_destructive_command(const std::vector<std::string>& argv) {
  const auto words = words_of(argv);
  const auto refuse = [](const std::string& what) {
    throw Failure{
        ExitCode::refused,
        fmt::format(
            "refused: \"{}\" can drop data; schemagate never runs it against a database to be kept",
            what),
        "deploy with: prisma migrate deploy (or tool: prisma, which needs no command)"};
  };
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].starts_with("--force-reset") || words[i].starts_with("--accept-data-loss"))
      refuse(words[i]);
    if (i + 1 == words.size()) break;
    const auto pair = words[i] + " " + words[i + 1];
    if (pair == "db push" || pair == "migrate dev" || pair == "migrate reset")
      refuse("prisma " + pair);
  }
}

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
  for (const auto& [name, value] : manifest.migrations.env) command.environment[name] = value;

  OutputTail tail;
  log::info(fmt::format("running {}", shortened(join(command.argv, " "), 200)));
  const auto outcome = run_child(
      command,
      [&](std::string_view line) {
        log::info(fmt::format("| {}", valid_utf8(line)));
        tail.add(log::redact(std::string{line}));
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
