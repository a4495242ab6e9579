#include <algorithm>
#include <array>

#include "classify.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Trace = Statement::Trace;
using Node = PgQuery__Node__NodeCase;

constexpr std::array k_outside = {
    PG_QUERY__NODE__NODE_CREATEDB_STMT,
    PG_QUERY__NODE__NODE_DROPDB_STMT,
    PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT,
    PG_QUERY__NODE__NODE_ALTER_DATABASE_SET_STMT,
    PG_QUERY__NODE__NODE_ALTER_DATABASE_REFRESH_COLL_STMT,
    PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT,
    PG_QUERY__NODE__NODE_CREATE_TABLE_SPACE_STMT,
    PG_QUERY__NODE__NODE_DROP_TABLE_SPACE_STMT,
    PG_QUERY__NODE__NODE_ALTER_TABLE_SPACE_OPTIONS_STMT,
    PG_QUERY__NODE__NODE_CREATE_SUBSCRIPTION_STMT,
    PG_QUERY__NODE__NODE_ALTER_SUBSCRIPTION_STMT,
    PG_QUERY__NODE__NODE_DROP_SUBSCRIPTION_STMT,
    PG_QUERY__NODE__NODE_CREATE_ROLE_STMT,
    PG_QUERY__NODE__NODE_ALTER_ROLE_STMT,
    PG_QUERY__NODE__NODE_ALTER_ROLE_SET_STMT,
    PG_QUERY__NODE__NODE_DROP_ROLE_STMT,
    PG_QUERY__NODE__NODE_GRANT_ROLE_STMT,
    PG_QUERY__NODE__NODE_REASSIGN_OWNED_STMT,
    PG_QUERY__NODE__NODE_DROP_OWNED_STMT,
    PG_QUERY__NODE__NODE_CREATE_USER_MAPPING_STMT,
    PG_QUERY__NODE__NODE_ALTER_USER_MAPPING_STMT,
    PG_QUERY__NODE__NODE_DROP_USER_MAPPING_STMT,
    PG_QUERY__NODE__NODE_IMPORT_FOREIGN_SCHEMA_STMT,
    PG_QUERY__NODE__NODE_SEC_LABEL_STMT,
    PG_QUERY__NODE__NODE_LOAD_STMT,
    PG_QUERY__NODE__NODE_COPY_STMT,
    PG_QUERY__NODE__NODE_CHECK_POINT_STMT,
};

constexpr std::array k_without_trace = {
    PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT,
    PG_QUERY__NODE__NODE_VARIABLE_SET_STMT,
    PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT,
    PG_QUERY__NODE__NODE_TRANSACTION_STMT,
    PG_QUERY__NODE__NODE_VACUUM_STMT,
    PG_QUERY__NODE__NODE_REINDEX_STMT,
    PG_QUERY__NODE__NODE_LOCK_STMT,
    PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT,
    PG_QUERY__NODE__NODE_DISCARD_STMT,
    PG_QUERY__NODE__NODE_PREPARE_STMT,
    PG_QUERY__NODE__NODE_DEALLOCATE_STMT,
    PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT,
    PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT,
};

constexpr std::array k_in_rows = {
    PG_QUERY__NODE__NODE_ALTER_SEQ_STMT,
    PG_QUERY__NODE__NODE_INSERT_STMT,
    PG_QUERY__NODE__NODE_UPDATE_STMT,
    PG_QUERY__NODE__NODE_DELETE_STMT,
    PG_QUERY__NODE__NODE_MERGE_STMT,
    PG_QUERY__NODE__NODE_TRUNCATE_STMT,
    PG_QUERY__NODE__NODE_DO_STMT,
    PG_QUERY__NODE__NODE_CALL_STMT,
    PG_QUERY__NODE__NODE_EXECUTE_STMT,
    PG_QUERY__NODE__NODE_NOTIFY_STMT,
    PG_QUERY__NODE__NODE_EXPLAIN_STMT,  // with ANALYZE it executes
    PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT,
};

template <class Nodes> bool holds(const Nodes& nodes, Node node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

Trace of_object(PgQuery__ObjectType type) {
  switch (type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_DATABASE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_ROLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLESPACE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SUBSCRIPTION:
    case PG_QUERY__OBJECT_TYPE__OBJECT_PARAMETER_ACL: return Trace::outside;
    default: return Trace::catalogue;
  }
}

// It does nothing but show, unless it calls a function.
Trace of_select(const std::string& text) {
  const auto words = words_of(text);
  const auto calls = [](const Token& word) { return word.text == "("; };
  return std::any_of(words.begin(), words.end(), calls) ? Trace::data : Trace::nothing;
}

// Executed again it converts values, or a sequence begins anew, though nothing looks otherwise.
bool changes_values(const PgQuery__AlterTableStmt& node) {
  return std::any_of(node.cmds, node.cmds + node.n_cmds, [](const PgQuery__Node* one) {
    const auto* command = one->alter_table_cmd;
    return command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetIdentity ||
           (command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType &&
            command->def != nullptr && command->def->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF &&
            command->def->column_def->raw_default != nullptr);
  });
}

}  // namespace

Trace trace_of(const std::string& text, const PgQuery__Node& node) {
  if (holds(k_outside, node.node_case)) return Trace::outside;
  if (holds(k_without_trace, node.node_case)) return Trace::nothing;
  if (holds(k_in_rows, node.node_case)) return Trace::data;
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_GRANT_STMT: return of_object(node.grant_stmt->objtype);
    case PG_QUERY__NODE__NODE_COMMENT_STMT: return of_object(node.comment_stmt->objtype);
    case PG_QUERY__NODE__NODE_ALTER_OWNER_STMT: {
      const auto trace = of_object(node.alter_owner_stmt->object_type);
      return trace == Trace::catalogue ? Trace::nothing : trace;
    }
    case PG_QUERY__NODE__NODE_SELECT_STMT: return of_select(text);
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
      return changes_values(*node.alter_table_stmt) ? Trace::data : Trace::catalogue;
    default: return Trace::catalogue;
  }
}

Trace trace_by_words(const std::string& text) {
  constexpr std::array<std::string_view, 3> k_words = {"create", "alter", "drop"};
  const auto words = words_of(text);
  const auto is_first = [&](std::string_view word) { return is_word(words.front(), word); };
  return !words.empty() && std::any_of(k_words.begin(), k_words.end(), is_first) ? Trace::catalogue
                                                                                 : Trace::data;
}

}  // namespace schemagate
