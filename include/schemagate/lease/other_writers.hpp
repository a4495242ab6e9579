#pragma once
// Who, besides us, may write what a run and a gate believe: a tool's history and our own tables.

#include <cstdint>
#include <string>
#include <vector>

#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/fenced.hpp"

namespace schemagate {

struct OtherWriter {
  std::string who;     // a role as it is written in SQL, with the one by which it may; or PUBLIC
  std::string tables;  // as they are written in SQL
  std::string remedy;  // an SQL statement, for the tables' owner
};

// Other than this role, superusers, and the owner with whoever may act as the owner. `history`: an
// oid, or 0.
[[nodiscard]] std::vector<OtherWriter>
other_writers(pg::Session& session, const Bookkeeping& bookkeeping, std::int64_t history);
// Those that get on each new table in `schema` that this role makes more than the right to read it.
[[nodiscard]] std::vector<std::string> other_writers_of_new_tables(pg::Session& session,
                                                                   const std::string& schema);
// A statement that leaves `grantee`, written as in SQL, nothing on `table` but to read it. MAINTAIN
// is a right since PostgreSQL 17 (manual, 5.8 "Privileges"): it is one to lock others out.
[[nodiscard]] std::string keep_from_sql(const pg::Session& session, const std::string& table,
                                        const std::string& grantee);
// Takes from a table that was made just now what default privileges gave others on it, but to read.
void keep_from_others(Fenced& transaction, const TableName& table);

}  // namespace schemagate
