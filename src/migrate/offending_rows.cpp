#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "schemagate/base/text.hpp"
#include "schemagate/migrate/advice.hpp"
#include "schemagate/sql/syntax_tree.hpp"

namespace schemagate {
namespace {

// The statement in words, each as it is written there.
class Words {
 public:
  explicit Words(const std::string& sql) : sql_{sql}, words_{syntax::words_of(sql)} {}

  [[nodiscard]] bool is(std::size_t at, std::string_view word) const {
    return at < words_.size() && syntax::is_word(words_[at], word);
  }
  [[nodiscard]] bool has(std::initializer_list<std::string_view> phrase) const {
    return find(phrase, 0).has_value();
  }
  // Behind the phrase.
  [[nodiscard]] std::optional<std::size_t> find(std::initializer_list<std::string_view> phrase,
                                                std::size_t from) const {
    for (std::size_t at = from; at + phrase.size() <= words_.size(); ++at) {
      auto next = at;
      if (std::all_of(phrase.begin(), phrase.end(), [&](auto word) { return is(next++, word); }))
        return next;
    }
    return std::nullopt;
  }
  // "public"."users", at this place.
  [[nodiscard]] std::string name(std::size_t at) const {
    std::string name;
    for (; at < words_.size(); ++at) {
      name += words_[at].text;
      if (!is(at + 1, ".")) break;
      name += words_[++at].text;
    }
    return name;
  }
  // What stands between ( and its ), the first of them at this place or later.
  [[nodiscard]] std::string group(std::size_t at) const {
    while (at < words_.size() && !is(at, "(")) ++at;
    if (at == words_.size()) return {};
    const auto first = at + 1;
    for (int depth = 0; at < words_.size(); ++at) {
      if (is(at, "(")) ++depth;
      if (is(at, ")") && --depth == 0) return first == at ? "" : text(first, at - 1);
    }
    return {};
  }
  [[nodiscard]] std::string rest(std::size_t at) const {
    return at < words_.size() ? text(at, words_.size() - 1) : "";
  }

 private:
  [[nodiscard]] std::string text(std::size_t first, std::size_t last) const {
    const auto start = words_[first].text.data() - sql_.data();
    const auto end = words_[last].text.data() + words_[last].text.size() - sql_.data();
    return sql_.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(end - start));
  }
  const std::string& sql_;
  std::vector<syntax::Token> words_;
};

std::string table_of(const Words& words) {
  auto at = words.find({"alter", "table"}, 0);
  if (!at && words.has({"index"})) at = words.find({"on"}, 0);
  if (!at) return {};
  while (words.is(*at, "if") || words.is(*at, "exists") || words.is(*at, "only")) ++*at;
  return words.name(*at);
}

// Between quotes in the message, in any language; the last one names the constraint or the index.
std::vector<std::string> quoted_in(const std::string& message) {
  auto parts = split(message, '"');
  std::vector<std::string> quoted;
  for (std::size_t i = 1; i + 1 < parts.size(); i += 2) quoted.push_back(parts[i]);
  return quoted;
}

// Behind the phrase that follows this constraint's name; or behind the only such phrase.
std::optional<std::size_t> find_constraint(const Words& words,
                                           const std::vector<std::string>& names,
                                           std::initializer_list<std::string_view> phrase) {
  const auto first = words.find(phrase, 0);
  if (!first || !words.find(phrase, *first)) return first;
  for (auto at = first; at; at = words.find(phrase, *at)) {
    const auto name = words.name(*at - phrase.size() - 1);
    for (const auto& meant : names)
      if (name == meant || name == pg::quote_identifier(meant)) return at;
  }
  return std::nullopt;
}

std::string duplicates(const Words& words, const std::string& table, const pg::Error& e) {
  // "Key (email, app)=(...) is duplicated.", whatever the language.
  const auto start = e.detail.find('(');
  const auto end = e.detail.find(")=(");
  if (start == std::string::npos || end == std::string::npos || end < start) return {};
  const auto columns = e.detail.substr(start + 1, end - start - 1);
  const auto predicate = words.find({"where"}, 0);
  std::string where;
  if (!words.has({"nulls", "not", "distinct"})) where = fmt::format("({}) IS NOT NULL", columns);
  if (predicate)
    where += (where.empty() ? "" : " AND ") + fmt::format("({})", words.rest(*predicate));
  return fmt::format("SELECT {0}, count(*) FROM {1}{2} GROUP BY {0} HAVING count(*) > 1", columns,
                     table, where.empty() ? "" : " WHERE " + where);
}

std::string without_parent(const Words& words, const std::string& table,
                           const std::vector<std::string>& names) {
  const auto key = find_constraint(words, names, {"foreign", "key"});
  const auto references = key ? words.find({"references"}, *key) : std::nullopt;
  if (!references) return {};
  const auto columns = split(words.group(*key), ',');
  const auto parent = words.name(*references);
  const auto parents = words.is(*references + (parent.find('.') == std::string::npos ? 1 : 3), "(")
                           ? split(words.group(*references), ',')
                           : std::vector<std::string>{};
  if (columns.empty() || parents.size() != columns.size()) return {};
  std::string given;
  std::string same;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const auto column = trim(columns[i]);
    given += fmt::format("child.{} IS NOT NULL AND ", column);
    same += fmt::format("{}parent.{} = child.{}", i == 0 ? "" : " AND ", trim(parents[i]), column);
  }
  return fmt::format(
      "SELECT count(*) FROM {} child WHERE {}NOT EXISTS (SELECT 1 FROM {} parent WHERE {})", table,
      given, parent, same);
}

}  // namespace

std::string offending_rows(const Statement& statement, const pg::Error& error) {
  const Words words{statement.text};
  const auto table = table_of(words);
  const auto names = quoted_in(error.message);
  if (table.empty()) return {};
  if (error.sqlstate == "23505") return duplicates(words, table, error);
  if (error.sqlstate == "23503") return without_parent(words, table, names);
  if (error.sqlstate == "23502" && !names.empty() && words.has({"set", "not", "null"}))
    return fmt::format("SELECT count(*) FROM {} WHERE {} IS NULL", table,
                       pg::quote_identifier(names.front()));
  if (error.sqlstate == "23514") {
    const auto check = find_constraint(words, names, {"check"});
    const auto expression = check ? words.group(*check) : "";
    if (!expression.empty())
      return fmt::format("SELECT count(*) FROM {} WHERE NOT ({})", table, expression);
  }
  return {};
}

}  // namespace schemagate
