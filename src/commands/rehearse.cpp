#include "schemagate/commands/rehearse.hpp"

#include "one_look.hpp"
#include "refusals.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/recovery/live_copy.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {
namespace {

class Rehearse {
 public:
  Rehearse(const Manifest& manifest, Stop& stop)
      : target_{manifest, folder_of(manifest)}, stop_{stop} {}

  RehearsalReport rehearse(const RowsWanted& rows, bool keep) {
    in_one_look(target_.database, target_.manifest.database, "rehearse", stop_,
                [&](pg::Session& session) { look(session, rows); });
    if (plan_.pending.empty()) return std::move(report_);
    explaining_database_errors(stop_, [&] {
      report_.rehearsal = schemagate::rehearse(*copy_.scratch, target_, plan_, stop_);
    });
    if (keep) tell_where(copy_.scratch->scratch().keep());
    return std::move(report_);
  }

 private:
  void look(pg::Session& session, const RowsWanted& rows) {
    target_.find_history(session);
    target_.refuse_untrusted(session, Bookkeeping::Trust::to_read);
    report_ = {.manifest = target_.manifest.file,
               .database = target_.database.address().display(),
               .schema = target_.schema()};
    const auto found = target_.history()->read(session);
    const auto history = as_settled(found, proven_failures(session, target_, found, stop_));
    const auto drift = look_for_drift(session, target_);
    plan_ = plan_unless_refused(session, target_, history, drift, stop_);
    refuse_lost_folder(target_, history);
    report_.warnings = plan_.warnings;
    if (plan_.pending.empty()) return;
    copy_ = structure(session, history);
    report_.made_by = copy_.made_by;
    report_.differences = copy_.differences;
    if (rows.anything())
      report_.rows = copy_rows(session, copy_.scratch->scratch().session(), target_, rows, stop_);
  }

  LiveCopy structure(pg::Session& session, const History& history) {
    try {
      return copy_structure(session, target_, history, stop_);
    } catch (const CannotTell& e) {
      throw Failure{ExitCode::refused,
                    std::string{"the database cannot be copied for a rehearsal: "} + e.what(),
                    e.hint};
    }
  }

  void tell_where(const std::string& kept) {
    const auto& scratch = target_.manifest.scratch.url;
    const auto address =
        scratch.empty() ? target_.database.address() : connection_string("scratch.url", scratch);
    report_.kept = kept;
    report_.kept_url = address.with_database(kept).url();
    report_.password_key = scratch.empty() ? "database.url" : "scratch.url";
  }

  Target target_;
  Stop& stop_;
  Plan plan_;
  LiveCopy copy_;
  RehearsalReport report_;
};

}  // namespace

RehearsalReport rehearse(const Manifest& manifest, const RowsWanted& rows, bool keep, Stop& stop) {
  if (manifest.migrations.tool == Tool::command)
    throw Failure{ExitCode::usage,
                  "rehearse executes scripts itself, and cannot execute an external command",
                  std::string{"of use with "} + k_writable_histories};
  return Rehearse{manifest, stop}.rehearse(rows, keep);
}

}  // namespace schemagate
