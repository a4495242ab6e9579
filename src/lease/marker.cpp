#include "schemagate/lease/marker.hpp"

#include "schemagate/lease/statements.hpp"

namespace schemagate {

Marker::Status status_of(const std::string& text) {
  if (text == "complete") return Marker::Status::complete;
  return text == "failed" ? Marker::Status::failed : Marker::Status::running;
}

const char* name_of(Marker::Status status) {
  switch (status) {
    case Marker::Status::running: return "running";
    case Marker::Status::complete: return "complete";
    case Marker::Status::failed: return "failed";
  }
  return "running";
}

namespace {

bool write(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
           Marker::Status status, const std::string& digest, const std::string& run_id,
           const pg::Value& code, const pg::Value& error) {
  const auto written =
      transaction.query(bookkeeping.sql(statements::k_write_marker),
                        {id.app, id.release, name_of(status), digest, run_id, code, error});
  if (status != Marker::Status::running)
    transaction.query("SELECT pg_notify($1, '')", {k_marker_channel});
  return !written.empty();
}

std::optional<Marker> marker_of(const pg::Rows& rows) {
  if (rows.empty()) return std::nullopt;
  const auto& row = rows.front();
  return Marker{status_of(row.text(0)), row.text(1), static_cast<int>(row.number(2)), row.text(3),
                row.text(4)};
}

}  // namespace

std::optional<Marker> read_marker(pg::Session& session, const Bookkeeping& bookkeeping,
                                  const ReleaseId& id, Milliseconds limit) {
  return marker_of(session.query_within(limit, bookkeeping.sql(statements::k_read_marker),
                                        {id.app, id.release}));
}

std::optional<Marker> find_marker(pg::Session& session, const Bookkeeping& bookkeeping,
                                  const ReleaseId& id) {
  return marker_of(session.query(bookkeeping.sql(statements::k_read_marker), {id.app, id.release}));
}

std::optional<NewerRelease> find_newer_release(pg::Session& session, const Bookkeeping& bookkeeping,
                                               const ReleaseId& id) {
  const auto rows =
      session.query(bookkeeping.sql(statements::k_newer_release), {id.app, id.release});
  if (rows.empty()) return std::nullopt;
  return NewerRelease{rows[0].text(0), rows[0].text(1)};
}

void mark_running(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                  const std::string& digest, const std::string& run_id) {
  write(transaction, bookkeeping, id, Marker::Status::running, digest, run_id, {}, {});
}

void mark_complete(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                   const Verified& verified, const std::string& run_id) {
  write(transaction, bookkeeping, id, Marker::Status::complete, verified.digest(), run_id, {}, {});
}

bool mark_failed(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                 const std::string& digest, const std::string& run_id, ExitCode code,
                 const std::string& error) {
  return write(transaction, bookkeeping, id, Marker::Status::failed, digest, run_id,
               std::to_string(static_cast<int>(code)), error);
}

}  // namespace schemagate
