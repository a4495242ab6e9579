#pragma once
// What CREATE, DROP and REINDEX ... CONCURRENTLY leave behind when they are interrupted: an INVALID
// index (PostgreSQL manual, CREATE INDEX, "Building Indexes Concurrently"). Names are resolved by
// the session's search_path, as the statement itself does.

#include <string>

#include "schemagate/postgres/session.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate::concurrent_index {

// The names of the table's indexes before the statement, one a line, INVALID ones marked. Recorded,
// so that a rerun knows what the interrupted statement made even where PostgreSQL chose the name.
[[nodiscard]] std::string evidence(pg::Session& session, const Statement::Index& index);

// Did the interrupted statement get to its end? `before`: the evidence recorded then.
[[nodiscard]] bool is_done(pg::Session& session, const Statement::Index& index,
                           const std::string& before);

// The INVALID indexes that stand in the statement's way, qualified and quoted, without those that
// another session is building at the moment.
[[nodiscard]] std::vector<std::string>
left_invalid(pg::Session& session, const Statement::Index& index, const std::string& before);

}  // namespace schemagate::concurrent_index
