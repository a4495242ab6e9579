#include "schemagate/commands/run.hpp"

#include <fmt/core.h>

#include "schemagate/base/container.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/marker.hpp"
#include "schemagate/lease/run_record.hpp"
#include "schemagate/migrate/apply.hpp"
#include "schemagate/migrate/external_command.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/migrate/script_session.hpp"
#include "schemagate/migrate/verify.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/resolve.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {
namespace {

constexpr std::chrono::seconds k_look_within{30};  // the first look at the marker

class Job {
 public:
  Job(const Manifest& manifest, Stop& stop, RunReport& report)
      : manifest_{manifest}, stop_{stop}, report_{report}, target_{manifest, folder_of(manifest)} {
    report.app = target_.id.app;
    report.release = target_.id.release;
  }

  void run() {
    if (target_.is_external()) refuse_destructive_command(target_.settings.command);
    auto session = wait_until_ready(target_.database, manifest_.database, stop_);
    server_major_version_ = session.server_major_version();
    target_.find_history(session);
    if (manifest_.mode == Mode::check) return check_only(session);
    if (is_done_already(session)) return tell_nothing_to_do(session);

    target_.bookkeeping.create_if_missing(session);
    target_.bookkeeping.check_rights(session,
                                     target_.has_history() ? target_.history().schema() : "");
    if (!target_.is_external())
      target_.bookkeeping.check_may_create_history(session, target_.history().schema());
    Lease lease{session, target_.database, target_.bookkeeping, target_.lease_request(), stop_};
    try {
      explaining_database_errors(stop_, [&] { work(session, lease); });
    } catch (const Failure& failure) {
      record(session, lease, failure);
      lease.release(session);
      throw;
    }
    lease.release(session);
  }

 private:
  void check_only(pg::Session& session);
  bool is_done_already(pg::Session& session);
  void tell_nothing_to_do(pg::Session& session);
  void tell_if_old_image(pg::Session& session);
  void finish_idle(pg::Session& session, const Lease& lease);
  void work(pg::Session& session, const Lease& lease);
  void reconnect(pg::Session& session, const Lease& lease, const std::string& lost);
  void begin(pg::Session& session, const Lease& lease);
  void close_gates(pg::Session& session, const Lease& lease);
  History settled_history(pg::Session& session, const Lease& lease);
  void apply_natively(pg::Session& session, const Lease& lease);
  void apply_with_command(pg::Session& session, const Lease& lease);
  void refuse_unfenced(const std::string& what) const;
  void refuse_settings_through_a_pooler(pg::Session& session, const Plan& plan) const;
  [[nodiscard]] Verified verified(pg::Session& session);
  void complete(pg::Session& session, const Verified& verified, std::size_t applied);
  void finish(pg::Session& session, const Lease& lease);
  void record(pg::Session& session, const Lease& lease, const Failure& failure);
  void write_failure(pg::Session& session, const Lease& lease, const Failure& failure);
  void write_file(Marker::Status status, const Failure* failure = nullptr);

  const Manifest& manifest_;
  Stop& stop_;
  RunReport& report_;
  Target target_;
  RunRecord record_;
  int server_major_version_ = 0;
};

// mode: check. A deployment that must find everything done already.
void Job::check_only(pg::Session& session) {
  if (!target_.has_history())
    throw Failure{ExitCode::usage, "mode: check needs a history: tool: prisma, or history: prisma"};
  const auto plan = make_plan(target_.folder, target_.history().read(session), target_.settings);
  for (const auto& warning : plan.warnings) log::warn(warning);
  if (plan.pending.empty()) return log::info("mode: check: nothing is pending");
  std::string names;
  for (const auto& planned : plan.pending) names += "\n  " + planned.migration->name;
  throw Failure{
      ExitCode::history,
      fmt::format("mode: check: {} pending:{}", counted(plan.pending.size(), "migration"), names),
      "run with mode: apply (SCHEMAGATE_MODE=apply)"};
}

// One look without the lease. A rolled-back image is done, too, whatever a newer one left behind.
bool Job::is_done_already(pg::Session& session) {
  if (!target_.bookkeeping.exists(session)) return false;
  const auto marker = read_marker(session, target_.bookkeeping, target_.id, k_look_within);
  if (!marker || marker->status != Marker::Status::complete ||
      marker->digest != target_.folder.digest)
    return false;
  if (!target_.has_history()) return true;
  const auto history = target_.history().read(session);
  if (!not_applied(target_.folder, history, target_.settings.edited).empty()) return false;
  for (const auto& row : history.rows)
    if (row.failed())
      log::warn(fmt::format(
          "migration {}, which another image brought, has failed: schemagate status", row.name));
  return true;
}

void Job::tell_nothing_to_do(pg::Session& session) {
  report_.already_done = true;
  write_file(Marker::Status::complete);
  log::info(fmt::format("nothing to do: release {} is complete, {} applied", target_.id.release,
                        counted(target_.folder.migrations.size(), "migration")));
  tell_if_old_image(session);
}

// Where nothing is pending, the migrations of a new release may be in another image than this.
void Job::tell_if_old_image(pg::Session& session) {
  const auto newer = find_newer_release(session, target_.bookkeeping, target_.id);
  const auto is_newer = newer ? fmt::format("release {} was completed later, at {}", newer->release,
                                            newer->completed_at)
                              : "";
  const auto running_for = entered_running_container();
  if (!running_for) {
    if (newer) log::info(is_newer + ": this is an older image (right for a roll-back)");
    return;
  }
  log::warn(
      fmt::format("this run was started in a container that had been running for {} (docker "
                  "exec): it sees the migrations in that container, perhaps of an older image{}",
                  for_people(*running_for), newer ? ", and " + is_newer : ""));
  log::warn("hint: to deploy a new release, run schemagate in the new image; Coolify's "
            "pre-deployment command runs in the old container");
}

void Job::work(pg::Session& session, const Lease& lease) {
  try {
    session = open_script_session(target_.database, lease, target_.settings, server_major_version_);
    begin(session, lease);
    // Another runner of this release may have done it while we waited.
    if (is_done_already(session)) return finish_idle(session, lease);
    if (target_.is_external()) apply_with_command(session, lease);
    else apply_natively(session, lease);
  } catch (const pg::ConnectionLost& e) {
    stop_.check();
    reconnect(session, lease, e.what());
    if (!is_done_already(session)) throw;
    // Only the answer to the last COMMIT was lost.
    write_file(Marker::Status::complete);
    log::info(fmt::format("release {} is complete, as read back after: {}", target_.id.release,
                          e.what()));
  }
}

// To record the failure and give the lease back, or to learn that it is the lease that was lost: a
// successor ends our backends before it works.
void Job::reconnect(pg::Session& session, const Lease& lease, const std::string& lost) {
  try {
    session = open_script_session(target_.database, lease, target_.settings, server_major_version_);
  } catch (const pg::ConnectionLost& e) {
    throw Failure{ExitCode::connection_lost,
                  fmt::format("connection lost while working: {}; the server cannot be reached "
                              "again: {}",
                              lost, e.what()),
                  "run again: what is missing will be done then"};
  }
  lease.check(session);
}

void Job::begin(pg::Session& session, const Lease& lease) {
  pg::Transaction transaction{session, lease.name_sql()};
  const auto fence = std::to_string(static_cast<std::int64_t>(lease.fence()));
  record_.begin(session, target_.bookkeeping, target_.id,
                target_.is_external() ? "command" : "prisma", target_.folder.digest, lease.fence());
  lease.check(session);
  transaction.commit();
}

// From here on gates of this release are closed.
void Job::close_gates(pg::Session& session, const Lease& lease) {
  write_file(Marker::Status::running);
  pg::Transaction transaction{session, lease.name_sql()};
  mark_running(session, target_.bookkeeping, target_.id, target_.folder.digest, record_.run_id());
  lease.check(session);
  transaction.commit();
}

void Job::finish_idle(pg::Session& session, const Lease& lease) {
  pg::Transaction transaction{session, lease.name_sql()};
  record_.complete(session, 0);
  lease.check(session);
  transaction.commit();
  tell_nothing_to_do(session);
}

void Job::refuse_unfenced(const std::string& what) const {
  if (!target_.database.pooled() || manifest_.lease.allow_unfenced) return;
  throw Failure{
      ExitCode::refused,
      fmt::format(
          "refused: {} cannot be fenced through a pooler ({}): if this runner lost its lease, nobody "
          "could end it",
          what, target_.database.address().display()),
      "set database.direct_url to the server's own address; or accept the risk with lease.unfenced: allow"};
}

// Outside of transactions a SET would stay on a pooled backend, which is another client's next.
void Job::refuse_settings_through_a_pooler(pg::Session& session, const Plan& plan) const {
  const bool other_schema =
      !target_.settings.schema.empty() && target_.settings.schema != current_schema(session);
  if (!target_.database.pooled() || (!plan.sets_outside_transactions() && !other_schema)) return;
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: {} cannot be set through a pooler ({}) for a statement that PostgreSQL "
                  "does not run in a transaction",
                  other_schema ? "the search_path" : "what the script SETs",
                  target_.database.address().display()),
      "set database.direct_url to the server's own address"};
}

// Failed rows whose fate is proven need nobody's decision; the others stop the run.
History Job::settled_history(pg::Session& session, const Lease& lease) {
  const auto history = target_.history().read(session);
  if (!history.foreign_tables.empty())
    throw not_baselined(target_, history, examine_pending(session, target_, history));
  std::vector<Settlement> proven;
  std::vector<Settlement> open;
  for (auto& settlement : examine_failed(session, target_, history)) {
    if (settlement.outcome == Settlement::Outcome::resumable) continue;
    (settlement.proven && target_.settings.repair ? proven : open).push_back(std::move(settlement));
  }
  if (!open.empty()) throw blocked_by(open);
  if (proven.empty()) return history;
  // Nothing is settled for a run that will be refused.
  (void)make_plan(target_.folder, as_settled(history, proven), target_.settings);
  pg::Transaction transaction{session, lease.name_sql()};
  settle(session, target_.history(), proven, record_);
  lease.check(session);
  transaction.commit();
  return target_.history().read(session);
}

void Job::apply_natively(pg::Session& session, const Lease& lease) {
  PrismaLock prisma_lock{session, target_.database, manifest_.lease.wait, stop_};
  prisma_lock.acquire();
  const auto history = settled_history(session, lease);
  const auto plan = make_plan(target_.folder, history, target_.settings);
  for (const auto& warning : plan.warnings) log::warn(warning);
  if (plan.needs_direct_connection()) {
    refuse_unfenced("a statement that PostgreSQL does not run in a transaction");
    refuse_settings_through_a_pooler(session, plan);
  }
  if (!plan.pending.empty()) close_gates(session, lease);
  if (!history.exists) {
    pg::Transaction transaction{session, lease.name_sql()};
    target_.history().create_if_missing(session);
    lease.check(session);
    transaction.commit();
  }
  if (!plan.pending.empty())
    log::info(fmt::format("{} of {} to apply", plan.pending.size(),
                          counted(target_.folder.migrations.size(), "migration")));
  const ApplyContext context{.database = target_.database,
                             .bookkeeping = target_.bookkeeping,
                             .history = target_.history(),
                             .lease = lease,
                             .prisma_lock = prisma_lock,
                             .settings = target_.settings,
                             .stop = stop_,
                             .server_major_version = server_major_version_,
                             .may_run_alone =
                                 !target_.database.pooled() || manifest_.lease.allow_unfenced};
  bool completed = false;
  apply(session, plan, context, report_.applied, [&] {
    complete(session, verified(session), plan.pending.size());
    completed = true;
  });
  if (!completed) finish(session, lease);
  write_file(Marker::Status::complete);
  log::info(fmt::format("release {} is complete: {} applied now, {} in all", target_.id.release,
                        report_.applied.size(),
                        counted(target_.folder.migrations.size(), "migration")));
  if (plan.pending.empty()) tell_if_old_image(session);
}

void Job::apply_with_command(pg::Session& session, const Lease& lease) {
  refuse_unfenced("an external migration command");
  close_gates(session, lease);
  run_command(manifest_, target_.id.release, target_.database, lease, stop_);
  if (target_.has_history()) {
    const auto missing =
        not_applied(target_.folder, target_.history().read(session), target_.settings.edited);
    if (!missing.empty()) {
      throw Failure{
          ExitCode::command_failed,
          "the migration command ended with exit code 0, but the history does not hold what this image holds:\n  " +
              join(missing, "\n  "),
          "does the command run in an older container or another folder than this manifest's? (Coolify's "
          "pre-deployment command does)"};
    }
  }
  finish(session, lease);
  write_file(Marker::Status::complete);
  log::info(fmt::format("release {} is complete", target_.id.release));
}

Verified Job::verified(pg::Session& session) {
  return verify(session, {.folder = target_.folder,
                          .history = target_.has_history() ? &target_.history() : nullptr,
                          .checks = manifest_.verify,
                          .schema = target_.history().schema(),
                          .search_path = target_.settings.schema,
                          .edited = target_.settings.edited});
}

// Without the fence check: the caller's transaction ends with it.
void Job::complete(pg::Session& session, const Verified& verified, std::size_t applied) {
  record_.complete(session, applied);
  mark_complete(session, target_.bookkeeping, target_.id, verified, record_.run_id());
}

void Job::finish(pg::Session& session, const Lease& lease) {
  const auto proof = verified(session);
  pg::Transaction transaction{session, lease.name_sql()};
  complete(session, proof, report_.applied.size());
  lease.check(session);
  stop_.check();
  transaction.commit();
}

// Throws when the lease is lost: then the failure is of a successor's making, not of the release's.
void Job::record(pg::Session& session, const Lease& lease, const Failure& failure) {
  if (failure.code() == ExitCode::lease_lost || !record_.begun()) return;
  try {
    try {
      write_failure(session, lease, failure);
    } catch (const pg::ConnectionLost& e) {  // idle for as long as an external command took
      reconnect(session, lease, e.what());
      write_failure(session, lease, failure);
    }
  } catch (const Failure& e) {
    if (e.code() == ExitCode::lease_lost) throw;
    log::warn(fmt::format("the failure could not be recorded for waiting gates: {}", e.what()));
  } catch (const std::exception& e) {
    log::warn(fmt::format("the failure could not be recorded for waiting gates: {}", e.what()));
  }
}

void Job::write_failure(pg::Session& session, const Lease& lease, const Failure& failure) {
  pg::Transaction transaction{session, lease.name_sql()};
  transaction.execute("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;" + lease.name_sql());
  record_.fail(session, report_.applied.size(), failure);
  const bool closes_gates =
      is_permanent(failure.code()) && mark_failed(session, target_.bookkeeping, target_.id,
                                                  target_.folder.digest, record_.run_id(), failure);
  lease.check(session);
  transaction.commit();
  if (closes_gates) write_file(Marker::Status::failed, &failure);
}

void Job::write_file(Marker::Status status, const Failure* failure) {
  if (manifest_.marker_file.empty()) return;
  Marker marker{.status = status, .digest = target_.folder.digest, .error = {}, .completed_at = {}};
  if (failure != nullptr) {
    marker.error_code = static_cast<int>(failure->code());
    marker.error = failure->what();
  }
  write_marker_file(manifest_.marker_file, target_.id, marker);
}

}  // namespace

void run(const Manifest& manifest, Stop& stop, RunReport& report) {
  report.mode = manifest.mode;
  report.app = manifest.app;
  if (manifest.mode == Mode::off)
    return log::info("mode: off: nothing is looked at and nothing is done");
  explaining_database_errors(stop, [&] { Job{manifest, stop, report}.run(); });
}

}  // namespace schemagate
