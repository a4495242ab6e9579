#pragma once
// The last look before the first change: one block of the log, which says where this is, what is
// about to be done to which tables, who is using them, and what the manifest's policies say.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/formats/history.hpp"
#include "schemagate/migrate/forecast.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

struct Outlook {
  // Names. Nothing: an external command's, which nobody can tell.
  std::optional<std::vector<std::string>> pending;
  std::optional<std::vector<std::string>> applied;
  std::optional<Forecast> forecast;  // nothing: what an external command will do
};

[[nodiscard]] Outlook outlook(pg::Session& session, const Target& target, const Plan& plan,
                              const History& history, const Stop& stop);
// Of an external command.
[[nodiscard]] Outlook outlook(pg::Session& session, const Target& target);

// Tells all of it. `lease`: null where none is held. What stands against beginning: (refused) a
// policy, or an expectation that cannot be looked at; (not_ready) a standby that is too far behind.
[[nodiscard]] std::optional<Failure> preflight(pg::Session& session, const Target& target,
                                               const Outlook& outlook, const Lease* lease);

}  // namespace schemagate
