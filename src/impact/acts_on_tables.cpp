#include <algorithm>
#include <array>
#include <string_view>

#include "acts_reader.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Kind = Act::Kind;

std::vector<std::string> strings(PgQuery__Node* const* parts, std::size_t count) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(string_of(parts[i]));
  return all;
}

bool is_null_constant(const PgQuery__Node* node) {
  return node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull != 0;
}

// CHECK (column IS NOT NULL), nothing else.
std::string proves_not_null(const PgQuery__Node* check) {
  if (check == nullptr || check->node_case != PG_QUERY__NODE__NODE_NULL_TEST) return {};
  const auto* test = check->null_test;
  if (test->nulltesttype != PG_QUERY__NULL_TEST_TYPE__IS_NOT_NULL ||
      test->arg->node_case != PG_QUERY__NODE__NODE_COLUMN_REF ||
      test->arg->column_ref->n_fields == 0)
    return {};
  const auto* column = test->arg->column_ref;
  return string_of(column->fields[column->n_fields - 1]);
}

std::optional<NewConstraint> constraint_of(const PgQuery__Constraint& node) {
  using C = NewConstraint::Kind;
  NewConstraint made{.name = node.conname, .columns = strings(node.keys, node.n_keys)};
  made.is_valid = node.skip_validation == 0;
  made.using_index = node.indexname;
  if (node.deferrable != 0) made.timing = " DEFERRABLE";
  if (node.initdeferred != 0) made.timing += " INITIALLY DEFERRED";
  made.is_plain_index = node.n_including == 0 && node.nulls_not_distinct == 0;
  switch (node.contype) {
    case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK:
      made.kind = C::check;
      made.proves_not_null = proves_not_null(node.raw_expr);
      return made;
    case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN:
      made.kind = C::foreign_key;
      made.columns = strings(node.fk_attrs, node.n_fk_attrs);
      made.references = name_of(node.pktable);
      made.referenced_columns = strings(node.pk_attrs, node.n_pk_attrs);
      return made;
    case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE: made.kind = C::unique; return made;
    case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY: made.kind = C::primary_key; return made;
    case PG_QUERY__CONSTR_TYPE__CONSTR_EXCLUSION: made.kind = C::exclusion; return made;
    default: return std::nullopt;
  }
}

void read_default(NewColumn& column, const PgQuery__Node* value) {
  if (value == nullptr || is_null_constant(value)) return;
  column.has_default = true;
  column.functions = found_in(&value->base).functions;
}

bool is_serial(const std::string& type) {
  constexpr std::array<std::string_view, 6> k_serial = {"serial",  "bigserial", "smallserial",
                                                        "serial4", "serial8",   "serial2"};
  return std::find(k_serial.begin(), k_serial.end(), type) != k_serial.end();
}

Act added_column(const RelationName& table, const PgQuery__ColumnDef& node) {
  Act act{.kind = Kind::add_column, .relation = table, .name = node.colname};
  NewColumn column{.name = node.colname, .type = type_of(node.type_name), .functions = {}};
  column.is_computed_for_each_row = is_serial(column.type.name);
  column.not_null = node.is_not_null != 0 || column.is_computed_for_each_row;
  read_default(column, node.raw_default);
  for (std::size_t i = 0; i < node.n_constraints; ++i) {
    const auto& constraint = *node.constraints[i]->constraint;
    switch (constraint.contype) {
      case PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL: column.not_null = true; break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT: read_default(column, constraint.raw_expr); break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_IDENTITY: column.not_null = true; [[fallthrough]];
      case PG_QUERY__CONSTR_TYPE__CONSTR_GENERATED: column.is_computed_for_each_row = true; break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK: column.has_check = true; break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY: column.not_null = true; [[fallthrough]];
      case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE: column.is_unique = true; break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN:
        act.constraint = constraint_of(constraint);
        act.constraint->columns = {column.name};
        break;
      default: break;
    }
  }
  act.column_made = std::move(column);
  return act;
}

// "USING column::type" and "USING column" say no more than the type does.
bool converts(const PgQuery__Node* expression, const std::string& column, const TypeName& type) {
  if (expression == nullptr) return false;
  if (expression->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) {
    const auto* reference = expression->column_ref;
    return string_of(reference->fields[reference->n_fields - 1]) != column;
  }
  if (expression->node_case != PG_QUERY__NODE__NODE_TYPE_CAST ||
      type_of(expression->type_cast->type_name) != type)
    return true;
  return converts(expression->type_cast->arg, column, type);
}

Act altered_type(const RelationName& table, const PgQuery__AlterTableCmd& command) {
  const auto* definition = command.def->column_def;
  Act act{.kind = Kind::alter_type, .relation = table, .name = command.name};
  act.type = type_of(definition->type_name);
  act.converts = converts(definition->raw_default, act.name, act.type);
  act.collates = definition->coll_clause != nullptr;
  return act;
}

Act partition_act(Kind kind, const RelationName& table, const PgQuery__AlterTableCmd& command) {
  const auto* partition = command.def->partition_cmd;
  Act act{.kind = kind, .relation = table, .others = {name_of(partition->name)}};
  act.concurrently = partition->concurrent != 0;
  return act;
}

// Which storage parameters do with less is in AlterTableGetRelOptionsLockLevel (reloptions.c).
bool needs_full_lock(const PgQuery__AlterTableCmd& command) {
  if (command.def == nullptr || command.def->node_case != PG_QUERY__NODE__NODE_LIST) return true;
  const auto* options = command.def->list;
  return has_option(options->items, options->n_items, "user_catalog_table") ||
         has_option(options->items, options->n_items, "security_barrier") ||
         has_option(options->items, options->n_items, "security_invoker") ||
         has_option(options->items, options->n_items, "check_option");
}

Kind plain_kind(const PgQuery__AlterTableCmd& command) {
  switch (command.subtype) {
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn: return Kind::drop_column;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull: return Kind::set_not_null;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ValidateConstraint: return Kind::validate_constraint;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropConstraint: return Kind::drop_constraint;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropNotNull:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropExpression:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetStorage:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetCompression:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetIdentity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropIdentity: return Kind::alter_column;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetStatistics:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetOptions:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ResetOptions:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ClusterOn:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropCluster: return Kind::tune;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetRelOptions:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ResetRelOptions:
      return needs_full_lock(command) ? Kind::alter_table : Kind::tune;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableTrig:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableAlwaysTrig:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableReplicaTrig:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrig:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableTrigAll:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrigAll:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableTrigUser:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableTrigUser: return Kind::set_triggers;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetTableSpace: return Kind::set_tablespace;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetLogged:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetUnLogged: return Kind::set_logged;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ChangeOwner: return Kind::alter_owner;
    default: return Kind::alter_table;
  }
}

Act act_of(const RelationName& table, const PgQuery__AlterTableCmd& command) {
  switch (command.subtype) {
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddColumn: {
      auto act = added_column(table, *command.def->column_def);
      act.if_exists = command.missing_ok != 0;
      return act;
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType: return altered_type(table, command);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint: {
      Act act{.kind = Kind::add_constraint, .relation = table};
      act.constraint = constraint_of(*command.def->constraint);
      if (!act.constraint) act.kind = Kind::alter_table;
      return act;
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AttachPartition:
      return partition_act(Kind::attach, table, command);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DetachPartition:
      return partition_act(Kind::detach, table, command);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddInherit:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropInherit:
      return {.kind = command.subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddInherit
                          ? Kind::inherit
                          : Kind::no_inherit,
              .relation = table,
              .others = {name_of(command.def->range_var)}};
    default: {
      Act act{.kind = plain_kind(command), .relation = table, .name = command.name};
      act.if_exists = command.missing_ok != 0;
      return act;
    }
  }
}

}  // namespace

void add_acts(std::vector<Act>& acts, const PgQuery__AlterTableStmt& node) {
  const auto relation = name_of(node.relation);
  if (node.objtype == PG_QUERY__OBJECT_TYPE__OBJECT_INDEX) {
    for (std::size_t i = 0; i < node.n_cmds; ++i)
      if (node.cmds[i]->alter_table_cmd->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetTableSpace)
        acts.push_back({.kind = Kind::move_index, .relation = relation});
    return;
  }
  for (std::size_t i = 0; i < node.n_cmds; ++i) {
    const auto& command = *node.cmds[i]->alter_table_cmd;
    auto act = act_of(relation, command);
    act.only = node.relation->inh == 0;
    act.cascade = command.behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
    acts.push_back(std::move(act));
  }
}

void add_acts(std::vector<Act>& acts, const PgQuery__CreateStmt& node) {
  const auto table = name_of(node.relation);
  Act created{.kind = node.partbound == nullptr ? Kind::create_table : Kind::create_partition,
              .relation = table};
  created.if_exists = node.if_not_exists != 0;
  created.temporary = std::string_view{node.relation->relpersistence} == "t";
  for (std::size_t i = 0; i < node.n_inh_relations; ++i)
    created.others.push_back(name_of(node.inh_relations[i]->range_var));
  acts.push_back(created);
  const auto add = [&](Act act) {
    act.within_create = true;
    acts.push_back(std::move(act));
  };
  for (std::size_t i = 0; i < node.n_table_elts; ++i) {
    const auto& part = *node.table_elts[i];
    if (part.node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
      add(added_column(table, *part.column_def));
    else if (part.node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
      add({.kind = Kind::add_constraint,
           .relation = table,
           .constraint = constraint_of(*part.constraint)});
    else if (part.node_case == PG_QUERY__NODE__NODE_TABLE_LIKE_CLAUSE)
      add({.kind = Kind::create_view, .others = {name_of(part.table_like_clause->relation)}});
  }
}

}  // namespace schemagate
