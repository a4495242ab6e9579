#include "schemagate/cli/command_line.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/base/version.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/cli/help.hpp"
#include "schemagate/manifest/typed_hint.hpp"

namespace schemagate::cli {
namespace {

using Words = std::vector<std::string>;

std::string command_meant(const std::string& name) {
  for (const auto& entry : commands()) {
    const auto words = split(entry.other_tools_say, ' ');
    if (std::find(words.begin(), words.end(), lower_case(name)) != words.end())
      return fmt::format("; did you mean \"{}\"?", entry.name);
  }
  return did_you_mean(name, command_names());
}

const CommandEntry& find_command(const std::string& name) {
  for (const auto& entry : commands())
    if (entry.name == name) return entry;
  if (name.starts_with('-'))
    throw usage_mistake("",
                        fmt::format("unknown option \"{}\"; the first word is a command", name));
  throw usage_mistake("", fmt::format("unknown command \"{}\"{}", name, command_meant(name)));
}

void declare_common(Options& options, Invocation& invocation) {
  using log::Format;
  using log::Level;
  invocation.manifest = default_manifest();
  options.text("-f,--file", "FILE", invocation.manifest,
               "the manifest (default: $SCHEMAGATE_MANIFEST, else schemagate.yaml)");
  options.flag("--json", invocation.json, "print one JSON document on stdout");
  options
      .choice<Format>("--log-format", {{"text", Format::text}, {"json", Format::json}},
                      invocation.log.format,
                      "how messages on stderr look (default: $SCHEMAGATE_LOG_FORMAT, else text)")
      .or_variable("SCHEMAGATE_LOG_FORMAT");
  options
      .choice<Level>("--log-level",
                     {{"debug", Level::debug},
                      {"info", Level::info},
                      {"warn", Level::warn},
                      {"error", Level::error}},
                     invocation.log.level,
                     "the least of them that is told (default: $SCHEMAGATE_LOG_LEVEL, else info)")
      .or_variable("SCHEMAGATE_LOG_LEVEL");
}

void declare_program(Options& options, Invocation& invocation) {
  options.allow_program();
  options.duration("--hold", invocation.hold,
                   "after a failure wait this long before exiting (at most 1m where another try "
                   "may help), for platforms that restart whatever ends and look at the app's "
                   "health");
}

// What follows "--".
Words program_for(const CommandEntry& entry, Words words) {
  if (!entry.takes_program)
    throw usage_mistake(entry.name, fmt::format("{} starts no command after --", entry.name));
  if (words.empty()) throw usage_mistake(entry.name, "a command must follow --");
  return words;
}

CommandLine answer(std::string text) {
  return {.answer = std::move(text), .command = nullptr, .invocation = {}};
}

// `words`: after the command's name.
CommandLine read_command(const CommandEntry& entry, const Words& words) {
  CommandLine line;
  line.command = entry.make();
  Options options{entry.name};
  line.command->declare(options);
  if (entry.takes_program) declare_program(options, line.invocation);
  declare_common(options, line.invocation);
  // What follows "--" belongs to another program and is not for our parser.
  const auto dashes = std::find(words.begin(), words.end(), "--");
  options.parse({words.begin(), dashes});
  if (options.asks_for_help()) return answer(help(options, entry.summary));
  if (dashes != words.end())
    line.invocation.program = program_for(entry, {dashes + 1, words.end()});
  return line;
}

}  // namespace

std::string overview() {
  Rows rows;
  for (const auto& entry : commands()) rows.emplace_back(entry.name, entry.summary);
  return fmt::format(
      "Brings a PostgreSQL database to the schema a release needs, once, and keeps the\n"
      "app waiting until it is so.\n\n"
      "usage: schemagate COMMAND [OPTIONS]\n\n{}\n"
      "schemagate COMMAND --help tells its options, schemagate --version the version.\n",
      two_columns(rows));
}

CommandLine read_command_line(const Words& words) {
  const auto& first = words.front();
  const bool helps = first == "-h" || first == "--help" || first == "help";
  if (first == "--version") return answer(std::string{k_version} + "\n");
  if (helps && words.size() == 1) return answer(overview());
  if (helps) return read_command(find_command(words[1]), {"--help"});
  return read_command(find_command(first), {words.begin() + 1, words.end()});
}

}  // namespace schemagate::cli
