#pragma once
// The catalogue as it is after each of several steps (statements, or migrations), and which of
// these stages a live catalogue is like, on all that any step touches. Pure.

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "schemagate/catalogue/snapshot.hpp"

namespace schemagate {

class Stages {
 public:
  explicit Stages(Snapshot before) : before_{before}, last_{std::move(before)} {}

  // After step `number`, from 1. Steps in between that were not looked at have changed nothing; a
  // number that is known already is done again, and what came behind it is forgotten. A column that
  // is made without NOT NULL, or without a default, is made to be so.
  void set(std::size_t number, const Snapshot& snapshot);

  [[nodiscard]] std::size_t count() const { return steps_.size(); }  // of steps
  [[nodiscard]] bool touches_anything() const;
  [[nodiscard]] std::set<ObjectName> touched() const;
  [[nodiscard]] std::set<ObjectName> touched_by(std::size_t number) const;
  // After one of the steps, it was as it is in `live`.
  [[nodiscard]] bool was_once(const ObjectName& name, const Snapshot& live) const;
  // Whatever the step touches is as it was before.
  [[nodiscard]] bool is_undone(std::size_t number, const Snapshot& live) const;
  [[nodiscard]] const Snapshot& last() const { return last_; }

  // The numbers of the steps after which it is like `live`, 0 for before the first; ascending.
  [[nodiscard]] std::vector<std::size_t> fits(const Snapshot& live) const;
  // The one with the fewest differences; of several the first.
  [[nodiscard]] std::size_t closest(const Snapshot& live) const;
  [[nodiscard]] std::vector<Difference> differences(std::size_t number, const Snapshot& live) const;

  // Of each step, from the first on: was it done, as far as most of the things that it touches tell
  // by themselves? Steps in between may have been left out.
  enum class Vote { done, not_done, unknown };
  [[nodiscard]] std::vector<Vote> votes(const Snapshot& live) const;

 private:
  using Changes = std::map<ObjectName, std::optional<Object>>;
  [[nodiscard]] Snapshot after(std::size_t number) const;
  [[nodiscard]] std::vector<std::size_t> counts(const Snapshot& live) const;

  Snapshot before_;
  std::vector<Changes> steps_;
  Snapshot last_;
};

// Where `wanted` and `live` differ, of `names`.
[[nodiscard]] std::vector<Difference> differences(const Snapshot& wanted, const Snapshot& live,
                                                  const std::set<ObjectName>& names);

}  // namespace schemagate
