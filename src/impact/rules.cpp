#include "schemagate/impact/rules.hpp"

#include <algorithm>

#include "forms.hpp"

namespace schemagate {
namespace {

using Kind = Act::Kind;
using Made = NewConstraint::Kind;

struct Rule {
  Form form;
  LockMode lock;
  Work work;
  LockMode others_lock = LockMode::none;  // on the second relation, whichever that is for the form
  Work others_work = Work::catalogue;
  int before = 99;  // the first version where it is not so
};

constexpr auto AS = LockMode::access_share;
constexpr auto RS = LockMode::row_share;
constexpr auto RX = LockMode::row_exclusive;
constexpr auto SUE = LockMode::share_update_exclusive;
constexpr auto S = LockMode::share;
constexpr auto SRE = LockMode::share_row_exclusive;
constexpr auto X = LockMode::exclusive;
constexpr auto AX = LockMode::access_exclusive;
constexpr auto no = LockMode::none;
constexpr auto entry = Work::catalogue;

// The first that fits the version.
constexpr Rule k_rules[] = {
    {Form::harmless, no, entry},
    {Form::change_entry, AX, entry},
    {Form::change_parameters, SUE, entry},
    {Form::add_filled_column, AX, Work::rewrite},
    {Form::add_checked_column, AX, Work::scan},
    {Form::add_unique_column, AX, Work::index},
    {Form::add_reference, AX, entry, SRE},
    {Form::add_filled_reference, AX, Work::scan, SRE, Work::scan},
    {Form::drop_column, AX, entry, AX},
    {Form::keep_type, AX, entry, AX},
    {Form::reindex_type, AX, Work::index, AX},
    {Form::rewrite_type, AX, Work::rewrite, AX, Work::scan},
    {Form::set_not_null, AX, Work::scan},
    {Form::add_check, AX, Work::scan},
    {Form::add_foreign_key, SRE, Work::scan, SRE, Work::scan},
    {Form::add_foreign_key_not_valid, SRE, entry, SRE},
    {Form::validate, SUE, Work::scan},
    {Form::validate_foreign_key, SUE, Work::scan, RS, Work::scan},
    {Form::add_index_constraint, AX, Work::index},
    {Form::prove_not_null, AX, Work::scan},
    {Form::drop_foreign_key, AX, entry, AX},
    {Form::change_with_sequences, AX, entry, AX},
    {Form::set_triggers, SRE, entry},
    {Form::rewrite_all, AX, Work::rewrite},
    {Form::set_logged, AX, Work::rewrite, no, entry, 15},
    {Form::set_logged, AX, Work::rewrite, AX},
    {Form::create_partition, AX, entry, AX, Work::scan},
    {Form::attach, SUE, entry, AX, Work::scan},
    {Form::attach_checked, SUE, entry, AX},
    {Form::detach, AX, entry, SUE, entry, 14},
    {Form::detach, AX, entry, AX},
    {Form::detach_concurrently, SUE, entry, SUE},
    {Form::inherit, AX, entry, SUE},
    {Form::no_inherit, AX, entry, AS},
    {Form::drop_table, AX, entry, AX},
    {Form::drop_others, no, entry, AX},
    {Form::create_index, S, Work::index},
    {Form::create_index_concurrently, SUE, Work::index},
    {Form::keep_index, S, entry},
    {Form::drop_index, no, entry, AX},
    {Form::drop_index_concurrently, no, entry, SUE},
    {Form::rebuild_index, no, entry, AX,
     Work::index},  // the index itself is locked: every plan waits
    {Form::rebuild_index_concurrently, no, entry, SUE, Work::index},
    {Form::change_index, no, entry, AX},
    {Form::replace_view, AX, entry, AS},
    {Form::truncate, AX, entry, AX},
    {Form::read, no, entry, AS, Work::scan},
    {Form::look, no, entry, AS},
    {Form::refresh, AX, Work::rewrite, AS, Work::scan},
    {Form::refresh_concurrently, X, Work::scan, AS, Work::scan},
    {Form::create_trigger, SRE, entry},
    {Form::comment, SUE, entry},
    {Form::grant, no, entry, no, entry, 18},
    {Form::grant, AS, entry},
    {Form::alter_sequence, SRE, entry},
    {Form::vacuum, SUE, Work::scan},
    {Form::insert, RX, Work::rows, RS},
    {Form::update, RX, Work::rows},
    {Form::update_all, RX, Work::rewrite},
    {Form::delete_all, RX, Work::scan},
    {Form::lock_rows, no, entry, RS},
    {Form::check_domain, no, entry, S, Work::scan},
};

const Rule& rule_of(Form form, int version) {
  return *std::find_if(std::begin(k_rules), std::end(k_rules), [&](const Rule& rule) {
    return rule.form == form && version < rule.before;
  });
}

struct Other {
  RelationName name;
  bool is_checked = true;  // false: by a constraint that is NOT VALID
};
using Others = std::vector<Other>;

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void add_all(Others& all, const std::vector<RelationName>& names) {
  for (const auto& name : names) all.push_back({name});
}

class Reader {
 public:
  Reader(const Act& act, const Relations& relations, int version)
      : act_{act}, relations_{relations}, version_{version},
        relation_{relations.find(act.relation)} {}

  std::vector<Impact> impacts() {
    if (act_.within_create && relation_ != nullptr && !relation_->is_new) return {};
    const auto form = form_of(act_, relations_);
    const auto& rule = rule_of(form, version_);
    if (relation_ != nullptr) add(*relation_, rule.lock, rule.work, has_parts(form));
    if (act_.kind == Kind::lock && relation_ != nullptr) add(*relation_, act_.lock, entry, true);
    for (const auto& other : others(form)) {
      const auto* found = relations_.find(other.name);
      if (found != nullptr)
        add(*found, rule.others_lock, other.is_checked ? rule.others_work : entry,
            !is_parent(*found));
    }
    lock_default_partition();
    return together(std::move(impacts_));
  }

 private:
  void add(const Relation& relation, LockMode lock, Work work, bool with_partitions) {
    if (lock == no || relation.is_new) return;
    const bool has_rows = relation.kind == 'r' || relation.kind == 'm' || relation.kind == 'f';
    impacts_.push_back({relation.quoted, lock, has_rows || work == Work::rows ? work : entry});
    if (!with_partitions) return;
    for (const auto& name : relation.partitions)
      if (const auto* partition = relations_.find(name)) add(*partition, lock, work, false);
  }

  [[nodiscard]] bool is_parent(const Relation& relation) const {
    return act_.kind == Kind::create_partition || act_.kind == Kind::create_table ||
           act_.kind == Kind::inherit || act_.kind == Kind::no_inherit ||
           (relation_ != nullptr && relation_->partition_of == relation.name);
  }

  // Its own bounds change with each partition that comes or goes: rows may not belong there.
  void lock_default_partition() {
    const auto lock = [&](const Relation* parent, Work work) {
      const auto* found = parent != nullptr && parent->default_partition
                              ? relations_.find(*parent->default_partition)
                              : nullptr;
      if (found != nullptr) add(*found, AX, work, false);
    };
    if (act_.kind == Kind::create_partition) lock(relations_.find(act_.others.front()), Work::scan);
    if (act_.kind == Kind::attach) lock(relation_, Work::scan);
    if (act_.kind == Kind::detach) lock(relation_, entry);
    if (act_.kind == Kind::drop_table && relation_ != nullptr && relation_->partition_of)
      lock(relations_.find(*relation_->partition_of), entry);
  }

  // What is done to it is done to those below it.
  [[nodiscard]] bool has_parts(Form form) const {
    if (act_.only) return false;
    switch (form) {
      case Form::create_partition:
      case Form::attach:
      case Form::attach_checked:
      case Form::detach:
      case Form::detach_concurrently:
      case Form::inherit:
      case Form::no_inherit:
      case Form::comment:
      case Form::grant: return false;
      case Form::change_entry: return act_.kind != Kind::rename && act_.kind != Kind::alter_table;
      default: return true;
    }
  }

  [[nodiscard]] Others others(Form form) const;
  [[nodiscard]] Others hidden(Form form) const;
  void add_of_dropped(Others& all) const;
  void add_references_of_column(Others& all) const;
  // Then its other end is not read (RI_Initial_Check in ri_triggers.c: a join that begins here,
  // with the rows in which no column is NULL).
  [[nodiscard]] bool is_empty_reference() const {
    if (relation_ == nullptr) return false;
    return relation_->is_empty ||
           std::any_of(relation_->columns.begin(), relation_->columns.end(),
                       [&](const Column& one) {
                         return one.is_empty && contains(act_.constraint->columns, one.name);
                       });
  }
  [[nodiscard]] const NewConstraint* named_constraint() const {
    return relation_ == nullptr ? nullptr : relation_->constraint(act_.name);
  }

  const Act& act_;
  const Relations& relations_;
  int version_;
  const Relation* relation_;
  std::vector<Impact> impacts_;
};

// A table takes the locks of its foreign keys' other ends, and of its sequences.
void Reader::add_of_dropped(Others& all) const {
  for (const auto& constraint : relation_->constraints)
    if (constraint.references) all.push_back({*constraint.references});
  for (const auto& reference : relation_->referenced_by) all.push_back({reference.from});
  for (const auto& [column, sequence] : relation_->owned_sequences) all.push_back({sequence});
  const auto* parent =
      relation_->partition_of ? relations_.find(*relation_->partition_of) : nullptr;
  if (parent != nullptr && parent->kind == 'p') all.push_back({parent->name});
}

void Reader::add_references_of_column(Others& all) const {
  bool is_of_primary_key = false;
  for (const auto& constraint : relation_->constraints) {
    if (!contains(constraint.columns, act_.name)) continue;
    is_of_primary_key |= constraint.kind == Made::primary_key;
    if (constraint.references) all.push_back({*constraint.references, constraint.is_valid});
  }
  for (const auto& reference : relation_->referenced_by)
    if (contains(reference.columns, act_.name) || (reference.columns.empty() && is_of_primary_key))
      all.push_back({reference.from, reference.is_valid});
}

// Where the text does not name them.
Others Reader::hidden(Form form) const {
  Others all;
  switch (form) {
    case Form::drop_column: {
      add_references_of_column(all);
      const auto at = relation_->owned_sequences.find(act_.name);
      if (at != relation_->owned_sequences.end()) all.push_back({at->second});
      break;
    }
    case Form::keep_type:
    case Form::reindex_type:
    case Form::rewrite_type: add_references_of_column(all); break;
    case Form::validate_foreign_key:
    case Form::drop_foreign_key:
      if (const auto* constraint = named_constraint(); constraint && constraint->references)
        all.push_back({*constraint->references});
      break;
    case Form::change_with_sequences:
    case Form::set_logged:
      for (const auto& [column, sequence] : relation_->owned_sequences) all.push_back({sequence});
      break;
    case Form::drop_table: add_of_dropped(all); break;
    case Form::truncate:
      if (act_.cascade)
        for (const auto& reference : relation_->referenced_by) all.push_back({reference.from});
      break;
    case Form::insert:
      for (const auto& constraint : relation_->constraints)
        if (constraint.references) all.push_back({*constraint.references});
      break;
    case Form::refresh:
    case Form::refresh_concurrently: add_all(all, relation_->reads); break;
    case Form::rebuild_index:
    case Form::rebuild_index_concurrently:
      if (!relation_->table) all.push_back({relation_->name});
      break;
    default: break;
  }
  if (relation_->table) all.push_back({*relation_->table});
  return all;
}

Others Reader::others(Form form) const {
  Others all;
  if (form == Form::harmless) return all;
  add_all(all, act_.others);
  if (act_.constraint && act_.constraint->references)
    all.push_back({*act_.constraint->references, !is_empty_reference()});
  if (act_.kind == Kind::drop_schema)
    for (const auto* one : relations_.in_schema(act_.name)) all.push_back({one->name});
  if (act_.kind == Kind::drop_function && act_.cascade)
    add_all(all, relations_.triggered_by(act_.name));
  if (const auto* domain = relations_.domain(act_.name);
      act_.kind == Kind::check_domain && domain != nullptr)
    add_all(all, domain->tables);
  if (act_.kind == Kind::drop_type && act_.cascade)
    for (const auto& use : relations_.uses_of(act_.name)) all.push_back({use.relation->name});
  if (act_.kind == Kind::comment_on_part) all.push_back({act_.relation});
  if (relation_ != nullptr)
    for (auto& other : hidden(form)) all.push_back(std::move(other));
  return all;
}

}  // namespace

std::vector<Impact> predict(const Act& act, const Relations& relations, int server_major_version) {
  return Reader{act, relations, server_major_version}.impacts();
}

}  // namespace schemagate
