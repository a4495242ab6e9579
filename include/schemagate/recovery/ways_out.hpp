#pragma once
// What leads out of a database: to other servers, to files, to roles, to somebody else's session.
// Told by words, and rather too often: a script that may take one is not replayed. Pure.

#include "schemagate/sql/sql_script.hpp"

namespace schemagate {

class WaysOut {
 public:
  // Of statements in the order of their execution: a function that takes one is dangerous for
  // whatever executes functions later.
  [[nodiscard]] bool may_be_taken_by(const Statement& statement);

 private:
  bool has_dangerous_function_ = false;
};

}  // namespace schemagate
