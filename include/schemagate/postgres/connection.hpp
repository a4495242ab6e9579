#pragma once
// A connection string as users have it in DATABASE_URL, understood once: Prisma URLs, libpq URLs
// and key=value strings become one libpq string. Pure; nothing connects here.
//
// What a person got wrong is refused here, before anything connects: variables that nobody
// expanded, values that libpq would not take, keys that promise security and that nobody knows,
// contradictions (the same key twice, sslmode=disable beside a certificate), other tools' words for
// a schema, names that are no schema's.
//
// TLS is never weaker than asked for. sslmode means what libpq says (Prisma ignores verify-full);
// `sslaccept=strict` is verify-full; Prisma's `sslcert` (a CA file) is sslrootcert unless an sslkey
// stands beside it; strict without one trusts the system's authorities, as Prisma does.
// `sslrootcert=system` is a file wherever the authorities' certificates are kept on this system,
// or else the ones we brought along, and needs verify-full. Facts about
// Prisma's URL: Prisma 7.10, quaint/src/connector/postgres/url.rs. Parameters: PostgreSQL
// manual 34.1.2.

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace schemagate {

namespace connection_mistakes {
struct Pair;
}

// The text never contains a part of the connection string that may be secret.
struct ConnectionStringError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct ConnectionSettings {
  std::string application_name;
  std::optional<std::chrono::seconds> connect_timeout;  // wins over the one in the string
  // What RESET ALL returns to, as `options`. Poolers refuse this: direct connections only.
  std::vector<std::pair<std::string, std::string>> defaults = {};
};

class ConnectionString {
 public:
  // Throws ConnectionStringError.
  explicit ConnectionString(const std::string& text);

  // For libpq, with the password: never print it.
  [[nodiscard]] std::string conninfo(const ConnectionSettings& settings) const;
  // The user's own text with application_name added, for a tool that we start.
  [[nodiscard]] std::string with_application_name(const std::string& name) const;
  // "user@host:port/database", safe to print.
  [[nodiscard]] std::string display() const;
  // To connect by, without the password: user, hosts (a socket's directory as well), ports and
  // database. Safe to print.
  [[nodiscard]] std::string url() const;

  [[nodiscard]] std::string value(const std::string& key) const;  // a libpq parameter, or empty
  [[nodiscard]] std::string host() const;  // as written; empty: libpq's default
  // Each that libpq may connect to: where an address is given, that, whatever the host says.
  [[nodiscard]] std::vector<std::string> hosts() const;
  [[nodiscard]] std::string database() const { return value("dbname"); }
  // With what libpq would take from the environment (PGHOSTADDR, PGSSLMODE, PGSERVICE, ...) and
  // from service files. Throws ConnectionStringError where that weakens TLS or is no value.
  [[nodiscard]] ConnectionString completed() const;
  [[nodiscard]] ConnectionString with_database(const std::string& name) const;

  // Prisma's ?schema=, or empty.
  [[nodiscard]] const std::string& schema() const { return schema_; }
  // The same for a program that takes libpq's variables (PGHOST, PGPASSWORD, ...). Nothing: must
  // not be set there, or it would win.
  [[nodiscard]] std::map<std::string, std::optional<std::string>> environment() const;
  // Behind PgBouncer or the like: pgbouncer=true, a host with "-pooler.", or port 6543.
  [[nodiscard]] bool is_pooler() const;
  [[nodiscard]] std::vector<std::string> secrets() const;
  // Things the user should know, each a sentence.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Parameter {
    std::string key;
    std::string value;
  };
  void check() const;
  void read_url(const std::string& text);
  void read_key_value(const std::string& text);
  void read_url_parameters(const std::string& query);
  void read_url_parameter(const std::string& key, const std::string& value);
  void apply_tls(const std::vector<connection_mistakes::Pair>& url_parameters);
  void set(const std::string& key, const std::string& value);
  [[nodiscard]] std::string as_key_value() const;

  std::string text_;
  bool is_url_ = false;
  std::string raw_password_;           // as written in the URL: a tool may print it so
  std::vector<Parameter> parameters_;  // libpq's
  std::string schema_;
  bool pgbouncer_ = false;
  std::vector<std::string> warnings_;
};

}  // namespace schemagate
