#pragma once
// Names of things in a database's catalogue, and what can be known about each: the words in which
// scripts (effects.hpp) and live databases (catalogue.hpp) are compared (evidence.hpp).

#include <compare>
#include <optional>
#include <string>
#include <vector>

namespace schemagate {

struct SchemaObject {
  enum class Kind {
    schema,
    extension,
    relation,  // table, view, index, sequence: they share one name space
    column,
    constraint,
    trigger,
    policy,
    type,
    enum_value,
    function,  // by name alone: overloads are not told apart
  };
  Kind kind = Kind::relation;
  std::string schema;  // empty: the first of the search_path
  std::string name;    // of a part: its table's, or its type's
  std::string part;    // column, constraint, trigger, policy, enum value

  auto operator<=>(const SchemaObject&) const = default;
  [[nodiscard]] bool is_part() const { return !part.empty(); }
  [[nodiscard]] std::string describe() const;  // "column users.nickname"
};

struct TypeName {
  std::string name;                     // PostgreSQL's own ("int4", "varchar"), without schema
  std::optional<std::string> modifier;  // "255", "65,30"; empty: none; nothing: not comparable
  bool is_array = false;

  [[nodiscard]] bool fits(const TypeName& other) const;
  [[nodiscard]] std::string describe() const;
};

// Whatever is not set is not known, or makes no difference.
struct Shape {
  std::optional<TypeName> type;
  std::optional<bool> not_null;
  std::optional<bool> has_default;                 // identity and generated columns too
  std::optional<std::vector<std::string>> labels;  // of an enum, in order
  std::optional<std::vector<std::string>> bodies;  // of the functions of this name
  std::optional<std::string> definition;           // of an index or constraint, in our own words
  std::optional<bool> valid;                       // an index that is ready, a constraint validated
  // What it goes away with: not compared. A column "?" is one that cannot be read from the script.
  std::string table;
  std::vector<std::string> columns;
  std::string references;
};

}  // namespace schemagate
