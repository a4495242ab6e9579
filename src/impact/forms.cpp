#include "forms.hpp"

#include <algorithm>

#include "schemagate/impact/rules.hpp"

namespace schemagate {
namespace {

using Kind = Act::Kind;
using Made = NewConstraint::Kind;

class Former {
 public:
  Former(const Act& act, const Relations& relations)
      : act_{act}, relations_{relations}, relation_{relations.find(act.relation)} {}

  [[nodiscard]] Form form_of_act() const;

 private:
  [[nodiscard]] Form form_of_column() const;
  [[nodiscard]] Form form_of_constraint() const;
  [[nodiscard]] Form form_of_type() const;
  [[nodiscard]] Form form_of_validation() const;
  [[nodiscard]] Form form_of_attach() const;
  [[nodiscard]] Form form_of_index() const;
  [[nodiscard]] bool is_proven_not_null(const std::string& column) const;

  const Act& act_;
  const Relations& relations_;
  const Relation* relation_;
};

bool Former::is_proven_not_null(const std::string& name) const {
  if (relation_ == nullptr) return false;
  const auto* column = relation_->column(name);
  if (column != nullptr && column->not_null) return true;
  return std::any_of(
      relation_->constraints.begin(), relation_->constraints.end(),
      [&](const NewConstraint& one) { return one.is_valid && one.proves_not_null == name; });
}

Form Former::form_of_column() const {
  const auto& made = *act_.column_made;
  if (act_.if_exists && relation_ != nullptr && relation_->column(made.name) != nullptr)
    return Form::change_entry;
  if (fills_each_row(made, relations_)) return Form::add_filled_column;
  if (act_.constraint) return made.has_default ? Form::add_filled_reference : Form::add_reference;
  if (made.is_unique) return Form::add_unique_column;
  return made.has_check ? Form::add_checked_column : Form::change_entry;
}

Form Former::form_of_constraint() const {
  const auto& made = *act_.constraint;
  switch (made.kind) {
    case Made::foreign_key:
      return made.is_valid ? Form::add_foreign_key : Form::add_foreign_key_not_valid;
    case Made::check: return made.is_valid ? Form::add_check : Form::change_entry;
    default: break;
  }
  if (made.using_index.empty()) return Form::add_index_constraint;
  const auto* index = relations_.find({act_.relation.schema, made.using_index});
  const bool is_primary = made.kind == Made::primary_key;
  const bool may_be_null =
      index != nullptr &&
      std::any_of(index->columns.begin(), index->columns.end(),
                  [&](const Column& one) { return !is_proven_not_null(one.name); });
  return is_primary && may_be_null ? Form::prove_not_null : Form::change_entry;
}

Form Former::form_of_type() const {
  const auto* column = relation_ == nullptr ? nullptr : relation_->column(act_.name);
  if (column == nullptr) return Form::rewrite_type;
  switch (type_change(*column, act_, relations_).kind) {
    case TypeChange::Kind::kept: return Form::keep_type;
    case TypeChange::Kind::reindexed: return Form::reindex_type;
    default: return Form::rewrite_type;
  }
}

// What takes one form, whatever the relations are; and another one CONCURRENTLY.
struct PlainForm {
  Kind kind;
  Form form;
  Form concurrently = form;
};
constexpr PlainForm k_plain_forms[] = {
    {Kind::create_partition, Form::create_partition},
    {Kind::drop_column, Form::drop_column},
    {Kind::alter_column, Form::change_entry},
    {Kind::tune, Form::change_parameters},
    {Kind::drop_constraint, Form::drop_foreign_key},
    {Kind::alter_owner, Form::change_with_sequences},
    {Kind::set_triggers, Form::set_triggers},
    {Kind::set_tablespace, Form::rewrite_all},
    {Kind::set_logged, Form::set_logged},
    {Kind::detach, Form::detach, Form::detach_concurrently},
    {Kind::inherit, Form::inherit},
    {Kind::no_inherit, Form::no_inherit},
    {Kind::rename_column, Form::change_entry},
    {Kind::set_schema, Form::change_with_sequences},
    {Kind::drop_table, Form::drop_table},
    {Kind::drop_view, Form::drop_table},
    {Kind::drop_index, Form::drop_index, Form::drop_index_concurrently},
    {Kind::drop_sequence, Form::drop_table},
    {Kind::drop_schema, Form::drop_others},
    {Kind::drop_function, Form::drop_others},
    {Kind::drop_type, Form::drop_others},
    {Kind::reindex_index, Form::rebuild_index, Form::rebuild_index_concurrently},
    {Kind::reindex_table, Form::rebuild_index, Form::rebuild_index_concurrently},
    {Kind::move_index, Form::rebuild_index},
    {Kind::truncate, Form::truncate},
    {Kind::create_view, Form::look},
    {Kind::read, Form::read},
    {Kind::refresh, Form::refresh, Form::refresh_concurrently},
    {Kind::create_trigger, Form::create_trigger},
    {Kind::comment, Form::comment},
    {Kind::comment_on_part, Form::look},
    {Kind::grant, Form::grant},
    {Kind::alter_sequence, Form::alter_sequence},
    {Kind::describe, Form::comment},
    {Kind::vacuum, Form::vacuum},
    {Kind::rewrite, Form::rewrite_all},
    {Kind::insert, Form::insert},
    {Kind::update, Form::update},
    {Kind::update_all, Form::update_all},
    {Kind::delete_all, Form::delete_all},
    {Kind::lock_rows, Form::lock_rows},
    {Kind::check_domain, Form::check_domain},
    {Kind::opaque, Form::change_entry},  // ALTER TABLE at the least
};

Form Former::form_of_validation() const {
  const auto* constraint = relation_ == nullptr ? nullptr : relation_->constraint(act_.name);
  if (constraint != nullptr && constraint->is_valid) return Form::change_parameters;
  return constraint != nullptr && constraint->references ? Form::validate_foreign_key
                                                         : Form::validate;
}

// A constraint of it may say already that all rows are within the bounds.
Form Former::form_of_attach() const {
  const auto* part = relations_.find(act_.others.front());
  const bool is_checked =
      part != nullptr &&
      std::any_of(part->constraints.begin(), part->constraints.end(),
                  [](const auto& one) { return one.kind == Made::check && one.is_valid; });
  return is_checked ? Form::attach_checked : Form::attach;
}

Form Former::form_of_index() const {
  const bool is_there = act_.if_exists && relation_ != nullptr &&
                        relations_.find({relation_->name.schema, act_.name}) != nullptr;
  if (act_.concurrently)
    return is_there ? Form::change_parameters : Form::create_index_concurrently;
  return is_there ? Form::keep_index : Form::create_index;
}

Form Former::form_of_act() const {
  const auto plain = std::find_if(std::begin(k_plain_forms), std::end(k_plain_forms),
                                  [&](const PlainForm& one) { return one.kind == act_.kind; });
  if (plain != std::end(k_plain_forms))
    return act_.concurrently ? plain->concurrently : plain->form;
  const bool is_index = relation_ != nullptr && (relation_->kind == 'i' || relation_->kind == 'I');
  switch (act_.kind) {
    case Kind::create_table: return act_.others.empty() ? Form::harmless : Form::inherit;
    case Kind::add_column: return form_of_column();
    case Kind::alter_type: return form_of_type();
    case Kind::set_not_null:
      return is_proven_not_null(act_.name) ? Form::change_entry : Form::set_not_null;
    case Kind::add_constraint: return act_.constraint ? form_of_constraint() : Form::change_entry;
    case Kind::validate_constraint: return form_of_validation();
    case Kind::attach: return form_of_attach();
    case Kind::create_index: return form_of_index();
    case Kind::rename: return is_index ? Form::change_index : Form::change_entry;
    case Kind::replace_view: return relation_ == nullptr ? Form::look : Form::replace_view;
    case Kind::alter_table: {
      const bool may_be_absent = act_.if_exists && relation_ != nullptr && !act_.name.empty();
      return may_be_absent && !relation_->parts.contains(act_.name) ? Form::harmless
                                                                    : Form::change_entry;
    }
    default: return Form::harmless;
  }
}

}  // namespace

Form form_of(const Act& act, const Relations& relations) {
  return Former{act, relations}.form_of_act();
}

}  // namespace schemagate
