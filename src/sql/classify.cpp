#include "classify.hpp"

#include <algorithm>
#include <array>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Kind = Statement::Kind;
using Rerun = Statement::Rerun;

// COMMIT and ROLLBACK are also ordinary names; in PL/pgSQL they are statements only where a
// statement can begin.
bool body_ends_transactions(const std::string& body) {
  constexpr std::array<std::string_view, 6> k_before = {";", "begin", "then", "else", "loop", ">>"};
  std::string before = ";";
  for (const auto& token : words_of(body)) {
    const auto word = lower_case(token.text);
    const bool starts_statement =
        std::find(k_before.begin(), k_before.end(), before) != k_before.end();
    if (starts_statement && (word == "commit" || word == "rollback")) return true;
    before = word;
  }
  return false;
}

void refuse_transactions(Statement& statement, std::string what, Rerun rerun = Rerun::repeat) {
  statement.kind = Kind::alone;
  statement.what = std::move(what);
  statement.rerun = rerun;
}

void not_in_a_file(Statement& statement, std::string why) {
  statement.kind = Kind::unsupported;
  statement.what = std::move(why);
}

void classify_transaction(Statement& statement, const PgQuery__TransactionStmt& node) {
  switch (node.kind) {
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START: {
      statement.kind = Kind::begin;
      if (node.n_options == 0) return;
      const auto words = words_of(statement.text);
      auto at = words.begin() + 1;
      if (at != words.end() && (is_word(*at, "work") || is_word(*at, "transaction"))) ++at;
      if (at != words.end())
        statement.options = statement.text.substr(
            static_cast<std::size_t>(at->text.data() - words.front().text.data()));
      return;
    }
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT: statement.kind = Kind::commit; return;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK:
      statement.kind = Kind::rollback;
      return;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED:
      not_in_a_file(statement, "a migration cannot use two-phase commit");
      return;
    default: return;  // savepoints are ordinary inside our transaction
  }
}

void classify_index(Statement& statement, const PgQuery__IndexStmt& node) {
  if (node.concurrent == 0) return;
  refuse_transactions(statement, "CREATE INDEX CONCURRENTLY");
  statement.index = {Statement::Index::Action::create, node.relation->schemaname, node.idxname,
                     node.relation->relname};
}

void classify_drop(Statement& statement, const PgQuery__DropStmt& node) {
  if (node.concurrent == 0 || node.n_objects == 0) return;
  refuse_transactions(statement, "DROP INDEX CONCURRENTLY");
  const auto* list = node.objects[0]->list;
  if (node.objects[0]->node_case != PG_QUERY__NODE__NODE_LIST || list->n_items == 0) return;
  statement.index = {Statement::Index::Action::drop,
                     list->n_items > 1 ? string_of(list->items[list->n_items - 2]) : "",
                     string_of(list->items[list->n_items - 1]), ""};
}

void classify_reindex(Statement& statement, const PgQuery__ReindexStmt& node) {
  const bool many = node.kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_INDEX &&
                    node.kind != PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_TABLE;
  const bool concurrently = has_option(node.params, node.n_params, "concurrently");
  if (!many && !concurrently) return;
  refuse_transactions(statement, concurrently ? "REINDEX CONCURRENTLY" : "REINDEX of many tables");
  if (many || node.relation == nullptr) return;
  const bool table = node.kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_TABLE;
  statement.index = {Statement::Index::Action::rebuild, node.relation->schemaname,
                     table ? "" : node.relation->relname, table ? node.relation->relname : ""};
}

void classify_setting(Statement& statement, const PgQuery__VariableSetStmt& node) {
  const bool of_transaction = node.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI &&
                              std::string_view{node.name} == "TRANSACTION";
  if (node.is_local != 0 || of_transaction) statement.ends_at_commit = true;
  else statement.kind = Kind::setting;
}

// SELECT pg_catalog.set_config(...), as pg_dump writes it.
void classify_select(Statement& statement, const PgQuery__SelectStmt& node) {
  if (node.n_target_list != 1 || node.n_from_clause != 0) return;
  const auto* target = node.target_list[0];
  if (target->node_case != PG_QUERY__NODE__NODE_RES_TARGET || target->res_target->val == nullptr)
    return;
  const auto* value = target->res_target->val;
  if (value->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return;
  const auto name = name_of(value->func_call->funcname, value->func_call->n_funcname);
  if (name != "set_config" && name != "pg_catalog.set_config") return;
  const auto* call = value->func_call;
  const auto* local = call->n_args == 3 ? call->args[2] : nullptr;
  const bool is_local = local != nullptr && local->node_case == PG_QUERY__NODE__NODE_A_CONST &&
                        local->a_const->val_case == PG_QUERY__A__CONST__VAL_BOOLVAL &&
                        local->a_const->boolval->boolval != 0;
  if (is_local) statement.ends_at_commit = true;
  else statement.kind = Kind::setting;
}

void classify_copy(Statement& statement, const PgQuery__CopyStmt& node) {
  if (!std::string_view{node.filename}.empty()) return;
  not_in_a_file(statement,
                node.is_from != 0
                    ? "COPY FROM STDIN needs a client that sends the rows (psql); write the "
                      "rows as INSERT"
                    : "COPY TO STDOUT has no place in a migration");
}

void classify_do(Statement& statement, const PgQuery__DoStmt& node) {
  for (std::size_t i = 0; i < node.n_args; ++i) {
    const auto* argument = node.args[i]->def_elem;
    if (std::string_view{argument->defname} == "as" &&
        body_ends_transactions(string_of(argument->arg)))
      refuse_transactions(statement, "DO block with its own COMMIT or ROLLBACK", Rerun::unknown);
  }
}

void classify_alter_table(Statement& statement, const PgQuery__AlterTableStmt& node) {
  for (std::size_t i = 0; i < node.n_cmds; ++i) {
    const auto* command = node.cmds[i]->alter_table_cmd;
    if (command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_DetachPartition &&
        command->def != nullptr && command->def->node_case == PG_QUERY__NODE__NODE_PARTITION_CMD &&
        command->def->partition_cmd->concurrent != 0)
      refuse_transactions(statement, "DETACH PARTITION CONCURRENTLY", Rerun::unknown);
  }
}

bool ends_at_commit(PgQuery__OnCommitAction action) {
  return action == PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_DROP ||
         action == PG_QUERY__ON_COMMIT_ACTION__ONCOMMIT_DELETE_ROWS;
}

// Changing the publications refreshes too, unless told otherwise.
void classify_subscription(Statement& statement, const PgQuery__AlterSubscriptionStmt& node) {
  switch (node.kind) {
    case PG_QUERY__ALTER_SUBSCRIPTION_TYPE__ALTER_SUBSCRIPTION_REFRESH:
    case PG_QUERY__ALTER_SUBSCRIPTION_TYPE__ALTER_SUBSCRIPTION_SET_PUBLICATION:
    case PG_QUERY__ALTER_SUBSCRIPTION_TYPE__ALTER_SUBSCRIPTION_ADD_PUBLICATION:
    case PG_QUERY__ALTER_SUBSCRIPTION_TYPE__ALTER_SUBSCRIPTION_DROP_PUBLICATION:
      return refuse_transactions(statement, "ALTER SUBSCRIPTION with refresh");
    default: return;
  }
}

struct AlwaysAlone {
  PgQuery__Node__NodeCase node;
  const char* what;
  Rerun rerun;
};

constexpr std::array k_always_alone = {
    AlwaysAlone{PG_QUERY__NODE__NODE_CREATEDB_STMT, "CREATE DATABASE", Rerun::existing},
    AlwaysAlone{PG_QUERY__NODE__NODE_DROPDB_STMT, "DROP DATABASE", Rerun::existing},
    AlwaysAlone{PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT, "ALTER SYSTEM", Rerun::repeat},
    AlwaysAlone{PG_QUERY__NODE__NODE_CREATE_TABLE_SPACE_STMT, "CREATE TABLESPACE", Rerun::existing},
    AlwaysAlone{PG_QUERY__NODE__NODE_DROP_TABLE_SPACE_STMT, "DROP TABLESPACE", Rerun::existing},
    AlwaysAlone{PG_QUERY__NODE__NODE_CREATE_SUBSCRIPTION_STMT, "CREATE SUBSCRIPTION",
                Rerun::existing},
    AlwaysAlone{PG_QUERY__NODE__NODE_DROP_SUBSCRIPTION_STMT, "DROP SUBSCRIPTION", Rerun::existing},
};

}  // namespace

void classify(Statement& statement, const PgQuery__Node& node) {
  for (const auto& kind : k_always_alone)
    if (kind.node == node.node_case) return refuse_transactions(statement, kind.what, kind.rerun);
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT:
      return classify_transaction(statement, *node.transaction_stmt);
    case PG_QUERY__NODE__NODE_INDEX_STMT: return classify_index(statement, *node.index_stmt);
    case PG_QUERY__NODE__NODE_DROP_STMT: return classify_drop(statement, *node.drop_stmt);
    case PG_QUERY__NODE__NODE_REINDEX_STMT: return classify_reindex(statement, *node.reindex_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
      return classify_setting(statement, *node.variable_set_stmt);
    case PG_QUERY__NODE__NODE_SELECT_STMT: return classify_select(statement, *node.select_stmt);
    case PG_QUERY__NODE__NODE_COPY_STMT: return classify_copy(statement, *node.copy_stmt);
    case PG_QUERY__NODE__NODE_DO_STMT: return classify_do(statement, *node.do_stmt);
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
      return classify_alter_table(statement, *node.alter_table_stmt);
    case PG_QUERY__NODE__NODE_CREATE_STMT:
      statement.ends_at_commit = ends_at_commit(node.create_stmt->oncommit);
      return;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
      statement.ends_at_commit = ends_at_commit(node.create_table_as_stmt->into->on_commit);
      return;
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: statement.ends_at_commit = true; return;
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
      if (node.vacuum_stmt->is_vacuumcmd != 0) refuse_transactions(statement, "VACUUM");
      return;
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
      if (node.cluster_stmt->relation == nullptr)
        refuse_transactions(statement, "CLUSTER of all tables");
      return;
    case PG_QUERY__NODE__NODE_DISCARD_STMT:
      if (node.discard_stmt->target == PG_QUERY__DISCARD_MODE__DISCARD_ALL)
        refuse_transactions(statement, "DISCARD ALL");
      return;
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT: statement.ends_at_commit = true; return;
    case PG_QUERY__NODE__NODE_ALTER_SUBSCRIPTION_STMT:
      return classify_subscription(statement, *node.alter_subscription_stmt);
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT:
      if (has_option(node.alter_database_stmt->options, node.alter_database_stmt->n_options,
                     "tablespace"))
        refuse_transactions(statement, "ALTER DATABASE SET TABLESPACE");
      return;
    default: return;
  }
}

void classify_by_words(Statement& statement) {
  const auto words = words_of(statement.text);
  if (words.empty()) return;
  const auto first = lower_case(words.front().text);
  if (first == "\\") {
    not_in_a_file(statement, "a line that starts with \\ is a psql command, not SQL; remove it");
  } else if (first == "vacuum") {
    refuse_transactions(statement, "VACUUM");
  } else if (std::any_of(words.begin(), words.end(),
                         [](const auto& word) { return is_word(word, "concurrently"); })) {
    if (first == "create" || first == "drop" || first == "reindex" || first == "alter" ||
        first == "repack")
      refuse_transactions(statement, "CONCURRENTLY");
  }
}

}  // namespace schemagate
