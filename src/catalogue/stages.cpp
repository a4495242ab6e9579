#include "stages.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Kind = SchemaObject::Kind;
using Action = Effect::Action;

constexpr const char* k_unknown = "?";  // a column that cannot be read from the script

SchemaObject renamed(SchemaObject object, const std::string& new_name) {
  (object.is_part() ? object.part : object.name) = new_name;
  return object;
}

bool is_part_of(const SchemaObject& part, const SchemaObject& whole) {
  return part.is_part() && whole_of(part) == whole;
}

bool holds(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool names(const std::string& block, const std::string& name) {
  return !name.empty() && block.find(lower_case(name)) != std::string::npos;
}

// What a sequence of statements finds before the first of them.
class Presuppositions {
 public:
  explicit Presuppositions(const Catalogue& catalogue) : catalogue_{catalogue} {}

  void read(const Effect& effect) {
    const auto object = object_of(effect, catalogue_);
    switch (effect.action) {
      case Action::make:
        if (!effect.tolerant) touch(object, false);
        if (!object.is_part()) made_.insert(object);
        break;
      case Action::change:
      case Action::drop:
        if (!effect.tolerant) touch(object, true);
        break;
      case Action::rename: {
        const auto target = target_of(effect, catalogue_);
        touch(object, true);
        touch(target, false);
        move(object, target);
        break;
      }
    }
    touched_.insert(object);
  }

  std::map<SchemaObject, bool> before;

 private:
  void touch(const SchemaObject& object, bool present) {
    const bool part_of_new = present && object.is_part() && made_.contains(whole_of(object));
    if (touched_.insert(object).second && !part_of_new) before.emplace(original(object), present);
  }

  // Under the name that it, or its table, had at first.
  [[nodiscard]] SchemaObject original(SchemaObject object) const {
    if (const auto found = names_.find(object); found != names_.end()) return found->second;
    if (!object.is_part()) return object;
    if (const auto found = names_.find(whole_of(object)); found != names_.end())
      object.name = found->second.name;
    return object;
  }

  void move(const SchemaObject& object, const SchemaObject& target) {
    names_[target] = original(object);
    if (made_.erase(object) > 0) made_.insert(target);
    if (object.is_part()) return;
    for (const auto kind :
         {Kind::column, Kind::constraint, Kind::trigger, Kind::policy, Kind::enum_value}) {
      std::vector<SchemaObject> parts;
      for (auto at = touched_.lower_bound({kind, object.schema, object.name, ""});
           at != touched_.end() && is_part_of(*at, object); ++at)
        parts.push_back({kind, object.schema, target.name, at->part});
      touched_.insert(parts.begin(), parts.end());
    }
  }

  const Catalogue& catalogue_;
  std::set<SchemaObject> touched_;
  std::set<SchemaObject> made_;
  std::map<SchemaObject, SchemaObject> names_;  // now → at first
};

bool same_labels(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

}  // namespace

SchemaObject object_of(const Effect& effect, const Catalogue& catalogue) {
  const bool is_new = effect.action == Action::make && !effect.object.is_part();
  return is_new ? catalogue.resolved_new(effect.object) : catalogue.resolved(effect.object);
}

SchemaObject target_of(const Effect& rename, const Catalogue& catalogue) {
  return renamed(object_of(rename, catalogue), rename.new_name);
}

SchemaObject whole_of(const SchemaObject& part) {
  return {part.kind == Kind::enum_value ? Kind::type : Kind::relation, part.schema, part.name, ""};
}

bool may_touch(const std::string& block, const SchemaObject& object) {
  return block.empty() || names(block, "cascade") || names(block, object.name) ||
         names(block, object.part);
}

Stages::Stages(const Catalogue& catalogue, const std::vector<const Effects*>& effects)
    : catalogue_{catalogue}, effects_{effects} {
  presuppose();
}

void Stages::presuppose() {
  Presuppositions presuppositions{catalogue_};
  for (auto i = advances_; i < effects_.size() && !effects_[i]->opaque; ++i)
    for (const auto& effect : effects_[i]->effects) presuppositions.read(effect);
  for (const auto& [object, present] : presuppositions.before)
    if (!expected_.contains(object)) set(object, {present, {}});
}

void Stages::forget_what_may_be_touched(const std::string& block) {
  std::vector<SchemaObject> touched;
  for (const auto& [object, expected] : expected_) {
    const auto& shape = expected.shape;
    if (may_touch(block, object) || names(block, shape.table) || names(block, shape.references) ||
        holds(shape.columns, k_unknown))
      touched.push_back(object);
  }
  for (const auto& object : touched) erase(object);
}

void Stages::advance() {
  const auto& effects = *effects_[advances_++];
  if (effects.opaque) {
    forget_what_may_be_touched(effects.block);
    return presuppose();
  }
  for (const auto& effect : effects.effects) {
    const auto object = object_of(effect, catalogue_);
    switch (effect.action) {
      case Action::make: make(object, effect); break;
      case Action::change: change(object, effect.shape); break;
      case Action::drop: drop(object, effect.cascade); break;
      case Action::rename: rename(object, target_of(effect, catalogue_)); break;
    }
  }
}

void Stages::make(const SchemaObject& object, const Effect& effect) {
  set(object, {true, effect.shape, advances_});
  if (object.kind == Kind::enum_value) relabel(object, true);
}

void Stages::relabel(const SchemaObject& value, bool present) {
  const auto type = expected_.find(whole_of(value));
  if (type == expected_.end() || !type->second.shape.labels) return;
  auto expected = type->second;
  std::erase(*expected.shape.labels, value.part);
  if (present) expected.shape.labels->push_back(value.part);
  set(whole_of(value), expected);
}

void Stages::change(const SchemaObject& object, const Shape& shape) {
  Expected expected{true, shape, advances_};
  if (const auto known = expected_.find(object); known != expected_.end()) {
    expected.shape = known->second.shape;
    if (shape.type) expected.shape.type = shape.type;
    if (shape.not_null) expected.shape.not_null = shape.not_null;
    if (shape.has_default) expected.shape.has_default = shape.has_default;
    if (shape.valid) expected.shape.valid = shape.valid;
  }
  set(object, expected);
}

void Stages::drop(const SchemaObject& object, bool cascade) {
  if (cascade) {  // nobody knows what went with it
    std::vector<SchemaObject> present;
    for (const auto& [other, expected] : expected_)
      if (expected.present) present.push_back(other);
    for (const auto& other : present) erase(other);
  }
  const auto goes_too = [&](const SchemaObject& other) {
    if (object.kind == Kind::schema) return other.schema == object.name;
    if (other == object || other.schema != object.schema) return false;
    const auto& shape = expected_.at(other).shape;
    const bool may_be_owned = shape.table.empty() && holds(shape.columns, k_unknown);
    if (is_part_of(other, object) || may_be_owned) return true;
    if (object.kind == Kind::relation)
      return shape.table == object.name || shape.references == object.name;
    return object.kind == Kind::column && shape.table == object.name &&
           (holds(shape.columns, object.part) || holds(shape.columns, k_unknown));
  };
  for (const auto& other : related(object.name))
    if (goes_too(other)) erase(other);
  if (object.kind == Kind::function) return erase(object);  // another of the name may stay
  if (object.kind == Kind::enum_value) relabel(object, false);
  set_gone(object);
}

// With several schemas in the path, another one of the name may be found now.
void Stages::set_gone(const SchemaObject& object) {
  if (catalogue_.search_path_is_single()) set(object, {false, {}, advances_});
  else erase(object);
}

void Stages::rename(const SchemaObject& object, const SchemaObject& target) {
  for (const auto& before : related(object.name)) {
    if (before == object || before.schema != object.schema) continue;
    auto other = before;
    auto expected = expected_.at(before);
    auto& shape = expected.shape;
    if (!object.is_part()) {
      if (is_part_of(other, object)) other.name = target.name;
      if (object.kind == Kind::relation && shape.table == object.name) shape.table = target.name;
      if (object.kind == Kind::relation && shape.references == object.name)
        shape.references = target.name;
      if (object.kind == Kind::type && shape.type && shape.type->name == object.name)
        shape.type->name = target.name;
    } else if (object.kind == Kind::column && shape.table == object.name) {
      std::replace(shape.columns.begin(), shape.columns.end(), object.part, target.part);
    }
    shape.definition.reset();  // it may speak of the old name
    erase(before);
    set(other, expected);
  }
  Expected expected{true, {}, advances_};
  if (const auto known = expected_.find(object); known != expected_.end())
    expected.shape = known->second.shape;
  // An index and its constraint are renamed together, by either name.
  const auto& old_name = object.is_part() ? object.part : object.name;
  for (const auto& other : related(old_name)) {
    const bool by_index = object.kind == Kind::relation && other.part == old_name;
    const bool by_constraint = object.kind == Kind::constraint && other.name == old_name;
    if (other != object && (by_index || by_constraint)) erase(other);
  }
  set(target, expected);
  set_gone(object);
}

void Stages::set(const SchemaObject& object, Expected expected) {
  erase(object);
  // Overloads of a function are not told apart: one of the name may always be another.
  const bool may_be_another = object.kind == Kind::function && !expected.present;
  if (!may_be_another && !missing(object, expected).empty()) impossible_.insert(object);
  if (!difference(object, expected).empty()) different_.insert(object);
  const auto& shape = expected.shape;
  std::set<std::string> names = {object.name, object.schema, object.part, shape.table,
                                 shape.references};
  if (shape.type) names.insert(shape.type->name);
  if (shape.table.empty() && holds(shape.columns, k_unknown)) names.insert(k_unknown);
  for (const auto& name : names)
    if (!name.empty()) mentions_[name].insert(object);
  expected_.insert_or_assign(object, std::move(expected));
}

void Stages::erase(const SchemaObject& object) {
  impossible_.erase(object);
  different_.erase(object);
  expected_.erase(object);  // mentions_ may still name it: related() looks
}

std::vector<SchemaObject> Stages::related(const std::string& name) const {
  std::set<SchemaObject> found;
  for (const auto& key : {name, std::string{k_unknown}}) {
    const auto named = mentions_.find(key);
    if (named == mentions_.end()) continue;
    for (const auto& object : named->second)
      if (expected_.contains(object)) found.insert(object);
  }
  return {found.begin(), found.end()};
}

std::string Stages::missing(const SchemaObject& object, const Expected& expected) const {
  const auto* live = catalogue_.find(object);
  const bool is_there = live != nullptr;
  if (is_there != expected.present)
    return object.describe() + (is_there ? " is there" : " is missing");
  if (!is_there) return {};
  // An enum is nothing but its values, and a function nothing but its bodies.
  const auto& shape = expected.shape;
  if (shape.labels && live->labels && !same_labels(*shape.labels, *live->labels))
    return fmt::format("{} has the values {}", object.describe(), join(*live->labels, ", "));
  if (shape.bodies && live->bodies && !holds(*live->bodies, shape.bodies->front()))
    return object.describe() + " has another body";
  return {};
}

std::string Stages::difference(const SchemaObject& object, const Expected& expected) const {
  if (auto text = missing(object, expected); !text.empty() || !expected.present) return text;
  const auto& live = *catalogue_.find(object);
  const auto& shape = expected.shape;
  const auto name = object.describe();
  if (shape.type && live.type && !shape.type->fits(*live.type))
    return fmt::format("{} is {}, not {}", name, live.type->describe(), shape.type->describe());
  if (shape.not_null && live.not_null && *shape.not_null != *live.not_null)
    return fmt::format("{} is {}NOT NULL", name, *live.not_null ? "" : "not ");
  if (shape.has_default && live.has_default && *shape.has_default != *live.has_default)
    return fmt::format("{} has {} default", name, *live.has_default ? "a" : "no");
  if (shape.definition && live.definition && *shape.definition != *live.definition)
    return name + " is defined differently";
  if (shape.valid.value_or(false) && live.valid == false)
    return name + (object.kind == Kind::relation ? " is INVALID" : " is not validated");
  return {};
}

// A missing table's columns are missing, too.
bool Stages::goes_without_saying(const SchemaObject& object) const {
  return object.is_part() && impossible_.contains(whole_of(object));
}

// Only what is there or not proves something: a body or a list of values may be changed by anybody.
bool Stages::is_refuted() const {
  return std::any_of(impossible_.begin(), impossible_.end(), [&](const auto& object) {
    const auto& expected = expected_.at(object);
    return expected.set_by > 0 && expected.present != (catalogue_.find(object) != nullptr);
  });
}

std::vector<std::string> Stages::differences() const {
  std::vector<std::string> all;
  for (const auto& object : different_)
    if (!goes_without_saying(object)) all.push_back(difference(object, expected_.at(object)));
  return all;
}

std::string Stages::difference(const Effects& effects) const {
  for (const auto& effect : effects.effects) {
    const auto object = effect.action == Action::rename ? target_of(effect, catalogue_)
                                                        : object_of(effect, catalogue_);
    const auto found = expected_.find(object);
    if (found == expected_.end()) continue;
    if (auto text = difference(object, found->second); !text.empty()) return text;
  }
  return {};
}

std::vector<Stages::Survivor> Stages::survivors() const {
  std::vector<Survivor> found;
  for (const auto& [object, expected] : expected_) {
    if (expected.set_by == 0 || !expected.present || goes_without_saying(object)) continue;
    found.push_back({expected.set_by, missing(object, expected)});
  }
  return found;
}

}  // namespace schemagate
