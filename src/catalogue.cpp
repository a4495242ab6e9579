#include "schemagate/catalogue.hpp"

namespace schemagate {
namespace {

using Kind = SchemaObject::Kind;

// $1 in each: a text array of names. format_type() prints a modifier in parentheses, wherever it
// stands: "timestamp(3) without time zone". pg_get_expr() is not told the table, which it would
// lock: a migration at work may hold it. Only what is generated mentions columns.
constexpr const char* k_relations = R"sql(
SELECT nspname, relname, i.indisvalid
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
 WHERE relname = ANY ($1::text[]))sql";

constexpr const char* k_columns = R"sql(
SELECT nspname, relname, attname, coalesce(element.typname, t.typname),
       coalesce(substring(format_type(t.oid, atttypmod) FROM '\(([0-9,]+)\)'), ''), element.oid IS NOT NULL,
       attnotnull, coalesce(CASE WHEN attgenerated <> '' THEN 'generated' ELSE pg_get_expr(adbin, 0) END,
                            CASE WHEN attidentity <> '' THEN 'identity' END, '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
       JOIN pg_type t ON t.oid = atttypid
       LEFT JOIN pg_type element ON element.oid = t.typelem AND t.typcategory = 'A'
       LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE relname = ANY ($1::text[]) AND relkind IN ('r', 'p', 'f', 'v', 'm') AND attnum > 0 AND NOT attisdropped)sql";

constexpr const char* k_parts = R"sql(
SELECT nspname, relname, 'constraint', conname, convalidated
  FROM pg_constraint JOIN pg_class c ON c.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relname = ANY ($1::text[])
UNION ALL
SELECT nspname, relname, 'trigger', tgname, true
  FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE NOT tgisinternal AND relname = ANY ($1::text[])
UNION ALL
SELECT nspname, relname, 'policy', polname, true
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
  const auto text = [](const pg::Row& row, std::size_t i) { return row[i].value_or(""); };
  for (const auto& row : session.query(k_relations, {names})) {
    Shape shape;
    if (row[2]) shape.valid = *row[2] == "t";
    catalogue.add({Kind::relation, text(row, 0), text(row, 1), ""}, shape);
  }
  for (const auto& row : session.query(k_columns, {names})) {
    Shape shape;
    shape.type = {.name = text(row, 3), .modifier = text(row, 4), .is_array = row[5] == "t"};
    shape.not_null = row[6] == "t";
    shape.default_value = text(row, 7);
    catalogue.add({Kind::column, text(row, 0), text(row, 1), text(row, 2)}, shape);
  }
  for (const auto& row : session.query(k_parts, {names})) {
    const auto kind = row[2] == "constraint" ? Kind::constraint
                      : row[2] == "trigger"  ? Kind::trigger
                                             : Kind::policy;
    Shape shape;
    shape.valid = row[4] == "t";
    catalogue.add({kind, text(row, 0), text(row, 1), text(row, 3)}, shape);
  }
}

void read_types(pg::Session& session, const std::string& names, Catalogue& catalogue) {
  std::map<SchemaObject, Shape> types;
  for (const auto& row : session.query(k_types, {names})) {
    const SchemaObject type{Kind::type, row[0].value_or(""), row[1].value_or(""), ""};
    auto& shape = types[type];
    if (!row[2]) continue;
    if (!shape.labels) shape.labels.emplace();
    shape.labels->push_back(*row[2]);
    catalogue.add({Kind::enum_value, type.schema, type.name, *row[2]}, {});
  }
  for (const auto& [type, shape] : types) catalogue.add(type, shape);
}

void read_others(pg::Session& session, const std::string& names, Catalogue& catalogue) {
  for (const auto& row : session.query(k_others, {names})) {
    const auto kind = row[2] == "function" ? Kind::function
                      : row[2] == "schema" ? Kind::schema
                                           : Kind::extension;
    Shape shape;
    if (kind == Kind::function) shape.body = row[3];
    catalogue.add({kind, row[0].value_or(""), row[1].value_or(""), ""}, shape);
  }
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
  const bool global = object.kind == Kind::schema || object.kind == Kind::extension;
  if (object.schema.empty() && !global) object.schema = default_schema_;
  return object;
}

Catalogue read_catalogue(pg::Session& session, const std::string& default_schema,
                         const std::vector<Effects>& effects) {
  Catalogue catalogue{default_schema};
  const auto names = names_in(effects);
  if (!names.relations.empty()) read_relations(session, array_of(names.relations), catalogue);
  if (!names.types.empty()) read_types(session, array_of(names.types), catalogue);
  if (!names.others.empty()) read_others(session, array_of(names.others), catalogue);
  return catalogue;
}

}  // namespace schemagate
