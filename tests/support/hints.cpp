#include "support/hints.hpp"

#include <algorithm>
#include <optional>
#include <regex>

#include "schemagate/base/text.hpp"

namespace testing {
namespace {

constexpr const char* k_program = "schemagate ";
constexpr const char* k_indent_of_gate = "          ";

// The words of a command that begins here, as far as it goes: sentences go on behind it.
std::string command_at(const std::string& text) {
  static const std::regex command{
      "^schemagate (run|status|gate|resolve ('[^']*'|[^ ]+) --(auto|applied|rolled-back)"
      "|baseline( --none| --through ('[^']*'|[^ ;,]+)|( ('[^']*'|[A-Za-z0-9_.]+))+)"
      "( --force --because \"[^\"]*\")?)"};
  std::smatch found;
  return std::regex_search(text, found, command) ? found[0].str() : "";
}

std::optional<std::string> rest_of_chain(const std::string& text) {
  constexpr const char* k_and = " && ";
  if (!text.starts_with(k_and)) return std::nullopt;
  return text.substr(std::string{k_and}.size());
}

}  // namespace

std::vector<std::string> hints_in(const std::string& printed) {
  static const std::regex line{"^(?:[0-9:]{8} +[a-z]+ +)?[ │]*hint: (.*)$"};
  std::vector<std::string> hints;
  std::vector<std::string> quoted;
  for (const auto& one : schemagate::split(printed, '\n')) {
    std::smatch found;
    if (!std::regex_match(one, found, line)) continue;
    auto& kind = one.starts_with(k_indent_of_gate) ? quoted : hints;
    if (std::find(kind.begin(), kind.end(), found[1].str()) == kind.end())
      kind.push_back(found[1].str());
  }
  return hints.empty() ? quoted : hints;
}

std::vector<Typed> commands_in(const std::string& hint) {
  std::vector<Typed> all;
  for (std::size_t at = hint.find(k_program); at != std::string::npos;
       at = hint.find(k_program, at)) {
    Typed typed;
    for (std::optional<std::string> rest = hint.substr(at); rest;) {
      const auto one = command_at(*rest);
      if (one.empty()) break;
      typed.text += (typed.commands == 0 ? "" : " && ") + one;
      ++typed.commands;
      rest = rest_of_chain(rest->substr(one.size()));
    }
    at += std::max<std::size_t>(typed.text.size(), 1);
    if (typed.commands > 0) all.push_back(typed);
  }
  return all;
}

bool asks_a_person(const std::string& hint) {
  for (const std::string words :
       {"look at", "by hand", "if you", "a person decides", "is this the right database"})
    if (hint.find(words) != std::string::npos) return true;
  return false;
}

}  // namespace testing
