#pragma once
// What one statement does to which relation, as far as its text says: the same act in whatever
// words. Pure. Grammar: PostgreSQL 15 (sql/syntax_tree.hpp); of a statement that it does not know,
// the first words are looked at, and the act is `opaque`.

#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/impact/impact.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {

struct RelationName {
  std::string schema;  // empty: by search_path
  std::string name;
  auto operator<=>(const RelationName&) const = default;
};

struct TypeName {
  std::string name;                 // as pg_type has it: "int4", "varchar"; a schema goes in front
  std::vector<int> modifiers = {};  // of varchar(20): 20
  bool is_array = false;
  bool operator==(const TypeName&) const = default;
};

struct NewColumn {
  std::string name;
  TypeName type;
  bool not_null = false;
  bool has_default = false;                 // other than NULL
  std::vector<std::string> functions = {};  // that its default calls
  bool is_computed_for_each_row = false;    // serial, identity, GENERATED ... STORED
  bool has_check = false;
  bool is_unique = false;
};

struct NewConstraint {
  enum class Kind { check, foreign_key, unique, primary_key, exclusion } kind = Kind::check;
  std::string name;
  std::vector<std::string> columns;
  bool is_valid = true;  // not NOT VALID
  std::optional<RelationName> references = {};
  std::vector<std::string> referenced_columns = {};  // empty: the primary key
  std::string using_index = {};
  std::string proves_not_null = {};  // the column of CHECK (column IS NOT NULL)
  std::string timing = {};           // " DEFERRABLE INITIALLY DEFERRED"
  bool is_plain_index = true;        // no INCLUDE, no NULLS NOT DISTINCT
};

struct Act {
  // What else it concerns is in brackets.
  enum class Kind {
    create_table,         // [others: inherited from]
    create_partition,     // [others: the parent]
    add_column,           // [column_made, constraint: a reference]
    drop_column,          // [name]
    alter_type,           // [name, type]
    set_not_null,         // [name]
    alter_column,         // whatever only its entry says: default, storage, DROP NOT NULL [name]
    tune,                 // statistics targets, storage parameters, CLUSTER ON
    add_constraint,       // [constraint]
    validate_constraint,  // [name]
    drop_constraint,      // [name]
    alter_table,          // another change of its entry alone: policies, rules, replica identity
    alter_owner,
    set_triggers,  // ENABLE, DISABLE
    set_tablespace,
    set_logged,     // or unlogged
    attach,         // relation: the parent [others: the partition]
    detach,         // the same
    inherit,        // [others: the parent]
    no_inherit,     // the same
    rename,         // [name: the new one]
    rename_column,  // [name, new_name]
    set_schema,     // [name]
    drop_table,
    drop_view,  // a materialized one, too
    drop_index,
    drop_sequence,
    drop_schema,    // [name]
    drop_function,  // [name]
    drop_type,      // [name], a domain, too
    create_index,
    reindex_index,
    reindex_table,
    move_index,    // ALTER INDEX ... SET TABLESPACE
    rename_index,  // by ALTER TABLE
    truncate,
    create_view,  // [others: read]
    replace_view,
    read,  // SELECT, COPY TO, CREATE TABLE AS
    refresh,
    create_trigger,
    comment,          // on a table or its column
    comment_on_part,  // on a constraint, trigger, policy or rule of it
    grant,
    alter_sequence,
    describe,  // CREATE STATISTICS, publications, ANALYZE
    vacuum,
    rewrite,  // CLUSTER, VACUUM FULL
    lock,     // [lock]
    insert,
    update,        // UPDATE, DELETE, MERGE
    update_all,    // without a condition
    delete_all,    // the same
    lock_rows,     // SELECT ... FOR UPDATE
    set_path,      // SET search_path [others: the schemas; name: "default" where it is reset]
    check_domain,  // it is checked in every table that uses it [name]
    opaque,        // what it does is not in its text
  };
  Kind kind = Kind::opaque;
  RelationName relation = {};  // of an index, view or sequence, too; empty: none
  std::vector<RelationName> others = {};
  std::string name = {};
  std::string new_name = {};
  TypeName type = {};
  bool converts = false;  // alter_type: USING says more than the cast to the type; or a new COLLATE
  bool collates = false;
  std::optional<NewColumn> column_made = {};
  std::optional<NewConstraint> constraint = {};
  LockMode lock = LockMode::none;
  bool only = false;  // not its partitions
  bool cascade = false;
  bool if_exists = false;  // or IF NOT EXISTS
  bool concurrently = false;
  bool temporary = false;
  bool within_create = false;  // part of a CREATE TABLE
};

[[nodiscard]] std::vector<Act> acts_of(const Statement& statement);

}  // namespace schemagate
