#pragma once
// How schemagate ends. One enum, documented in docs/exit-codes.md, stable: scripts and
// podFailurePolicy depend on the numbers. An expected outcome is a return value; whatever ends the
// run is a Failure, thrown where it is understood best and printed once, by main.

#include <stdexcept>
#include <string>
#include <utility>

#include "schemagate/base/hint.hpp"

namespace schemagate {

enum class ExitCode : int {
  done = 0,
  internal = 1,
  usage = 2,
  not_ready = 10,
  lease_held = 11,
  lease_lost = 12,
  lock_timeout = 13,
  connection_lost = 14,
  history = 20,
  migration_failed = 21,
  drift = 22,
  check_failed = 23,
  refused = 24,
  command_failed = 25,
  hook_failed = 26,
  gate_timeout = 30,
  gate_failed = 31,
  signal_base = 128,  // 128 + n: ended by signal n
};

// True for outcomes that stay the same when the same run is tried again (20 to 26). Only these are
// written into the marker as `failed`, so that waiting gates give up at once; and only by a run
// that has taken the lease: what is refused before that (a wrong database, missing rights, `mode:
// check`) writes nothing.
constexpr bool is_permanent(ExitCode code) {
  return code >= ExitCode::history && code <= ExitCode::hook_failed;
}

// True for outcomes that pass by themselves: the same command may be tried again.
constexpr bool is_retryable(ExitCode code) {
  return (code >= ExitCode::not_ready && code <= ExitCode::connection_lost) ||
         code == ExitCode::gate_timeout;
}

// what(): what happened, where and why, possibly several lines; never a secret.
// hint(): what to do, the next command to type above all; or empty.
class Failure : public std::runtime_error {
 public:
  Failure(ExitCode code, const std::string& what, Hint hint = {})
      : std::runtime_error{what}, code_{code}, hint_{std::move(hint)} {}

  [[nodiscard]] ExitCode code() const { return code_; }
  [[nodiscard]] const Hint& hint() const { return hint_; }

 private:
  ExitCode code_;
  Hint hint_;
};

}  // namespace schemagate
