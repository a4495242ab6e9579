#pragma once
// The live catalogue, as far as scripts speak of it: read once, then compared as often as needed.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "schemagate/catalogue/effects.hpp"
#include "schemagate/catalogue/schema_object.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

class Catalogue {
 public:
  // The catalogue of an empty database. `search_path`: the schemas of names without one, never
  // empty.
  explicit Catalogue(std::vector<std::string> search_path) : search_path_{std::move(search_path)} {}

  void add(SchemaObject object, Shape shape);

  [[nodiscard]] bool search_path_is_single() const { return search_path_.size() == 1; }

  // Null when there is no such object.
  [[nodiscard]] const Shape* find(const SchemaObject& object) const;
  // With the schema filled in: the first one that has it, or its table; else the first one.
  [[nodiscard]] SchemaObject resolved(SchemaObject object) const;
  [[nodiscard]] SchemaObject resolved_new(SchemaObject object) const;  // the first one

 private:
  std::vector<std::string> search_path_;
  std::map<SchemaObject, Shape> objects_;
};

// Reads what `effects` name and nothing else: five queries, whatever the size of the database. The
// catalogues are readable by every role (PostgreSQL manual, 53.1); changes nothing.
[[nodiscard]] Catalogue read_catalogue(pg::Session& session,
                                       const std::vector<std::string>& search_path,
                                       const std::vector<Effects>& effects);

}  // namespace schemagate
