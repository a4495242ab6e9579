#pragma once
// The completion marker: what a run leaves for the gate. One row for each app and release (a
// history, so that a rolled-back image finds its own), and a file if the manifest asks for one
// (marker_file.hpp).
// running: a run is at work. complete: everything of this release is applied and verified.
// failed: a run that had taken the lease ended with a permanent outcome (codes 20 to 25); a later
// good run makes it complete. The row of what is complete with the same content is not made failed.

#include <optional>
#include <string>

#include "schemagate/base/error.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/fenced.hpp"
#include "schemagate/lease/verified.hpp"

namespace schemagate {

struct ReleaseId {
  std::string app;
  std::string release;
};

struct Marker {
  enum class Status { running, complete, failed } status = Status::running;
  std::string digest;  // of the migrations folder it speaks of
  int error_code = 0;
  std::string error;
  std::string completed_at;
};
[[nodiscard]] const char* name_of(Marker::Status status);
// What no run writes is taken for running: closed.
[[nodiscard]] Marker::Status status_of(const std::string& name);

constexpr const char* k_marker_channel = "schemagate_marker";  // LISTEN: a marker was committed

[[nodiscard]] std::optional<Marker> read_marker(pg::Session& session,
                                                const Bookkeeping& bookkeeping, const ReleaseId& id,
                                                Milliseconds limit);

// The same within a transaction.
[[nodiscard]] std::optional<Marker>
find_marker(pg::Session& session, const Bookkeeping& bookkeeping, const ReleaseId& id);

// What was completed last, if that was after this release.
struct NewerRelease {
  std::string release;
  std::string completed_at;
};
[[nodiscard]] std::optional<NewerRelease>
find_newer_release(pg::Session& session, const Bookkeeping& bookkeeping, const ReleaseId& id);

void mark_running(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                  const std::string& digest, const std::string& run_id);
void mark_complete(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                   const Verified& verified, const std::string& run_id);
// False where it stays complete: what was completed for the same content is not taken back.
[[nodiscard]] bool mark_failed(Fenced& transaction, const Bookkeeping& bookkeeping,
                               const ReleaseId& id, const std::string& digest,
                               const std::string& run_id, ExitCode code, const std::string& error);

}  // namespace schemagate
