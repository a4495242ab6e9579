#include "looking.hpp"

#include <unistd.h>

#include "schemagate/base/text.hpp"
#include "schemagate/cli/status_report.hpp"

namespace schemagate::cli {
namespace {

// A terminal gets it: what was read in a database may hold anything.
StatusReport shown(StatusReport report) {
  const auto show = [](auto&... texts) { ((texts = printable(log::redact(texts))), ...); };
  show(report.app, report.release, report.database, report.schema, report.folder, report.gate_why);
  for (auto& one : report.migrations) show(one.name, one.state, one.at);
  for (auto& finding : report.findings) {
    show(finding.subject, finding.what);
    for (auto& evidence : finding.evidence) show(evidence);
  }
  if (auto& lease = report.lease)
    show(lease->name, lease->app, lease->release, lease->host, lease->since);
  for (auto& run : report.runs)
    show(run.release, run.mode, run.status, run.error, run.note, run.host, run.started_at);
  for (auto& marker : report.markers) show(marker.release, marker.status, marker.completed_at);
  return report;
}

}  // namespace

void LookingCommand::describe(Json& document, ExitCode code) const {
  document.set("healthy", code == ExitCode::done && report_->exit_code() == ExitCode::done);
  if (report_) add_status(document, *report_);
}

std::string LookingCommand::text() const {
  const bool colour = ::isatty(STDOUT_FILENO) != 0 && !process_environment()("NO_COLOR");
  return as_text(shown(*report_), colour);
}

}  // namespace schemagate::cli
