#include "schemagate/catalogue/schema_object.hpp"

#include <fmt/core.h>

namespace schemagate {

std::string SchemaObject::describe() const {
  const auto whole = (schema.empty() || schema == "public" ? "" : schema + ".") + name;
  switch (kind) {
    case Kind::schema: return "schema " + whole;
    case Kind::extension: return "extension " + whole;
    case Kind::relation: return "relation " + whole;
    case Kind::column: return fmt::format("column {}.{}", whole, part);
    case Kind::constraint: return fmt::format("constraint {} of {}", part, whole);
    case Kind::trigger: return fmt::format("trigger {} of {}", part, whole);
    case Kind::policy: return fmt::format("policy {} of {}", part, whole);
    case Kind::type: return "type " + whole;
    case Kind::enum_value: return fmt::format("value '{}' of {}", part, whole);
    case Kind::function: return "function " + whole;
  }
  return whole;
}

std::string TypeName::describe() const {
  return name + (modifier.value_or("").empty() ? "" : "(" + *modifier + ")") +
         (is_array ? "[]" : "");
}

bool TypeName::fits(const TypeName& other) const {
  const bool comparable = modifier && other.modifier;
  return name == other.name && is_array == other.is_array &&
         (!comparable || *modifier == *other.modifier);
}

}  // namespace schemagate
