#pragma once
// What a run leaves behind of itself, wherever it ends: its row in schemagate.run, the marker that
// gates wait for, and the marker's file if the manifest asks for one. The file follows the row: it
// never says complete before the COMMIT.

#include <functional>
#include <string>

#include "schemagate/lease/marker.hpp"
#include "schemagate/lease/run_record.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

class Journal {
 public:
  // `digest`: of the folder that the run is about. `bookkeeping` and `manifest` must outlive this.
  Journal(const Bookkeeping& bookkeeping, ReleaseId id, std::string digest,
          const Manifest& manifest);

  void begin(pg::Session& session, const Lease& lease, const std::string& mode);
  // From here on gates of this release are closed.
  void close_gates(pg::Session& session, const Lease& lease);
  // Another runner had done everything. `more` is done in the same transaction.
  void end_idle(pg::Session& session, const Lease& lease, const std::function<void(Fenced&)>& more);
  // In the transaction that makes it true; tell_complete() after its COMMIT.
  void complete(Fenced& transaction, const Verified& verified, std::size_t applied) const;
  void tell_complete() const { write_file(Marker::Status::complete, 0, {}); }
  // Only permanent outcomes make the marker failed. Nothing before begin().
  void fail(pg::Session& session, const Lease& lease, std::size_t applied,
            const Failure& failure) const;

  [[nodiscard]] const RunRecord& record() const { return record_; }

 private:
  [[nodiscard]] std::string error_of(const Failure& failure) const;
  void write_file(Marker::Status status, int code, const std::string& error) const;

  const Bookkeeping& bookkeeping_;
  ReleaseId id_;
  std::string digest_;
  const Manifest& manifest_;
  RunRecord record_;
};

}  // namespace schemagate
