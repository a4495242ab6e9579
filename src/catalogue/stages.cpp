#include "schemagate/catalogue/stages.hpp"

#include <algorithm>

namespace schemagate {
namespace {

const Object* find(const Snapshot& snapshot, const ObjectName& name) {
  const auto found = snapshot.find(name);
  return found == snapshot.end() ? nullptr : &found->second;
}

std::optional<Object> copy_of(const Object* object) {
  return object == nullptr ? std::nullopt : std::optional<Object>{*object};
}

// A thing that is missing weighs more than one that is another.
std::size_t weight(const ObjectName& name, const Object* wanted, const Object* found) {
  if (is_as_wanted(name, wanted, found)) return 0;
  return wanted == nullptr || found == nullptr ? 2 : 1;
}

void take_over(Snapshot& snapshot, const std::map<ObjectName, std::optional<Object>>& changes) {
  for (const auto& [name, object] : changes)
    if (object) snapshot[name] = *object;
    else snapshot.erase(name);
}

}  // namespace

void Stages::set(std::size_t number, const Snapshot& snapshot) {
  if (number <= steps_.size()) {
    steps_.resize(number - 1);
    last_ = after(steps_.size());
  }
  steps_.resize(number);
  auto& changes = steps_.back();
  for (const auto& [name, object] : snapshot) {
    const auto* was = find(last_, name);
    if (was == nullptr || was->definition != object.definition) changes[name] = object;
    if (was == nullptr && name.kind == "column")
      for (const auto* without : {"not null", "default"})
        if (const ObjectName part{without, name.name}; !snapshot.contains(part))
          changes[part] = std::nullopt;
  }
  for (const auto& [name, object] : last_)
    if (!snapshot.contains(name)) changes[name] = std::nullopt;
  take_over(last_, changes);
}

bool Stages::touches_anything() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return !step.empty(); });
}

std::set<ObjectName> Stages::touched_by(std::size_t number) const {
  std::set<ObjectName> names;
  for (const auto& [name, object] : steps_.at(number - 1)) names.insert(name);
  return names;
}

std::set<ObjectName> Stages::touched() const {
  std::set<ObjectName> names;
  for (std::size_t number = 1; number <= count(); ++number) names.merge(touched_by(number));
  return names;
}

std::vector<std::size_t> Stages::counts(const Snapshot& live) const {
  std::map<ObjectName, std::size_t> weights;
  std::size_t all = 0;
  for (const auto& name : touched())
    all += weights[name] = weight(name, find(before_, name), find(live, name));
  std::vector<std::size_t> counts{all};
  for (const auto& changes : steps_) {
    for (const auto& [name, object] : changes) {
      auto& now = weights[name];
      all -= now;
      now = weight(name, object ? &*object : nullptr, find(live, name));
      all += now;
    }
    counts.push_back(all);
  }
  return counts;
}

std::vector<std::size_t> Stages::fits(const Snapshot& live) const {
  std::vector<std::size_t> numbers;
  const auto all = counts(live);
  for (std::size_t number = 0; number < all.size(); ++number)
    if (all[number] == 0) numbers.push_back(number);
  return numbers;
}

std::size_t Stages::closest(const Snapshot& live) const {
  const auto all = counts(live);
  return static_cast<std::size_t>(std::min_element(all.begin(), all.end()) - all.begin());
}

std::vector<Difference> Stages::differences(std::size_t number, const Snapshot& live) const {
  return schemagate::differences(after(number), live, touched());
}

Snapshot Stages::after(std::size_t number) const {
  auto snapshot = before_;
  for (std::size_t i = 0; i < number; ++i) take_over(snapshot, steps_[i]);
  return snapshot;
}

bool Stages::was_once(const ObjectName& name, const Snapshot& live) const {
  return std::any_of(steps_.begin(), steps_.end(), [&](const auto& changes) {
    const auto change = changes.find(name);
    return change != changes.end() &&
           is_as_wanted(name, change->second ? &*change->second : nullptr, find(live, name));
  });
}

bool Stages::is_undone(std::size_t number, const Snapshot& live) const {
  return schemagate::differences(after(number - 1), live, touched_by(number)).empty();
}

std::vector<Stages::Vote> Stages::votes(const Snapshot& live) const {
  struct Count {
    std::size_t done = 0;
    std::size_t not_done = 0;
  };
  std::vector<Count> counts(count());
  for (const auto& name : touched()) {
    const auto* found = find(live, name);
    std::vector<std::size_t> touching;
    std::vector<std::size_t> like_live;  // 0: as before the first
    if (is_as_wanted(name, find(before_, name), found)) like_live.push_back(0);
    for (std::size_t number = 1; number <= count(); ++number) {
      const auto change = steps_[number - 1].find(name);
      if (change == steps_[number - 1].end()) continue;
      touching.push_back(number);
      if (is_as_wanted(name, change->second ? &*change->second : nullptr, found))
        like_live.push_back(number);
    }
    for (const auto number : touching) {
      auto& one = counts[number - 1];
      if (like_live.empty()) one.not_done += number == touching.back() ? 1 : 0;
      else if (like_live.size() > 1) continue;  // it tells nothing
      else if (like_live.front() == number) ++one.done;
      else if (like_live.front() < number) ++one.not_done;
    }
  }
  std::vector<Vote> votes;
  for (const auto& one : counts)
    votes.push_back(one.done + one.not_done == 0 ? Vote::unknown
                    : one.done > one.not_done    ? Vote::done
                                                 : Vote::not_done);
  return votes;
}

std::vector<Difference> differences(const Snapshot& wanted, const Snapshot& live,
                                    const std::set<ObjectName>& names) {
  std::vector<Difference> all;
  for (const auto& name : names) {
    const auto* should = find(wanted, name);
    const auto* is = find(live, name);
    if (!is_as_wanted(name, should, is)) all.push_back({name, copy_of(should), copy_of(is)});
  }
  return all;
}

}  // namespace schemagate
