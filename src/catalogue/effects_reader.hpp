#pragma once
// One statement's parse tree, read for its effects: shared by effects.cpp and table_effects.cpp.

#include "schemagate/catalogue/effects.hpp"
#include "schemagate/sql/syntax_tree.hpp"

namespace schemagate {

[[nodiscard]] std::vector<std::string> strings_of(PgQuery__Node* const* nodes, std::size_t count);
[[nodiscard]] SchemaObject object_of(SchemaObject::Kind kind, const PgQuery__RangeVar& range,
                                     const std::string& part = {});
[[nodiscard]] SchemaObject object_of(SchemaObject::Kind kind, PgQuery__Node* const* names,
                                     std::size_t count, const std::string& part = {});
[[nodiscard]] inline bool cascades(PgQuery__DropBehavior behavior) {
  return behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE;
}

class EffectsReader {
 public:
  explicit EffectsReader(const std::string& text) : text_{text} {}

  Effects read(const PgQuery__Node& node) {
    statement(node);
    return std::move(result_);
  }

 private:
  void add(Effect::Action action, SchemaObject object, Shape shape = {}, bool tolerant = false) {
    result_.effects.push_back({.action = action,
                               .object = std::move(object),
                               .shape = std::move(shape),
                               .tolerant = tolerant});
    // IF NOT EXISTS; what DROP IF EXISTS finds the second time may be worth keeping.
    if (tolerant && action == Effect::Action::make) result_.harmless = true;
  }
  void rename(SchemaObject object, const std::string& new_name) {
    result_.effects.push_back(
        {.action = Effect::Action::rename, .object = std::move(object), .new_name = new_name});
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
    add(Effect::Action::make, object_of(SchemaObject::Kind::relation, range));
  }
  [[nodiscard]] static bool is_temporary(const PgQuery__RangeVar& range) {
    return std::string_view{range.relpersistence} == "t" ||
           std::string_view{range.schemaname} == "pg_temp";
  }
  void of_no_account() { result_.harmless = true; }

  void statement(const PgQuery__Node& node);
  void without_object(const PgQuery__Node& node);
  void create_table(const PgQuery__CreateStmt& node);
  void column(const PgQuery__RangeVar& table, const PgQuery__ColumnDef& node, bool is_new_table,
              bool tolerant);
  void constraint(const PgQuery__RangeVar& table, const PgQuery__Constraint& node, bool tolerant);
  void alter_table(const PgQuery__AlterTableStmt& node);
  void alter_column(const SchemaObject& column, const PgQuery__AlterTableCmd& node);
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

}  // namespace schemagate
