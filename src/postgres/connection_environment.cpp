#include <array>
#include <utility>

#include "schemagate/postgres/connection.hpp"

namespace schemagate {
namespace {

// PostgreSQL manual 34.15, "Environment Variables". Those that no connection string may hold, and
// those that only tune a connection, are left as they are.
constexpr std::array<std::pair<const char*, const char*>, 24> k_variables = {{
    {"host", "PGHOST"},
    {"hostaddr", "PGHOSTADDR"},
    {"port", "PGPORT"},
    {"dbname", "PGDATABASE"},
    {"user", "PGUSER"},
    {"password", "PGPASSWORD"},
    {"passfile", "PGPASSFILE"},
    {"require_auth", "PGREQUIREAUTH"},
    {"channel_binding", "PGCHANNELBINDING"},
    {"options", "PGOPTIONS"},
    {"sslmode", "PGSSLMODE"},
    {"sslnegotiation", "PGSSLNEGOTIATION"},
    {"sslcert", "PGSSLCERT"},
    {"sslkey", "PGSSLKEY"},
    {"sslcertmode", "PGSSLCERTMODE"},
    {"sslrootcert", "PGSSLROOTCERT"},
    {"sslcrl", "PGSSLCRL"},
    {"sslcrldir", "PGSSLCRLDIR"},
    {"sslsni", "PGSSLSNI"},
    {"requirepeer", "PGREQUIREPEER"},
    {"ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"},
    {"gssencmode", "PGGSSENCMODE"},
    {"krbsrvname", "PGKRBSRVNAME"},
    {"connect_timeout", "PGCONNECT_TIMEOUT"},
}};

}  // namespace

std::map<std::string, std::optional<std::string>> ConnectionString::environment() const {
  // A service wins over the other variables; what it says is in the values already.
  std::map<std::string, std::optional<std::string>> variables{{"PGSERVICE", std::nullopt}};
  for (const auto& [key, name] : k_variables)
    if (const auto given = value(key); !given.empty()) variables[name] = given;
  return variables;
}

}  // namespace schemagate
