#include "stages.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/text.hpp"

namespace schemagate {
namespace {

using Kind = SchemaObject::Kind;
using Action = Effect::Action;

SchemaObject renamed(SchemaObject object, const std::string& new_name) {
  (object.is_part() ? object.part : object.name) = new_name;
  return object;
}

bool is_part_of(const SchemaObject& part, const SchemaObject& whole) {
  const bool of_type = part.kind == Kind::enum_value;
  return part.is_part() && part.schema == whole.schema && part.name == whole.name &&
         whole.kind == (of_type ? Kind::type : Kind::relation);
}

SchemaObject whole_of(const SchemaObject& part) {
  return {part.kind == Kind::enum_value ? Kind::type : Kind::relation, part.schema, part.name, ""};
}

// What a sequence of statements finds before the first of them.
class Presuppositions {
 public:
  explicit Presuppositions(const Catalogue& catalogue) : catalogue_{catalogue} {}

  void read(const Effect& effect) {
    const auto object = catalogue_.resolved(effect.object);
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
        const auto target = renamed(object, effect.new_name);
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
    std::set<SchemaObject> moved;
    for (const auto& touched : touched_)
      if (is_part_of(touched, object))
        moved.insert({touched.kind, touched.schema, target.name, touched.part});
    touched_.merge(moved);
  }

  const Catalogue& catalogue_;
  std::set<SchemaObject> touched_;
  std::set<SchemaObject> made_;
  std::map<SchemaObject, SchemaObject> names_;  // now → at first
};

std::string without_cast(const std::string& expression) {
  auto text = expression.substr(0, expression.find("::"));
  if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'')
    text = text.substr(1, text.size() - 2);
  return text;
}

bool same_default(const std::string& expected, const std::string& live) {
  if (expected == "?") return !live.empty();
  return without_cast(expected) == without_cast(live) && expected.empty() == live.empty();
}

bool same_labels(std::vector<std::string> a, std::vector<std::string> b) {
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  return a == b;
}

}  // namespace

Stages::Stages(const Catalogue& catalogue, const std::vector<const Effects*>& effects)
    : catalogue_{catalogue} {
  Presuppositions presuppositions{catalogue};
  for (const auto* statement : effects)
    for (const auto& effect : statement->effects) presuppositions.read(effect);
  for (const auto& [object, present] : presuppositions.before) set(object, {present, {}});
}

void Stages::advance(const Effects& effects) {
  ++advances_;
  for (const auto& effect : effects.effects) {
    const auto object = catalogue_.resolved(effect.object);
    switch (effect.action) {
      case Action::make:
        set(object, {true, effect.shape, advances_});
        if (object.kind == Kind::enum_value) {
          const auto type = expected_.find(whole_of(object));
          if (type == expected_.end() || !type->second.shape.labels) break;
          auto more = type->second;
          more.shape.labels->push_back(object.part);
          set(whole_of(object), more);
        }
        break;
      case Action::change: change(object, effect.shape); break;
      case Action::drop:
        erase_dependents(object);
        set(object, {false, {}, advances_});
        break;
      case Action::rename: rename(object, effect.new_name); break;
    }
  }
}

void Stages::change(const SchemaObject& object, const Shape& shape) {
  Expected expected{true, shape, advances_};
  if (const auto known = expected_.find(object); known != expected_.end()) {
    expected.shape = known->second.shape;
    if (shape.type) expected.shape.type = shape.type;
    if (shape.not_null) expected.shape.not_null = shape.not_null;
    if (shape.default_value) expected.shape.default_value = shape.default_value;
    if (shape.valid) expected.shape.valid = shape.valid;
  }
  set(object, expected);
}

void Stages::erase_dependents(const SchemaObject& object) {
  const auto goes_too = [&](const SchemaObject& other, const Shape& shape) {
    if (object.kind == Kind::schema) return other.schema == object.name;
    if (other == object || other.schema != object.schema) return false;
    if (is_part_of(other, object)) return true;
    if (object.kind == Kind::relation)
      return shape.table == object.name || shape.references == object.name;
    return object.kind == Kind::column && shape.table == object.name &&
           std::find(shape.columns.begin(), shape.columns.end(), object.part) !=
               shape.columns.end();
  };
  std::vector<SchemaObject> gone;
  for (const auto& [other, expected] : expected_)
    if (goes_too(other, expected.shape)) gone.push_back(other);
  for (const auto& other : gone) erase(other);
}

void Stages::rename(const SchemaObject& object, const std::string& new_name) {
  const auto target = renamed(object, new_name);
  std::vector<std::pair<SchemaObject, Expected>> moved;
  for (const auto& [before, as_before] : std::map{expected_}) {
    auto other = before;
    auto expected = as_before;
    auto& shape = expected.shape;
    bool touched = false;
    if (object.kind == Kind::relation) {
      touched = is_part_of(other, object);
      if (touched) other.name = new_name;
      for (auto* name : {&shape.table, &shape.references})
        if (*name == object.name && !name->empty()) *name = new_name, touched = true;
    } else if (object.kind == Kind::type) {
      touched = is_part_of(other, object);
      if (touched) other.name = new_name;
      if (shape.type && shape.type->name == object.name)
        shape.type->name = new_name, touched = true;
    } else if (object.kind == Kind::column && shape.table == object.name) {
      std::replace(shape.columns.begin(), shape.columns.end(), object.part, new_name);
      touched = true;
    }
    if (!touched) continue;
    if (other != before) erase(before);
    moved.emplace_back(other, expected);
  }
  for (auto& [other, expected] : moved) set(other, expected);
  Expected expected{true, {}, advances_};
  if (const auto known = expected_.find(object); known != expected_.end())
    expected.shape = known->second.shape;
  set(target, expected);
  set(object, {false, {}, advances_});
}

void Stages::set(const SchemaObject& object, Expected expected) {
  if (difference(object, expected).empty()) mismatches_.erase(object);
  else mismatches_.insert(object);
  expected_.insert_or_assign(object, std::move(expected));
}

void Stages::erase(const SchemaObject& object) {
  mismatches_.erase(object);
  expected_.erase(object);
}

std::string Stages::difference(const SchemaObject& object, const Expected& expected) const {
  const auto* live = catalogue_.find(object);
  const auto name = object.describe();
  if (!expected.present) return live == nullptr ? "" : name + " is there";
  if (live == nullptr) return name + " is missing";
  const auto& shape = expected.shape;
  if (shape.type && live->type && *shape.type != *live->type)
    return fmt::format("{} is {}, not {}", name, live->type->describe(), shape.type->describe());
  if (shape.not_null && live->not_null && *shape.not_null != *live->not_null)
    return fmt::format("{} is {}NOT NULL", name, *live->not_null ? "" : "not ");
  if (shape.default_value && live->default_value &&
      !same_default(*shape.default_value, *live->default_value))
    return live->default_value->empty()
               ? name + " has no default"
               : fmt::format("{} has the default {}", name, *live->default_value);
  if (shape.labels && live->labels && !same_labels(*shape.labels, *live->labels))
    return fmt::format("{} has the values {}", name, join(*live->labels, ", "));
  if (shape.body && live->body && *shape.body != *live->body) return name + " has another body";
  if (shape.valid.value_or(false) && live->valid == false)
    return name + (object.kind == Kind::relation ? " is INVALID" : " is not validated");
  return {};
}

// A missing table's columns are missing, too.
bool Stages::goes_without_saying(const SchemaObject& object) const {
  return object.is_part() && mismatches_.contains(whole_of(object));
}

std::vector<std::string> Stages::differences() const {
  std::vector<std::string> all;
  for (const auto& object : mismatches_)
    if (!goes_without_saying(object)) all.push_back(difference(object, expected_.at(object)));
  return all;
}

std::string Stages::difference(const Effects& effects) const {
  for (const auto& effect : effects.effects) {
    auto object = catalogue_.resolved(effect.object);
    if (effect.action == Action::rename) object = renamed(object, effect.new_name);
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
    found.push_back({expected.set_by, difference(object, expected)});
  }
  return found;
}

}  // namespace schemagate
