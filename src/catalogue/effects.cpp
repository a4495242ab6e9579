#include "schemagate/catalogue/effects.hpp"

#include <algorithm>
#include <set>

#include "effects_reader.hpp"
#include "schemagate/base/large_stack.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {

using namespace syntax;
using Action = Effect::Action;
using Kind = SchemaObject::Kind;

std::vector<std::string> strings_of(PgQuery__Node* const* nodes, std::size_t count) {
  std::vector<std::string> strings;
  for (std::size_t i = 0; i < count; ++i) strings.push_back(string_of(nodes[i]));
  return strings;
}

SchemaObject object_of(Kind kind, const PgQuery__RangeVar& range, const std::string& part) {
  return {.kind = kind, .schema = range.schemaname, .name = range.relname, .part = part};
}

SchemaObject object_of(Kind kind, PgQuery__Node* const* names, std::size_t count,
                       const std::string& part) {
  const auto parts = strings_of(names, count);
  if (parts.empty()) return {.kind = kind, .schema = {}, .name = {}, .part = part};
  return {.kind = kind,
          .schema = parts.size() > 1 ? parts[parts.size() - 2] : "",
          .name = parts.back(),
          .part = part};
}

// It may come to be owned by a column, and go with it.
void EffectsReader::create_sequence(const PgQuery__CreateSeqStmt& node) {
  Shape shape;
  shape.columns = {"?"};
  add(Action::make, object_of(Kind::relation, *node.sequence), shape, node.if_not_exists != 0);
}

void EffectsReader::create_function(const PgQuery__CreateFunctionStmt& node) {
  Shape shape;
  bool is_compiled = false;  // pg_proc.prosrc is a symbol then, not this text
  for (std::size_t i = 0; i < node.n_options; ++i) {
    const auto& option = *node.options[i]->def_elem;
    const std::string_view name = option.defname;
    if (name == "as" && option.arg->node_case == PG_QUERY__NODE__NODE_LIST &&
        option.arg->list->n_items == 1)
      shape.bodies = {without_carriage_returns(string_of(option.arg->list->items[0]))};
    if (name == "language") is_compiled = lower_case(string_of(option.arg)) == "c";
  }
  if (is_compiled) shape.bodies.reset();
  if (!shape.bodies) result_.visible = false;
  if (node.n_funcname > 1 && string_of(node.funcname[0]) == "pg_temp") return nothing_to_see(false);
  // Also without OR REPLACE: another one of this name may have other arguments.
  add(Action::make, object_of(Kind::function, node.funcname, node.n_funcname), shape, true);
  result_.harmless = false;
}

void EffectsReader::create_enum(const PgQuery__CreateEnumStmt& node) {
  Shape shape;
  shape.labels = strings_of(node.vals, node.n_vals);
  add(Action::make, object_of(Kind::type, node.type_name, node.n_type_name), shape);
}

void EffectsReader::alter_enum(const PgQuery__AlterEnumStmt& node) {
  const auto value = [&](const char* name) {
    return object_of(Kind::enum_value, node.type_name, node.n_type_name, name);
  };
  if (*node.old_val != '\0') add(Action::drop, value(node.old_val));
  add(Action::make, value(node.new_val), {}, node.skip_if_new_val_exists != 0);
}

void EffectsReader::drop_one(const PgQuery__DropStmt& node, PgQuery__Node* const* names,
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

void EffectsReader::drop(const PgQuery__DropStmt& node) {
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

void EffectsReader::rename(const PgQuery__RenameStmt& node) {
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
void EffectsReader::do_block() {
  opaque();
  const auto text = lower_case(text_);
  for (const auto* word : {"execute", "perform", "call", "select", ":=", "if "})
    if (text.find(word) != std::string::npos) return;
  result_.block = text;
}

// A function may do anything; setval() is known.
void EffectsReader::select(const PgQuery__SelectStmt& node) {
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

void EffectsReader::statement(const PgQuery__Node& node) {
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
    default: return without_object(node);
  }
}

// What makes, changes and drops nothing that is looked at.
void EffectsReader::without_object(const PgQuery__Node& node) {
  switch (node.node_case) {
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

namespace {

Effects read_effects(const Statement& statement) {
  using Which = Statement::Kind;
  if (statement.kind == Which::begin || statement.kind == Which::commit ||
      statement.kind == Which::setting)
    return {.effects = {}, .visible = true, .harmless = true};
  const auto tree = parse(statement.text);
  if (!tree || tree->n_stmts != 1)
    return {.effects = {}, .visible = false, .harmless = false, .opaque = true};
  return EffectsReader{statement.text}.read(*tree->stmts[0]->stmt);
}

// Whatever names without a schema mean afterwards.
bool sets_search_path(const Statement& statement) {
  // SET SCHEMA is one; "$user" depends on the role.
  constexpr const char* k_words[] = {"search_path", "schema", "reset all",
                                     "discard",     "role",   "session authorization"};
  const auto text = lower_case(statement.text);
  return (statement.kind == Statement::Kind::setting || statement.ends_at_commit) &&
         std::any_of(std::begin(k_words), std::end(k_words),
                     [&](const auto* word) { return text.find(word) != std::string::npos; });
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
