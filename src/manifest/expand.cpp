#include "expand.hpp"

#include <fmt/core.h>

namespace schemagate {
namespace {

// `expression` is what stands between ${ and }.
std::optional<std::string> variable(const std::string& expression, const Environment& environment,
                                    const Complain& complain) {
  const auto name_end = expression.find_first_not_of(
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
  const auto name = expression.substr(0, name_end);
  const auto rest = name_end == std::string::npos ? "" : expression.substr(name_end);
  if (name.empty() || !(rest.empty() || rest.starts_with(":-") || rest.starts_with(":?"))) {
    complain(fmt::format("${{{}}} is not understood; write ${{NAME}}, ${{NAME:-default}} "
                         "or ${{NAME:?message}}",
                         expression));
    return std::nullopt;
  }
  const auto value = environment(name);
  if (rest.empty() ? value.has_value() : value.has_value() && !value->empty()) return value;
  if (rest.starts_with(":-")) return expand(rest.substr(2), environment, complain);
  if (rest.empty()) {
    complain(fmt::format("environment variable {0} is not set; set it, or write "
                         "${{{0}:-default}}",
                         name));
  } else {
    complain(fmt::format("environment variable {} is not set: {}", name, rest.substr(2)));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> expand(const std::string& text, const Environment& environment,
                                  const Complain& complain) {
  std::string expanded;
  bool good = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 3, "$${") == 0) {  // an escaped ${
      expanded += "${";
      i += 2;
      continue;
    }
    if (text.compare(i, 2, "${") != 0) {
      expanded += text[i];
      continue;
    }
    std::size_t end = i + 2;
    for (int depth = 1; end < text.size(); ++end) {
      if (text.compare(end, 2, "${") == 0) ++depth;
      if (text[end] == '}' && --depth == 0) break;
    }
    if (end >= text.size()) {
      complain("${ without its }");
      return std::nullopt;
    }
    const auto value = variable(text.substr(i + 2, end - i - 2), environment, complain);
    good = good && value.has_value();
    expanded += value.value_or("");
    i = end;
  }
  return good ? std::optional{expanded} : std::nullopt;
}

}  // namespace schemagate
