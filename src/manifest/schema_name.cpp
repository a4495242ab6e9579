#include "schemagate/manifest/schema_name.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_bytes_max = 63;  // NAMEDATALEN - 1

}  // namespace

std::string wrong_with_schema(const std::string& name) {
  const auto has_control =
      std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < ' ' || c == 127; });
  if (name.empty()) return "is empty";
  if (has_control) return "holds a control character (a tab, a line end)";
  if (valid_utf8(name) != name) return "is not UTF-8";
  const auto quoted = fmt::format("\"{}\"", shortened(name, 100));
  if (name.size() > k_bytes_max)
    return fmt::format("is too long: {} has {} bytes, and PostgreSQL cuts names at {}", quoted,
                       name.size(), k_bytes_max);
  if (trim(name) != name) return "begins or ends with a blank: " + quoted;
  if (name.find('?') != std::string::npos)
    return fmt::format("holds a \"?\": {} (the parameters of a URL are joined by &)", quoted);
  if (name.find(',') != std::string::npos)
    return fmt::format("holds a comma: {} (it is one schema, not a search_path)", quoted);
  if (name.starts_with("pg_") || name == "information_schema")
    return fmt::format("is PostgreSQL's own: {}", quoted);
  return {};
}

}  // namespace schemagate
