// libpq's text of an error, taken apart.

#include <algorithm>
#include <charconv>
#include <vector>

#include "row_data.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/session.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate::pg {

namespace {

// libpq's text (reportErrorPosition in fe-protocol3.c) is
//   LINE 3: ...excerpt of the line, tabs as blanks...
//                      ^
std::optional<Position> find_position(const std::vector<std::string_view>& lines,
                                      std::string_view sql) {
  for (std::size_t i = 0; i + 1 < lines.size(); ++i) {
    const auto line = lines[i];
    const auto colon = line.find(": ");
    const auto caret = lines[i + 1].find('^');
    if (!line.starts_with("LINE ") || colon == std::string_view::npos ||
        caret == std::string_view::npos || caret < colon + 2)
      continue;
    int number = 1;
    std::from_chars(line.data() + 5, line.data() + colon, number);
    number = std::max(number, 1);  // a RAISE may print what looks like an excerpt
    std::size_t start = 0;
    for (int n = 1; n < number && start != std::string_view::npos; ++n) {
      const auto end = sql.find('\n', start);
      start = end == std::string_view::npos ? end : end + 1;
    }
    if (start == std::string_view::npos) return Position{number, 1};
    std::string source{sql.substr(start, sql.find('\n', start) - start)};
    std::replace(source.begin(), source.end(), '\t', ' ');
    auto excerpt = line.substr(colon + 2);
    auto offset = caret - (colon + 2);
    if (excerpt.starts_with("...") && !source.starts_with("...") && offset >= 3) {
      excerpt.remove_prefix(3);
      if (excerpt.ends_with("...")) excerpt.remove_suffix(3);
      const auto at = source.find(excerpt);  // counted in characters, as the caret is
      offset = at == std::string::npos ? 0 : character_count(source.substr(0, at)) + offset - 3;
    }
    return Position{number, static_cast<int>(offset) + 1};
  }
  return std::nullopt;
}

}  // namespace

Error parse_error(const std::string& text, std::string sqlstate, std::string_view sql) {
  Error error{text.substr(0, text.find_last_not_of("\n ") + 1), std::move(sqlstate)};
  std::vector<std::string_view> lines;
  for (std::size_t start = 0; start < text.size();) {
    const auto end = std::min(text.find('\n', start), text.size());
    lines.push_back(std::string_view{text}.substr(start, end - start));
    start = end + 1;
  }
  std::string query;  // of a function
  std::string* field = &error.message;
  for (const auto& line : lines) {
    const auto is = [&](std::string_view label) { return line.starts_with(label); };
    auto rest = line;
    if (is("DETAIL:  ")) field = &error.detail, rest.remove_prefix(9);
    else if (is("HINT:  ")) field = &error.hint, rest.remove_prefix(7);
    else if (is("CONTEXT:  ")) field = &error.context, rest.remove_prefix(10);
    else if (is("QUERY:  ")) field = &query, rest.remove_prefix(8);
    else if (is("LINE ") && line.find(": ") != std::string_view::npos) field = nullptr;
    else if (field == &error.message && field->empty() &&
             line.find(":  ") != std::string_view::npos)
      rest.remove_prefix(line.find(":  ") + 3);
    if (field == nullptr) continue;
    if (!field->empty()) *field += '\n';
    *field += rest;
  }
  // With QUERY the excerpt shows text that was run inside a function, not what we sent.
  if (text.find("\nQUERY:  ") == std::string::npos) error.position = find_position(lines, sql);
  if (sql.find(query) == std::string_view::npos) query = without_constants(query);
  const auto said = error;
  take_out_row_data(error, sql);
  // what() has all of it, too.
  if (!query.empty() ||
      error.message + error.detail + error.context != said.message + said.detail + said.context)
    static_cast<std::runtime_error&>(error) = std::runtime_error{"ERROR:  " + error.message};
  error.context = query + (query.empty() || error.context.empty() ? "" : "\n") + error.context;
  return error;
}

}  // namespace schemagate::pg
