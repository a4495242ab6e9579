#include "schemagate/base/password.hpp"

#include <algorithm>
#include <cctype>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

constexpr std::string_view k_word = "password";
constexpr std::string_view k_blank = " \t\r\n";
constexpr std::string_view k_cut = "'***'";

bool is_of_identifier(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// One text, and where in it we are.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_{text} {}

  std::size_t at = 0;

  [[nodiscard]] bool sees(std::string_view what) const {
    return lower_case(text_.substr(at, what.size())) == what;
  }
  void skip(std::string_view any_of) { at = std::min(text_.find_first_not_of(any_of, at), end()); }
  void skip_to(std::string_view what) {
    const auto found = text_.find(what, at);
    at = found == std::string_view::npos ? end() : found + what.size();
  }
  void skip_blanks() {
    for (skip(k_blank); sees("--") || sees("/*"); skip(k_blank)) skip_to(sees("--") ? "\n" : "*/");
  }

  // From behind the word to its value: the end of a quoted name, an operator. True: an equals sign.
  bool skip_link() {
    skip("\"");
    auto behind = *this;  // of the quote that ends a name like 'app.password'
    behind.skip("'");
    behind.skip_blanks();
    if (behind.sees("=") || behind.sees(":") || behind.sees(",")) at = behind.at;
    skip_blanks();
    const auto link = at;
    if (sees("to ")) at += 2;
    else skip("=:>,");
    const bool has_equals = text_.substr(link, at - link).find('=') != std::string_view::npos;
    skip_blanks();
    if (sees("e'")) at += 1;
    if (sees("u&'")) at += 2;
    return has_equals;
  }

  // The value, if one stands here.
  void skip_value(bool has_equals) {
    const bool in_literal = is_inside_of('\'');
    const auto run = run_of(at < end() ? text_[at] : ' ');
    if (in_literal && (sees("%") || (sees("'") && run == 1))) at = end();  // put together
    else if (sees("'") && (in_literal || run != 2)) skip_quoted(std::string(run, '\''));
    else if (sees("\"") && run == 1) skip_quoted("\"");
    else if (sees("$")) skip_dollar_quoted();
    else if (has_equals && (in_literal || is_inside_of('"')))
      at = std::min(text_.find_first_of(" \t\r\n'\"&;,)", at), end());
  }

 private:
  [[nodiscard]] std::size_t end() const { return text_.size(); }
  [[nodiscard]] bool is_inside_of(char quote) const {
    return std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at), quote) % 2 ==
           1;
  }
  [[nodiscard]] std::size_t run_of(char c) const {
    return std::min(text_.find_first_not_of(c, at), end()) - at;
  }

  // By as many quotes as the literal is nested deep. Rather too much than too little.
  void skip_quoted(const std::string& quotes) {
    for (at += quotes.size(); at < end();) {
      skip_to(quotes);
      const bool is_escaped = at > quotes.size() && text_[at - quotes.size() - 1] == '\\';
      if (sees(quotes)) at += quotes.size();
      else if (!is_escaped && !continues()) return;
    }
  }

  // 'a' and, in a later line, 'b' are one literal.
  bool continues() {
    auto next = *this;
    next.skip_blanks();
    if (!next.sees("'") || text_.substr(at, next.at - at).find('\n') == std::string_view::npos)
      return false;
    at = next.at + 1;
    return true;
  }

  void skip_dollar_quoted() {
    auto tag = *this;
    do ++tag.at;
    while (tag.at < end() && is_of_identifier(text_[tag.at]) && text_[tag.at] != '$');
    if (!tag.sees("$")) return;
    const auto quotes = text_.substr(at, tag.at + 1 - at);
    at = tag.at + 1;
    skip_to(quotes);
  }

  std::string_view text_;
};

// scheme://user:PASSWORD@host
std::string without_password_of_urls(std::string text) {
  for (auto at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    const auto end = std::min(text.find_first_of(" \t\r\n'\"", at + 3), text.size());
    const auto colon = text.find(':', at + 3);
    const auto host = text.rfind('@', end);
    if (host != std::string::npos && host < end && colon < host)
      text.replace(colon + 1, host - colon - 1, "***");
  }
  return text;
}

}  // namespace

std::string without_password(std::string_view original, std::size_t size_max) {
  const auto text = without_password_of_urls(std::string{original});
  const auto lower = lower_case(text);
  std::string kept;
  std::size_t told = 0;
  for (auto at = lower.find(k_word); at != std::string::npos; at = lower.find(k_word, at + 1)) {
    Reader reader{text};
    reader.at = at + k_word.size();
    if (at < told || (reader.at < text.size() && is_of_identifier(text[reader.at]))) continue;
    const bool has_equals = reader.skip_link();
    const auto value = reader.at;
    reader.skip_value(has_equals);
    if (reader.at == value) continue;
    kept += text.substr(told, value - told);
    kept += k_cut;
    told = reader.at;
  }
  return shortened(kept + text.substr(told), size_max);
}

std::string line_without_password(std::string_view text, std::size_t size_max) {
  constexpr std::size_t k_read_max = 16 * 1024;
  std::string line;
  for (const char c : without_password(text.substr(0, k_read_max), k_read_max)) {
    const bool is_blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!is_blank) line += c;
    else if (!line.empty() && line.back() != ' ') line += ' ';
  }
  return shortened(line, size_max);
}

}  // namespace schemagate
