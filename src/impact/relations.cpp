#include "schemagate/impact/relations.hpp"

#include <algorithm>
#include <array>

namespace schemagate {
namespace {

using Kind = Act::Kind;

// Without a database. Volatile is the careful guess: a default that is not computes nothing for
// rows that are there.
constexpr std::array<std::string_view, 24> k_not_volatile = {"now",
                                                             "transaction_timestamp",
                                                             "statement_timestamp",
                                                             "timezone",
                                                             "lower",
                                                             "upper",
                                                             "concat",
                                                             "md5",
                                                             "to_char",
                                                             "date_trunc",
                                                             "make_date",
                                                             "make_interval",
                                                             "jsonb_build_object",
                                                             "json_build_object",
                                                             "jsonb_build_array",
                                                             "json_build_array",
                                                             "array_fill",
                                                             "to_timestamp",
                                                             "age",
                                                             "current_setting",
                                                             "current_schema",
                                                             "date_part",
                                                             "extract",
                                                             "abs"};

bool names(const std::vector<std::string>& columns, const std::string& column) {
  return std::find(columns.begin(), columns.end(), column) != columns.end();
}

Column made_column(const NewColumn& made) {
  return {.name = made.name,
          .type = made.type,
          .not_null = made.not_null,
          .is_indexed = made.is_unique,
          .is_new = true,
          .is_empty = !made.has_default && !made.is_computed_for_each_row};
}

void fill(Relation& relation) {
  relation.is_empty = false;
  for (auto& column : relation.columns) column.is_empty = false;
}

}  // namespace

const Column* Relation::column(const std::string& column_name) const {
  const auto at = std::find_if(columns.begin(), columns.end(),
                               [&](const Column& one) { return one.name == column_name; });
  return at == columns.end() ? nullptr : &*at;
}

const NewConstraint* Relation::constraint(const std::string& constraint_name) const {
  const auto at = std::find_if(constraints.begin(), constraints.end(),
                               [&](const auto& one) { return one.name == constraint_name; });
  return at == constraints.end() ? nullptr : &*at;
}

RelationName Relations::resolved(const RelationName& name) const {
  if (!name.schema.empty()) return name;
  for (const auto& schema : path_)
    if (RelationName here{schema, name.name}; relations_.contains(here)) return here;
  return {path_.empty() ? "public" : path_.front(), name.name};
}

const Relation* Relations::find(const RelationName& name) const {
  const auto at = relations_.find(resolved(name));
  return at == relations_.end() ? nullptr : &at->second;
}

Relation* Relations::find_to_change(const RelationName& name) {
  const auto at = relations_.find(resolved(name));
  return at == relations_.end() ? nullptr : &at->second;
}

const Relation* Relations::written(const std::string& quoted) const {
  for (const auto& [name, relation] : relations_)
    if (relation.quoted == quoted) return &relation;
  return nullptr;
}

const Domain* Relations::domain(const std::string& name) const {
  const auto at = domains_.find(name.substr(name.rfind('.') + 1));
  return at == domains_.end() ? nullptr : &at->second;
}

bool Relations::is_volatile(const std::string& function) const {
  if (const auto at = volatile_.find(function); at != volatile_.end()) return at->second;
  return std::find(k_not_volatile.begin(), k_not_volatile.end(), function) == k_not_volatile.end();
}

std::vector<const Relation*> Relations::in_schema(const std::string& schema) const {
  std::vector<const Relation*> all;
  for (const auto& [name, relation] : relations_)
    if (name.schema == schema && relation.kind != 'i' && relation.kind != 'I')
      all.push_back(&relation);
  return all;
}

std::vector<RelationName> Relations::triggered_by(const std::string& function) const {
  const auto at = triggers_.find(function);
  return at == triggers_.end() ? std::vector<RelationName>{} : at->second;
}

std::vector<Relations::Use> Relations::uses_of(const std::string& type) const {
  std::vector<Use> uses;
  for (const auto& [name, relation] : relations_)
    for (const auto& column : relation.columns)
      if (column.type.name == type || column.type.name.ends_with("." + type))
        uses.push_back({&relation, column.name});
  return uses;
}

void Relations::make(const Act& act) {
  const bool is_index = act.kind == Kind::create_index;
  const auto schema = is_index                       ? resolved(act.relation).schema
                      : !act.relation.schema.empty() ? act.relation.schema
                      : path_.empty()                ? "public"
                                                     : path_.front();
  const RelationName name{schema, is_index ? act.name : act.relation.name};
  if (act.if_exists && relations_.contains(name)) return;
  Relation made{.name = name,
                .quoted = written_name(name.schema) + "." + written_name(name.name),
                .is_new = true,
                .is_empty = true};
  if (act.kind == Kind::create_view || act.kind == Kind::replace_view) made.kind = 'v';
  if (act.kind == Kind::create_partition && !act.others.empty()) {
    const auto parent = resolved(act.others.front());
    made.partition_of = parent;
    if (auto* found = find_to_change(parent)) found->partitions.push_back(name);
  }
  if (is_index) {
    made.kind = 'i';
    made.table = resolved(act.relation);
  }
  relations_.insert_or_assign(name, std::move(made));
}

void Relations::rename(const RelationName& from, const RelationName& to) {
  auto node = relations_.extract(from);
  if (node.empty()) return;
  node.key() = to;
  node.mapped().name = to;
  const auto oid = node.mapped().oid;
  relations_.insert(std::move(node));
  if (oid != 0) names_[oid] = to;
}

void Relations::change_constraints(Relation& relation, const Act& act) {
  if (act.constraint && act.kind != Kind::drop_constraint) {
    auto made = *act.constraint;
    if (made.references) {
      made.references = resolved(*made.references);
      if (auto* other = find_to_change(*made.references))
        other->referenced_by.push_back(
            {.from = relation.name, .columns = made.referenced_columns, .is_valid = made.is_valid});
    }
    for (auto& column : relation.columns) {
      if (made.kind == NewConstraint::Kind::check ||
          made.kind == NewConstraint::Kind::foreign_key || !names(made.columns, column.name))
        continue;
      column.is_indexed = true;
      column.not_null = column.not_null || made.kind == NewConstraint::Kind::primary_key;
    }
    relation.constraints.push_back(std::move(made));
  }
  if (act.kind == Kind::drop_constraint)
    std::erase_if(relation.constraints, [&](const auto& one) { return one.name == act.name; });
  if (act.kind == Kind::validate_constraint)
    for (auto& one : relation.constraints)
      if (one.name == act.name) one.is_valid = true;
}

void Relations::apply(const Act& act) {
  switch (act.kind) {
    case Kind::opaque:
      for (auto& [name, relation] : relations_) fill(relation);
      return;
    case Kind::create_table:
    case Kind::create_partition:
    case Kind::create_view:
    case Kind::replace_view:
      if (!act.relation.name.empty() &&
          (act.kind != Kind::replace_view || find(act.relation) == nullptr))
        make(act);
      return;
    case Kind::create_index:
      if (!act.name.empty()) make(act);
      return;
    case Kind::set_path:
      path_ = act.name.empty() ? std::vector<std::string>{} : first_path_;
      for (const auto& schema : act.others) path_.push_back(schema.name);
      return;
    case Kind::drop_table:
    case Kind::drop_view:
    case Kind::drop_index: relations_.erase(resolved(act.relation)); return;
    default: break;
  }
  auto* relation = find_to_change(act.relation);
  if (relation == nullptr || (act.within_create && !relation->is_new)) return;
  const auto column = std::find_if(relation->columns.begin(), relation->columns.end(),
                                   [&](const Column& one) { return one.name == act.name; });
  switch (act.kind) {
    case Kind::rename: return rename(relation->name, {relation->name.schema, act.name});
    case Kind::set_schema: return rename(relation->name, {act.name, relation->name.name});
    case Kind::insert:
    case Kind::update:
    case Kind::update_all:
    case Kind::attach: return fill(*relation);
    case Kind::add_column:
      if (column == relation->columns.end())
        relation->columns.push_back(made_column(*act.column_made));
      break;
    case Kind::drop_column:
      if (column != relation->columns.end()) relation->columns.erase(column);
      return;
    case Kind::rename_column:
      if (column != relation->columns.end()) column->name = act.new_name;
      return;
    case Kind::alter_type:
      if (column == relation->columns.end()) return;
      column->type = act.type;
      column->is_empty = column->is_empty && !act.converts;
      return;
    case Kind::set_not_null:
      if (column != relation->columns.end()) column->not_null = true;
      return;
    default: break;
  }
  change_constraints(*relation, act);
}

void Relations::age() {
  for (auto& [name, relation] : relations_) {
    fill(relation);
    relation.is_new = false;
    for (auto& column : relation.columns) column.is_new = false;
  }
}

}  // namespace schemagate
