#pragma once
// Parse trees → acts, in parts: all of ALTER TABLE and CREATE TABLE is in acts_on_tables.cpp, what
// reads and writes rows in acts_in_queries.cpp.

#include "schemagate/impact/acts.hpp"
#include "schemagate/sql/syntax_tree.hpp"

namespace schemagate {

[[nodiscard]] RelationName name_of(const PgQuery__RangeVar* relation);
// The last two parts of a name.
[[nodiscard]] RelationName qualified(PgQuery__Node* const* parts, std::size_t count);
// Of a text; else empty.
[[nodiscard]] std::string constant_of(const PgQuery__Node* node);
[[nodiscard]] TypeName type_of(const PgQuery__TypeName* type);

// What is below `message`, itself included, of one type of message.
struct Found {
  struct Written {
    Act::Kind kind;
    RelationName relation;
  };
  std::vector<RelationName> relations;  // named in queries; no names of WITH
  std::vector<std::string> functions;   // called, without their schema
  std::vector<Written> written;         // by a query in WITH
};
[[nodiscard]] Found found_in(const ProtobufCMessage* message);

void add_acts(std::vector<Act>& acts, const PgQuery__AlterTableStmt& node);
void add_acts(std::vector<Act>& acts, const PgQuery__CreateStmt& node);
// False where it is no query.
bool add_acts_of_query(std::vector<Act>& acts, const PgQuery__Node& node);
void add_reads(std::vector<Act>& acts, Act::Kind kind, const ProtobufCMessage& query);

}  // namespace schemagate
