#pragma once
// While it lives, a stop cancels the statement that the session is executing.

#include <functional>
#include <stop_token>
#include <thread>

#include "schemagate/base/wait.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

// Asks the server once, on a thread of its own, because that may wait for a server that does not
// answer, and the one who requests the stop must not. Must be gone before `session` changes, and
// before anything is sent that is to survive: the request hits whatever is executed when it
// arrives.
class CancelOnStop {
 public:
  CancelOnStop(pg::Session& session, const Stop& stop);

 private:
  std::jthread asking_;
  std::stop_callback<std::function<void()>> on_stop_;  // after asking_: not begun while it ends
};

}  // namespace schemagate
