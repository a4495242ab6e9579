#include "row_data.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "schemagate/base/text.hpp"
#include "schemagate/postgres/session.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate::pg {
namespace {

constexpr const char* k_cut = "…";

// As the translations of PostgreSQL's messages have them.
constexpr std::array<std::string_view, 8> k_quotes = {"\"", "«", "»", "„", "“", "”", "「", "」"};

struct Span {
  std::size_t start;
  std::size_t end;
};

// From behind the first quote to before the last one: a value may hold quotes itself.
std::optional<Span> quoted_in(std::string_view text) {
  Span span{std::string_view::npos, std::string_view::npos};
  for (const auto quote : k_quotes) {
    const auto first = text.find(quote);
    const auto last = text.rfind(quote);
    if (first == std::string_view::npos) continue;
    span.start = std::min(span.start, first + quote.size());
    if (span.end == std::string_view::npos || last > span.end) span.end = last;
  }
  if (span.start == std::string_view::npos) return std::nullopt;
  if (span.end < span.start) span.end = text.size();
  return span;
}

bool says(std::string_view sql, std::string_view value) {
  return sql.find(value) != std::string_view::npos;
}

std::string_view inside(std::string_view text, Span span) {
  return text.substr(span.start, span.end - span.start);
}

std::string cut(std::string_view text, Span span) {
  return std::string{text.substr(0, span.start)} + k_cut + std::string{text.substr(span.end)};
}

std::string without_quoted(const std::string& text, std::string_view sql) {
  const auto quoted = quoted_in(text);
  return !quoted || says(sql, inside(text, *quoted)) ? text : cut(text, *quoted);
}

// "Key (a, b)=(1, x) already exists.", "Partition key of the failing row contains (a) = (5).": what
// stands behind the columns. Nothing where there are no values beside columns.
std::optional<std::string> without_key_values(const std::string& text) {
  for (const std::string_view between : {")=(", ") = ("}) {
    const auto at = text.find(between);
    if (at != std::string::npos) return cut(text, {at + between.size(), text.rfind(')')});
  }
  return std::nullopt;
}

// 23502, 23514, 44000: "Failing row contains (1, x)."
std::string without_row(const std::string& text) {
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  return open == std::string::npos || close == std::string::npos || close < open
             ? text
             : cut(text, {open + 1, close});
}

bool is_frame(const std::string& line) {
  return line.starts_with("PL/pgSQL") || line.starts_with("SQL");
}

// One line of the context. 'COPY t, line 3, column x: "value"', 'JSON data, line 1: {"a": x...':
// what was read stands behind the colon. 'SQL statement "UPDATE t SET x = 'a'"' may have been put
// together from values.
std::string without_read_values(const std::string& line, bool is_about_data) {
  const auto colon = line.find(": ");
  if (!is_frame(line) && (line.starts_with("COPY ") || is_about_data) && colon != std::string::npos)
    return line.substr(0, colon + 2) + k_cut;
  const auto quoted = quoted_in(line);
  return !quoted
             ? line
             : line.substr(0, quoted->start) +
                   without_constants(std::string{inside(line, *quoted)}) + line.substr(quoted->end);
}

// What was read, or a statement, may have several lines: only the first of them is shown.
std::string without_values_of_context(const std::string& context, bool is_about_data,
                                      std::string_view sql) {
  std::vector<std::string> shown;
  bool is_open = false;
  for (const auto& line : split(context, '\n')) {
    if (is_open && !is_frame(line)) continue;
    const auto quoted = quoted_in(line);
    const bool is_of_script = quoted && says(sql, inside(line, *quoted));
    shown.push_back(is_of_script ? line : without_read_values(line, is_about_data));
    is_open = shown.back().ends_with(k_cut) || std::count(line.begin(), line.end(), '"') % 2 == 1;
  }
  return join(shown, "\n");
}

}  // namespace

void take_out_row_data(Error& error, std::string_view sql) {
  const auto& state = error.sqlstate;
  if (state.starts_with("P0")) return;  // raised by a script
  // What stands in quotes there is an encoding (22021, 22P05) or an extension.
  const bool is_about_data = state.starts_with("22") && state != "22021" && state != "22P05" &&
                             !error.message.starts_with("extension ");
  if (is_about_data) error.message = without_quoted(error.message, sql);
  if (const auto keys = without_key_values(error.detail)) error.detail = *keys;
  else if (state.starts_with("23") || state == "44000") error.detail = without_row(error.detail);
  else if (state.starts_with("2200") && state.back() >= 'L')
    error.detail.clear();  // 2200L to T, of XML: excerpts of it
  else if (is_about_data) error.detail = without_quoted(error.detail, sql);
  error.context = without_values_of_context(error.context, is_about_data, sql);
}

}  // namespace schemagate::pg
