#include "schemagate/impact/acts.hpp"

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
using Object = PgQuery__ObjectType;

constexpr std::size_t k_parsed_max_bytes = 256 * 1024;  // more are rows
constexpr std::size_t k_head_bytes = 512;

// How a name stands in DROP, COMMENT and GRANT.
RelationName name_in(const PgQuery__Node& node) {
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_LIST: return qualified(node.list->items, node.list->n_items);
    case PG_QUERY__NODE__NODE_RANGE_VAR: return name_of(node.range_var);
    case PG_QUERY__NODE__NODE_TYPE_NAME:
      return qualified(node.type_name->names, node.type_name->n_names);
    case PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS:
      return qualified(node.object_with_args->objname, node.object_with_args->n_objname);
    default: return {"", string_of(&node)};
  }
}

// Of a column, constraint, trigger, ... of a table: without its last part.
RelationName owner_in(const PgQuery__Node& node) {
  if (node.node_case != PG_QUERY__NODE__NODE_LIST || node.list->n_items < 2) return {};
  return qualified(node.list->items, node.list->n_items - 1);
}

bool is_part_of_table(Object type) {
  return type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER ||
         type == PG_QUERY__OBJECT_TYPE__OBJECT_POLICY || type == PG_QUERY__OBJECT_TYPE__OBJECT_RULE;
}

Kind drop_kind(Object type) {
  switch (type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE: return Kind::drop_table;
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW: return Kind::drop_view;
    case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX: return Kind::drop_index;
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE: return Kind::drop_sequence;
    case PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA: return Kind::drop_schema;
    case PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION:
    case PG_QUERY__OBJECT_TYPE__OBJECT_ROUTINE: return Kind::drop_function;
    default: return Kind::drop_type;
  }
}

void drop(std::vector<Act>& acts, const PgQuery__DropStmt& node) {
  for (std::size_t i = 0; i < node.n_objects; ++i) {
    Act act{.kind = drop_kind(node.remove_type)};
    const auto& object = *node.objects[i];
    const auto name = name_in(object);
    if (is_part_of_table(node.remove_type)) {
      act.kind = Kind::alter_table;
      act.relation = owner_in(object);
      act.name = string_of(object.list->items[object.list->n_items - 1]);
    } else if (act.kind == Kind::drop_schema || act.kind == Kind::drop_function ||
               act.kind == Kind::drop_type) {
      act.name = name.name;
    } else {
      act.relation = name;
    }
    act.cascade = node.behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
    act.if_exists = node.missing_ok != 0;
    act.concurrently = node.concurrent != 0;
    acts.push_back(std::move(act));
  }
}

void rename(std::vector<Act>& acts, const PgQuery__RenameStmt& node) {
  if (node.relation == nullptr) return;
  Act act{.kind = Kind::alter_table, .relation = name_of(node.relation)};
  switch (node.rename_type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX: return;
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
      act.kind = Kind::rename;
      act.name = node.newname;
      break;
    case PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN:
      act.kind = Kind::rename_column;
      act.name = node.subname;
      act.new_name = node.newname;
      break;
    default: break;
  }
  acts.push_back(std::move(act));
}

void comment(std::vector<Act>& acts, const PgQuery__CommentStmt& node) {
  switch (node.objtype) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
      return acts.push_back({.kind = Kind::comment, .relation = name_in(*node.object)});
    case PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN:
      return acts.push_back({.kind = Kind::comment, .relation = owner_in(*node.object)});
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT:
    case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER:
    case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY:
    case PG_QUERY__OBJECT_TYPE__OBJECT_RULE:
      return acts.push_back({.kind = Kind::comment_on_part, .relation = owner_in(*node.object)});
    default: return;
  }
}

void grant(std::vector<Act>& acts, const PgQuery__GrantStmt& node) {
  if (node.objtype != PG_QUERY__OBJECT_TYPE__OBJECT_TABLE ||
      node.targtype != PG_QUERY__GRANT_TARGET_TYPE__ACL_TARGET_OBJECT)
    return;
  for (std::size_t i = 0; i < node.n_objects; ++i)
    acts.push_back({.kind = Kind::grant, .relation = name_in(*node.objects[i])});
}

void create_index(std::vector<Act>& acts, const PgQuery__IndexStmt& node) {
  Act act{.kind = Kind::create_index, .relation = name_of(node.relation), .name = node.idxname};
  act.concurrently = node.concurrent != 0;
  act.only = node.relation->inh == 0;
  act.if_exists = node.if_not_exists != 0;
  acts.push_back(std::move(act));
}

void reindex(std::vector<Act>& acts, const PgQuery__ReindexStmt& node) {
  if (node.relation == nullptr) return acts.push_back({});
  const bool index = node.kind == PG_QUERY__REINDEX_OBJECT_TYPE__REINDEX_OBJECT_INDEX;
  Act act{.kind = index ? Kind::reindex_index : Kind::reindex_table,
          .relation = name_of(node.relation)};
  act.concurrently = has_option(node.params, node.n_params, "concurrently");
  acts.push_back(std::move(act));
}

void vacuum(std::vector<Act>& acts, const PgQuery__VacuumStmt& node) {
  const auto kind = node.is_vacuumcmd == 0                             ? Kind::describe
                    : has_option(node.options, node.n_options, "full") ? Kind::rewrite
                                                                       : Kind::vacuum;
  for (std::size_t i = 0; i < node.n_rels; ++i)
    acts.push_back({.kind = kind, .relation = name_of(node.rels[i]->vacuum_relation->relation)});
}

void create_view(std::vector<Act>& acts, const PgQuery__ViewStmt& node) {
  acts.push_back({.kind = node.replace != 0 ? Kind::replace_view : Kind::create_view,
                  .relation = name_of(node.view),
                  .others = found_in(&node.query->base).relations});
}

void create_as(std::vector<Act>& acts, const PgQuery__CreateTableAsStmt& node) {
  Act made{.kind = Kind::create_table, .relation = name_of(node.into->rel)};
  made.if_exists = node.if_not_exists != 0;
  acts.push_back(std::move(made));
  if (node.into->skip_data == 0)
    acts.push_back({.kind = Kind::insert, .relation = name_of(node.into->rel)});
  add_reads(acts, node.into->skip_data != 0 ? Kind::create_view : Kind::read, node.query->base);
}

void truncate(std::vector<Act>& acts, const PgQuery__TruncateStmt& node) {
  for (std::size_t i = 0; i < node.n_relations; ++i) {
    Act act{.kind = Kind::truncate, .relation = name_of(node.relations[i]->range_var)};
    act.cascade = node.behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
    act.only = node.relations[i]->range_var->inh == 0;
    acts.push_back(std::move(act));
  }
}

void lock(std::vector<Act>& acts, const PgQuery__LockStmt& node) {
  for (std::size_t i = 0; i < node.n_relations; ++i)
    acts.push_back({.kind = Kind::lock,
                    .relation = name_of(node.relations[i]->range_var),
                    .lock = static_cast<LockMode>(node.mode)});  // numbered alike (lockdefs.h)
}

void alter_domain(std::vector<Act>& acts, const PgQuery__AlterDomainStmt& node) {
  // AlterDomainStmt.subtype (parsenodes.h): C adds a constraint, V validates one, O is NOT NULL.
  const std::string_view what{node.subtype};
  const bool adds = what == "C" && node.def != nullptr &&
                    node.def->node_case == PG_QUERY__NODE__NODE_CONSTRAINT &&
                    node.def->constraint->skip_validation == 0;
  if (adds || what == "V" || what == "O")
    acts.push_back(
        {.kind = Kind::check_domain, .name = qualified(node.type_name, node.n_type_name).name});
}

void publish(std::vector<Act>& acts, PgQuery__Node* const* objects, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (const auto* table = objects[i]->publication_obj_spec->pubtable; table != nullptr)
      acts.push_back({.kind = Kind::describe, .relation = name_of(table->relation)});
}

void move_to_schema(std::vector<Act>& acts, const PgQuery__AlterObjectSchemaStmt& node) {
  if (node.relation != nullptr)
    acts.push_back(
        {.kind = Kind::set_schema, .relation = name_of(node.relation), .name = node.newschema});
}

void one(std::vector<Act>& acts, Kind kind, const PgQuery__RangeVar* relation) {
  if (relation != nullptr) acts.push_back({.kind = kind, .relation = name_of(relation)});
}

void refresh(std::vector<Act>& acts, const PgQuery__RefreshMatViewStmt& node) {
  one(acts, Kind::refresh, node.relation);
  acts.back().concurrently = node.concurrent != 0;
}

void describe(std::vector<Act>& acts, const PgQuery__CreateStatsStmt& node) {
  for (std::size_t i = 0; i < node.n_relations; ++i)
    if (node.relations[i]->node_case == PG_QUERY__NODE__NODE_RANGE_VAR)
      one(acts, Kind::describe, node.relations[i]->range_var);
}

void sequence(std::vector<Act>& acts, const PgQuery__AlterSeqStmt& node) {
  one(acts, Kind::alter_sequence, node.sequence);
}

void set(std::vector<Act>& acts, const PgQuery__VariableSetStmt& node) {
  const bool is_all = node.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL;
  if (!is_all && std::string_view{node.name} != "search_path") return;
  Act act{.kind = Kind::set_path};
  if (node.kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE) act.name = "default";
  for (std::size_t i = 0; i < node.n_args; ++i)
    if (auto schema = constant_of(node.args[i]); !schema.empty())
      act.others.push_back({"", std::move(schema)});
  acts.push_back(std::move(act));
}

// What goes away with it is not in its text.
bool takes_others_away(const PgQuery__Node& node) {
  return node.node_case == PG_QUERY__NODE__NODE_DROP_OWNED_STMT ||
         (node.node_case == PG_QUERY__NODE__NODE_DROP_STMT &&
          node.drop_stmt->remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION &&
          node.drop_stmt->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE);
}

bool read_definition(std::vector<Act>& acts, const PgQuery__Node& node) {
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_CREATE_STMT: add_acts(acts, *node.create_stmt); return true;
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT: add_acts(acts, *node.alter_table_stmt); return true;
    case PG_QUERY__NODE__NODE_INDEX_STMT: create_index(acts, *node.index_stmt); return true;
    case PG_QUERY__NODE__NODE_DROP_STMT: drop(acts, *node.drop_stmt); return true;
    case PG_QUERY__NODE__NODE_RENAME_STMT: rename(acts, *node.rename_stmt); return true;
    case PG_QUERY__NODE__NODE_VIEW_STMT: create_view(acts, *node.view_stmt); return true;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
      create_as(acts, *node.create_table_as_stmt);
      return true;
    case PG_QUERY__NODE__NODE_CREATE_TRIG_STMT:
      one(acts, Kind::create_trigger, node.create_trig_stmt->relation);
      return true;
    case PG_QUERY__NODE__NODE_RULE_STMT:
      one(acts, Kind::alter_table, node.rule_stmt->relation);
      return true;
    case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT:
      one(acts, Kind::alter_table, node.create_policy_stmt->table);
      return true;
    case PG_QUERY__NODE__NODE_ALTER_POLICY_STMT:
      one(acts, Kind::alter_table, node.alter_policy_stmt->table);
      return true;
    case PG_QUERY__NODE__NODE_ALTER_OBJECT_SCHEMA_STMT:
      move_to_schema(acts, *node.alter_object_schema_stmt);
      return true;
    case PG_QUERY__NODE__NODE_ALTER_DOMAIN_STMT:
      alter_domain(acts, *node.alter_domain_stmt);
      return true;
    case PG_QUERY__NODE__NODE_ALTER_SEQ_STMT: sequence(acts, *node.alter_seq_stmt); return true;
    default: return false;
  }
}

void read_other(std::vector<Act>& acts, const PgQuery__Node& node) {
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: return set(acts, *node.variable_set_stmt);
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT: return truncate(acts, *node.truncate_stmt);
    case PG_QUERY__NODE__NODE_REINDEX_STMT: return reindex(acts, *node.reindex_stmt);
    case PG_QUERY__NODE__NODE_VACUUM_STMT: return vacuum(acts, *node.vacuum_stmt);
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
      return one(acts, Kind::rewrite, node.cluster_stmt->relation);
    case PG_QUERY__NODE__NODE_LOCK_STMT: return lock(acts, *node.lock_stmt);
    case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT:
      return refresh(acts, *node.refresh_mat_view_stmt);
    case PG_QUERY__NODE__NODE_COMMENT_STMT: return comment(acts, *node.comment_stmt);
    case PG_QUERY__NODE__NODE_GRANT_STMT: return grant(acts, *node.grant_stmt);
    case PG_QUERY__NODE__NODE_CREATE_STATS_STMT: return describe(acts, *node.create_stats_stmt);
    case PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT:
      return publish(acts, node.create_publication_stmt->pubobjects,
                     node.create_publication_stmt->n_pubobjects);
    case PG_QUERY__NODE__NODE_ALTER_PUBLICATION_STMT:
      return publish(acts, node.alter_publication_stmt->pubobjects,
                     node.alter_publication_stmt->n_pubobjects);
    default: return;
  }
}

// What the grammar does not know, or is too long to be read twice: the table, of ALTER TABLE and
// INSERT.
std::vector<Act> acts_by_words(const std::string& text) {
  Act act;
  const auto head = text.substr(0, k_head_bytes);
  const auto words = words_of(head);
  const auto is = [&](std::size_t index, std::string_view word) {
    return index < words.size() && is_word(words[index], word);
  };
  std::size_t at = 2;
  if (is(0, "alter") && is(1, "table")) {
    if (is(at, "if") && is(at + 1, "exists")) at += 2;
    if (is(at, "only")) ++at;
  } else if (is(0, "insert") && is(1, "into")) {
    act.kind = Kind::insert;
  } else {
    return {act};
  }
  const auto plain = [](std::string_view word) {
    return word.starts_with('"') ? std::string{word.substr(1, word.size() - 2)} : lower_case(word);
  };
  if (at < words.size()) act.relation.name = plain(words[at].text);
  if (is(at + 1, ".") && at + 2 < words.size())
    act.relation = {act.relation.name, plain(words[at + 2].text)};
  return {act};
}

}  // namespace

RelationName name_of(const PgQuery__RangeVar* relation) {
  return {relation->schemaname, relation->relname};
}

RelationName qualified(PgQuery__Node* const* parts, std::size_t count) {
  if (count == 0) return {};
  return {count > 1 ? string_of(parts[count - 2]) : "", string_of(parts[count - 1])};
}

TypeName type_of(const PgQuery__TypeName* type) {
  if (type == nullptr) return {};
  auto name = name_of(type->names, type->n_names);
  if (name.starts_with("pg_catalog.")) name.erase(0, 11);
  TypeName made{.name = std::move(name), .is_array = type->n_array_bounds > 0};
  for (std::size_t i = 0; i < type->n_typmods; ++i) {
    const auto* modifier = type->typmods[i];
    if (modifier->node_case == PG_QUERY__NODE__NODE_A_CONST &&
        modifier->a_const->val_case == PG_QUERY__A__CONST__VAL_IVAL)
      made.modifiers.push_back(modifier->a_const->ival->ival);
  }
  // Of interval(p): which fields, then p (gram.y).
  if (made.name == "interval" && made.modifiers.size() == 2)
    made.modifiers.erase(made.modifiers.begin());
  return made;
}

std::vector<Act> acts_of(const Statement& statement) {
  if (statement.text.size() > k_parsed_max_bytes) return acts_by_words(statement.text);
  const auto tree = parse(statement.text);
  if (tree == nullptr || tree->n_stmts != 1) return acts_by_words(statement.text);
  std::vector<Act> acts;
  const auto& node = *tree->stmts[0]->stmt;
  if (takes_others_away(node)) return {Act{}};
  if (!add_acts_of_query(acts, node) && !read_definition(acts, node)) read_other(acts, node);
  return acts;
}

}  // namespace schemagate
