#include "schemagate/manifest/policies.hpp"

#include <charconv>
#include <limits>

#include "schemagate/base/text.hpp"

namespace schemagate {

std::string_view name_of(Rule::Kind kind) {
  return kind == Rule::Kind::destructive ? "destructive" : "blocking";
}

std::vector<std::string> names_of_rules() {
  std::vector<std::string> names = {"destructive", "blocking"};
  for (const auto& rule : k_rules) names.emplace_back(rule.name);
  return names;
}

std::optional<std::int64_t> parse_size(std::string_view text) {
  std::int64_t number = 0;
  const auto* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || number < 0) return std::nullopt;
  auto unit = lower_case(trim({end, static_cast<std::size_t>(last - end)}));
  if (unit == "b" || unit.empty()) unit = "bytes";
  for (const auto* known : {"bytes", "kb", "mb", "gb", "tb"}) {
    if (unit == known) return number;
    if (number > std::numeric_limits<std::int64_t>::max() / 1024) return std::nullopt;
    number *= 1024;
  }
  return std::nullopt;
}

}  // namespace schemagate
