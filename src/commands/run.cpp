#include "schemagate/commands/run.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/commands/under_lease.hpp"
#include "schemagate/lease/journal.hpp"
#include "schemagate/migrate/apply.hpp"
#include "schemagate/migrate/external_command.hpp"
#include "schemagate/migrate/verify.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/existing.hpp"
#include "schemagate/recovery/settle.hpp"
#include "schemagate/recovery/target.hpp"
#include "warnings.hpp"

namespace schemagate {
namespace {

constexpr std::chrono::seconds k_look_within{30};  // the first look at the marker

class Run {
 public:
  Run(Target& target, pg::Session session, Stop& stop, RunReport& report)
      : target_{target}, session_{std::move(session)}, stop_{stop}, report_{report},
        journal_{target.bookkeeping, target.id, target.folder.digest, target.manifest} {}

  void run() {
    if (target_.manifest.mode == Mode::check) return check_only();
    if (is_done_already()) return tell_nothing_to_do();
    under_lease(session_, target_, is_native(), stop_, [&](const Lease& lease) {
      try {
        explaining_database_errors(stop_, [&] { work(lease); });
      } catch (const Failure& failure) {
        record(lease, failure);
        throw;
      }
    });
  }

 private:
  void work(const Lease& lease) {
    const ScriptConnection connection = script_connection(lease);
    try {
      session_ = connection.open();
      journal_.begin(session_, lease, is_native() ? std::string{format().name()} : "command");
      // Another runner of this release may have done it while we waited.
      if (is_done_already()) return end_idle(lease);
      if (is_native()) apply_natively(connection);
      else apply_with_command(lease);
    } catch (const pg::ConnectionLost& e) {
      stop_.check();
      reconnect(connection, e.what());
      if (!is_done_already()) throw;
      // Only the answer to the last COMMIT was lost.
      journal_.tell_complete();
      log::info(fmt::format("release {} is complete, as read back after: {}", target_.id.release,
                            e.what()));
    }
  }

  void apply_natively(const ScriptConnection& connection) {
    const auto& lease = connection.lease;
    ToolLock tool_lock{session_, format(), target_.database, target_.manifest.lease.wait, stop_};
    tool_lock.acquire();
    const auto history = settled_history(lease);
    const auto plan = planned(history);
    refuse_what_a_pooler_forbids(plan);
    if (!plan.pending.empty()) journal_.close_gates(session_, lease);
    tell_who_else_may_write(session_, target_);
    create_history(lease, history);
    const ApplyContext context{.connection = connection,
                               .bookkeeping = target_.bookkeeping,
                               .history = *target_.writable_history(),
                               .tool_lock = tool_lock,
                               .stop = stop_,
                               .may_run_alone = may_run_unfenced()};
    if (target_.settings.atomic == Atomic::release && !plan.pending.empty()) {
      apply_as_release(session_, plan, context, report_.applied, [&](Fenced& transaction) {
        journal_.complete(transaction, verified(), plan.pending.size());
      });
    } else {
      apply_each(session_, plan, context, report_.applied);
      finish(lease);
    }
    journal_.tell_complete();
    log::info(fmt::format("release {} is complete: {} applied now, {} in all", target_.id.release,
                          report_.applied.size(), count_of_all()));
    if (plan.pending.empty()) tell_if_old_image(session_, target_);
  }

  void apply_with_command(const Lease& lease) {
    refuse_unfenced("an external migration command");
    if (target_.history() != nullptr)  // a mistake in its description shows before, too
      refuse_lost_folder(target_.history()->read(session_));
    journal_.close_gates(session_, lease);
    tell_who_else_may_write(session_, target_);
    run_command(target_.manifest, target_.id.release, target_.database, lease, stop_);
    refuse_what_the_command_left_out();
    finish(lease);
    journal_.tell_complete();
    log::info(fmt::format("release {} is complete", target_.id.release));
  }

  void check_only();
  bool is_done_already();
  [[nodiscard]] bool is_allowed(const History& history) const;
  void tell_nothing_to_do();
  void end_idle(const Lease& lease);
  void reconnect(const ScriptConnection& connection, const std::string& lost);
  History settled_history(const Lease& lease);
  Plan planned(const History& history);
  void refuse_what_is_not_there(const History& history);
  void refuse_lost_folder(const History& history) const;
  void create_history(const Lease& lease, const History& history);
  void refuse_unfenced(const std::string& what) const;
  void refuse_what_a_pooler_forbids(const Plan& plan);
  std::vector<std::string> missing_after_the_command();
  void refuse_what_the_command_left_out();
  [[nodiscard]] Verified verified();
  void finish(const Lease& lease);
  void record(const Lease& lease, const Failure& failure);

  [[nodiscard]] const Format& format() const { return *target_.folder.format; }
  [[nodiscard]] ScriptConnection script_connection(const Lease& lease) const {
    return {target_.database, lease, target_.settings, target_.search_path_setting(),
            session_.server_major_version()};
  }
  [[nodiscard]] bool is_native() const { return target_.settings.tool != Tool::command; }
  [[nodiscard]] bool may_run_unfenced() const {
    return !target_.database.pooled() || target_.manifest.lease.allow_unfenced;
  }
  [[nodiscard]] std::string count_of_all() const {
    return counted(target_.folder.migrations.size(), "migration");
  }

  Target& target_;
  pg::Session session_;
  Stop& stop_;
  RunReport& report_;
  Journal journal_;
};

// mode: check. A deployment that must find everything done already.
void Run::check_only() {
  if (target_.history() == nullptr)
    throw Failure{ExitCode::usage, "mode: check needs a history",
                  "set migrations.history: what tells afterwards what the command has done"};
  target_.refuse_untrusted(session_, Bookkeeping::Trust::to_work);
  std::vector<std::string> pending;
  if (is_native())
    for (const auto& one : planned(target_.history()->read(session_)).pending)
      pending.push_back(one.migration->name);
  else pending = target_.missing_in_history(session_);
  if (pending.empty()) return log::info("mode: check: nothing is pending");
  throw Failure{ExitCode::history,
                fmt::format("mode: check: {} pending:\n  {}", counted(pending.size(), "migration"),
                            join(pending, "\n  ")),
                "run with mode: apply (SCHEMAGATE_MODE=apply)"};
}

// One look without the lease. A rolled-back image is done, too, whatever a newer one left behind.
bool Run::is_done_already() {
  if (!target_.bookkeeping.is_current(session_)) return false;
  target_.refuse_untrusted(session_, Bookkeeping::Trust::to_work);
  const auto marker = read_marker(session_, target_.bookkeeping, target_.id, k_look_within);
  if (!marker || marker->status != Marker::Status::complete ||
      marker->digest != target_.folder.digest)
    return false;
  if (target_.history() == nullptr) return true;
  const auto history = target_.history()->read(session_);
  if (marker->history_oid != history.oid ||
      !not_applied(target_.folder, history, target_.settings.edited).empty() ||
      !is_allowed(history) || found_not_there(session_, target_))
    return false;
  for (const auto& row : history.rows)
    if (row.failed())
      log::warn(fmt::format(
          "migration {}, which another image brought, has failed: schemagate status", row.name));
  return true;
}

// By the manifest's policies, which hold for a complete release, too.
bool Run::is_allowed(const History& history) const {
  const auto found = discrepancies(target_.folder, history);
  return std::none_of(found.begin(), found.end(), [&](const auto& one) {
    return policy_for(one.kind, target_.settings) == Policy::fail;
  });
}

void Run::tell_nothing_to_do() {
  report_.already_done = true;
  journal_.tell_complete();
  log::info(fmt::format("nothing to do: release {} is complete in {}, schema {}: {} applied",
                        target_.id.release, target_.database.address().display(), target_.schema(),
                        count_of_all()));
  tell_if_old_image(session_, target_);
}

void Run::end_idle(const Lease& lease) {
  journal_.end_idle(session_, lease);
  tell_nothing_to_do();
}

// To record the failure and give the lease back, or to learn that it is the lease that was lost: a
// successor ends our backends before it works.
void Run::reconnect(const ScriptConnection& connection, const std::string& lost) {
  try {
    session_ = connection.open();
  } catch (const pg::ConnectionLost& e) {
    throw Failure{ExitCode::connection_lost,
                  fmt::format("connection lost while working: {}; the server cannot be reached "
                              "again: {}",
                              lost, e.what()),
                  "run again: what is missing will be done then"};
  }
  connection.lease.check(session_);
}

// Failed rows whose fate is proven need nobody's decision; the others stop the run.
History Run::settled_history(const Lease& lease) {
  auto history = target_.history()->read(session_);
  std::vector<Settlement> proven;
  std::vector<Settlement> open;
  for (auto& settlement : examine_failed(session_, target_, history, stop_)) {
    if (settlement.outcome == Settlement::Outcome::resumable) continue;
    (settlement.proven && target_.settings.repair == Repair::automatic ? proven : open)
        .push_back(std::move(settlement));
  }
  if (!open.empty()) throw blocked_by(target_, open);
  if (proven.empty()) return history;
  // Nothing is settled for a run that will be refused.
  (void)make_plan(target_.folder, as_settled(history, proven), target_.settings);
  fenced(session_, lease, [&](Fenced& transaction) {
    settle(transaction, *target_.writable_history(), proven, journal_.record());
  });
  return target_.history()->read(session_);
}

Plan Run::planned(const History& history) {
  if (!history.foreign_tables.empty())
    throw not_baselined(target_, history, examine_pending(session_, target_, history, stop_));
  refuse_what_is_not_there(history);
  auto plan = make_plan(target_.folder, history, target_.settings);
  if (!plan.blocking.empty())
    throw blocked_by(target_, examine_failed(session_, target_, history, stop_));
  for (const auto& warning : plan.warnings) log::warn(warning);
  if (!plan.pending.empty())
    log::info(fmt::format("{} of {} to apply to {}, schema {}", plan.pending.size(), count_of_all(),
                          target_.database.address().display(), target_.schema()));
  if (!history.exists() && !target_.folder.migrations.empty()) tell_no_history(session_, target_);
  refuse_lost_folder(history);
  return plan;
}

// A row that a person wrote, or had written, may claim what was never done.
void Run::refuse_what_is_not_there(const History& history) {
  const auto is_claim = [](const auto& row) { return row.applied() && row.steps == 0; };
  if (target_.writable_history() == nullptr ||
      std::none_of(history.rows.begin(), history.rows.end(), is_claim))
    return;
  if (auto failure = not_there(examine_applied(session_, target_, history, stop_))) throw *failure;
}

void Run::refuse_lost_folder(const History& history) const {
  if (!target_.folder.migrations.empty()) return;
  const auto lost = not_applied(target_.folder, history, target_.settings.edited);
  if (lost.empty()) return;
  throw Failure{ExitCode::history, fmt::format("schema {}: {}", target_.schema(), lost.front()),
                "does the image hold them (COPY)? is it the right database?"};
}

void Run::create_history(const Lease& lease, const History& history) {
  if (history.exists()) return;
  fenced(session_, lease,
         [&](Fenced& transaction) { target_.writable_history()->create_if_missing(transaction); });
}

void Run::refuse_unfenced(const std::string& what) const {
  if (may_run_unfenced()) return;
  throw Failure{
      ExitCode::refused,
      fmt::format(
          "refused: {} cannot be fenced through a pooler ({}): if this runner lost its lease, nobody "
          "could end it",
          what, target_.database.address().display()),
      "set database.direct_url to the server's own address; or accept the risk with lease.unfenced: allow"};
}

// Outside of transactions a SET would stay on a pooled backend, which is another client's next.
void Run::refuse_what_a_pooler_forbids(const Plan& plan) {
  if (!plan.needs_direct_connection()) return;
  refuse_unfenced("a statement that PostgreSQL does not run in a transaction");
  if (!target_.database.pooled()) return;
  const bool other_schema =
      target_.search_path_setting() != target_.database.surroundings().search_path;
  if (!plan.sets_outside_transactions() && !other_schema) return;
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: {} cannot be set through a pooler ({}) for a statement that PostgreSQL "
                  "does not run in a transaction",
                  other_schema ? "the search_path" : "what the script SETs",
                  target_.database.address().display()),
      "set database.direct_url to the server's own address"};
}

// What was wrong with the description of a table that the command has only just made is no mistake
// before anything was done: the gates have to know.
std::vector<std::string> Run::missing_after_the_command() {
  try {
    return target_.missing_in_history(session_);
  } catch (const Failure& failure) {
    if (failure.code() != ExitCode::usage) throw;
    throw Failure{ExitCode::command_failed,
                  fmt::format("the migration command ended with exit code 0, but what it has done "
                              "cannot be read: {}",
                              failure.what()),
                  failure.hint()};
  }
}

void Run::refuse_what_the_command_left_out() {
  const auto missing = missing_after_the_command();
  if (missing.empty()) return;
  throw Failure{
      ExitCode::command_failed,
      "the migration command ended with exit code 0, but the history does not hold what this image holds:\n  " +
          join(missing, "\n  "),
      "does the command run in an older container or another folder than this manifest's? (Coolify's "
      "pre-deployment command does)"};
}

Verified Run::verified() {
  return verify(session_, {.folder = target_.folder,
                           .history = target_.history(),
                           .checks = target_.manifest.verify,
                           .variables = target_.manifest.variables,
                           .schema = target_.schema(),
                           .search_path = target_.search_path_setting(),
                           .edited = target_.settings.edited});
}

void Run::finish(const Lease& lease) {
  const auto proof = verified();
  fenced(session_, lease, [&](Fenced& transaction) {
    journal_.complete(transaction, proof, report_.applied.size());
    stop_.check();
  });
}

// Throws when the lease is lost: then the failure is of a successor's making, not of the release's.
void Run::record(const Lease& lease, const Failure& failure) {
  if (failure.code() == ExitCode::lease_lost) return;
  const auto write = [&] { journal_.fail(session_, lease, report_.applied.size(), failure); };
  try {
    try {
      write();
    } catch (const pg::ConnectionLost& e) {  // idle for as long as an external command took
      reconnect(script_connection(lease), e.what());
      write();
    }
  } catch (const Failure& e) {
    if (e.code() == ExitCode::lease_lost) throw;
    log::warn(fmt::format("the failure could not be recorded for waiting gates: {}", e.what()));
  } catch (const std::exception& e) {
    log::warn(fmt::format("the failure could not be recorded for waiting gates: {}", e.what()));
  }
}

}  // namespace

void run(const Manifest& manifest, Stop& stop, RunReport& report) {
  report.mode = manifest.mode;
  report.app = manifest.app;
  if (manifest.mode == Mode::off)
    return log::info("mode: off: nothing is looked at and nothing is done");
  explaining_database_errors(stop, [&] {
    Target target{manifest, folder_of(manifest)};
    report.release = target.id.release;
    refuse_destructive_command(target.settings.command);
    auto session = wait_until_ready(target.database, manifest.database, stop);
    target.find_history(session);
    Run{target, std::move(session), stop, report}.run();
  });
}

}  // namespace schemagate
