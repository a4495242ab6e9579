#include "schemagate/commands/rehearse.hpp"

#include <fmt/core.h>

#include <optional>

#include "refusals.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/missing_right.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/diagnosis.hpp"
#include "schemagate/recovery/existing.hpp"
#include "schemagate/recovery/live_copy.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {
namespace {

// One moment for all that is read; it may be idle while a replay is at work.
std::string look_prologue(int server_major_version) {
  return std::string{pg::k_guard} +
         "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '60s';"
         "SET LOCAL idle_in_transaction_session_timeout = 0;" +
         (server_major_version >= 17 ? "SET LOCAL transaction_timeout = 0;" : "");
}

// As a run would find it, which settles what is proven.
History history_to_be(pg::Session& session, const Target& target, const Stop& stop) {
  auto history = target.history()->read(session);
  if (!history.foreign_tables.empty())
    throw not_baselined(target, history, examine_pending(session, target, history, stop));
  std::vector<Settlement> proven;
  std::vector<Settlement> open;
  for (auto& one : examine_failed(session, target, history, stop)) {
    if (one.outcome == Settlement::Outcome::resumable) continue;
    (one.proven && target.settings.repair == Repair::automatic ? proven : open)
        .push_back(std::move(one));
  }
  if (!open.empty()) throw blocked_by(target, open);
  return as_settled(std::move(history), proven);
}

Plan planned(pg::Session& session, const Target& target, const History& history, const Stop& stop) {
  const auto drift = look_for_drift(session, target);
  if (const auto failure = claims_nothing(session, target, history, drift, stop)) throw *failure;
  auto plan = make_plan(target.folder, history, target.settings);
  if (!plan.blocking.empty())
    throw blocked_by(target, examine_failed(session, target, history, stop));
  refuse_lost_folder(target, history);
  return plan;
}

class Rehearse {
 public:
  Rehearse(const Manifest& manifest, Stop& stop)
      : target_{manifest, folder_of(manifest)}, stop_{stop},
        session_{connect_to_read(target_.database, manifest.database, stop)} {}

  RehearsalReport rehearse(const RowsWanted& rows, bool keep) {
    std::optional<pg::Transaction> look{std::in_place, session_,
                                        look_prologue(session_.server_major_version()),
                                        pg::Transaction::Kind::snapshot};
    target_.find_history(session_);
    target_.refuse_untrusted(session_, Bookkeeping::Trust::to_read);
    RehearsalReport report{.manifest = target_.manifest.file,
                           .database = target_.database.address().display(),
                           .schema = target_.schema()};
    const auto history = history_to_be(session_, target_, stop_);
    const auto plan = planned(session_, target_, history, stop_);
    report.warnings = plan.warnings;
    if (plan.pending.empty()) return report;
    auto copy = structure(history);
    report.made_by = copy.made_by;
    report.differences = copy.differences;
    if (rows.anything())
      report.rows = copy_rows(session_, copy.scratch->scratch().session(), target_, rows, stop_);
    look.reset();
    report.rehearsal = schemagate::rehearse(*copy.scratch, target_, plan, stop_);
    if (keep) tell_where(copy.scratch->scratch().keep(), report);
    return report;
  }

 private:
  LiveCopy structure(const History& history) {
    try {
      return copy_structure(session_, target_, history, stop_);
    } catch (const CannotTell& e) {
      throw Failure{ExitCode::refused,
                    std::string{"the database cannot be copied for a rehearsal: "} + e.what(),
                    e.hint};
    }
  }

  void tell_where(const std::string& kept, RehearsalReport& report) const {
    const auto& scratch = target_.manifest.scratch.url;
    const auto address =
        scratch.empty() ? target_.database.address() : connection_string("scratch.url", scratch);
    report.kept = kept;
    report.kept_url = address.with_database(kept).url();
    report.password_key = scratch.empty() ? "database.url" : "scratch.url";
  }

  Target target_;
  Stop& stop_;
  pg::Session session_;
};

}  // namespace

RehearsalReport rehearse(const Manifest& manifest, const RowsWanted& rows, bool keep, Stop& stop) {
  if (manifest.migrations.tool == Tool::command)
    throw Failure{ExitCode::usage,
                  "rehearse executes scripts itself, and cannot execute an external command",
                  std::string{"of use with "} + k_writable_histories};
  RehearsalReport report;
  explaining_database_errors(stop, [&] {
    try {
      report = Rehearse{manifest, stop}.rehearse(rows, keep);
    } catch (const pg::Error& e) {
      if (e.sqlstate == "42501")
        throw Failure{ExitCode::refused,
                      fmt::format("the role may not read the history: {}", e.message),
                      remedy_of_missing_right(e, "SELECT")};
      if (e.sqlstate != "55P03" && e.sqlstate != "57014") throw;
      throw Failure{
          ExitCode::lock_timeout,
          fmt::format("cannot look: {}: somebody holds a table by an exclusive lock", e.message),
          std::string{"see who is in a transaction: "} + k_open_transactions +
              "; then try again: " + own_command("rehearse")};
    }
  });
  return report;
}

}  // namespace schemagate
