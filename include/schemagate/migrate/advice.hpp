#pragma once
// What to do about a statement of a migration that PostgreSQL refused: by its SQLSTATE and words,
// since the file is often right, and the server, the role or the data is what has to change. Pure.

#include "schemagate/base/hint.hpp"
#include "schemagate/migrate/statement_failure.hpp"

namespace schemagate {

// The server had no disk, memory or connection left for it: it may work another time. What its
// configuration never lets through (more locks or temporary files in one transaction) is not meant.
[[nodiscard]] bool lacks_resource(const pg::Error& error);

[[nodiscard]] Hint advice(const Migration& migration, const StatementFailed& failure);

// The same for a line of another tool's output, as far as it has the server's or a tool's words for
// what is wrong; or empty. Holds nothing of the line.
[[nodiscard]] std::string advice_on_output(const std::string& line, const std::string& role,
                                           const std::string& database);

// The query that counts or groups the rows which a new index or constraint finds in the way, to be
// typed as it stands; or empty. It holds names of the statement, no data.
[[nodiscard]] std::string offending_rows(const Statement& statement, const pg::Error& error);

}  // namespace schemagate
