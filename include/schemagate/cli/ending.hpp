#pragma once
// How the program ends: the only place where a Failure becomes an exit code, told once, in the log
// and in the platform's record (Kubernetes' termination log).

#include <functional>
#include <string>

#include "schemagate/base/wait.hpp"

namespace schemagate::cli {

// Everything that must be over before a program can be started in our place.
struct Outcome {
  ExitCode code = ExitCode::done;
  std::string summary;  // without secrets
  std::string hint;     // as typed
};

// Does the work. Signals end it by its Stop; a connection that does not answer then is given up
// after 15 s, inside every platform's grace period. `manifest`: which the hints are to name.
[[nodiscard]] Outcome guarded(const std::string& manifest, const std::function<void(Stop&)>& work);

// To stdout. False, and told, where that cannot be; nobody has to read it to its end.
[[nodiscard]] bool print(const std::string& text);

[[nodiscard]] int finish(const Outcome& failure);  // the exit code
void note_success(const std::string& good_news);   // empty: nothing is noted

// Some platforms restart whatever ends, and stop the app for good after so many restarts: a failure
// waits here before it ends. Returns the code.
[[nodiscard]] int hold(int code, Milliseconds duration);

}  // namespace schemagate::cli
