#include "schemagate/lease/marker.hpp"

#include "schemagate/lease/last_runs.hpp"
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
           const pg::Value& code, const pg::Value& error, const pg::Value& history_oid) {
  const auto written = transaction.query(
      bookkeeping.sql(statements::k_write_marker),
      {id.app, id.release, id.scope, name_of(status), digest, run_id, code, error, history_oid});
  if (status != Marker::Status::running)
    transaction.query("SELECT pg_notify($1, '')", {k_marker_channel});
  return !written.empty();
}

std::optional<Marker> marker_of(const pg::Rows& rows) {
  if (rows.empty()) return std::nullopt;
  const auto& row = rows.front();
  return Marker{.status = status_of(row.text(0)),
                .digest = row.text(1),
                .error_code = static_cast<int>(row.number(2)),
                .error = row.text(3),
                .history_oid = row.number(4),
                .changed_at = row.text(5)};
}

}  // namespace

std::optional<Marker> read_marker(pg::Session& session, const Bookkeeping& bookkeeping,
                                  const ReleaseId& id, Milliseconds limit) {
  return marker_of(session.query_within(limit, bookkeeping.sql(statements::k_read_marker),
                                        {id.app, id.release, id.scope}));
}

std::optional<Marker> find_marker(pg::Session& session, const Bookkeeping& bookkeeping,
                                  const ReleaseId& id) {
  return marker_of(
      session.query(bookkeeping.sql(statements::k_read_marker), {id.app, id.release, id.scope}));
}

std::optional<OtherMarker> find_other_marker(pg::Session& session, const Bookkeeping& bookkeeping,
                                             const ReleaseId& id, const std::string& digest) {
  const auto rows = session.query(bookkeeping.sql(statements::k_other_markers),
                                  {id.app, id.release, id.scope, digest});
  if (rows.empty()) return std::nullopt;
  const auto& row = rows.front();
  return OtherMarker{row.text(0), row.text(1), row.flag(2), row.text(3)};
}

std::optional<NewerRelease> find_newer_release(pg::Session& session, const Bookkeeping& bookkeeping,
                                               const ReleaseId& id) {
  const auto rows =
      session.query(bookkeeping.sql(statements::k_newer_release), {id.app, id.release, id.scope});
  if (rows.empty()) return std::nullopt;
  return NewerRelease{rows[0].text(0), rows[0].text(1)};
}

std::optional<Completion>
find_first_completion(pg::Session& session, const Bookkeeping& bookkeeping, const ReleaseId& id) {
  const auto row =
      session.row(bookkeeping.sql(statements::k_first_completion), {id.app, id.release, id.scope});
  if (!row.at(0)) return std::nullopt;
  return Completion{.at_us = row.number(0), .at = row.text(1)};
}

std::optional<LastOutcome> find_last_outcome(pg::Session& session, const Bookkeeping& bookkeeping,
                                             const std::string& scope) {
  const auto rows = session.query(bookkeeping.sql(statements::k_last_outcome), {scope});
  if (rows.empty()) return std::nullopt;
  const auto& row = rows.front();
  return LastOutcome{row.text(0), static_cast<int>(row.number(1)), row.text(2), row.text(3)};
}

void mark_running(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                  const std::string& digest, const std::string& run_id) {
  write(transaction, bookkeeping, id, Marker::Status::running, digest, run_id, {}, {}, {});
}

void mark_complete(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                   const Verified& verified, const std::string& run_id) {
  const auto oid = verified.history_oid();
  write(transaction, bookkeeping, id, Marker::Status::complete, verified.digest(), run_id, {}, {},
        oid == 0 ? pg::Value{} : std::to_string(oid));
}

bool mark_failed(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                 const std::string& digest, const std::string& run_id, ExitCode code,
                 const std::string& error) {
  return write(transaction, bookkeeping, id, Marker::Status::failed, digest, run_id,
               std::to_string(static_cast<int>(code)), error, {});
}

void mark_ended(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                const std::string& run_id, ExitCode code, const std::string& error) {
  transaction.query(
      bookkeeping.sql(statements::k_end_marker),
      {id.app, id.release, id.scope, run_id, std::to_string(static_cast<int>(code)), error});
}

}  // namespace schemagate
