#include "schemagate/effects.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <set>

#include "schemagate/large_stack.hpp"
#include "schemagate/text.hpp"
#include "syntax_tree.hpp"

namespace schemagate {
namespace {

using namespace syntax;
using Action = Effect::Action;
using Kind = SchemaObject::Kind;

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

// Of a column to another type, as Prisma changes an enum; or nothing at all.
bool is_plain_cast(const PgQuery__Node* node) {
  if (node == nullptr || node->node_case == PG_QUERY__NODE__NODE_COLUMN_REF) return true;
  return node->node_case == PG_QUERY__NODE__NODE_TYPE_CAST && is_plain_cast(node->type_cast->arg);
}

bool cascades(PgQuery__DropBehavior behavior) {
  return behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
}

class Reader {
 public:
  explicit Reader(const std::string& text) : text_{text} {}

  Effects read(const PgQuery__Node& node) {
    statement(node);
    return std::move(result_);
  }

 private:
  void add(Action action, SchemaObject object, Shape shape = {}, bool tolerant = false) {
    result_.effects.push_back({.action = action,
                               .object = std::move(object),
                               .shape = std::move(shape),
                               .tolerant = tolerant});
    // IF NOT EXISTS; what DROP IF EXISTS finds the second time may be worth keeping.
    if (tolerant && action == Action::make) result_.harmless = true;
  }
  void rename(SchemaObject object, const std::string& new_name) {
    result_.effects.push_back(
        {.action = Action::rename, .object = std::move(object), .new_name = new_name});
  }
  void nothing_to_see(bool harmless) {
    result_.visible = false;
    result_.harmless = harmless;
  }
  void opaque() {
    nothing_to_see(false);
    result_.opaque = true;
  }
  // A relation that is gone with the session.
  void temporary(const PgQuery__RangeVar& range) {
    nothing_to_see(false);
    result_.is_temporary = true;
    add(Action::make, object_of(Kind::relation, range));
  }
  [[nodiscard]] static bool is_temporary(const PgQuery__RangeVar& range) {
    return std::string_view{range.relpersistence} == "t" ||
           std::string_view{range.schemaname} == "pg_temp";
  }
  void of_no_account() { result_.harmless = true; }

  void statement(const PgQuery__Node& node);
  void create_table(const PgQuery__CreateStmt& node);
  void column(const PgQuery__RangeVar& table, const PgQuery__ColumnDef& node, bool is_new_table,
              bool tolerant);
  void constraint(const PgQuery__RangeVar& table, const PgQuery__Constraint& node, bool tolerant);
  void alter_table(const PgQuery__AlterTableStmt& node);
  void alter_table_command(const PgQuery__RangeVar& table, const PgQuery__AlterTableCmd& node);
  void create_index(const PgQuery__IndexStmt& node);
  void create_function(const PgQuery__CreateFunctionStmt& node);
  void create_sequence(const PgQuery__CreateSeqStmt& node);
  void create_enum(const PgQuery__CreateEnumStmt& node);
  void alter_enum(const PgQuery__AlterEnumStmt& node);
  void drop(const PgQuery__DropStmt& node);
  void drop_one(const PgQuery__DropStmt& node, PgQuery__Node* const* names, std::size_t count);
  void select(const PgQuery__SelectStmt& node);
  void do_block();
  void rename(const PgQuery__RenameStmt& node);

  const std::string& text_;
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
  for (const auto* part : named) {
    constraint(table, *part, tolerant || is_new_table);
    result_.effects.back().shape.columns = {node.colname};
  }
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

void Reader::create_table(const PgQuery__CreateStmt& node) {
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

void Reader::alter_table_command(const PgQuery__RangeVar& table,
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
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AlterColumnType: {
      Shape shape;
      shape.type = type_of(*node.def->column_def->type_name);
      // With USING the values may change, and not the type.
      result_.visible = is_plain_cast(node.def->column_def->raw_default);
      result_.harmless = result_.visible;
      return add(Action::change, column_named, shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_ColumnDefault: {
      Shape shape;
      if (node.def == nullptr || !is_null(node.def)) shape.has_default = node.def != nullptr;
      result_.visible = node.def == nullptr;  // else it may replace another one
      result_.harmless = true;
      return add(Action::change, column_named, shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropIdentity:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropExpression: {
      Shape shape;
      shape.has_default = node.subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_AddIdentity;
      return add(Action::change, column_named, shape, missing_ok);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull:
    case PG_QUERY__ALTER_TABLE_TYPE__AT_DropNotNull: {
      Shape shape;
      shape.not_null = node.subtype == PG_QUERY__ALTER_TABLE_TYPE__AT_SetNotNull;
      result_.harmless = true;
      return add(Action::change, column_named, shape);
    }
    case PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint:
      if (*node.def->constraint->indexname != '\0') return nothing_to_see(false);  // renames it
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

void Reader::alter_table(const PgQuery__AlterTableStmt& node) {
  // IF EXISTS may skip all of it; the attributes of a composite type are not looked at.
  if (node.missing_ok != 0 || node.objtype == PG_QUERY__OBJECT_TYPE__OBJECT_TYPE)
    return nothing_to_see(false);
  bool visible = true;
  bool harmless = true;
  for (std::size_t i = 0; i < node.n_cmds; ++i) {
    result_.visible = true;
    result_.harmless = false;
    alter_table_command(*node.relation, *node.cmds[i]->alter_table_cmd);
    visible = visible && result_.visible;
    harmless = harmless && result_.harmless;
  }
  result_.visible = visible;
  result_.harmless = harmless;
}

void Reader::create_index(const PgQuery__IndexStmt& node) {
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

// It may come to be owned by a column, and go with it.
void Reader::create_sequence(const PgQuery__CreateSeqStmt& node) {
  Shape shape;
  shape.columns = {"?"};
  add(Action::make, object_of(Kind::relation, *node.sequence), shape, node.if_not_exists != 0);
}

void Reader::create_function(const PgQuery__CreateFunctionStmt& node) {
  Shape shape;
  for (std::size_t i = 0; i < node.n_options; ++i) {
    const auto& option = *node.options[i]->def_elem;
    if (std::string_view{option.defname} == "as" &&
        option.arg->node_case == PG_QUERY__NODE__NODE_LIST && option.arg->list->n_items == 1)
      shape.bodies = {string_of(option.arg->list->items[0])};
  }
  if (!shape.bodies) result_.visible = false;
  if (node.n_funcname > 1 && string_of(node.funcname[0]) == "pg_temp") return nothing_to_see(false);
  // Also without OR REPLACE: another one of this name may have other arguments.
  add(Action::make, object_of(Kind::function, node.funcname, node.n_funcname), shape, true);
  result_.harmless = false;
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

void Reader::drop_one(const PgQuery__DropStmt& node, PgQuery__Node* const* names,
                      std::size_t count) {
  const bool tolerant = node.missing_ok != 0;
  switch (node.remove_type) {
    case PG_QUERY__OBJECT_TYPE__OBJECT_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_VIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW:
    case PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_INDEX:
      return add(Action::drop, object_of(Kind::relation, names, count), {}, tolerant);
    case PG_QUERY__OBJECT_TYPE__OBJECT_TYPE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_DOMAIN:
      return add(Action::drop, object_of(Kind::type, names, count), {}, tolerant);
    case PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA:
      return add(Action::drop, object_of(Kind::schema, names, count), {}, tolerant);
    case PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION:
      return add(Action::drop, object_of(Kind::extension, names, count), {}, tolerant);
    case PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER:
    case PG_QUERY__OBJECT_TYPE__OBJECT_POLICY: {
      const bool trigger = node.remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_TRIGGER;
      if (count < 2) return opaque();
      return add(Action::drop,
                 object_of(trigger ? Kind::trigger : Kind::policy, names, count - 1,
                           string_of(names[count - 1])),
                 {}, tolerant);
    }
    // Another one of the name, with other arguments, may stay.
    case PG_QUERY__OBJECT_TYPE__OBJECT_FUNCTION:
    case PG_QUERY__OBJECT_TYPE__OBJECT_PROCEDURE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_ROUTINE:
    case PG_QUERY__OBJECT_TYPE__OBJECT_AGGREGATE:
      result_.visible = false;
      return add(Action::drop, object_of(Kind::function, names, count), {}, tolerant);
    default: return nothing_to_see(false);
  }
}

void Reader::drop(const PgQuery__DropStmt& node) {
  for (std::size_t i = 0; i < node.n_objects; ++i) {
    const auto& object = *node.objects[i];
    if (object.node_case == PG_QUERY__NODE__NODE_LIST)
      drop_one(node, object.list->items, object.list->n_items);
    else if (object.node_case == PG_QUERY__NODE__NODE_TYPE_NAME)
      drop_one(node, object.type_name->names, object.type_name->n_names);
    else if (object.node_case == PG_QUERY__NODE__NODE_OBJECT_WITH_ARGS)
      drop_one(node, object.object_with_args->objname, object.object_with_args->n_objname);
    else drop_one(node, &node.objects[i], 1);
  }
  for (auto& effect : result_.effects) effect.cascade = cascades(node.behavior);
}

void Reader::rename(const PgQuery__RenameStmt& node) {
  if (node.missing_ok != 0) return opaque();
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
        return opaque();
      return rename(object_of(Kind::type, node.object->list->items, node.object->list->n_items),
                    node.newname);
    default: return opaque();
  }
}

// Unless it makes up statements, or has others do the work, all that it touches is named in it.
void Reader::do_block() {
  opaque();
  const auto text = lower_case(text_);
  for (const auto* word : {"execute", "perform", "call", "select"})
    if (text.find(word) != std::string::npos) return;
  result_.block = text;
}

// A function may do anything; setval() is known.
void Reader::select(const PgQuery__SelectStmt& node) {
  if (node.into_clause != nullptr)
    return is_temporary(*node.into_clause->rel)
               ? temporary(*node.into_clause->rel)
               : add(Action::make, object_of(Kind::relation, *node.into_clause->rel));
  const auto words = words_of(text_);
  const auto calls = [&](std::string_view name) {
    return std::any_of(words.begin(), words.end(),
                       [&](const auto& word) { return is_word(word, name); });
  };
  if (calls("setval")) return nothing_to_see(false);
  if (!calls("(")) return of_no_account();
  opaque();
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
    case PG_QUERY__NODE__NODE_SELECT_STMT: return select(*node.select_stmt);
    case PG_QUERY__NODE__NODE_VIEW_STMT:
      if (is_temporary(*node.view_stmt->view)) return temporary(*node.view_stmt->view);
      add(Action::make, object_of(Kind::relation, *node.view_stmt->view), {},
          node.view_stmt->replace != 0);
      result_.visible = node.view_stmt->replace == 0;
      result_.harmless = false;
      return;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
      if (is_temporary(*node.create_table_as_stmt->into->rel))
        return temporary(*node.create_table_as_stmt->into->rel);
      return add(Action::make, object_of(Kind::relation, *node.create_table_as_stmt->into->rel), {},
                 node.create_table_as_stmt->if_not_exists != 0);
    case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT:
      if (is_temporary(*node.create_seq_stmt->sequence))
        return temporary(*node.create_seq_stmt->sequence);
      return create_sequence(*node.create_seq_stmt);
    case PG_QUERY__NODE__NODE_COMPOSITE_TYPE_STMT:
      return add(Action::make, object_of(Kind::type, *node.composite_type_stmt->typevar));
    case PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT:
      return add(Action::make, object_of(Kind::type, node.create_domain_stmt->domainname,
                                         node.create_domain_stmt->n_domainname));
    case PG_QUERY__NODE__NODE_CREATE_TRIG_STMT:
      add(Action::make,
          object_of(Kind::trigger, *node.create_trig_stmt->relation,
                    node.create_trig_stmt->trigname),
          {}, node.create_trig_stmt->replace != 0);
      result_.visible = node.create_trig_stmt->replace == 0;
      result_.harmless = false;
      return;
    case PG_QUERY__NODE__NODE_CREATE_POLICY_STMT:
      return add(Action::make, object_of(Kind::policy, *node.create_policy_stmt->table,
                                         node.create_policy_stmt->policy_name));
    case PG_QUERY__NODE__NODE_CREATE_SCHEMA_STMT:
      if (node.create_schema_stmt->n_schema_elts > 0 ||
          *node.create_schema_stmt->schemaname == '\0')
        return opaque();
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
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: return of_no_account();
    case PG_QUERY__NODE__NODE_DO_STMT: return do_block();
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT:  // SAVEPOINT, ROLLBACK
    case PG_QUERY__NODE__NODE_CALL_STMT:
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_OBJECT_SCHEMA_STMT:
    case PG_QUERY__NODE__NODE_ALTER_EXTENSION_STMT:
    case PG_QUERY__NODE__NODE_ALTER_EXTENSION_CONTENTS_STMT:
    case PG_QUERY__NODE__NODE_IMPORT_FOREIGN_SCHEMA_STMT:
    case PG_QUERY__NODE__NODE_DROP_OWNED_STMT: return opaque();
    case PG_QUERY__NODE__NODE_GRANT_STMT:
    case PG_QUERY__NODE__NODE_GRANT_ROLE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_DEFAULT_PRIVILEGES_STMT:
    case PG_QUERY__NODE__NODE_ALTER_OWNER_STMT:
    case PG_QUERY__NODE__NODE_REFRESH_MAT_VIEW_STMT: return nothing_to_see(true);
    default: return nothing_to_see(false);
  }
}

Effects read_effects(const Statement& statement) {
  using Which = Statement::Kind;
  if (statement.kind == Which::begin || statement.kind == Which::commit ||
      statement.kind == Which::setting)
    return {.effects = {}, .visible = true, .harmless = true};
  const auto tree = parse(statement.text);
  if (!tree || tree->n_stmts != 1)
    return {.effects = {}, .visible = false, .harmless = false, .opaque = true};
  return Reader{statement.text}.read(*tree->stmts[0]->stmt);
}

// Whatever names without a schema mean afterwards.
bool sets_search_path(const Statement& statement) {
  return (statement.kind == Statement::Kind::setting || statement.ends_at_commit) &&
         lower_case(statement.text).find("search_path") != std::string::npos;
}

}  // namespace

Effects effects_of(const Statement& statement) {
  Effects effects;
  with_stack_for(statement.text.size(), [&] { effects = read_effects(statement); });
  return effects;
}

std::vector<Effects> effects_of(const std::vector<Statement>& script) {
  const Effects unknown{.effects = {}, .visible = false, .harmless = false, .opaque = true};
  std::vector<Effects> all;
  std::set<std::string> temporary;
  bool knows_path = true;
  for (const auto& statement : script) {
    auto effects = knows_path ? effects_of(statement) : unknown;
    const auto is_of_temporary = [&](const Effect& effect) {
      return effect.object.schema.empty() &&
             (temporary.contains(effect.object.name) || temporary.contains(effect.shape.table));
    };
    if (effects.is_temporary) {
      temporary.insert(effects.effects.front().object.name);
      effects.effects.clear();
    } else if (std::any_of(effects.effects.begin(), effects.effects.end(), is_of_temporary)) {
      effects = {.effects = {}, .visible = false, .harmless = false};
    }
    if (sets_search_path(statement)) {
      knows_path = false;
      effects = unknown;
    }
    all.push_back(std::move(effects));
  }
  return all;
}

}  // namespace schemagate
