#include "schemagate/cli/hints.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "schemagate/base/text.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate::cli {

std::string default_manifest() {
  const auto named = process_environment()("SCHEMAGATE_MANIFEST").value_or("");
  return named.empty() ? "schemagate.yaml" : named;
}

std::string as_typed(std::string hint, const std::string& manifest) {
  if (manifest == default_manifest()) return hint;
  constexpr std::string_view k_program = "schemagate ";
  const auto option = " -f " + shell_word(manifest);
  const auto names = command_names();
  for (auto at = hint.find(k_program); at != std::string::npos; at = hint.find(k_program, at)) {
    at += k_program.size();
    const auto end = std::find_if_not(hint.begin() + static_cast<std::ptrdiff_t>(at), hint.end(),
                                      [](unsigned char c) { return std::isalpha(c) != 0; });
    const std::string word{hint.begin() + static_cast<std::ptrdiff_t>(at), end};
    at += word.size();
    if (std::find(names.begin(), names.end(), word) == names.end()) continue;
    hint.insert(at, option);
    at += option.size();  // a manifest may be named like a command
  }
  return hint;
}

std::string with_hints_as_typed(const std::string& text, const std::string& manifest) {
  auto lines = split(text, '\n');
  for (auto& line : lines)
    if (line.find("hint: ") != std::string::npos) line = as_typed(line, manifest);
  return join(lines, "\n");
}

}  // namespace schemagate::cli
