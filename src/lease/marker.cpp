#include "schemagate/lease/marker.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "schemagate/base/fault.hpp"
#include "schemagate/base/json.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/statements.hpp"

namespace schemagate {
namespace {

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
  return marker_of(session.query(bookkeeping.sql(statements::k_read_marker),
                                 {id.app, id.release, id.scope}));
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

void write_marker_file(const std::filesystem::path& file, const ReleaseId& id,
                       const Marker& marker) {
  Json json;
  json.set("app", id.app)
      .set("release", id.release)
      .set("status", name_of(marker.status))
      .set("digest", marker.digest);
  json.set("error_code", std::to_string(marker.error_code)).set("error", log::redact(marker.error));
  const auto text = json.pretty() + "\n";
  auto beside = file;
  beside += fmt::format(".{}", ::getpid());
  fault::step("marker_file.write");
  const int fd = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  const bool written = fd >= 0 &&
                       ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  fault::step("marker_file.rename");
  if (written && ::rename(beside.c_str(), file.c_str()) == 0) return;
  const int reason = written ? errno : error;
  ::unlink(beside.c_str());
  throw Failure{
      ExitCode::usage,
      fmt::format("cannot write marker.file {}: {}", file.string(), std::strerror(reason)),
      "its directory must exist and be writable for this user (a shared volume)"};
}

std::optional<Marker> read_marker_file(const std::filesystem::path& file, const ReleaseId& id) {
  std::ifstream stream{file, std::ios::binary};
  std::ostringstream content;
  if (!stream || !(content << stream.rdbuf())) return std::nullopt;
  const auto json = Json::parse(content.str());
  if (!json || json->text("app") != id.app || json->text("release") != id.release)
    return std::nullopt;
  const auto code = json->text("error_code");
  return Marker{.status = status_of(json->text("status")),
                .digest = json->text("digest"),
                .error_code = std::atoi(code.c_str()),
                .error = json->text("error"),
                .changed_at = {}};
}

}  // namespace schemagate
