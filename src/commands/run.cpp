#include "schemagate/commands/run.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "drift_watch.hpp"
#include "gap.hpp"
#include "preflight.hpp"
#include "refusals.hpp"
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
    if (is_done_already() && stands()) return tell_nothing_to_do();
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
      if (!target_.database.pooled()) drop_scratches_left(session_, scratch_key(target_));
      journal_.begin(session_, lease, is_native() ? std::string{format().name()} : "command");
      (void)drift_.look(session_, run_id());
      // Another runner of this release may have done it while we waited.
      if (is_done_already()) {
        if (const auto failure = ghost()) {
          journal_.close_gates(session_, lease);
          throw *failure;
        }
        return end_idle(lease);
      }
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
    refuse_what_a_pooler_forbids(target_, plan);
    const auto ahead = outlook(session_, target_, plan, history, stop_);
    if (!plan.pending.empty()) begin(ahead, lease);
    tell_who_else_may_write(session_, target_);
    create_history(lease, history);
    wait_for_gap(session_, *ahead.forecast, target_.settings.gap_wait, stop_);
    const ApplyContext context{.connection = connection,
                               .bookkeeping = target_.bookkeeping,
                               .history = *target_.writable_history(),
                               .tool_lock = tool_lock,
                               .stop = stop_,
                               .may_run_alone = may_run_unfenced(target_),
                               .compare = comparison(history)};
    if (target_.settings.atomic == Atomic::release && !plan.pending.empty()) {
      apply_as_release(session_, plan, context, report_.applied,
                       [&](Fenced& transaction) { complete(transaction, plan.pending.size()); });
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
    refuse_unfenced(target_, "an external migration command");
    if (target_.history() != nullptr)  // a mistake in its description shows before, too
      refuse_lost_folder(target_, target_.history()->read(session_));
    begin(outlook(session_, target_), lease);
    tell_who_else_may_write(session_, target_);
    run_command(target_.manifest, target_.id.release, target_.database, lease, stop_);
    refuse_what_the_command_left_out(session_, target_);
    finish(lease);
    journal_.tell_complete();
    log::info(fmt::format("release {} is complete", target_.id.release));
  }

  void check_only();
  bool is_done_already();
  [[nodiscard]] bool is_allowed(const History& history) const;
  bool stands();
  [[nodiscard]] std::optional<Failure> ghost();
  void complete(Fenced& transaction, std::size_t applied) const;
  void tell_nothing_to_do();
  void end_idle(const Lease& lease);
  void reconnect(const ScriptConnection& connection, const std::string& lost);
  History settled_history(const Lease& lease);
  Plan planned(const History& history);
  std::function<void(const Judge::Migrations&)> comparison(const History& history);
  Outlook look_ahead();
  void begin(const Outlook& ahead, const Lease& lease);
  void create_history(const Lease& lease, const History& history);
  void finish(const Lease& lease);
  void record(const Lease& lease, const Failure& failure);

  [[nodiscard]] const Format& format() const { return *target_.folder.format; }
  [[nodiscard]] ScriptConnection script_connection(const Lease& lease) const {
    return {target_.database, lease, target_.settings, target_.search_path_setting(),
            session_.server_major_version()};
  }
  [[nodiscard]] const std::string& run_id() const { return journal_.record().run_id(); }
  [[nodiscard]] bool is_native() const { return target_.settings.tool != Tool::command; }
  [[nodiscard]] std::string count_of_all() const {
    return counted(target_.folder.migrations.size(), "migration");
  }

  Target& target_;
  pg::Session session_;
  Stop& stop_;
  RunReport& report_;
  Journal journal_;
  DriftWatch drift_{target_};
};

// mode: check. A deployment that must find everything done already.
void Run::check_only() {
  if (target_.history() == nullptr)
    throw Failure{ExitCode::usage, "mode: check needs a history",
                  "set migrations.history: what tells afterwards what the command has done"};
  target_.refuse_untrusted(session_, Bookkeeping::Trust::to_work);
  const auto ahead = look_ahead();
  const auto& pending = *ahead.pending;
  if (pending.empty()) {
    (void)stands();
    return log::info("mode: check: nothing is pending");
  }
  if (const auto failure = preflight(session_, target_, ahead, nullptr))
    log::warn(fmt::format("a run would end with {}: {}\nhint: {}",
                          static_cast<int>(failure->code()), failure->what(),
                          failure->hint().text()));
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

// What holds for a complete release, too: the schema as it was left, and the manifest's checks.
bool Run::stands() {
  if (!drift_.look(session_) || ghost()) return false;
  hold_to_checks(session_, target_);
  return true;
}

// A complete release, of which something is gone.
std::optional<Failure> Run::ghost() {
  if (target_.writable_history() == nullptr || !drift_.seen().is_compared()) return std::nullopt;
  return claims_nothing(session_, target_, target_.history()->read(session_), drift_.seen(), stop_);
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
  hold_to_checks(session_, target_);
  journal_.end_idle(session_, lease,
                    [&](Fenced& transaction) { drift_.store(transaction, run_id(), false); });
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
  const auto proven = proven_failures(session_, target_, history, stop_);
  if (proven.empty()) return history;
  // Nothing is settled for a run that will be refused.
  (void)make_plan(target_.folder, as_settled(history, proven), target_.settings);
  fenced(session_, lease, [&](Fenced& transaction) {
    settle(transaction, *target_.writable_history(), proven, journal_.record());
  });
  return target_.history()->read(session_);
}

Plan Run::planned(const History& history) {
  auto plan = plan_unless_refused(session_, target_, history, drift_.seen(), stop_);
  for (const auto& warning : plan.warnings) log::warn(warning);
  if (!plan.pending.empty())
    log::info(fmt::format("{} of {} to apply to {}, schema {}", plan.pending.size(), count_of_all(),
                          target_.database.address().display(), target_.schema()));
  if (!history.exists() && !target_.folder.migrations.empty()) tell_no_history(session_, target_);
  refuse_lost_folder(target_, history);
  return plan;
}

std::function<void(const Judge::Migrations&)> Run::comparison(const History& history) {
  const auto& settings = target_.settings;
  if (settings.atomic != Atomic::release && !settings.verify_each) return {};
  return [this, &history](const Judge::Migrations& made) {
    auto before = applied_in_order(history, target_.folder);
    for (const auto& name : report_.applied) before.push_back(target_.folder.find(name));
    refuse_other_shapes(session_, target_, before, made, stop_);
  };
}

Outlook Run::look_ahead() {
  if (!is_native()) return outlook(session_, target_);
  const auto history = target_.history()->read(session_);
  return outlook(session_, target_, planned(history), history, stop_);
}

// The last look before the first change.
void Run::begin(const Outlook& ahead, const Lease& lease) {
  if (const auto failure = preflight(session_, target_, ahead, &lease)) throw *failure;
  journal_.close_gates(session_, lease);
}

void Run::create_history(const Lease& lease, const History& history) {
  if (history.exists()) return;
  fenced(session_, lease,
         [&](Fenced& transaction) { target_.writable_history()->create_if_missing(transaction); });
}

void Run::finish(const Lease& lease) {
  fenced(session_, lease, [&](Fenced& transaction) {
    complete(transaction, report_.applied.size());
    stop_.check();
  });
}

void Run::complete(Fenced& transaction, std::size_t applied) const {
  journal_.complete(transaction, verify(transaction.session(), expectation_of(target_)), applied);
  drift_.store(transaction, run_id(), applied > 0 || !is_native());
}

// Throws when the lease is lost: then the failure is of a successor's making, not of the release's.
void Run::record(const Lease& lease, const Failure& failure) {
  if (failure.code() == ExitCode::lease_lost) return;
  const auto write = [&] {
    journal_.fail(session_, lease, report_.applied.size(), failure);
    if (is_native()) drift_.store_after(failure, session_, lease, run_id());
  };
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
