#pragma once
// A right that a role lacks (42501): what is to be typed, in which database, and by whom. psql says
// GRANT and exits with 0 where a GRANT by the wrong role, or in the wrong database, changes
// nothing. The server's English words name the object; in other languages the hint is a general
// one. Pure.

#include <string>

#include "schemagate/postgres/session.hpp"

namespace schemagate {

// `statement`: the SQL that was refused; empty: one of our own, on our tables and the history.
[[nodiscard]] std::string remedy_of_missing_right(const pg::Error& error,
                                                  const std::string& statement = {});

}  // namespace schemagate
