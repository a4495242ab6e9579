#include "support/lease.hpp"

#include "schemagate/lease/lease.hpp"

namespace testing {

using schemagate::pg::Session;

void expire_lease(Session& session) {
  if (session.query("SELECT to_regclass('schemagate.lock')").at(0).at(0))
    session.execute("UPDATE schemagate.lock SET expires_at = '-infinity'");
}

void expire_lease(const TestDatabase& database) {
  auto session = database.connect();
  expire_lease(session);
}

void expire_lease_unless_locked(Session& session, const std::string& lock_timeout) {
  session.execute("SET lock_timeout = '" + lock_timeout + "'");
  try {
    expire_lease(session);
  } catch (const schemagate::pg::Error& e) {
    if (e.sqlstate != "55P03") throw;
  }
  session.execute("RESET lock_timeout");
}

std::string runner_name(const TestDatabase& database, const std::string& lease, int fence,
                        const std::string& nonce) {
  auto session = database.connect();
  return schemagate::backend_name_prefix(session, schemagate::Bookkeeping{"schemagate"}, lease) +
         std::to_string(fence) + ":" + nonce;
}

bool is_lease_held(const TestDatabase& database) {
  return database.value("SELECT count(*) FROM schemagate.lock"
                        " WHERE expires_at > clock_timestamp()") != "0";
}

}  // namespace testing
