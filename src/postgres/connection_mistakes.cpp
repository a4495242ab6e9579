#include "connection_mistakes.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>

#include "schemagate/base/text.hpp"
#include "schemagate/postgres/connection.hpp"

namespace schemagate::connection_mistakes {
namespace {

constexpr auto k_none = std::string_view::npos;

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::size_t name_end(std::string_view text, std::size_t at) {
  if (at >= text.size() || !is_letter(text[at])) return at;
  while (at < text.size() && is_word(text[at])) ++at;
  return at;
}

// From its first to its last character; what lacks its end is no placeholder, but for ${NAME.
std::string_view placeholder_at(std::string_view text, std::size_t at) {
  const auto up_to = [&](std::string_view end) {
    const auto found = text.find(end, at);
    return found == k_none ? std::string_view{} : text.substr(at, found + end.size() - at);
  };
  const auto rest = text.substr(at);
  if (rest.starts_with("${")) {
    const auto end = name_end(text, at + 2);
    return end == at + 2 ? std::string_view{}
                         : text.substr(at, end - at + (text.substr(end, 1) == "}"));
  }
  if (rest.starts_with("$(")) return up_to(")");
  if (rest.starts_with("{{")) return up_to("}}");
  if (rest.starts_with("<")) {
    const auto whole = up_to(">");
    const bool is_plain = std::all_of(whole.begin(), whole.end(), [](char c) {
      return is_word(c) || c == '-' || c == ' ' || c == '<' || c == '>';
    });
    return is_plain ? whole : std::string_view{};
  }
  // A name may hold a $, as in ops$joe.
  if (rest.starts_with("$") && (at == 0 || !is_word(text[at - 1]) || text[at - 1] == '_')) {
    const auto end = name_end(text, at + 1);
    return end == at + 1 ? std::string_view{} : text.substr(at, end - at);
  }
  return {};
}

void refuse_placeholders_in(std::string_view part) {
  for (std::size_t at = 0; at < part.size(); ++at)
    if (const auto found = placeholder_at(part, at); !found.empty())
      throw ConnectionStringError{
          fmt::format("the connection string holds {}, which nobody has replaced by its value "
                      "(a literal $ is written %24 in a URL)",
                      shortened(found, 80))};
}

// "[YOUR-PASSWORD]" is how the consoles of some providers print it.
void refuse_placeholder_password(std::string_view password) {
  if (password.empty()) return;
  const auto plain = lower_case(password);
  const bool says_password = plain.find("pass") != std::string::npos;
  const auto found = placeholder_at(password, 0);
  bool is_placeholder = found.size() == password.size();
  if (password.front() == '[') is_placeholder = password.back() == ']' && says_password;
  else if (is_placeholder && is_word(password[1]) && password.front() == '$')
    is_placeholder = says_password || password.find('_') != k_none ||
                     std::none_of(password.begin(), password.end(),
                                  [](unsigned char c) { return std::islower(c) != 0; });
  if (is_placeholder)
    throw ConnectionStringError{
        "the password is a variable or a template that nobody has replaced by its value (it is "
        "not shown; a literal $ is written %24 in a URL)"};
}

bool holds_any(std::string_view text, std::span<const std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](auto word) { return text.find(word) != k_none; });
}

// Of any tool: "sslMode", "ssl_mode", "ssl-mode" are one word.
std::string without_style(const std::string& key) {
  auto plain = lower_case(key);
  std::erase_if(plain, [](char c) { return c == '_' || c == '-' || c == ' '; });
  return plain;
}

std::optional<int> whole_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

struct Choices {
  const char* key;
  std::string_view values;  // separated by |
};
constexpr std::array k_choices = {
    Choices{"sslmode", "disable|allow|prefer|require|verify-ca|verify-full"},
    Choices{"gssencmode", "disable|prefer|require"},
    Choices{"channel_binding", "disable|prefer|require"},
    Choices{"target_session_attrs", "any|read-write|read-only|primary|standby|prefer-standby"},
    Choices{"sslcertmode", "disable|allow|require"},
    Choices{"sslnegotiation", "postgres|direct"},
    Choices{"load_balance_hosts", "disable|random"},
};

constexpr std::array k_numbers = {"connect_timeout",     "keepalives",       "keepalives_idle",
                                  "keepalives_interval", "keepalives_count", "tcp_user_timeout"};

void refuse_bad_hosts_and_ports(const Value& value) {
  for (const auto& host : split(value("host"), ',')) {
    const bool is_socket = host.starts_with('/') || host.starts_with('@');
    const auto bad = host.find_first_of("${}<>()[]\"'`\\ ");
    if (!is_socket && bad != std::string::npos)
      throw ConnectionStringError{
          fmt::format("the host \"{}\" holds a \"{}\"; is it a variable or a template?",
                      shortened(host, 80), host[bad])};
  }
  for (const auto& port : split(value("port"), ',')) {
    const auto number = port.empty() ? 5432 : whole_number(trim(port)).value_or(0);
    if (number < 1 || number > 65535)
      throw ConnectionStringError{
          fmt::format("the port \"{}\" is not a number from 1 to 65535", shortened(port, 20))};
  }
}

}  // namespace

void refuse_wrapping(std::string_view text) {
  const auto start = [&](std::size_t at) {
    return text.substr(at).starts_with("postgres://") ||
           text.substr(at).starts_with("postgresql://");
  };
  if (text.front() == '"' || text.front() == '\'' || text.front() == '`')
    throw ConnectionStringError{fmt::format(
        "the connection string begins with the quote {}, which belongs to a shell or a file; give "
        "what stands between the quotes",
        text.front())};
  if (const auto found = placeholder_at(text, 0); !found.empty() && found.size() == text.size())
    throw ConnectionStringError{
        fmt::format("the connection string is {}, which nobody has replaced by its value; in the "
                    "manifest a variable is written ${{NAME}}",
                    shortened(found, 80))};
  std::size_t at = text.starts_with("export ") ? 7 : 0;
  const auto name = text.substr(at, name_end(text, at) - at);
  at += name.size();
  const auto before = text.substr(0, std::min(text.find_first_not_of("= \"'`", at), text.size()));
  if (name.empty() || before.size() == at || !start(before.size()) || name.ends_with("password"))
    return;
  throw ConnectionStringError{fmt::format(
      "the connection string begins with {}; give only what follows, from postgresql:// on",
      before)};
}

void refuse_foreign_scheme(std::string_view scheme) {
  if (scheme == "postgres" || scheme == "postgresql") return;
  if (scheme == "prisma" || scheme == "prisma+postgres") {
    throw ConnectionStringError{
        fmt::format("a {}:// address is Prisma's HTTP proxy, which cannot run migrations; give the "
                    "database's own postgresql:// address (for example as database.direct_url)",
                    scheme)};
  }
  const bool is_name =
      scheme.find_first_not_of("abcdefghijklmnopqrstuvwxyz+-.") == std::string_view::npos;
  throw ConnectionStringError{
      fmt::format("{} is not a PostgreSQL address; it starts with postgresql://",
                  is_name ? fmt::format("{}://", scheme) : "the connection string")};
}

void refuse_placeholders_in_url(std::string_view url) {
  const auto authority = url.find("://") + 3;
  // A raw ? may be part of the password.
  auto at = url.substr(0, url.find('?')).rfind('@');
  if (at == k_none) at = url.rfind('@');
  const auto host = at == k_none ? authority : at + 1;
  const auto query = std::min(url.find('?', host), url.size());
  const auto colon = url.find(':', authority);
  const bool has_password = at != k_none && at > authority && colon < at;
  refuse_placeholders_in(url.substr(authority, (has_password ? colon : query) - authority));
  if (has_password) refuse_placeholders_in(url.substr(host, query - host));
  for (const auto& pair : split(url.substr(std::min(query + 1, url.size())), '&'))
    if (!pair.starts_with("options=") && pair.find("password=") == std::string::npos &&
        pair.find('@') == std::string::npos)
      refuse_placeholders_in(pair);
  if (has_password) refuse_placeholder_password(url.substr(colon + 1, at - colon - 1));
}

void refuse_placeholders_in_key_value(std::string_view text) {
  for (const auto& [key, value, is_quoted] : pairs_of(text)) {
    if (is_quoted || key == "options") continue;
    if (key == "password") refuse_placeholder_password(value);
    else refuse_placeholders_in(value);
  }
}

void refuse_unknown_key(const std::string& key, const IsKnown& is_known) {
  static constexpr std::array<std::string_view, 11> k_promises = {
      "ssl",  "tls",  "gss",     "krb",   "auth", "scram", "channelbinding",
      "peer", "cert", "encrypt", "verify"};
  static constexpr std::array<std::string_view, 3> k_schema = {"schema", "searchpath", "namespace"};
  const auto plain = without_style(key);
  const auto shown = shortened(key, 60);
  if (holds_any(plain, k_schema))
    throw ConnectionStringError{fmt::format(
        "the parameter \"{}\" is another tool's; write ?schema=NAME, or migrations.schema in the manifest",
        shown)};
  for (const auto& known : {plain, lower_case(key)})
    if (is_known(known))
      throw ConnectionStringError{fmt::format("the parameter \"{}\" is written {}", shown, known)};
  if (holds_any(plain, k_promises))
    throw ConnectionStringError{fmt::format(
        "the parameter \"{}\" is unknown, also to the libpq that is used here; leaving it out could "
        "weaken the connection",
        shown)};
}

std::vector<Pair> pairs_of(std::string_view text) {
  std::vector<Pair> pairs;
  std::size_t at = 0;
  const auto skip_blanks = [&] {
    while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])) != 0) ++at;
  };
  for (skip_blanks(); at < text.size(); skip_blanks()) {
    const auto equals = text.find('=', at);
    if (equals == k_none) break;
    Pair pair{.key = trim(text.substr(at, equals - at)), .value = {}};
    at = equals + 1;
    skip_blanks();
    pair.is_quoted = at < text.size() && text[at] == '\'';
    if (pair.is_quoted) ++at;
    for (; at < text.size(); ++at) {
      const bool is_end = pair.is_quoted ? text[at] == '\''
                                         : std::isspace(static_cast<unsigned char>(text[at])) != 0;
      if (is_end) break;
      if (text[at] == '\\' && at + 1 < text.size()) ++at;
      pair.value += text[at];
    }
    if (pair.is_quoted) ++at;
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

void refuse_contradicting_pairs(const std::vector<Pair>& pairs) {
  for (auto pair = pairs.begin(); pair != pairs.end(); ++pair)
    for (auto other = pairs.begin(); other != pair; ++other)
      if (pair->key == other->key && pair->value != other->value)
        throw ConnectionStringError{
            fmt::format("the parameter \"{}\" is given twice, with different values",
                        shortened(pair->key, 60))};
}

void refuse_bad_values(const Value& value) {
  for (const auto& [key, values] : k_choices) {
    const auto given = value(key);
    const auto choices = split(values, '|');
    if (given.empty() || std::find(choices.begin(), choices.end(), given) != choices.end())
      continue;
    throw ConnectionStringError{fmt::format("{} must be one of {}, not \"{}\"", key,
                                            join(choices, ", "), shortened(given, 60))};
  }
  for (const auto* key : k_numbers)
    if (const auto given = value(key); !given.empty() && !whole_number(trim(given)))
      throw ConnectionStringError{
          fmt::format("{} must be a whole number, not \"{}\"", key, shortened(given, 60))};
  refuse_bad_hosts_and_ports(value);
}

void refuse_contradicting_tls(const Value& value) {
  const auto mode = value("sslmode");
  const bool is_weak = mode == "allow" || mode == "prefer" || mode.empty();
  const auto refuse = [&](const std::string& what) {
    throw ConnectionStringError{fmt::format(
        "{} contradicts sslmode={}: one wants TLS, the other allows a connection without it", what,
        mode.empty() ? "prefer (libpq's own, when none is given)" : mode)};
  };
  if (is_weak && value("sslnegotiation") == "direct") refuse("sslnegotiation=direct");
  if (mode != "disable") return;
  for (const auto* key : {"sslrootcert", "sslcert", "sslkey", "sslcrl", "sslcrldir"})
    if (!value(key).empty()) refuse(key);
  for (const auto* key : {"channel_binding", "sslcertmode"})
    if (value(key) == "require") refuse(fmt::format("{}=require", key));
  if (value("sslnegotiation") == "direct") refuse("sslnegotiation=direct");
}

}  // namespace schemagate::connection_mistakes
