#include "schemagate/effects.hpp"

#include <fmt/core.h>

#include "schemagate/large_stack.hpp"
#include "syntax_tree.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Action = Effect::Action;
using Kind = SchemaObject::Kind;

constexpr const char* k_some_default = "?";  // there is one, but its text cannot be compared

std::vector<std::string> strings_of(PgQuery__Node* const* nodes, std::size_t count) {
  std::vector<std::string> strings;
  for (std::size_t i = 0; i < count; ++i) strings.push_back(string_of(nodes[i]));
  return strings;
}

SchemaObject object_of(Kind kind, const PgQuery__RangeVar& range, const std::string& part = {}) {
  return {.kind = kind, .schema = range.schemaname, .name = range.relname, .part = part};
}

SchemaObject object_of(Kind kind, PgQuery__Node* const* names, std::size_t count,
                       const std::string& part = {}) {
  const auto parts = strings_of(names, count);
  if (parts.empty()) return {.kind = kind, .schema = {}, .name = {}, .part = part};
  return {.kind = kind,
          .schema = parts.size() > 1 ? parts[parts.size() - 2] : "",
          .name = parts.back(),
          .part = part};
}

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
  for (std::size_t i = 0; i < node.n_typmods; ++i)
    type.modifier += (i == 0 ? "" : ",") + number_of(node.typmods[i]);
  if (type.name == "numeric" && node.n_typmods == 1) type.modifier += ",0";
  return type;
}

// As pg_get_expr() prints it up to a cast, for the simple ones.
std::string default_of(const PgQuery__Node* node) {
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_TYPE_CAST: return default_of(node->type_cast->arg);
    case PG_QUERY__NODE__NODE_A_CONST: {
      const auto& constant = *node->a_const;
      if (constant.val_case == PG_QUERY__A__CONST__VAL_BOOLVAL)
        return constant.boolval->boolval != 0 ? "true" : "false";
      if (constant.val_case != PG_QUERY__A__CONST__VAL_SVAL) {
        auto number = number_of(node);
        return number.empty() || number.front() == '-' ? k_some_default : number;
      }
      const std::string_view text{constant.sval->sval};
      if (text.find_first_of("'\\") != std::string_view::npos) return k_some_default;
      return fmt::format("'{}'", text);
    }
    case PG_QUERY__NODE__NODE_SQLVALUE_FUNCTION:
      return node->sqlvalue_function->op == PG_QUERY__SQLVALUE_FUNCTION_OP__SVFOP_CURRENT_TIMESTAMP
                 ? "CURRENT_TIMESTAMP"
                 : k_some_default;
    case PG_QUERY__NODE__NODE_FUNC_CALL:
      if (node->func_call->n_args > 0) return k_some_default;
      return name_of(node->func_call->funcname, node->func_call->n_funcname) + "()";
    default: return k_some_default;
  }
}

class Reader {
 public:
  Effects read(const PgQuery__Node& node) {
    statement(node);
    return std::move(result_);
  }

 private:
  void add(Action action, SchemaObject object, Shape shape = {}, bool tolerant = false) {
    result_.effects.push_back({action, std::move(object), std::move(shape), tolerant, {}});
    if (tolerant) result_.repeatable = true;
  }
  void rename(SchemaObject object, const std::string& new_name) {
    result_.effects.push_back({Action::rename, std::move(object), {}, false, new_name});
  }
  void nothing_to_see(bool repeatable) {
    result_.visible = false;
    result_.repeatable = repeatable;
  }
  void of_no_account() { result_.repeatable = true; }

  void statement(const PgQuery__Node& node);
  void create_table(const PgQuery__CreateStmt& node);
  void column(const PgQuery__RangeVar& table, const PgQuery__ColumnDef& node, bool is_new_table,
              bool tolerant);
  void constraint(const PgQuery__RangeVar& table, const PgQuery__Constraint& node, bool tolerant);
  void alter_table(const PgQuery__AlterTableStmt& node);
  void alter_table_command(const PgQuery__RangeVar& table, const PgQuery__AlterTableCmd& node,
                           bool tolerant);
  void create_index(const PgQuery__IndexStmt& node);
  void create_function(const PgQuery__CreateFunctionStmt& node);
  void create_enum(const PgQuery__CreateEnumStmt& node);
  void alter_enum(const PgQuery__AlterEnumStmt& node);
  void drop(const PgQuery__DropStmt& node);
  void rename(const PgQuery__RenameStmt& node);

  Effects result_;
};

void Reader::column(const PgQuery__RangeVar& table, const PgQuery__ColumnDef& node,
                    bool is_new_table, bool tolerant) {
  Shape shape;
  if (node.type_name != nullptr && node.type_name->n_names > 0)
    shape.type = type_of(*node.type_name);
  const bool serial =
      node.type_name != nullptr && node.type_name->n_names > 0 &&
      !serial_of(string_of(node.type_name->names[node.type_name->n_names - 1])).empty();
  shape.default_value = serial ? k_some_default : "";
  if (serial) shape.not_null = true;
  std::vector<const PgQuery__Constraint*> named;
  for (std::size_t i = 0; i < node.n_constraints; ++i) {
    const auto& part = *node.constraints[i]->constraint;
    if (part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL) shape.not_null = true;
    else if (part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT)
      shape.default_value = default_of(part.raw_expr);
    else if (part.contype == PG_QUERY__CONSTR_TYPE__CONSTR_GENERATED)
      shape.default_value = k_some_default;
    else if (*part.conname != '\0') named.push_back(&part);
  }
  // Under IF NOT EXISTS an older column of another shape would be left as it is.
  add(Action::make, object_of(Kind::column, table, node.colname), shape, tolerant || is_new_table);
  for (const auto* part : named) constraint(table, *part, tolerant || is_new_table);
}

void Reader::constraint(const PgQuery__RangeVar& table, const PgQuery__Constraint& node,
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
  add(Action::make, object_of(Kind::constraint, table, node.conname), shape, tolerant);
}

void Reader::create_table(const PgQuery__CreateStmt& node) {
  if (std::string_view{node.relation->relpersistence} == "t") return nothing_to_see(false);
  const bool tolerant = node.if_not_exists != 0;
  add(Action::make, object_of(Kind::relation, *node.relation), {}, tolerant);
  for (std::size_t i = 0; i < node.n_table_elts; ++i) {
    const auto& element = *node.table_elts[i];
    if (element.node_case == PG_QUERY__NODE__NODE_COLUMN_DEF)
      column(*node.relation, *element.column_def, true, tolerant);
    // Unnamed ones come with the table.
    if (element.node_case == PG_QUERY__NODE__NODE_CONSTRAINT && *element.constraint->conname != 0)
      constraint(*node.relation, *element.constraint, true);
  }
  result_.repeatable = tolerant;
}

void Reader::alter_table_command(const PgQuery__RangeVar& table, const PgQuery__AlterTableCmd& node,
                                 bool tolerant) {
  const auto column_named = object_of(Kind::column, table, node.name);
  const bool missing_ok = node.missing_ok != 0 || tolerant;
  switch (node.subtype) {
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddColumn:
      return column(table, *node.def->column_def, false, missing_ok);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropColumn:
      return add(Action::drop, column_named, {}, missing_ok);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType: {
      Shape shape;
      shape.type = type_of(*node.def->column_def->type_name);
      if (node.def->column_def->raw_default == nullptr) result_.repeatable = true;  // no USING
      return add(Action::change, column_named, shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault: {
      Shape shape;
      shape.default_value = node.def == nullptr ? "" : default_of(node.def);
      if (shape.default_value == k_some_default) result_.visible = false;
      result_.repeatable = true;
      return add(Action::change, column_named, shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropNotNull: {
      Shape shape;
      shape.not_null = node.subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull;
      result_.repeatable = true;
      return add(Action::change, column_named, shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint:
      if (*node.def->constraint->indexname != '\0') return nothing_to_see(false);  // renames it
      return constraint(table, *node.def->constraint, tolerant);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropConstraint:
      return add(Action::drop, object_of(Kind::constraint, table, node.name), {}, missing_ok);
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ValidateConstraint: {
      Shape shape;
      shape.valid = true;
      result_.repeatable = true;
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

void Reader::alter_table(const PgQuery__AlterTableStmt& node) {
  bool visible = true;
  bool repeatable = true;
  for (std::size_t i = 0; i < node.n_cmds; ++i) {
    result_.visible = true;
    result_.repeatable = false;
    alter_table_command(*node.relation, *node.cmds[i]->alter_table_cmd, node.missing_ok != 0);
    visible = visible && result_.visible;
    repeatable = repeatable && result_.repeatable;
  }
  result_.visible = visible;
  result_.repeatable = repeatable;
}

void Reader::create_index(const PgQuery__IndexStmt& node) {
  if (*node.idxname == '\0') return nothing_to_see(false);  // PostgreSQL chooses the name
  Shape shape;
  shape.valid = true;
  shape.table = node.relation->relname;
  for (std::size_t i = 0; i < node.n_index_params; ++i)
    shape.columns.emplace_back(node.index_params[i]->index_elem->name);
  SchemaObject index{.kind = Kind::relation,
                     .schema = node.relation->schemaname,
                     .name = node.idxname,
                     .part = {}};
  add(Action::make, index, shape, node.if_not_exists != 0);
}

void Reader::create_function(const PgQuery__CreateFunctionStmt& node) {
  Shape shape;
  for (std::size_t i = 0; i < node.n_options; ++i) {
    const auto& option = *node.options[i]->def_elem;
    if (std::string_view{option.defname} == "as" &&
        option.arg->node_case == PG_QUERY__NODE__NODE_LIST && option.arg->list->n_items == 1)
      shape.body = string_of(option.arg->list->items[0]);
  }
  if (!shape.body) result_.visible = false;
  // Also without OR REPLACE: another one of this name may have other arguments.
  add(Action::make, object_of(Kind::function, node.funcname, node.n_funcname), shape, true);
  result_.repeatable = node.replace != 0;
}

void Reader::create_enum(const PgQuery__CreateEnumStmt& node) {
  Shape shape;
  shape.labels = strings_of(node.vals, node.n_vals);
  add(Action::make, object_of(Kind::type, node.type_name, node.n_type_name), shape);
}

void Reader::alter_enum(const PgQuery__AlterEnumStmt& node) {
  const auto value = [&](const char* name) {
    return object_of(Kind::enum_value, node.type_name, node.n_type_name, name);
  };
  if (*node.old_val != '\0') add(Action::drop, value(node.old_val));
  add(Action::make, value(node.new_val), {}, node.skip_if_new_val_exists != 0);
}

void Reader::drop(const PgQuery__DropStmt& node) {
  for (std::size_t i = 0; i < node.n_objects; ++i) {
    const auto& object = *node.objects[i];
    auto* const* names = &node.objects[i];
    std::size_t count = 1;
    if (object.node_case == PG_QUERY__NODE__NODE_LIST) {
      names = object.list->items;
      count = object.list->n_items;
    } else if (object.node_case == PG_QUERY__NODE__NODE_TYPE_NAME) {
      names = object.type_name->names;
      count = object.type_name->n_names;
    } else if (object.node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS) {
      names = object.object_with_args->objname;
      count = object.object_with_args->n_objname;
    }
    const bool tolerant = node.missing_ok != 0;
    switch (node.remove_type) {
      case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
      case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
      case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
      case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
      case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE:
      case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX:
        add(Action::drop, object_of(Kind::relation, names, count), {}, tolerant);
        break;
      case PG_QUERY__OBJECT_TYPE__OBJECT_TYPE:
      case PG_QUERY__OBJECT_TYPE__OBJECT_DOMAIN:
        add(Action::drop, object_of(Kind::type, names, count), {}, tolerant);
        break;
      case PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION:
      case PG_QUERY__OBJECT_TYPE__OBJECT_PROCEDURE:
        add(Action::drop, object_of(Kind::function, names, count), {}, tolerant);
        break;
      case PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA:
        add(Action::drop, object_of(Kind::schema, names, count), {}, tolerant);
        break;
      case PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION:
        add(Action::drop, object_of(Kind::extension, names, count), {}, tolerant);
        break;
      case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER:
      case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY: {
        const auto kind = node.remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER ? Kind::trigger
                                                                                    : Kind::policy;
        if (count < 2) return nothing_to_see(tolerant);
        add(Action::drop, object_of(kind, names, count - 1, string_of(names[count - 1])), {},
            tolerant);
        break;
      }
      default: return nothing_to_see(tolerant);
    }
  }
}

void Reader::rename(const PgQuery__RenameStmt& node) {
  if (node.missing_ok != 0) return nothing_to_see(true);
  switch (node.rename_type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX:
      return rename(object_of(Kind::relation, *node.relation), node.newname);
    case PG_QUERY__OBJECT_TYPE__OBJECT_COLUMN:
      return rename(object_of(Kind::column, *node.relation, node.subname), node.newname);
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABCONSTRAINT:
      return rename(object_of(Kind::constraint, *node.relation, node.subname), node.newname);
    case PG_QUERY__OBJECT_TYPE__OBJECT_TYPE:
      if (node.object == nullptr || node.object->node_case != PG_QUERY__NODE__NODE_LIST)
        return nothing_to_see(false);
      return rename(object_of(Kind::type, node.object->list->items, node.object->list->n_items),
                    node.newname);
    default: return nothing_to_see(false);
  }
}

void Reader::statement(const PgQuery__Node& node) {
  switch (node.node_case) {
    case PG_QUERY__NODE__NODE_CREATE_STMT: return create_table(*node.create_stmt);
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT: return alter_table(*node.alter_table_stmt);
    case PG_QUERY__NODE__NODE_INDEX_STMT: return create_index(*node.index_stmt);
    case PG_QUERY__NODE__NODE_DROP_STMT: return drop(*node.drop_stmt);
    case PG_QUERY__NODE__NODE_RENAME_STMT: return rename(*node.rename_stmt);
    case PG_QUERY__NODE__NODE_CREATE_ENUM_STMT: return create_enum(*node.create_enum_stmt);
    case PG_QUERY__NODE__NODE_ALTER_ENUM_STMT: return alter_enum(*node.alter_enum_stmt);
    case PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT:
      return create_function(*node.create_function_stmt);
    case PG_QUERY__NODE__NODE_VIEW_STMT:
      add(Action::make, object_of(Kind::relation, *node.view_stmt->view), {},
          node.view_stmt->replace != 0);
      result_.visible = node.view_stmt->replace == 0;
      return;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
      return add(Action::make, object_of(Kind::relation, *node.create_table_as_stmt->into->rel), {},
                 node.create_table_as_stmt->if_not_exists != 0);
    case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT:
      return add(Action::make, object_of(Kind::relation, *node.create_seq_stmt->sequence), {},
                 node.create_seq_stmt->if_not_exists != 0);
    case PG_QUERY__NODE__NODE_COMPOSITE_TYPE_STMT:
      return add(Action::make, object_of(Kind::type, *node.composite_type_stmt->typevar));
    case PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT:
      return add(Action::make, object_of(Kind::type, node.create_domain_stmt->domainname,
                                         node.create_domain_stmt->n_domainname));
    case PG_QUERY__NODE__NODE_CREATE_TRIG_STMT:
      result_.visible = node.create_trig_stmt->replace == 0;
      return add(Action::make,
                 object_of(Kind::trigger, *node.create_trig_stmt->relation,
                           node.create_trig_stmt->trigname),
                 {}, node.create_trig_stmt->replace != 0);
    case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT:
      return add(Action::make, object_of(Kind::policy, *node.create_policy_stmt->table,
                                         node.create_policy_stmt->policy_name));
    case PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT:
      if (node.create_schema_stmt->n_schema_elts > 0) result_.visible = false;
      return add(Action::make, {Kind::schema, "", node.create_schema_stmt->schemaname, ""}, {},
                 node.create_schema_stmt->if_not_exists != 0);
    case PG_QUERY__NODE__NODE_CREATE_EXTENSION_STMT:
      return add(Action::make, {Kind::extension, "", node.create_extension_stmt->extname, ""}, {},
                 node.create_extension_stmt->if_not_exists != 0);
    case PG_QUERY__NODE__NODE_COMMENT_STMT:
    case PG_QUERY__NODE__NODE_VACUUM_STMT:  // ANALYZE too
    case PG_QUERY__NODE__NODE_REINDEX_STMT:
    case PG_QUERY__NODE__NODE_LOCK_STMT:
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT:
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT:
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return of_no_account();
    case PG_QUERY__NODE__NODE_GRANT_STMT:
    case PG_QUERY__NODE__NODE_GRANT_ROLE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT:
    case PG_QUERY__NODE__NODE_ALTER_OWNER_STMT:
    case PG_QUERY__NODE__NODE_ALTER_SEQ_STMT:
    case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT: return nothing_to_see(true);
    default: return nothing_to_see(false);
  }
}

Effects read_effects(const Statement& statement) {
  using Which = Statement::Kind;
  if (statement.kind == Which::begin || statement.kind == Which::commit ||
      statement.kind == Which::setting)
    return {.effects = {}, .visible = true, .repeatable = true};
  const auto tree = parse(statement.text);
  if (!tree || tree->n_stmts != 1) return {.effects = {}, .visible = false, .repeatable = false};
  return Reader{}.read(*tree->stmts[0]->stmt);
}

}  // namespace

Effects effects_of(const Statement& statement) {
  Effects effects;
  with_stack_for(statement.text.size(), [&] { effects = read_effects(statement); });
  return effects;
}

}  // namespace schemagate
