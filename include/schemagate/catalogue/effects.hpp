#pragma once
// What a statement makes of the catalogue, read from its parse tree (libpg_query, PostgreSQL 15
// grammar). Pure. What the grammar does not know, and what changes data only, cannot be seen in a
// catalogue: `visible` says so.

#include <vector>

#include "schemagate/catalogue/schema_object.hpp"
#include "schemagate/sql/sql_script.hpp"

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
  bool cascade = false;   // whatever depends on it goes, too
  std::string new_name = {};
};

struct Effects {
  std::vector<Effect> effects;
  bool visible = true;        // all that it does can be seen in the catalogue, or is of no account
  bool harmless = false;      // executed again, alone or with others, it changes nothing more
  bool opaque = false;        // may do anything to the catalogue: a DO block, unknown syntax
  std::string block = {};     // a DO block's text: what it does not name it leaves alone
  bool is_temporary = false;  // makes `effects`' relation in the session only
};

[[nodiscard]] Effects effects_of(const Statement& statement);

// Of a whole script: what a SET search_path or a temporary table changes for later statements is
// taken into account (they cannot be seen any more).
[[nodiscard]] std::vector<Effects> effects_of(const std::vector<Statement>& script);

}  // namespace schemagate
