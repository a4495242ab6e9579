#pragma once
// Which lock and which work an act needs, by the form that it takes on these relations and by the
// server's version. Pure. All of it was measured on PostgreSQL 13 to 18, and a test measures it
// again on the server that it runs on (tests/integration/test_rules.cpp); where the reasons are:
// PostgreSQL 18, AlterTableGetLockLevel and ATRewriteTables in tablecmds.c.

#include <vector>

#include "schemagate/impact/relations.hpp"

namespace schemagate {

// On relations that are there before the plan; new ones, and those that are not known, have none.
[[nodiscard]] std::vector<Impact> predict(const Act& act, const Relations& relations,
                                          int server_major_version);

// What becomes of a column's values when its type changes.
struct TypeChange {
  enum class Kind { kept, reindexed, rewritten } kind = Kind::rewritten;
  bool may_lose = false;  // values that the new type cannot hold are cut, rounded or refused
};
[[nodiscard]] TypeChange type_change(const Column& column, const Act& act,
                                     const Relations& relations);

// Whether it computes a value for each row that is there.
[[nodiscard]] bool fills_each_row(const NewColumn& column, const Relations& relations);

}  // namespace schemagate
