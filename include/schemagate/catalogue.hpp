#pragma once
// The live catalogue, as far as scripts speak of it: read once, then compared as often as needed.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "schemagate/effects.hpp"
#include "schemagate/postgres.hpp"
#include "schemagate/schema_object.hpp"

namespace schemagate {

class Catalogue {
 public:
  // The catalogue of an empty database, whose search_path begins with `default_schema`.
  explicit Catalogue(std::string default_schema) : default_schema_{std::move(default_schema)} {}

  void add(SchemaObject object, Shape shape);

  // Null when there is no such object.
  [[nodiscard]] const Shape* find(const SchemaObject& object) const;
  // With the schema filled in.
  [[nodiscard]] SchemaObject resolved(SchemaObject object) const;

 private:
  std::string default_schema_;
  std::map<SchemaObject, Shape> objects_;
};

// Reads what `effects` name and nothing else: five queries, whatever the size of the database. The
// catalogues are readable by every role (PostgreSQL manual, 53.1); changes nothing.
[[nodiscard]] Catalogue read_catalogue(pg::Session& session, const std::string& default_schema,
                                       const std::vector<Effects>& effects);

}  // namespace schemagate
