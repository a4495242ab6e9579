#pragma once
// What a run leaves behind of itself, wherever it ends: its row in schemagate.run, the marker that
// gates wait for, and the marker's file if the manifest asks for one. The file follows the row: it
// never says complete before the COMMIT.

#include <filesystem>
#include <string>

#include "schemagate/lease/marker.hpp"
#include "schemagate/lease/run_record.hpp"

namespace schemagate {

class Journal {
 public:
  // `digest`: of the folder that the run is about. `bookkeeping` must outlive this.
  Journal(const Bookkeeping& bookkeeping, ReleaseId id, std::string digest,
          std::filesystem::path marker_file);

  void begin(pg::Session& session, const Lease& lease, const std::string& mode);
  // From here on gates of this release are closed.
  void close_gates(pg::Session& session, const Lease& lease);
  // Another runner had done everything.
  void end_idle(pg::Session& session, const Lease& lease);
  // In the transaction that makes it true; tell_complete() after its COMMIT.
  void complete(Fenced& transaction, const Verified& verified, std::size_t applied) const;
  void tell_complete() const { write_file(Marker::Status::complete, nullptr); }
  // Only permanent outcomes make the marker failed. Nothing before begin().
  void fail(pg::Session& session, const Lease& lease, std::size_t applied,
            const Failure& failure) const;

  [[nodiscard]] const RunRecord& record() const { return record_; }

 private:
  void write_file(Marker::Status status, const Failure* failure) const;

  const Bookkeeping& bookkeeping_;
  ReleaseId id_;
  std::string digest_;
  std::filesystem::path marker_file_;
  RunRecord record_;
};

}  // namespace schemagate
