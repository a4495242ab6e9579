#pragma once
// What the gate of one image sees at one moment. The same for `gate` and for `status`, so that they
// cannot disagree. Unknown means closed.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/hint.hpp"
#include "schemagate/lease/marker.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

struct GateView {
  enum class State { open, closed, failed } state = State::closed;
  std::string why;                         // of closed and failed; of open: what was not looked at
  Hint hint = {};                          // where another one than to look at the run helps
  ExitCode code = ExitCode::gate_timeout;  // of failed: how the run ended
};

struct GateEvidence {
  std::optional<Marker> marker = std::nullopt;
  // Of the image's own folder; nothing where it has none.
  std::optional<std::string> digest = std::nullopt;
  // For gate.match: migrations: what the history lacks of the folder. Nothing for gate.match:
  // release.
  std::optional<std::vector<std::string>> missing = std::nullopt;
  // Whether the lease is held. Nothing where that cannot be seen.
  std::optional<bool> is_run_at_work = std::nullopt;
};
// Pure.
[[nodiscard]] GateView gate_view(const ReleaseId& id, const GateEvidence& evidence);

// One look into the database, after target.find_history(), also inside a transaction. `has_folder`:
// the image holds the migrations of `target`. What hides rows or cannot be believed closes the
// gate, with the reason. Throws what pg::Session::query() throws.
[[nodiscard]] GateView look_through_gate(pg::Session& session, const Target& target,
                                         bool has_folder);

}  // namespace schemagate
