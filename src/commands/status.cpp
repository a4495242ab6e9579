#include "schemagate/commands/status.hpp"

#include "inspector.hpp"
#include "one_look.hpp"
#include "schemagate/commands/gate_view.hpp"
#include "schemagate/lease/last_runs.hpp"
#include "schemagate/lease/statements.hpp"

namespace schemagate {
StatusReport Inspector::inspect() {
  report_.manifest = manifest_.file;
  report_.app = target_.id.app;
  report_.release = target_.id.release;
  report_.folder = target_.folder.directory.lexically_proximate(std::filesystem::current_path());
  in_one_look(target_.database, manifest_.database, "status", stop_, [&](pg::Session& session) {
    report_.database = target_.database.address().display();
    look_at_all(session);
  });
  return std::move(report_);
}

Folder Inspector::read_folder_if_possible() {
  try {
    return folder_of(manifest_);
  } catch (const Failure& failure) {
    report_.findings.push_back({"folder", "", failure.what(), {}, failure.hint(), failure.code()});
    folder_is_readable_ = false;
    return {.directory = manifest_.migrations.directory,
            .migrations = {},
            .digest = "",
            .format = format_of(manifest_.migrations)};
  }
}

void Inspector::look_at_all(pg::Session& session) {
  target_.find_history(session);
  target_.refuse_untrusted(session, Bookkeeping::Trust::to_read);
  refuse_what_a_run_refuses(session);
  report_.schema = target_.schema();
  look_at_lease(session);
  if (!run_is_at_work()) drift_ = look_for_drift(session, target_);
  if (target_.history() != nullptr) look_at_history(session);
  look_at_writers(session);
  look_at_runs(session);
  look_at_gate(session);
  look_at_catalogue(session);
  look_at_drift();
  if (look_ != Look::status) look_at_checks(session);
}

// As far as the role of runs is known: by the last one.
void Inspector::refuse_what_a_run_refuses(pg::Session& session) {
  if (!target_.bookkeeping.may_read(session, "lock")) return;
  const auto worker =
      session.query(target_.bookkeeping.sql(statements::k_last_worker), {target_.id.app});
  if (!worker.empty())
    target_.refuse_untrusted(session, Bookkeeping::Trust::to_work, worker[0].text(0));
}

void Inspector::look_at_lease(pg::Session& session) {
  if (!target_.bookkeeping.may_read(session, "lock")) return;
  const auto name = target_.lease_request().name;
  const auto rows = session.query(target_.bookkeeping.sql(statements::k_read_lease), {name});
  if (rows.empty()) return;
  const auto& row = rows.front();
  report_.lease = StatusReport::Lease{.name = name,
                                      .held = !row.flag(5),
                                      .app = row.text(0),
                                      .release = row.text(1),
                                      .host = row.text(2),
                                      .since = row.text(3),
                                      .renewed_ago_s = row.text(4)};
}

void Inspector::look_at_runs(pg::Session& session) {
  if (!target_.bookkeeping.may_read(session, "run")) return;
  for (const auto& row : session.query(target_.bookkeeping.sql(statements::k_recent_runs),
                                       {target_.id.app, target_.id.scope})) {
    report_.runs.push_back({.id = row.number(0),
                            .release = row.text(1),
                            .mode = row.text(2),
                            .status = row.text(3),
                            .applied = static_cast<int>(row.number(4)),
                            .error_code = static_cast<int>(row.number(5)),
                            .error = row.text(6),
                            .note = row.text(7),
                            .host = row.text(8),
                            .started_at = row.text(9),
                            .took_ms = row.number(10)});
    auto& run = report_.runs.back();
    if (run.status == "running" && !run_is_at_work()) run.status = "killed";
  }
}

void Inspector::look_at_gate(pg::Session& session) {
  if (!folder_is_readable_) {
    report_.gate_why = "unknown: what this image holds cannot be read";
    return;
  }
  const bool may_read = target_.bookkeeping.may_read(session, "marker");
  if (target_.bookkeeping.is_current(session) && !may_read) {
    report_.gate_why = "unknown: this role may not read the markers (deploy/sql/status-role.sql)";
    return;
  }
  const auto view = look_through_gate(session, target_, true);
  report_.gate_open = view.state == GateView::State::open;
  report_.gate_why = view.why;
  if (may_read)
    for (const auto& row : session.query(target_.bookkeeping.sql(statements::k_recent_markers),
                                         {target_.id.app, target_.id.scope}))
      report_.markers.push_back({.release = row.text(0),
                                 .status = row.text(1),
                                 .completed_at = row.text(3),
                                 .error_code = static_cast<int>(row.number(2))});
  if (!may_read && !target_.bookkeeping.exists(session)) return;
  if (view.state == GateView::State::closed)
    add({"gate-closed",
         "",
         "the gate is closed: " + report_.gate_why,
         {},
         run_is_at_work() ? "wait for the run at work" : own_command("run"),
         ExitCode::gate_timeout});
  if (view.state == GateView::State::failed)
    add({"gate-closed",
         "",
         "the gate is closed: " + report_.gate_why,
         {},
         "fix the cause, then: " + own_command("run"),
         view.code});
}

ExitCode StatusReport::exit_code() const {
  auto worst = ExitCode::done;
  for (const auto& finding : findings)
    if (finding.code != ExitCode::done && (worst == ExitCode::done || finding.code < worst))
      worst = finding.code;
  return worst;
}

StatusReport status(const Manifest& manifest, Stop& stop, Look look) {
  return Inspector{manifest, stop, look}.inspect();
}

}  // namespace schemagate
