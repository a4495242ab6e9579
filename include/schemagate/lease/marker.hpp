#pragma once
// The completion marker: what a run leaves for the gate. One row for each app, release and scope
// (releases that were are kept, so that a rolled-back image finds its own), and a file if the
// manifest asks for one (marker_file.hpp). running: a run has closed the gates, and with an error
// code: it has ended, and another one may do better. complete: everything of this release is
// applied and verified. failed: a run that had taken the lease ended with a permanent outcome
// (codes 20 to 26); a later good run makes it complete. The row of what is complete with the same
// content is not made failed.

#include <cstdint>
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
  std::string scope;  // whose history: "FORMAT:SCHEMA", or "command:SCHEMA:DIGEST" without one
};

struct Marker {
  enum class Status { running, complete, failed } status = Status::running;
  std::string digest;  // of the migrations folder it speaks of
  int error_code = 0;
  std::string error;
  std::int64_t history_oid = 0;  // of the table that was looked at; 0: none
  std::string changed_at;        // by the server's clock, for people
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

// What else this role can see that is complete, for one who misses a marker: the same migrations
// under another release, the same release of another scope, or the scope's last release.
struct OtherMarker {
  std::string release;
  std::string scope;
  bool same_digest = false;
  std::string completed_at;
};
[[nodiscard]] std::optional<OtherMarker> find_other_marker(pg::Session& session,
                                                           const Bookkeeping& bookkeeping,
                                                           const ReleaseId& id,
                                                           const std::string& digest);

// What was completed last, if that was after this release.
struct NewerRelease {
  std::string release;
  std::string completed_at;
};
[[nodiscard]] std::optional<NewerRelease>
find_newer_release(pg::Session& session, const Bookkeeping& bookkeeping, const ReleaseId& id);

// How the last run on a history ended that closed gates or opened them, whichever release's it was.
struct LastOutcome {
  std::string release;
  int error_code = 0;
  std::string error;
  std::string at;
};
[[nodiscard]] std::optional<LastOutcome>
find_last_outcome(pg::Session& session, const Bookkeeping& bookkeeping, const std::string& scope);

void mark_running(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                  const std::string& digest, const std::string& run_id);
void mark_complete(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                   const Verified& verified, const std::string& run_id);
// False where it stays complete: what was completed for the same content is not taken back.
[[nodiscard]] bool mark_failed(Fenced& transaction, const Bookkeeping& bookkeeping,
                               const ReleaseId& id, const std::string& digest,
                               const std::string& run_id, ExitCode code, const std::string& error);

// The run that had closed the gates has ended with an outcome that another run may better.
void mark_ended(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                const std::string& run_id, ExitCode code, const std::string& error);

}  // namespace schemagate
