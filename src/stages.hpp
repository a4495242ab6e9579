#pragma once
// The catalogue as it is to be expected at each stage of a script: the engine of evidence.cpp.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "schemagate/catalogue.hpp"
#include "schemagate/effects.hpp"

namespace schemagate {

class Stages {
 public:
  // At first: as all of `effects`, in this order, presuppose it.
  Stages(const Catalogue& catalogue, const std::vector<const Effects*>& effects);

  void advance(const Effects& effects);

  [[nodiscard]] bool fits() const { return mismatches_.empty(); }
  [[nodiscard]] std::size_t mismatch_count() const { return mismatches_.size(); }
  [[nodiscard]] std::vector<std::string> differences() const;
  // Of what these effects have just brought about.
  [[nodiscard]] std::string difference(const Effects& effects) const;

  // What advances left to be there and no later one touched.
  struct Survivor {
    std::size_t advance;  // 1: the first
    std::string difference;
  };
  [[nodiscard]] std::vector<Survivor> survivors() const;

 private:
  struct Expected {
    bool present;
    Shape shape;
    std::size_t set_by = 0;  // the advance() that did, 0: presupposed
  };
  void set(const SchemaObject& object, Expected expected);
  void erase(const SchemaObject& object);
  void erase_dependents(const SchemaObject& object);
  void rename(const SchemaObject& object, const std::string& new_name);
  void change(const SchemaObject& object, const Shape& shape);
  [[nodiscard]] bool goes_without_saying(const SchemaObject& object) const;
  [[nodiscard]] std::string difference(const SchemaObject& object, const Expected& expected) const;

  const Catalogue& catalogue_;
  std::map<SchemaObject, Expected> expected_;
  std::set<SchemaObject> mismatches_;
  std::size_t advances_ = 0;
};

}  // namespace schemagate
