#pragma once
// Who is using the tables that are about to be locked. A migration that asks for its lock behind a
// long transaction waits, and everybody's queries wait behind the migration; so it is better asked
// for when there is a gap.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/migrate/forecast.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

// Somebody's transaction that holds, or waits for, a lock on one of the relations.
struct Occupant {
  std::string relation;
  LockMode lock = LockMode::none;
  std::string transaction;          // tells one from another
  std::string who;                  // process, user, application; never what it executes
  std::optional<Milliseconds> age;  // nothing: hidden from this role
};
// "public.orders: pid 12, user app, report, for 3 min"
[[nodiscard]] std::string told(const Occupant& occupant);
// Does it last longer than traffic does? Also where nobody may know.
[[nodiscard]] bool may_be_long(const Occupant& occupant);

// Those of all relations of the forecast, the oldest first; without autovacuum, which gives way.
[[nodiscard]] std::vector<Occupant> occupants(pg::Session& session, const Forecast& forecast);

// Returns when no long transaction is in the way of a lock that stops reads or writes, telling whom
// it waits for; after `limit` with a warning. Throws the Stop's reason.
void wait_for_gap(pg::Session& session, const Forecast& forecast, Milliseconds limit,
                  const Stop& stop);

}  // namespace schemagate
