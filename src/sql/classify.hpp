#pragma once
// What a statement means for transactions: its kind, and whatever goes with that.

#include "schemagate/sql/sql_script.hpp"
#include "schemagate/sql/syntax_tree.hpp"

namespace schemagate {

void classify(Statement& statement, const PgQuery__Node& node);
// For a statement that the grammar does not know: its words decide.
void classify_by_words(Statement& statement);

// Where its traces are (trace.cpp).
[[nodiscard]] Statement::Trace trace_of(const std::string& text, const PgQuery__Node& node);
[[nodiscard]] Statement::Trace trace_by_words(const std::string& text);

}  // namespace schemagate
