#include <fmt/core.h>

#include <algorithm>
#include <optional>

#include "effects_reader.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Action = Effect::Action;
using Kind = SchemaObject::Kind;

std::string number_of(const PgQuery__Node* node) {
  if (node->node_case != PG_QUERY__NODE__NODE_A_CONST) return {};
  const auto& constant = *node->a_const;
  if (constant.val_case == PG_QUERY__A__CONST__VAL_IVAL) return std::to_string(constant.ival->ival);
  return constant.val_case == PG_QUERY__A__CONST__VAL_FVAL ? constant.fval->fval : "";
}

std::string serial_of(const std::string& name) {
  if (name == "serial" || name == "serial4") return "int4";
  if (name == "bigserial" || name == "serial8") return "int8";
  return name == "smallserial" || name == "serial2" ? "int2" : "";
}

TypeName type_of(const PgQuery__TypeName& node) {
  TypeName type;
  type.name = string_of(node.names[node.n_names - 1]);
  type.is_array = node.n_array_bounds > 0;
  if (const auto serial = serial_of(type.name); !serial.empty()) type.name = serial;
  if (type.name == "interval") return type;  // its modifiers are bit masks
  std::string modifier;
  for (std::size_t i = 0; i < node.n_typmods; ++i) {
    const auto number = number_of(node.typmods[i]);
    if (number.empty()) return type;  // geometry(Point, 4326)
    modifier += (i == 0 ? "" : ",") + number;
  }
  if (type.name == "numeric" && node.n_typmods == 1) modifier += ",0";
  type.modifier = modifier;
  return type;
}

// As catalogue.cpp writes it: "u(a,b)", "f(a)>users(id)rc"; nothing where an expression is part of
// it.
std::optional<std::string> definition_of(const PgQuery__Constraint& node) {
  const auto list = [](PgQuery__Node* const* names, std::size_t count) {
    return "(" + join(strings_of(names, count), ",") + ")";
  };
  switch (node.contype) {
    case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY:
      if (node.n_keys == 0) return std::nullopt;  // behind its column
      return "p" + list(node.keys, node.n_keys);
    case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE:
      if (node.n_keys == 0) return std::nullopt;
      return "u" + list(node.keys, node.n_keys);
    case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN:
      if (node.n_fk_attrs == 0 || node.n_pk_attrs == 0) return std::nullopt;
      return fmt::format("f{}>{}{}{}{}", list(node.fk_attrs, node.n_fk_attrs),
                         node.pktable->relname, list(node.pk_attrs, node.n_pk_attrs),
                         node.fk_del_action, node.fk_upd_action);
    default: return std::nullopt;
  }
}

bool is_null(const PgQuery__Node* node) {
  if (node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) return is_null(node->type_cast->arg);
  return node->node_case == PG_QUERY__NODE__NODE_A_CONST && node->a_const->isnull != 0;
}

// Of the column itself to another type, as an enum is changed; or nothing at all. With any
// other USING the values may change, and not the type.
bool is_plain_cast(const PgQuery__Node* node, const std::string& column) {
  if (node == nullptr) return true;
  if (node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF)
    return node->column_ref->n_fields == 1 && string_of(node->column_ref->fields[0]) == column;
  return node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST &&
         is_plain_cast(node->type_cast->arg, column);
}

// By its name and modifier all of it is told.
bool can_be_compared(const PgQuery__TypeName& node) {
  const bool is_elsewhere = node.n_names > 1 && string_of(node.names[0]) != "pg_catalog";
  return !is_elsewhere && type_of(node).modifier.has_value();
}

}  // namespace

void EffectsReader::column(const PgQuery__RangeVar& table, const PgQuery__ColumnDef& node,
                           bool is_new_table, bool tolerant) {
  Shape shape;
  if (node.type_name != nullptr && node.type_name->n_names > 0)
    shape.type = type_of(*node.type_name);
  const bool serial =
      node.type_name != nullptr && node.type_name->n_names > 0 &&
      !serial_of(string_of(node.type_name->names[node.type_name->n_names - 1])).empty();
  shape.has_default = serial;
  if (serial) shape.not_null = true;
  std::vector<const PgQuery__Constraint*> named;
  for (std::size_t i = 0; i < node.n_constraints; ++i) {
    const auto& part = *node.constraints[i]->constraint;
    if (part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL) shape.not_null = true;
    else if (part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT && is_null(part.raw_expr))
      shape.has_default.reset();  // which PostgreSQL stores or not
    else if (part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT ||
             part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_GENERATED ||
             part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_IDENTITY)
      shape.has_default = true;
    else if (*part.conname != '\0') named.push_back(&part);
  }
  if (tolerant) shape = {};  // an older column of another shape is left as it is
  add(Action::make, object_of(Kind::column, table, node.colname), shape, tolerant || is_new_table);
  if (tolerant && !named.empty()) result_.visible = false;  // they are only made with the column
  for (const auto* part : named) {
    if (tolerant || part->contype == PG_QUERY__CONSTR_TYPE__CONSTR_NULL) continue;
    constraint(table, *part, is_new_table);
    result_.effects.back().shape.columns = {node.colname};
  }
}

void EffectsReader::constraint(const PgQuery__RangeVar& table, const PgQuery__Constraint& node,
                               bool tolerant) {
  if (*node.conname == '\0') {  // PostgreSQL chooses the name
    result_.visible = false;
    return;
  }
  Shape shape;
  shape.table = table.relname;
  shape.columns = strings_of(node.keys, node.n_keys);
  for (const auto& name : strings_of(node.fk_attrs, node.n_fk_attrs)) shape.columns.push_back(name);
  if (node.pktable != nullptr) shape.references = node.pktable->relname;
  if (node.contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN ||
      node.contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK)
    shape.valid = node.skip_validation == 0;
  shape.definition = definition_of(node);
  if (node.contype == PG_QUERY__CONSTR_TYPE__CONSTR_CHECK ||
      node.contype == PG_QUERY__CONSTR_TYPE__CONSTR_EXCLUSION)
    shape.columns = {"?"};
  add(Action::make, object_of(Kind::constraint, table, node.conname), shape, tolerant);
  if (node.contype != PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY) return;
  for (const auto& key : shape.columns) {
    Shape not_null;
    not_null.not_null = true;
    add(Action::change, object_of(Kind::column, table, key), not_null, tolerant);
  }
}

void EffectsReader::create_table(const PgQuery__CreateStmt& node) {
  if (is_temporary(*node.relation)) return temporary(*node.relation);
  const bool tolerant = node.if_not_exists != 0;
  add(Action::make, object_of(Kind::relation, *node.relation), {}, tolerant);
  // An older table of another shape is left as it is.
  for (std::size_t i = 0; !tolerant && i < node.n_table_elts; ++i) {
    const auto& element = *node.table_elts[i];
    if (element.node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
      column(*node.relation, *element.column_def, true, false);
    // Unnamed ones come with the table.
    if (element.node_case == PG_QUERY__NODE__NODE_CONSTRAINT && *element.constraint->conname != 0)
      constraint(*node.relation, *element.constraint, true);
  }
  result_.harmless = tolerant;
}

void EffectsReader::alter_column(const SchemaObject& column, const PgQuery__AlterTableCmd& node) {
  Shape shape;
  switch (node.subtype) {
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType:
      shape.type = type_of(*node.def->column_def->type_name);
      result_.visible = can_be_compared(*node.def->column_def->type_name) &&
                        node.def->column_def->coll_clause == nullptr &&
                        is_plain_cast(node.def->column_def->raw_default, node.name);
      break;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault:
      if (node.def == nullptr || !is_null(node.def)) shape.has_default = node.def != nullptr;
      result_.visible = node.def == nullptr;  // else it may replace another one
      result_.harmless = true;
      break;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropNotNull:
      shape.not_null = node.subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull;
      result_.harmless = true;
      break;
    default: shape.has_default = node.subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity;
  }
  add(Action::change, column, shape, node.missing_ok != 0);
}

void EffectsReader::alter_table_command(const PgQuery__RangeVar& table,
                                        const PgQuery__AlterTableCmd& node) {
  const auto column_named = object_of(Kind::column, table, node.name);
  const bool missing_ok = node.missing_ok != 0;
  switch (node.subtype) {
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddColumn:
      return column(table, *node.def->column_def, false, missing_ok);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn:
      add(Action::drop, column_named, {}, missing_ok);
      result_.effects.back().cascade = cascades(node.behavior);
      return;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropIdentity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropExpression:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropNotNull: return alter_column(column_named, node);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint:
      if (*node.def->constraint->indexname != '\0') return opaque();  // and renames it
      return constraint(table, *node.def->constraint, false);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropConstraint:
      add(Action::drop, object_of(Kind::constraint, table, node.name), {}, missing_ok);
      result_.effects.back().cascade = cascades(node.behavior);
      return;
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ValidateConstraint: {
      Shape shape;
      shape.valid = true;
      result_.harmless = true;
      return add(Action::change, object_of(Kind::constraint, table, node.name), shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ChangeOwner:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_EnableRowSecurity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DisableRowSecurity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ForceRowSecurity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_NoForceRowSecurity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetStatistics:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetRelOptions:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ReplicaIdentity: return nothing_to_see(true);
    default: return nothing_to_see(false);
  }
}

void EffectsReader::alter_table(const PgQuery__AlterTableStmt& node) {
  // IF EXISTS may skip all of it, or not; the attributes of a composite type are not looked at.
  if (node.missing_ok != 0) return opaque();
  if (node.objtype == PG_QUERY__OBJECT_TYPE__OBJECT_TYPE) return nothing_to_see(false);
  bool visible = true;
  bool harmless = true;
  std::vector<const PgQuery__AlterTableCmd*> commands;
  for (std::size_t i = 0; i < node.n_cmds; ++i) commands.push_back(node.cmds[i]->alter_table_cmd);
  // PostgreSQL drops first, whatever the order (tablecmds.c, AT_PASS_DROP).
  std::stable_partition(commands.begin(), commands.end(), [](const auto* command) {
    return command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn ||
           command->subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_DropConstraint;
  });
  for (const auto* command : commands) {
    result_.visible = true;
    result_.harmless = false;
    alter_table_command(*node.relation, *command);
    visible = visible && result_.visible;
    harmless = harmless && result_.harmless;
  }
  result_.visible = visible;
  result_.harmless = harmless;
}

void EffectsReader::create_index(const PgQuery__IndexStmt& node) {
  if (*node.idxname == '\0') return nothing_to_see(false);  // PostgreSQL chooses the name
  Shape shape;
  shape.valid = true;
  shape.table = node.relation->relname;
  for (std::size_t i = 0; i < node.n_index_params; ++i) {
    const auto& element = *node.index_params[i]->index_elem;
    shape.columns.emplace_back(*element.name == '\0' ? "?" : element.name);
  }
  if (node.where_clause != nullptr || node.n_index_including_params > 0)
    shape.columns.emplace_back("?");
  if (std::find(shape.columns.begin(), shape.columns.end(), "?") == shape.columns.end())
    shape.definition =
        fmt::format("{}({})", node.unique != 0 ? "u" : "i", join(shape.columns, ","));
  const bool tolerant = node.if_not_exists != 0;
  if (tolerant) {
    shape.valid.reset();
    shape.definition.reset();
  }
  SchemaObject index{.kind = Kind::relation,
                     .schema = node.relation->schemaname,
                     .name = node.idxname,
                     .part = {}};
  add(Action::make, index, shape, tolerant);
}

}  // namespace schemagate
