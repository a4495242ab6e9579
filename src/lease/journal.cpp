#include "schemagate/lease/journal.hpp"

#include <utility>

namespace schemagate {

Journal::Journal(const Bookkeeping& bookkeeping, ReleaseId id, std::string digest,
                 std::filesystem::path marker_file)
    : bookkeeping_{bookkeeping}, id_{std::move(id)}, digest_{std::move(digest)},
      marker_file_{std::move(marker_file)} {}

void Journal::begin(pg::Session& session, const Lease& lease, const std::string& mode) {
  fenced(session, lease, [&](Fenced& transaction) {
    record_.begin(transaction, bookkeeping_, id_, mode, digest_, lease.fence());
  });
}

void Journal::close_gates(pg::Session& session, const Lease& lease) {
  write_file(Marker::Status::running, nullptr);
  fenced(session, lease, [&](Fenced& transaction) {
    mark_running(transaction, bookkeeping_, id_, digest_, record_.run_id());
  });
}

void Journal::end_idle(pg::Session& session, const Lease& lease) {
  fenced(session, lease, [&](Fenced& transaction) { record_.complete(transaction, 0); });
}

void Journal::complete(Fenced& transaction, const Verified& verified, std::size_t applied) const {
  record_.complete(transaction, applied);
  mark_complete(transaction, bookkeeping_, id_, verified, record_.run_id());
}

void Journal::fail(pg::Session& session, const Lease& lease, std::size_t applied,
                   const Failure& failure) const {
  if (!record_.begun()) return;
  bool closes_gates = false;
  fenced(session, lease, [&](Fenced& transaction) {
    // A script may have left the session anyhow.
    transaction.execute("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;" + lease.name_sql());
    record_.fail(transaction, applied, failure);
    closes_gates = is_permanent(failure.code()) &&
                   mark_failed(transaction, bookkeeping_, id_, digest_, record_.run_id(), failure);
  });
  if (closes_gates) write_file(Marker::Status::failed, &failure);
}

void Journal::write_file(Marker::Status status, const Failure* failure) const {
  if (marker_file_.empty()) return;
  Marker marker{.status = status, .digest = digest_, .error = {}, .completed_at = {}};
  if (failure != nullptr) {
    marker.error_code = static_cast<int>(failure->code());
    marker.error = failure->what();
  }
  write_marker_file(marker_file_, id_, marker);
}

}  // namespace schemagate
