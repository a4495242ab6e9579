#include "schemagate/postgres/connection.hpp"

#include <fmt/core.h>
#include <libpq-fe.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <string_view>

#include "connection_mistakes.hpp"
#include "percent.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/manifest/schema_name.hpp"

namespace schemagate {

namespace mistakes = connection_mistakes;

namespace {

constexpr std::string_view k_pooler_port = "6543";  // Supabase's and others' transaction pooler

// Prisma's own parameters that mean nothing to a migration run.
constexpr std::array k_prisma_only = {"connection_limit",      "pool_timeout",
                                      "socket_timeout",        "max_connection_lifetime",
                                      "statement_cache_size",  "max_idle_connection_lifetime",
                                      "single_use_connections"};

// Prisma's and others' words on TLS, which mean something only together.
constexpr std::array k_read_together = {"ssl", "sslaccept", "sslcert"};

// Where the certificates of the public authorities are: Debian and Alpine, Fedora, others by
// OpenSSL's habit; last those that came with us (deploy/package).
constexpr std::array k_system_certificates = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem", "/opt/schemagate/share/ca-certificates.crt"};

using Options = std::unique_ptr<PQconninfoOption, decltype(&::PQconninfoFree)>;

bool libpq_knows(const std::string& key) {
  static const Options defaults{::PQconndefaults(), &::PQconninfoFree};
  for (auto* option = defaults.get(); option != nullptr && option->keyword != nullptr; ++option) {
    if (key == option->keyword) return true;
  }
  return false;
}

// libpq before 16 takes "system" for a file's name, and later ones ask an OpenSSL that may have
// been built for another distribution.
std::string system_certificates() {
  for (const auto* file : k_system_certificates)
    if (std::error_code error; std::filesystem::file_size(file, error) > 0 && !error) return file;
  return "system";
}

std::string quoted_value(std::string_view value) {
  std::string quoted{'\''};
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '\'';
}

constexpr const char* k_write_encoded =
    "the URL cannot be read; special characters in user and password are written percent-encoded "
    "(/ is %2F, # is %23, ? is %3F, : is %3A, @ is %40, % is %25)";

// "user:password@host" as the user wrote it.
std::string password_of(const std::string& authority) {
  const auto at = authority.rfind('@');
  const auto colon = authority.find(':');
  if (at == std::string::npos || colon == std::string::npos || colon > at) return {};
  return authority.substr(colon + 1, at - colon - 1);
}

// The server splits `options` at blanks; a backslash protects the next character.
std::string escaped_option(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ' ' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace

ConnectionString::ConnectionString(const std::string& text) : text_{trim(text)} {
  if (text_.empty()) throw ConnectionStringError{"the connection string is empty"};
  mistakes::refuse_wrapping(text_);
  is_url_ = text_.find("://") != std::string::npos && text_.find("://") < text_.find_first_of("= ");
  if (is_url_) read_url(text_);
  else read_key_value(text_);
  if (value("sslrootcert") == "system" && value("sslmode") != "verify-full") {
    if (!value("sslmode").empty())
      throw ConnectionStringError{
          "sslrootcert=system needs sslmode=verify-full: anybody can have a certificate that some "
          "public authority has signed"};
    set("sslmode", "verify-full");
  }
  check();
  if (database().empty() && value("service").empty()) {
    throw ConnectionStringError{
        "the connection string names no database; add /NAME (URL) or dbname="};
  }
}

void ConnectionString::check() const {
  const auto given = [&](const std::string& key) { return value(key); };
  mistakes::refuse_bad_values(given);
  mistakes::refuse_contradicting_tls(given);
}

void ConnectionString::read_url(const std::string& text) {
  const auto scheme_end = text.find("://");
  mistakes::refuse_foreign_scheme(std::string_view{text}.substr(0, scheme_end));
  mistakes::refuse_placeholders_in_url(text);
  const auto question = text.find('?');
  const auto rest =
      text.substr(scheme_end + 3,
                  question == std::string::npos ? std::string::npos : question - scheme_end - 3);
  const auto slash = rest.find('/');
  auto authority = rest.substr(0, slash);
  const auto path = slash == std::string::npos ? std::string{} : rest.substr(slash);
  const auto behind = question == std::string::npos ? "" : text.substr(question);
  // A raw / or ? in the password ends the authority too early; what follows holds the rest of it.
  if (path.find('@') != std::string::npos ||
      (authority.find('@') == std::string::npos && behind.find('@') != std::string::npos))
    throw ConnectionStringError{k_write_encoded};
  // A fragment says nothing to a server. A raw # in the password stands before the @.
  const auto host = scheme_end + 3 + authority.rfind('@') + 1;  // npos + 1 is 0
  if (const auto hash = text.find('#', host); hash != std::string::npos) {
    text_ = text.substr(0, hash);
    return read_url(text_);
  }
  raw_password_ = password_of(authority);
  // WHATWG (and so Prisma) lets a password hold raw @; libpq would take the first one as the end.
  for (auto at = authority.find('@'); at != authority.rfind('@'); at = authority.find('@'))
    authority.replace(at, 1, "%40");
  (void)percent_decoded(authority, "user, password or host");
  (void)percent_decoded(path, "database name");

  char* reason = nullptr;  // not shown: libpq quotes the part it could not read, password and all
  const Options parsed{::PQconninfoParse(("postgresql://" + authority + path).c_str(), &reason),
                       &::PQconninfoFree};
  ::PQfreemem(reason);
  if (!parsed) {
    throw ConnectionStringError{k_write_encoded};
  }
  for (auto* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) set(option->keyword, option->val);
  }
  if (value("port").find_first_not_of("0123456789,") != std::string::npos)
    throw ConnectionStringError{k_write_encoded};
  if (question != std::string::npos) read_url_parameters(text.substr(question + 1));
}

void ConnectionString::read_url_parameters(const std::string& query) {
  std::vector<mistakes::Pair> given;
  for (const auto& pair : split(query, '&')) {
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    const auto key = percent_decoded(pair.substr(0, equals), "parameters");
    // "p@ss?word@host": what is no parameter is the rest of a password.
    if (pair.find('@') != std::string::npos && key != "schema" && !libpq_knows(key))
      throw ConnectionStringError{k_write_encoded};
    given.push_back({key, percent_decoded(pair.substr(std::min(equals + 1, pair.size())), key)});
  }
  mistakes::refuse_contradicting_pairs(given);
  for (const auto& [key, value, is_quoted] : given) read_url_parameter(key, value);
  apply_tls(given);
}

void ConnectionString::read_url_parameter(const std::string& key, const std::string& value) {
  if (std::find(k_read_together.begin(), k_read_together.end(), key) != k_read_together.end() ||
      std::find(k_prisma_only.begin(), k_prisma_only.end(), key) != k_prisma_only.end())
    return;
  if (key == "pgbouncer") pgbouncer_ = value == "true";
  else if (key == "sslmode" && value == "no-verify") set("sslmode", "require");
  else if (libpq_knows(key)) set(key, value);
  else if (key == "schema") {
    if (const auto wrong = wrong_with_schema(value); !wrong.empty())
      throw ConnectionStringError{"the schema in ?schema= " + wrong};
    schema_ = value;
  } else if (key == "sslidentity") {
    throw ConnectionStringError{
        "sslidentity (a PKCS#12 file) is not readable by libpq; convert it and use sslkey and "
        "sslcert: openssl pkcs12 -in identity.p12 -out client.pem -nodes"};
  } else {
    mistakes::refuse_unknown_key(key, [](const std::string& known) {
      return libpq_knows(known) || known == "sslaccept" || known == "pgbouncer";
    });
    warnings_.push_back(fmt::format("the connection parameter \"{}\" is unknown and ignored", key));
  }
}

void ConnectionString::apply_tls(const std::vector<mistakes::Pair>& url_parameters) {
  const auto given = [&](std::string_view key) -> std::string {
    for (const auto& parameter : url_parameters)
      if (parameter.key == key) return parameter.value;
    return {};
  };
  const auto mode = value("sslmode");
  const auto accept = given("sslaccept");
  const auto ssl = given("ssl");
  // Prisma reads any unknown value as strict, and so do we.
  const bool is_strict = !accept.empty() && accept != "accept_invalid_certs";
  if (!ssl.empty() && ssl != "true")
    throw ConnectionStringError{"only ssl=true is understood; sslmode says more"};
  if (mode == "disable" && (is_strict || !ssl.empty()))
    throw ConnectionStringError{
        fmt::format("{} contradicts sslmode=disable: one wants TLS, the other forbids it",
                    is_strict ? "sslaccept" : "ssl=true")};
  if (!ssl.empty() && (mode.empty() || mode == "prefer" || mode == "allow"))
    set("sslmode", "require");
  if (is_strict) set("sslmode", "verify-full");
  if (const auto certificate = given("sslcert"); !certificate.empty()) {
    if (!given("sslkey").empty() || mode == "disable") set("sslcert", certificate);
    else if (accept != "accept_invalid_certs" && given("sslrootcert").empty())
      set("sslrootcert", certificate);
  }
  if (is_strict && value("sslrootcert").empty()) set("sslrootcert", "system");
}

void ConnectionString::read_key_value(const std::string& text) {
  mistakes::refuse_placeholders_in_key_value(text);
  char* reason = nullptr;
  const Options parsed{::PQconninfoParse(text.c_str(), &reason), &::PQconninfoFree};
  ::PQfreemem(reason);
  if (!parsed) {
    throw ConnectionStringError{
        "the connection string is neither a postgresql:// URL nor libpq's key=value form, or it has "
        "a key that libpq does not know (a schema is named by migrations.schema)"};
  }
  mistakes::refuse_contradicting_pairs(mistakes::pairs_of(text));
  for (auto* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) set(option->keyword, option->val);
  }
}

void ConnectionString::set(const std::string& key, const std::string& value) {
  for (auto& parameter : parameters_) {
    if (parameter.key == key) {
      parameter.value = value;
      return;
    }
  }
  parameters_.push_back({key, value});
}

std::map<std::string, std::optional<std::string>> ConnectionString::environment() const {
  // A service wins over the other variables; what it says is in the values already.
  std::map<std::string, std::optional<std::string>> variables{{"PGSERVICE", std::nullopt}};
  const Options known{::PQconndefaults(), &::PQconninfoFree};
  for (auto* option = known.get(); option != nullptr && option->keyword != nullptr; ++option)
    if (const auto given = value(option->keyword); option->envvar != nullptr && !given.empty())
      variables[option->envvar] = given;
  return variables;
}

std::string ConnectionString::value(const std::string& key) const {
  for (const auto& parameter : parameters_)
    if (parameter.key == key) return parameter.value;
  return {};
}

std::string ConnectionString::conninfo(const ConnectionSettings& settings) const {
  auto all = *this;
  const auto set_unless_given = [&](const char* key, const char* value) {
    if (all.value(key).empty()) all.set(key, value);
  };
  if (settings.connect_timeout)
    all.set("connect_timeout", std::to_string(settings.connect_timeout->count()));
  set_unless_given("connect_timeout", "5");
  if (all.value("sslrootcert") == "system") all.set("sslrootcert", system_certificates());
  all.set("application_name", settings.application_name);
  all.set("client_encoding", "UTF8");
  // A dead peer is noticed in about 15 s instead of two hours.
  set_unless_given("keepalives_idle", "5");
  set_unless_given("keepalives_interval", "3");
  set_unless_given("keepalives_count", "3");
  set_unless_given("tcp_user_timeout", "15000");
  for (const auto& [name, setting] : settings.defaults)
    all.set("options", all.value("options") + " -c " + name + "=" + escaped_option(setting));
  return all.as_key_value();
}

std::string ConnectionString::as_key_value() const {
  std::string text;
  for (const auto& [key, value] : parameters_)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, quoted_value(value));
  return text;
}

std::string ConnectionString::host() const {
  return value("host").empty() ? value("hostaddr") : value("host");
}

std::string ConnectionString::display() const {
  const auto user = value("user");
  const auto port = value("port");
  return fmt::format("{}{}{}/{}", user.empty() ? "" : user + "@",
                     host().empty() ? "localhost" : host(), port.empty() ? "" : ":" + port,
                     database());
}

ConnectionString ConnectionString::completed() const {
  // libpq tells what it would use only of a connection. This one never leaves the machine, because
  // of a value that is looked at before.
  const std::unique_ptr<PGconn, decltype(&::PQfinish)> refused{
      ::PQconnectStart((as_key_value() + " target_session_attrs=-").c_str()), &::PQfinish};
  const std::string reason = ::PQerrorMessage(refused.get());
  if (reason.find("service") != std::string::npos) throw ConnectionStringError{trim(reason)};
  auto all = *this;
  const Options used{::PQconninfo(refused.get()), &::PQconninfoFree};
  for (auto* option = used.get(); option != nullptr && option->keyword != nullptr; ++option) {
    const std::string key = option->keyword;
    const std::string used_value = option->val == nullptr ? "" : option->val;
    const bool is_built_in = option->compiled != nullptr && used_value == option->compiled;
    if (used_value.empty() || is_built_in || key == "target_session_attrs" || !value(key).empty())
      continue;
    all.set(key, used_value);
    if (key == "sslmode") {
      // What else the environment says of TLS is no contradiction of what is written here.
      auto weakened = *this;
      weakened.set(key, used_value);
      weakened.check();
    }
    if (key == "hostaddr" && !value("host").empty())
      all.warnings_.push_back(fmt::format(
          "the environment (PGHOSTADDR, PGSERVICE) or a service leads to {}, not to the "
          "host of the connection string",
          used_value));
  }
  mistakes::refuse_bad_values([&](const std::string& key) { return all.value(key); });
  return all;
}

std::vector<std::string> ConnectionString::hosts() const {
  auto hosts = split(value("host"), ',');
  const auto addresses = split(value("hostaddr"), ',');
  if (hosts.size() < addresses.size()) hosts.resize(addresses.size());
  for (std::size_t i = 0; i < addresses.size(); ++i)
    if (!addresses[i].empty()) hosts[i] = addresses[i];
  return hosts;
}

ConnectionString ConnectionString::with_database(const std::string& name) const {
  auto other = *this;
  other.set("dbname", name);
  return other;
}

bool ConnectionString::is_pooler() const {
  return pgbouncer_ || host().find("-pooler.") != std::string::npos ||
         value("port") == k_pooler_port;
}

std::vector<std::string> ConnectionString::secrets() const {
  std::vector<std::string> secrets;
  for (const auto* key : {"password", "sslpassword"}) {
    const auto secret = value(key);
    if (secret.empty()) continue;
    secrets.push_back(secret);
    secrets.push_back(percent_encoded(secret));
  }
  if (!raw_password_.empty()) secrets.push_back(raw_password_);
  return secrets;
}

}  // namespace schemagate
