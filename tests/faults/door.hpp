#pragma once
// A statement that lasts until the test has done what it wants to do meanwhile: SELECT aside.wait()
// ends once the door is open. A sequence, because it is seen whatever the isolation level.

#include "support/server.hpp"

namespace testing {

inline void prepare_door(const TestDatabase& database) {
  database.execute("CREATE SCHEMA aside; CREATE SEQUENCE aside.door;"
                   "CREATE FUNCTION aside.wait() RETURNS text LANGUAGE plpgsql AS $$"
                   "BEGIN WHILE NOT (SELECT is_called FROM aside.door) LOOP PERFORM pg_sleep(0.02);"
                   "END LOOP; RETURN 'open'; END $$");
}
inline void open_door(const TestDatabase& database) {
  database.execute("SELECT nextval('aside.door')");
}
inline void shut_door(const TestDatabase& database) {
  database.execute("SELECT setval('aside.door', 1, false)");
}

}  // namespace testing
