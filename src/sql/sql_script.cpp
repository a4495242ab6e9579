#include "schemagate/sql/sql_script.hpp"

#include <algorithm>
#include <array>

#include "classify.hpp"
#include "schemagate/base/large_stack.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/sql/syntax_tree.hpp"

namespace schemagate {
namespace {

using namespace syntax;

// Where the statement itself stands in the text: without comments, blanks and semicolons around it.
std::optional<Range> extent(const std::string& text) {
  const bool may_hold_comments =
      text.find("--") != std::string::npos || text.find("/*") != std::string::npos;
  const auto tokens = may_hold_comments ? tokens_of(text) : std::vector<Token>{};
  if (tokens.empty()) {  // or a text that cannot be split: the server will say
    const auto first = text.find_first_not_of(" \t\r\n\f\v;");
    if (first == std::string::npos) return std::nullopt;
    return Range{first, text.find_last_not_of(" \t\r\n\f\v;") + 1};
  }
  const auto counts = [](const Token& token) { return !is_comment(token) && token.text != ";"; };
  const auto first = std::find_if(tokens.begin(), tokens.end(), counts);
  if (first == tokens.end()) return std::nullopt;
  const auto& last = *std::find_if(tokens.rbegin(), tokens.rend(), counts);
  return Range{static_cast<std::size_t>(first->text.data() - text.data()),
               static_cast<std::size_t>(last.text.data() + last.text.size() - text.data())};
}

// Turns byte ranges, given in ascending order, into statements with line and column.
class Locator {
 public:
  explicit Locator(std::string_view sql) : sql_{sql} {}

  std::optional<Statement> statement(Range range) {
    const std::string text{sql_.substr(range.start, range.end - range.start)};
    const auto inner = extent(text);
    if (!inner) return std::nullopt;
    const auto first = range.start + inner->start;
    for (; at_ < first; ++at_) {
      if (sql_[at_] == '\n') ++line_, line_start_ = at_ + 1;
    }
    Statement statement;
    statement.text = text.substr(inner->start, inner->end - inner->start);
    statement.line = line_;
    statement.column =
        static_cast<int>(character_count(sql_.substr(line_start_, first - line_start_))) + 1;
    return statement;
  }

 private:
  std::string_view sql_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  int line_ = 1;
};

// Between semicolons, of a part of the script.
void split_at_semicolons(const std::string& sql, Range part, std::vector<Range>& ranges) {
  const auto text = sql.substr(part.start, part.end - part.start);
  if (text.find_first_not_of(" \t\r\n\f\v;") == std::string::npos) return;
  int depth = 0;  // a rule's actions stand in parentheses
  auto start = part.start;
  for (const auto& token : tokens_of(text)) {
    if (token.text == "(") ++depth;
    if (token.text == ")" && depth > 0) --depth;
    if (token.text != ";" || depth > 0) continue;
    const auto end = part.start + static_cast<std::size_t>(token.text.data() - text.data());
    ranges.push_back({start, end});
    start = end + 1;
  }
  ranges.push_back({start, part.end});
}

// The scanner's statements, and what it leaves out: it holds no keyword ("TRUNCAT a;"), or stands
// behind a parenthesis too many.
std::vector<Range> split_at_semicolons(const std::string& sql) {
  std::vector<Range> ranges;
  std::size_t at = 0;
  for (const auto& found : ranges_of(sql)) {
    split_at_semicolons(sql, {at, found.start}, ranges);
    ranges.push_back(found);
    at = found.end;
  }
  split_at_semicolons(sql, {at, sql.size()}, ranges);
  return ranges;
}

// The body of an SQL function may hold semicolons: how far does the statement that starts here
// reach?
std::size_t end_of_atomic_body(const std::string& sql, const std::vector<Range>& ranges,
                               std::size_t first) {
  const auto text = sql.substr(ranges[first].start, ranges[first].end - ranges[first].start);
  if (lower_case(text).find("atomic") == std::string::npos) return first;
  const auto words = words_of(text);
  const auto begin_atomic =
      std::adjacent_find(words.begin(), words.end(), [](const auto& a, const auto& b) {
        return is_word(a, "begin") && is_word(b, "atomic");
      });
  if (begin_atomic == words.end()) return first;
  for (auto last = first; last < ranges.size(); ++last) {
    if (parse(sql.substr(ranges[first].start, ranges[last].end - ranges[first].start))) return last;
  }
  return first;
}

// They mean nothing for transactions, and a script of data may be long: not worth a tree.
bool changes_data(const std::string& text) {
  constexpr std::array<std::string_view, 3> k_words = {"insert", "update", "delete"};
  const auto word = lower_case(text.substr(0, text.find_first_of(" \t\r\n\f\v")));
  return std::find(k_words.begin(), k_words.end(), word) != k_words.end();
}

// One statement at a time: what the grammar does not know stays among what it knows, and there is
// never more than one tree.
std::vector<Statement> parse_whole(const std::string& sql) {
  std::vector<Statement> statements;
  Locator locator{sql};
  const auto ranges = split_at_semicolons(sql);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const auto start = ranges[i].start;
    i = end_of_atomic_body(sql, ranges, i);
    auto statement = locator.statement({start, ranges[i].end});
    if (!statement) continue;
    if (!changes_data(statement->text)) {
      const auto tree = parse(statement->text);
      if (tree && tree->n_stmts == 1) {
        classify(*statement, *tree->stmts[0]->stmt);
        statement->trace = trace_of(statement->text, *tree->stmts[0]->stmt);
      } else {
        classify_by_words(*statement);
        statement->trace = trace_by_words(statement->text);
      }
    }
    statements.push_back(std::move(*statement));
  }
  return statements;
}

}  // namespace

std::vector<Statement> parse_script(std::string_view text) {
  constexpr std::string_view k_byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(k_byte_order_mark)) text.remove_prefix(k_byte_order_mark.size());
  std::vector<Statement> statements;
  with_stack_for(text.size(), [&] { statements = parse_whole(std::string{text}); });
  return statements;
}

std::string without_comments(const std::string& sql) {
  std::string text;
  for (const auto& token : words_of(sql)) {
    text += token.text;
    text += ' ';
  }
  return text;
}

std::string written_name(const std::string& name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  const auto words = syntax::words_of(name);
  const bool is_word = words.size() == 1 && std::all_of(name.begin(), name.end(), is_plain) &&
                       (name[0] < '0' || name[0] > '9') &&
                       (words[0].keyword == PG_QUERY__KEYWORD_KIND__NO_KEYWORD ||
                        words[0].keyword == PG_QUERY__KEYWORD_KIND__UNRESERVED_KEYWORD);
  if (is_word) return name;
  std::string quoted = "\"";
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string without_constants(const std::string& sql) {
  const auto is_constant = [](const Token& token) {
    switch (token.kind) {
      case PG_QUERY__TOKEN__SCONST:
      case PG_QUERY__TOKEN__USCONST:
      case PG_QUERY__TOKEN__BCONST:
      case PG_QUERY__TOKEN__XCONST:
      case PG_QUERY__TOKEN__FCONST:
      case PG_QUERY__TOKEN__ICONST: return true;
      default: return is_comment(token);
    }
  };
  constexpr const char* k_cut = "…";
  const auto tokens = tokens_of(sql);
  if (tokens.empty()) {
    const auto end = sql.find_first_of("'$0123456789");
    return end == std::string::npos ? sql : sql.substr(0, end) + k_cut;
  }
  std::string text;
  std::size_t told = 0;
  for (const auto& token : tokens) {
    if (!is_constant(token)) continue;
    const auto start = static_cast<std::size_t>(token.text.data() - sql.data());
    text += sql.substr(told, start - told) + k_cut;
    told = start + token.text.size();
  }
  return text + sql.substr(told);
}

}  // namespace schemagate
