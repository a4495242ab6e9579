#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "acts_reader.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Kind = Act::Kind;

void select(std::vector<Act>& acts, const PgQuery__SelectStmt& node) {
  if (node.into_clause != nullptr)
    acts.push_back({.kind = Kind::create_table, .relation = name_of(node.into_clause->rel)});
  const auto found = found_in(&node.base);
  if (!found.relations.empty())
    acts.push_back({.kind = node.n_locking_clause > 0 ? Kind::lock_rows : Kind::read,
                    .others = found.relations});
  const auto is_harmless = [](const std::string& function) {
    constexpr std::array<std::string_view, 8> k_known = {
        "setval", "nextval", "currval", "count", "max", "min", "now", "coalesce"};
    return std::find(k_known.begin(), k_known.end(), function) != k_known.end();
  };
  if (!std::all_of(found.functions.begin(), found.functions.end(), is_harmless))
    acts.push_back({.kind = Kind::opaque, .name = "a function"});
}

void write(std::vector<Act>& acts, Kind kind, const PgQuery__RangeVar& table,
           const ProtobufCMessage& statement) {
  const auto target = name_of(&table);
  acts.push_back({.kind = kind, .relation = target});
  auto found = found_in(&statement);
  std::erase(found.relations, target);
  if (!found.relations.empty())
    acts.push_back({.kind = Kind::read, .others = std::move(found.relations)});
}

void remove(std::vector<Act>& acts, const PgQuery__DeleteStmt& node) {
  const bool is_bounded = node.where_clause != nullptr || node.n_using_clause > 0;
  write(acts, is_bounded ? Kind::update : Kind::delete_all, *node.relation, node.base);
}

void copy(std::vector<Act>& acts, const PgQuery__CopyStmt& node) {
  if (node.relation != nullptr && node.is_from != 0) {
    acts.push_back({.kind = Kind::insert, .relation = name_of(node.relation)});
    return;
  }
  add_reads(acts, Kind::read, node.base);
}

}  // namespace

void add_reads(std::vector<Act>& acts, Kind kind, const ProtobufCMessage& query) {
  auto found = found_in(&query);
  if (!found.relations.empty())
    acts.push_back({.kind = kind, .others = std::move(found.relations)});
}

Found found_in(const ProtobufCMessage* message) {
  Found found;
  std::set<std::string> with;
  each_message(*message, [&](const ProtobufCMessage& one) {
    if (one.descriptor == &pg_query__common_table_expr__descriptor)
      with.insert(reinterpret_cast<const PgQuery__CommonTableExpr&>(one).ctename);
    else if (one.descriptor == &pg_query__range_var__descriptor)
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
      write(acts, Kind::update, *node.update_stmt->relation, node.update_stmt->base);
      return true;
    case PG_QUERY__NODE__NODE_MERGE_STMT:
      write(acts, Kind::update, *node.merge_stmt->relation, node.merge_stmt->base);
      return true;
    case PG_QUERY__NODE__NODE_DELETE_STMT: remove(acts, *node.delete_stmt); return true;
    case PG_QUERY__NODE__NODE_COPY_STMT: copy(acts, *node.copy_stmt); return true;
    case PG_QUERY__NODE__NODE_DO_STMT:
    case PG_QUERY__NODE__NODE_CALL_STMT:
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT: acts.emplace_back(); return true;
    default: return false;
  }
}

}  // namespace schemagate
