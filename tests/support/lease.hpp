#pragma once
// What a test does to the lease, by SQL.

#include "support/server.hpp"

namespace testing {

// As if the ttl of a runner that cannot give its lease back had passed. A short ttl instead might
// be over, on a slow machine, before that runner is where the case wants it, or for one that is
// only slow. Nothing where there is no lease yet.
void expire_lease(schemagate::pg::Session& session);
void expire_lease(const TestDatabase& database);
// Not while a paused runner holds the row between its fence check and its COMMIT: then the ttl
// decides. (The backend of a killed one lets go of it.)
void expire_lease_unless_locked(schemagate::pg::Session& session,
                                const std::string& lock_timeout = "10s");

// What a runner calls its backends; our tables must exist. Without `nonce`: how all of that fence
// begin.
[[nodiscard]] std::string runner_name(const TestDatabase& database, const std::string& lease,
                                      int fence, const std::string& nonce = {});

[[nodiscard]] bool is_lease_held(const TestDatabase& database);

}  // namespace testing
