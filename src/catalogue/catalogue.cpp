#include "schemagate/catalogue/catalogue.hpp"

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Kind = SchemaObject::Kind;

// An index of a partitioned table is not valid until each partition has one. $1 in each: a text
// array of names. format_type() prints a modifier in parentheses, wherever it stands: "timestamp(3)
// without time zone".
constexpr const char* k_relations = R"sql(
SELECT nspname, relname, CASE WHEN relkind = 'i' THEN i.indisvalid END,
       CASE WHEN indpred IS NULL AND indexprs IS NULL AND indnatts = indnkeyatts
            THEN CASE WHEN indisunique THEN 'u' ELSE 'i' END || '(' ||
                 (SELECT string_agg(attname, ',' ORDER BY n) FROM unnest(indkey::int2[]) WITH ORDINALITY AS k (num, n)
                    JOIN pg_attribute ON attrelid = indrelid AND attnum = num) || ')' END
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
 WHERE relname = ANY ($1::text[]))sql";

constexpr const char* k_columns = R"sql(
SELECT nspname, relname, attname, coalesce(element.typname, t.typname),
       coalesce(substring(format_type(t.oid, atttypmod) FROM '\(([^)]*)\)'), ''), element.oid IS NOT NULL,
       attnotnull, adnum IS NOT NULL OR attidentity <> ''
  FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
       JOIN pg_type t ON t.oid = atttypid
       LEFT JOIN pg_type element ON element.oid = t.typelem AND t.typcategory = 'A'
       LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE relname = ANY ($1::text[]) AND relkind IN ('r', 'p', 'f', 'v', 'm') AND attnum > 0 AND NOT attisdropped)sql";

constexpr const char* k_parts = R"sql(
SELECT nspname, relname, 'constraint', conname, convalidated,
       CASE WHEN contype IN ('p', 'u', 'f')
            THEN contype::text || '(' || (SELECT string_agg(attname, ',' ORDER BY n) FROM unnest(conkey) WITH ORDINALITY AS u (num, n)
                                      JOIN pg_attribute ON attrelid = conrelid AND attnum = num) || ')' END ||
       CASE WHEN contype = 'f'
            THEN '>' || (SELECT f.relname FROM pg_class f WHERE f.oid = confrelid) || '(' ||
                 (SELECT string_agg(attname, ',' ORDER BY n) FROM unnest(confkey) WITH ORDINALITY AS u (num, n)
                    JOIN pg_attribute ON attrelid = confrelid AND attnum = num) || ')' || confdeltype::text || confupdtype::text
            ELSE '' END
  FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relname = ANY ($1::text[])
UNION ALL
SELECT nspname, relname, 'trigger', tgname, true, NULL
  FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE NOT tgisinternal AND relname = ANY ($1::text[])
UNION ALL
SELECT nspname, relname, 'policy', polname, true, NULL
  FROM pg_policy JOIN pg_class c ON c.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relname = ANY ($1::text[]))sql";

// Row types of tables have their table's name; they are not what CREATE TYPE makes.
constexpr const char* k_types = R"sql(
SELECT nspname, typname, enumlabel
  FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace LEFT JOIN pg_enum e ON enumtypid = t.oid
       LEFT JOIN pg_class c ON c.oid = typrelid
 WHERE typname = ANY ($1::text[]) AND (typrelid = 0 OR c.relkind = 'c')
 ORDER BY t.oid, enumsortorder)sql";

constexpr const char* k_others = R"sql(
SELECT nspname, proname, 'function', prosrc
  FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE proname = ANY ($1::text[])
UNION ALL SELECT '', nspname, 'schema', '' FROM pg_namespace WHERE nspname = ANY ($1::text[])
UNION ALL SELECT '', extname, 'extension', '' FROM pg_extension WHERE extname = ANY ($1::text[]))sql";

std::string array_of(const std::set<std::string>& names) {
  std::string array = "{";
  for (const auto& name : names) {
    if (array.size() > 1) array += ',';
    array += '"';
    for (const char c : name) {
      if (c == '"' || c == '\\') array += '\\';
      array += c;
    }
    array += '"';
  }
  return array + "}";
}

struct Names {
  std::set<std::string> relations;
  std::set<std::string> types;
  std::set<std::string> others;
};

Names names_in(const std::vector<Effects>& effects) {
  Names names;
  const auto add = [&](Kind kind, const std::string& name) {
    switch (kind) {
      case Kind::type:
      case Kind::enum_value: names.types.insert(name); break;
      case Kind::function:
      case Kind::schema:
      case Kind::extension: names.others.insert(name); break;
      default: names.relations.insert(name); break;
    }
  };
  for (const auto& statement : effects) {
    for (const auto& effect : statement.effects) {
      add(effect.object.kind, effect.object.name);
      if (effect.action == Effect::Action::rename && !effect.object.is_part())
        add(effect.object.kind, effect.new_name);
    }
  }
  return names;
}

void read_relations(pg::Session& session, const std::string& names, Catalogue& catalogue) {
  for (const auto& row : session.query(k_relations, {names})) {
    Shape shape;
    if (row[2]) shape.valid = row.flag(2);
    shape.definition = row[3];
    catalogue.add({Kind::relation, row.text(0), row.text(1), ""}, shape);
  }
  for (const auto& row : session.query(k_columns, {names})) {
    Shape shape;
    shape.type = {.name = row.text(3), .modifier = row.text(4), .is_array = row.flag(5)};
    shape.not_null = row.flag(6);
    shape.has_default = row.flag(7);
    catalogue.add({Kind::column, row.text(0), row.text(1), row.text(2)}, shape);
  }
  for (const auto& row : session.query(k_parts, {names})) {
    const auto kind = row[2] == "constraint" ? Kind::constraint
                      : row[2] == "trigger"  ? Kind::trigger
                                             : Kind::policy;
    Shape shape;
    shape.valid = row.flag(4);
    shape.definition = row[5];
    catalogue.add({kind, row.text(0), row.text(1), row.text(3)}, shape);
  }
}

void read_types(pg::Session& session, const std::string& names, Catalogue& catalogue) {
  std::map<SchemaObject, Shape> types;
  for (const auto& row : session.query(k_types, {names})) {
    const SchemaObject type{Kind::type, row.text(0), row.text(1), ""};
    auto& shape = types[type];
    const auto& label = row[2];
    if (!label) continue;
    if (!shape.labels) shape.labels.emplace();
    shape.labels->push_back(*label);
    catalogue.add({Kind::enum_value, type.schema, type.name, *label}, {});
  }
  for (const auto& [type, shape] : types) catalogue.add(type, shape);
}

void read_others(pg::Session& session, const std::string& names, Catalogue& catalogue) {
  std::map<SchemaObject, Shape> functions;
  for (const auto& row : session.query(k_others, {names})) {
    const auto kind = row[2] == "function" ? Kind::function
                      : row[2] == "schema" ? Kind::schema
                                           : Kind::extension;
    const SchemaObject object{kind, row.text(0), row.text(1), ""};
    if (kind != Kind::function) {
      catalogue.add(object, {});
      continue;
    }
    auto& shape = functions[object];
    if (!shape.bodies) shape.bodies.emplace();
    shape.bodies->push_back(without_carriage_returns(row.text(3)));
  }
  for (const auto& [function, shape] : functions) catalogue.add(function, shape);
}

}  // namespace

void Catalogue::add(SchemaObject object, Shape shape) {
  objects_.insert_or_assign(std::move(object), std::move(shape));
}

const Shape* Catalogue::find(const SchemaObject& object) const {
  const auto found = objects_.find(resolved(object));
  return found == objects_.end() ? nullptr : &found->second;
}

SchemaObject Catalogue::resolved(SchemaObject object) const {
  if (!object.schema.empty()) return object;
  auto whole = object;
  if (object.is_part()) {
    whole.kind = object.kind == Kind::enum_value ? Kind::type : Kind::relation;
    whole.part.clear();
  }
  for (const auto& schema : search_path_) {
    whole.schema = schema;
    if (!objects_.contains(whole)) continue;
    object.schema = schema;
    return object;
  }
  return resolved_new(object);
}

SchemaObject Catalogue::resolved_new(SchemaObject object) const {
  const bool global = object.kind == Kind::schema || object.kind == Kind::extension;
  if (object.schema.empty() && !global) object.schema = search_path_.front();
  return object;
}

Catalogue read_catalogue(pg::Session& session, const std::vector<std::string>& search_path,
                         const std::vector<Effects>& effects) {
  Catalogue catalogue{search_path};
  const auto names = names_in(effects);
  if (!names.relations.empty()) read_relations(session, array_of(names.relations), catalogue);
  if (!names.types.empty()) read_types(session, array_of(names.types), catalogue);
  if (!names.others.empty()) read_others(session, array_of(names.others), catalogue);
  return catalogue;
}

}  // namespace schemagate
