#pragma once
// What a statement means for transactions: its kind, and whatever goes with that.

#include "schemagate/sql/sql_script.hpp"
#include "schemagate/sql/syntax_tree.hpp"

namespace schemagate {

void classify(Statement& statement, const PgQuery__Node& node);
// For a statement that the grammar does not know: its words decide.
void classify_by_words(Statement& statement);

}  // namespace schemagate
