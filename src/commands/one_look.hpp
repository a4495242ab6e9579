#pragma once
// How a command looks that only reads.

#include <functional>
#include <string>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

// One READ ONLY transaction for all that `look` asks: one moment, so that a run that commits
// meanwhile does not show by half. Waits 2 s at most for whoever holds a table by an exclusive
// lock. Throws Failure: what connect_to_read() throws; (lock_timeout) then, with own_command(again)
// as what to type later; (refused) where the role may not read the history.
void in_one_look(Database& database, const Manifest::Database& settings, const std::string& again,
                 Stop& stop, const std::function<void(pg::Session&)>& look);

}  // namespace schemagate
