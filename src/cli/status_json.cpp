#include "schemagate/cli/status_report.hpp"
#include "schemagate/manifest/typed_hint.hpp"

namespace schemagate {
namespace {

std::vector<Json> migrations_of(const StatusReport& report) {
  std::vector<Json> migrations;
  for (const auto& one : report.migrations)
    migrations.emplace_back()
        .set("name", one.name)
        .set("state", one.state)
        .set("applied_at", one.at);
  return migrations;
}

std::vector<Json> findings_of(const StatusReport& report) {
  std::vector<Json> findings;
  for (const auto& one : report.findings)
    findings.emplace_back()
        .set("state", one.state)
        .set("subject", one.subject)
        .set("what", one.what)
        .set("evidence", one.evidence)
        .set("hint", as_typed(one.hint, report.manifest))
        .set("exit_code", static_cast<int>(one.code));
  return findings;
}

Json document_of(const StatusReport::Lease& lease) {
  Json document;
  document.set("name", lease.name).set("held", lease.held);
  document.set("app", lease.app).set("release", lease.release);
  document.set("host", lease.host).set("since", lease.since);
  return document;
}

Json document_of(const StatusReport::Drift& drift) {
  Json document;
  document.set("looked", drift.why_not.empty());
  if (!drift.why_not.empty()) return std::move(document.set("why_not", drift.why_not));
  document.set("since", drift.since).set("fingerprint", drift.fingerprint);
  document.set("differences", drift.differences);
  return document;
}

std::vector<Json> runs_of(const StatusReport& report) {
  std::vector<Json> runs;
  for (const auto& one : report.runs)
    runs.emplace_back()
        .set("id", one.id)
        .set("release", one.release)
        .set("mode", one.mode)
        .set("status", one.status)
        .set("applied", one.applied)
        .set("error_code", one.error_code)
        .set("error", one.error)
        .set("note", one.note)
        .set("host", one.host)
        .set("started_at", one.started_at)
        .set("took_ms", one.took_ms);
  return runs;
}

std::vector<Json> markers_of(const StatusReport& report) {
  std::vector<Json> markers;
  for (const auto& one : report.markers)
    markers.emplace_back()
        .set("release", one.release)
        .set("status", one.status)
        .set("error_code", one.error_code)
        .set("completed_at", one.completed_at);
  return markers;
}

}  // namespace

void add_status(Json& document, const StatusReport& report) {
  document.set("app", report.app).set("release", report.release);
  document.set("database", report.database).set("schema", report.schema);
  document.set("migrations", migrations_of(report)).set("findings", findings_of(report));
  if (report.lease) document.set("lease", document_of(*report.lease));
  document.set("runs", runs_of(report)).set("markers", markers_of(report));
  if (report.drift) document.set("drift", document_of(*report.drift));
  if (report.gate_open)
    document.set("gate", Json{}.set("open", *report.gate_open).set("why", report.gate_why));
}

}  // namespace schemagate
