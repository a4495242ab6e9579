#pragma once
// The catalogue as it is to be expected at each stage of a script: the engine of evidence.cpp.
// Whether a thing is there is certain, and rules stages out; its shape may be printed differently
// from how the script writes it, and only keeps us from saying that all is as it should be.

#include <map>
#include <set>
#include <string>
#include <vector>

#include "schemagate/catalogue/catalogue.hpp"
#include "schemagate/catalogue/effects.hpp"

namespace schemagate {

// The object an effect is about: what is made anew goes to the first schema of the search_path, all
// else is looked for in it.
[[nodiscard]] SchemaObject object_of(const Effect& effect, const Catalogue& catalogue);
[[nodiscard]] SchemaObject target_of(const Effect& rename, const Catalogue& catalogue);
[[nodiscard]] SchemaObject whole_of(const SchemaObject& part);  // its table, or its type

// `block`: an opaque statement's (Effects::block). What a DO block does not name it leaves alone.
[[nodiscard]] bool may_touch(const std::string& block, const SchemaObject& object);

class Stages {
 public:
  // At first: as all of `effects`, in this order, presuppose it, up to the first opaque one: what
  // those behind it presuppose nobody knows before. Both must outlive this.
  Stages(const Catalogue& catalogue, const std::vector<const Effects*>& effects);

  void advance();  // by the next of them

  [[nodiscard]] bool is_possible() const { return impossible_.empty(); }
  // By what the advances have brought about, whatever was presupposed.
  [[nodiscard]] bool is_refuted() const;
  [[nodiscard]] bool fits() const { return different_.empty(); }  // in shape, too
  [[nodiscard]] std::size_t difference_count() const { return different_.size(); }
  [[nodiscard]] std::vector<std::string> differences() const;
  // Of what these effects have just brought about.
  [[nodiscard]] std::string difference(const Effects& effects) const;

  // What advances left to be there and no later one touched.
  struct Survivor {
    std::size_t advance;  // 1: the first
    std::string missing;  // empty: it is there
  };
  [[nodiscard]] std::vector<Survivor> survivors() const;

 private:
  struct Expected {
    bool present;
    Shape shape;
    std::size_t set_by = 0;  // the advance() that did, 0: presupposed
  };
  void presuppose();
  void forget_what_may_be_touched(const std::string& block);
  void make(const SchemaObject& object, const Effect& effect);
  void change(const SchemaObject& object, const Shape& shape);
  void drop(const SchemaObject& object, bool cascade);
  void rename(const SchemaObject& object, const SchemaObject& target);
  void relabel(const SchemaObject& value, bool present);
  void set(const SchemaObject& object, Expected expected);
  void set_gone(const SchemaObject& object);
  void erase(const SchemaObject& object);
  // What may be part of, or speak of, an object of this name.
  [[nodiscard]] std::vector<SchemaObject> related(const std::string& name) const;
  [[nodiscard]] bool goes_without_saying(const SchemaObject& object) const;
  [[nodiscard]] std::string missing(const SchemaObject& object, const Expected& expected) const;
  [[nodiscard]] std::string difference(const SchemaObject& object, const Expected& expected) const;

  const Catalogue& catalogue_;
  const std::vector<const Effects*>& effects_;
  std::map<SchemaObject, Expected> expected_;
  std::map<std::string, std::set<SchemaObject>> mentions_;  // what related() looks up
  std::set<SchemaObject> impossible_;
  std::set<SchemaObject> different_;
  std::size_t advances_ = 0;
};

}  // namespace schemagate
