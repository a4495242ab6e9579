#pragma once
// What a statement makes of the catalogue, read from its parse tree (libpg_query, PostgreSQL 15
// grammar). Pure. What the grammar does not know, and what changes data only, cannot be seen in a
// catalogue: `visible` says so.

#include <vector>

#include "schemagate/schema_object.hpp"
#include "schemagate/sql_script.hpp"

namespace schemagate {

struct Effect {
  enum class Action {
    make,    // was not there before (unless tolerant), is there afterwards
    change,  // was there before, has `shape` afterwards
    drop,    // was there before (unless tolerant), is gone afterwards
    rename,  // to new_name, with all of its parts
  };
  Action action = Action::make;
  SchemaObject object;
  Shape shape = {};
  bool tolerant = false;  // IF [NOT] EXISTS, OR REPLACE
  std::string new_name = {};
};

struct Effects {
  std::vector<Effect> effects;
  bool visible = true;      // all that it does can be seen in the catalogue, or is of no account
  bool repeatable = false;  // done twice is as good as done once
};

[[nodiscard]] Effects effects_of(const Statement& statement);

}  // namespace schemagate
