#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "acts_reader.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Kind = Act::Kind;

void add(std::vector<Act>& acts, Kind kind, Found& found) {
  for (auto& one : found.written) {
    std::erase(found.relations, one.relation);
    acts.push_back({.kind = one.kind, .relation = std::move(one.relation)});
  }
  if (!found.relations.empty())
    acts.push_back({.kind = kind, .others = std::move(found.relations)});
}

// SELECT set_config('search_path', ...), as pg_dump writes it; other settings do nothing here.
bool sets_something(std::vector<Act>& acts, const PgQuery__SelectStmt& node) {
  if (node.n_target_list != 1 || node.n_from_clause != 0) return false;
  const auto* value = node.target_list[0]->res_target->val;
  if (value == nullptr || value->node_case != PG_QUERY__NODE__NODE_FUNC_CALL) return false;
  const auto& call = *value->func_call;
  if (call.n_args != 3 || string_of(call.funcname[call.n_funcname - 1]) != "set_config")
    return false;
  if (constant_of(call.args[0]) != "search_path") return true;
  Act act{.kind = Kind::set_path};
  for (const auto& schema : split(constant_of(call.args[1]), ','))
    if (auto name = trim(schema); !name.empty()) act.others.push_back({"", std::move(name)});
  acts.push_back(std::move(act));
  return true;
}

void select(std::vector<Act>& acts, const PgQuery__SelectStmt& node) {
  if (sets_something(acts, node)) return;
  if (node.into_clause != nullptr)
    for (const auto kind : {Kind::create_table, Kind::insert})
      acts.push_back({.kind = kind, .relation = name_of(node.into_clause->rel)});
  auto found = found_in(&node.base);
  add(acts, node.n_locking_clause > 0 ? Kind::lock_rows : Kind::read, found);
  const auto is_harmless = [](const std::string& function) {
    constexpr std::array<std::string_view, 8> k_known = {
        "setval", "nextval", "currval", "count", "max", "min", "now", "coalesce"};
    return std::find(k_known.begin(), k_known.end(), function) != k_known.end();
  };
  if (!std::all_of(found.functions.begin(), found.functions.end(), is_harmless))
    acts.push_back({.kind = Kind::opaque, .name = "a function"});
}

Kind kind_of(const PgQuery__DeleteStmt& node) {
  const bool is_bounded = node.where_clause != nullptr || node.n_using_clause > 0;
  return is_bounded ? Kind::update : Kind::delete_all;
}

Kind kind_of(const PgQuery__UpdateStmt& node) {
  const bool is_bounded = node.where_clause != nullptr || node.n_from_clause > 0;
  return is_bounded ? Kind::update : Kind::update_all;
}

void write(std::vector<Act>& acts, Kind kind, const PgQuery__RangeVar& table,
           const ProtobufCMessage& statement) {
  const auto target = name_of(&table);
  acts.push_back({.kind = kind, .relation = target});
  auto found = found_in(&statement);
  std::erase(found.relations, target);
  add(acts, Kind::read, found);
}

void copy(std::vector<Act>& acts, const PgQuery__CopyStmt& node) {
  if (node.relation != nullptr && node.is_from != 0) {
    acts.push_back({.kind = Kind::insert, .relation = name_of(node.relation)});
    return;
  }
  add_reads(acts, Kind::read, node.base);
}

}  // namespace

std::string constant_of(const PgQuery__Node* node) {
  const bool is_text = node->node_case == PG_QUERY__NODE__NODE_A_CONST &&
                       node->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL;
  return is_text ? node->a_const->sval->sval : "";
}

void add_reads(std::vector<Act>& acts, Kind kind, const ProtobufCMessage& query) {
  auto found = found_in(&query);
  add(acts, kind, found);
}

namespace {

void add_written(Found& found, const PgQuery__Node& query) {
  const auto add = [&](Kind kind, const PgQuery__RangeVar& table) {
    found.written.push_back({kind, name_of(&table)});
  };
  switch (query.node_case) {
    case PG_QUERY__NODE__NODE_INSERT_STMT: return add(Kind::insert, *query.insert_stmt->relation);
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
      return add(kind_of(*query.update_stmt), *query.update_stmt->relation);
    case PG_QUERY__NODE__NODE_DELETE_STMT:
      return add(kind_of(*query.delete_stmt), *query.delete_stmt->relation);
    default: return;
  }
}

}  // namespace

Found found_in(const ProtobufCMessage* message) {
  Found found;
  std::set<std::string> with;
  each_message(*message, [&](const ProtobufCMessage& one) {
    if (one.descriptor == &pg_query__common_table_expr__descriptor) {
      const auto& expression = reinterpret_cast<const PgQuery__CommonTableExpr&>(one);
      with.insert(expression.ctename);
      add_written(found, *expression.ctequery);
    } else if (one.descriptor == &pg_query__range_var__descriptor)
      found.relations.push_back(name_of(&reinterpret_cast<const PgQuery__RangeVar&>(one)));
    else if (one.descriptor == &pg_query__func_call__descriptor) {
      const auto& call = reinterpret_cast<const PgQuery__FuncCall&>(one);
      found.functions.push_back(string_of(call.funcname[call.n_funcname - 1]));
    }
  });
  std::erase_if(found.relations, [&](const RelationName& name) {
    return name.schema.empty() && with.contains(name.name);
  });
  return found;
}

bool add_acts_of_query(std::vector<Act>& acts, const PgQuery__Node& node) {
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_SELECT_STMT: select(acts, *node.select_stmt); return true;
    case PG_QUERY__NODE__NODE_INSERT_STMT:
      write(acts, Kind::insert, *node.insert_stmt->relation, node.insert_stmt->base);
      return true;
    case PG_QUERY__NODE__NODE_UPDATE_STMT:
      write(acts, kind_of(*node.update_stmt), *node.update_stmt->relation, node.update_stmt->base);
      return true;
    case PG_QUERY__NODE__NODE_MERGE_STMT:
      write(acts, Kind::update, *node.merge_stmt->relation, node.merge_stmt->base);
      return true;
    case PG_QUERY__NODE__NODE_DELETE_STMT:
      write(acts, kind_of(*node.delete_stmt), *node.delete_stmt->relation, node.delete_stmt->base);
      return true;
    case PG_QUERY__NODE__NODE_COPY_STMT: copy(acts, *node.copy_stmt); return true;
    case PG_QUERY__NODE__NODE_DO_STMT:
    case PG_QUERY__NODE__NODE_CALL_STMT:
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT: acts.emplace_back(); return true;
    default: return false;
  }
}

}  // namespace schemagate
