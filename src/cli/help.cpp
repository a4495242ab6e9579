#include "schemagate/cli/help.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace schemagate::cli {
namespace {

constexpr std::size_t k_width = 80;
constexpr std::size_t k_left_max = 28;  // a longer name has its line alone

std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines;
  for (const auto& word : split(text, ' ')) {
    if (lines.empty() || lines.back().size() + 1 + word.size() > width) lines.push_back(word);
    else lines.back() += " " + word;
  }
  return lines;
}

std::string left_of(const Option& option) {
  if (option.is_word()) return option.names + (option.is_many ? "..." : "");
  const auto names = split(option.names, ',');
  const auto all = names.size() > 1 ? join(names, ", ") : "    " + names.front();
  return option.value.empty() ? all : all + " " + option.value;
}

const Option* find(const Options& options, const std::string& name) {
  const auto found = std::find_if(options.all().begin(), options.all().end(),
                                  [&](const auto& one) { return one.long_name() == name; });
  return found == options.all().end() ? nullptr : &*found;
}

std::string usage(const Options& options) {
  auto line = "usage: schemagate " + options.command();
  for (const auto& option : options.all())
    if (option.required) line += " " + option.names;
  for (const auto& group : options.groups()) {
    std::vector<std::string> alternatives;
    for (const auto& name : group)
      if (const auto* option = find(options, name)) alternatives.push_back(trim(left_of(*option)));
    line += " (" + join(alternatives, " | ") + ")";
  }
  return line + " [OPTIONS]" + (options.takes_program() ? " [-- CMD [ARGUMENTS]]" : "");
}

}  // namespace

std::string two_columns(const Rows& rows) {
  std::size_t left = 0;
  for (const auto& [name, what] : rows)
    if (name.size() <= k_left_max) left = std::max(left, name.size());
  const std::string indent(left + 4, ' ');
  std::string text;
  for (const auto& [name, what] : rows) {
    text += fmt::format("  {:<{}}", name, left);
    bool is_beside = name.size() <= left;
    for (const auto& line : wrapped(what, k_width - indent.size())) {
      text += (is_beside ? "  " : "\n" + indent) + line;
      is_beside = false;
    }
    text += "\n";
  }
  return text;
}

std::string help(const Options& options, const std::string& summary) {
  Rows rows;
  for (const auto& option : options.all()) rows.emplace_back(left_of(option), option.what);
  rows.emplace_back("-h, --help", "print this");
  if (options.takes_program())
    rows.emplace_back("-- CMD [ARGUMENTS]", "after success, replace this process by CMD");
  return fmt::format("{}\n\n{}\n\n{}", usage(options), summary, two_columns(rows));
}

}  // namespace schemagate::cli
