#include "schemagate/job.hpp"

#include <fmt/core.h>

#include "schemagate/apply.hpp"
#include "schemagate/command.hpp"
#include "schemagate/log.hpp"
#include "schemagate/marker.hpp"
#include "schemagate/plan.hpp"
#include "schemagate/readiness.hpp"
#include "schemagate/script_session.hpp"
#include "schemagate/statements.hpp"
#include "schemagate/text.hpp"
#include "schemagate/verify.hpp"
#include "schemagate/version.hpp"

namespace schemagate {
namespace {

Folder folder_of(const Manifest& manifest) {
  if (manifest.migrations.directory.empty())
    return {.directory = {}, .migrations = {}, .digest = sha256_hex("")};
  return read_folder(manifest.migrations.directory, manifest.migrations.allow_empty);
}

// The schema as given explicitly: in the manifest, else as ?schema= of the URL.
Manifest::Migrations with_schema(Manifest::Migrations settings, const Database& database) {
  if (settings.schema.empty()) settings.schema = database.address().schema();
  return settings;
}

// An error of our own bookkeeping, not of a script: what it means for the one who reads it.
Failure explained(const pg::Error& e) {
  const auto text =
      fmt::format("the database refused our own bookkeeping: ERROR {}: {}{}", e.sqlstate, e.message,
                  e.detail.empty() ? "" : " (" + e.detail + ")");
  if (e.sqlstate == "42501")
    return {
        ExitCode::refused, text,
        "give the role what it lacks: GRANT USAGE ON SCHEMA schemagate; GRANT SELECT, INSERT, UPDATE on "
        "its tables and on _prisma_migrations; GRANT CREATE ON SCHEMA for the migrations' own "
        "(deploy/sql/run-role.sql)"};
  const bool passing = e.sqlstate.starts_with("53") || e.sqlstate.starts_with("57") ||
                       e.sqlstate == "25006" || e.sqlstate == "55P03" || e.sqlstate == "40P01" ||
                       e.sqlstate == "40001";
  if (passing) return {ExitCode::connection_lost, text, "free what is missing, then run again"};
  return {ExitCode::internal, text, "please report this with the log"};
}

template <class Work> void explaining_database_errors(const Stop& stop, Work&& work) {
  try {
    work();
  } catch (const pg::Error& e) {
    stop.check();
    throw explained(e);
  } catch (const pg::ConnectionLost& e) {
    stop.check();
    throw Failure{ExitCode::connection_lost,
                  fmt::format("connection lost while working: {}; what was not committed is rolled "
                              "back",
                              e.what()),
                  "run again: what is missing will be done then"};
  }
}

constexpr std::chrono::seconds k_look_within{30};  // the first look at the marker

class Job {
 public:
  Job(const Manifest& manifest, Stop& stop, RunReport& report)
      : manifest_{manifest}, stop_{stop}, report_{report}, folder_{folder_of(manifest)},
        database_{manifest.database, Database::Purpose::work},
        settings_{with_schema(manifest.migrations, database_)},
        bookkeeping_{manifest.database.bookkeeping_schema},
        id_{manifest.app, release_of(manifest, folder_.digest)} {
    report.app = id_.app;
    report.release = id_.release;
  }

  void run() {
    if (is_external()) refuse_destructive_command(settings_.command);
    auto session = wait_until_ready(database_, manifest_.database, stop_);
    server_major_version_ = session.server_major_version();
    history_.emplace(settings_.schema.empty() ? current_schema(session) : settings_.schema,
                     bookkeeping_);
    if (manifest_.mode == Mode::check) return check_only(session);
    if (is_done_already(session)) return tell_nothing_to_do();

    bookkeeping_.create_if_missing(session);
    bookkeeping_.check_rights(session, has_history() ? history_->schema() : "");
    Lease lease{session, database_, bookkeeping_, lease_request(), stop_};
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
  [[nodiscard]] bool is_external() const { return settings_.tool == Tool::command; }
  [[nodiscard]] bool has_history() const { return !is_external() || settings_.prisma_history; }
  [[nodiscard]] LeaseRequest lease_request() const;

  void check_only(pg::Session& session);
  bool is_done_already(pg::Session& session);
  void tell_nothing_to_do();
  void finish_idle(pg::Session& session, const Lease& lease);
  void work(pg::Session& session, const Lease& lease);
  void reconnect(pg::Session& session, const Lease& lease, const std::string& lost);
  void begin(pg::Session& session, const Lease& lease);
  void close_gates(pg::Session& session, const Lease& lease);
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
  Folder folder_;
  Database database_;
  Manifest::Migrations settings_;
  Bookkeeping bookkeeping_;
  std::optional<HistoryTable> history_;  // once its schema is known
  ReleaseId id_;
  int server_major_version_ = 0;
  std::string run_id_;
};

LeaseRequest Job::lease_request() const {
  const auto what = has_history() ? "prisma:" + history_->schema() : "app:" + manifest_.app;
  return {.name = manifest_.lease.name.empty() ? what : manifest_.lease.name,
          .app = id_.app,
          .release = id_.release,
          .ttl = manifest_.lease.ttl,
          .wait = manifest_.lease.wait};
}

// mode: check. A deployment that must find everything done already.
void Job::check_only(pg::Session& session) {
  if (!has_history())
    throw Failure{ExitCode::usage, "mode: check needs a history: tool: prisma, or history: prisma"};
  const auto plan = make_plan(folder_, history_->read(session), settings_);
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
  if (!bookkeeping_.exists(session)) return false;
  const auto marker = read_marker(session, bookkeeping_, id_, k_look_within);
  if (!marker || marker->status != Marker::Status::complete || marker->digest != folder_.digest)
    return false;
  if (!has_history()) return true;
  const auto history = history_->read(session);
  if (!not_applied(folder_, history, settings_.edited).empty()) return false;
  for (const auto& row : history.rows)
    if (row.failed())
      log::warn(fmt::format(
          "migration {}, which another image brought, has failed and is to be settled", row.name));
  return true;
}

void Job::tell_nothing_to_do() {
  report_.already_done = true;
  write_file(Marker::Status::complete);
  log::info(fmt::format("nothing to do: release {} is complete, {} applied", id_.release,
                        counted(folder_.migrations.size(), "migration")));
}

void Job::work(pg::Session& session, const Lease& lease) {
  try {
    session = open_script_session(database_, lease, settings_, server_major_version_);
    begin(session, lease);
    // Another runner of this release may have done it while we waited.
    if (is_done_already(session)) return finish_idle(session, lease);
    if (is_external()) apply_with_command(session, lease);
    else apply_natively(session, lease);
  } catch (const pg::ConnectionLost& e) {
    stop_.check();
    reconnect(session, lease, e.what());
    if (!is_done_already(session)) throw;
    // Only the answer to the last COMMIT was lost.
    write_file(Marker::Status::complete);
    log::info(fmt::format("release {} is complete, as read back after: {}", id_.release, e.what()));
  }
}

// To record the failure and give the lease back, or to learn that it is the lease that was lost: a
// successor ends our backends before it works.
void Job::reconnect(pg::Session& session, const Lease& lease, const std::string& lost) {
  try {
    session = open_script_session(database_, lease, settings_, server_major_version_);
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
  run_id_ = transaction
                .query(bookkeeping_.sql(statements::k_begin_run),
                       {id_.app, id_.release, fence, is_external() ? "command" : "prisma",
                        folder_.digest, k_version, this_host()})
                .at(0)
                .at(0)
                .value_or("0");
  lease.check(session);
  transaction.commit();
}

// From here on gates of this release are closed.
void Job::close_gates(pg::Session& session, const Lease& lease) {
  write_file(Marker::Status::running);
  pg::Transaction transaction{session, lease.name_sql()};
  mark_running(session, bookkeeping_, id_, folder_.digest, run_id_);
  lease.check(session);
  transaction.commit();
}

void Job::finish_idle(pg::Session& session, const Lease& lease) {
  pg::Transaction transaction{session, lease.name_sql()};
  session.query(bookkeeping_.sql(statements::k_finish_run),
                {run_id_, "complete", "0", std::nullopt, std::nullopt});
  lease.check(session);
  transaction.commit();
  tell_nothing_to_do();
}

void Job::refuse_unfenced(const std::string& what) const {
  if (!database_.pooled() || manifest_.lease.allow_unfenced) return;
  throw Failure{
      ExitCode::refused,
      fmt::format(
          "refused: {} cannot be fenced through a pooler ({}): if this runner lost its lease, nobody "
          "could end it",
          what, database_.address().display()),
      "set database.direct_url to the server's own address; or accept the risk with lease.unfenced: allow"};
}

// Outside of transactions a SET would stay on a pooled backend, which is another client's next.
void Job::refuse_settings_through_a_pooler(pg::Session& session, const Plan& plan) const {
  const bool other_schema =
      !settings_.schema.empty() && settings_.schema != current_schema(session);
  if (!database_.pooled() || (!plan.sets_outside_transactions() && !other_schema)) return;
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: {} cannot be set through a pooler ({}) for a statement that PostgreSQL "
                  "does not run in a transaction",
                  other_schema ? "the search_path" : "what the script SETs",
                  database_.address().display()),
      "set database.direct_url to the server's own address"};
}

void Job::apply_natively(pg::Session& session, const Lease& lease) {
  PrismaLock prisma_lock{session, database_, manifest_.lease.wait, stop_};
  prisma_lock.acquire();
  const auto history = history_->read(session);
  const auto plan = make_plan(folder_, history, settings_);
  for (const auto& warning : plan.warnings) log::warn(warning);
  if (plan.needs_direct_connection()) {
    refuse_unfenced("a statement that PostgreSQL does not run in a transaction");
    refuse_settings_through_a_pooler(session, plan);
  }
  if (!plan.pending.empty()) close_gates(session, lease);
  if (!history.exists) {
    pg::Transaction transaction{session, lease.name_sql()};
    history_->create_if_missing(session);
    lease.check(session);
    transaction.commit();
  }
  if (!plan.pending.empty())
    log::info(fmt::format("{} of {} to apply", plan.pending.size(),
                          counted(folder_.migrations.size(), "migration")));
  const ApplyContext context{.database = database_,
                             .bookkeeping = bookkeeping_,
                             .history = *history_,
                             .lease = lease,
                             .prisma_lock = prisma_lock,
                             .settings = settings_,
                             .stop = stop_,
                             .server_major_version = server_major_version_,
                             .may_run_alone =
                                 !database_.pooled() || manifest_.lease.allow_unfenced};
  bool completed = false;
  apply(session, plan, context, report_.applied, [&] {
    complete(session, verified(session), plan.pending.size());
    completed = true;
  });
  if (!completed) finish(session, lease);
  write_file(Marker::Status::complete);
  log::info(fmt::format("release {} is complete: {} applied now, {} in all", id_.release,
                        report_.applied.size(), counted(folder_.migrations.size(), "migration")));
}

void Job::apply_with_command(pg::Session& session, const Lease& lease) {
  refuse_unfenced("an external migration command");
  close_gates(session, lease);
  run_command(manifest_, id_.release, database_, lease, stop_);
  if (has_history()) {
    const auto missing = not_applied(folder_, history_->read(session), settings_.edited);
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
  log::info(fmt::format("release {} is complete", id_.release));
}

Verified Job::verified(pg::Session& session) {
  return verify(session, {.folder = folder_,
                          .history = has_history() ? &*history_ : nullptr,
                          .checks = manifest_.verify,
                          .schema = history_->schema(),
                          .search_path = settings_.schema,
                          .edited = settings_.edited});
}

// Without the fence check: the caller's transaction ends with it.
void Job::complete(pg::Session& session, const Verified& verified, std::size_t applied) {
  session.query(bookkeeping_.sql(statements::k_finish_run),
                {run_id_, "complete", std::to_string(applied), std::nullopt, std::nullopt});
  mark_complete(session, bookkeeping_, id_, verified, run_id_);
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
  if (failure.code() == ExitCode::lease_lost || run_id_.empty()) return;
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
  transaction.query(bookkeeping_.sql(statements::k_finish_run),
                    {run_id_, "failed", std::to_string(report_.applied.size()),
                     std::to_string(static_cast<int>(failure.code())),
                     shortened(log::redact(failure.what()), 4000)});
  if (is_permanent(failure.code()))
    mark_failed(session, bookkeeping_, id_, folder_.digest, run_id_, failure);
  lease.check(session);
  transaction.commit();
  if (is_permanent(failure.code())) write_file(Marker::Status::failed, &failure);
}

void Job::write_file(Marker::Status status, const Failure* failure) {
  if (manifest_.marker_file.empty()) return;
  Marker marker{.status = status, .digest = folder_.digest, .error = {}, .completed_at = {}};
  if (failure != nullptr) {
    marker.error_code = static_cast<int>(failure->code());
    marker.error = failure->what();
  }
  write_marker_file(manifest_.marker_file, id_, marker);
}

}  // namespace

std::string release_of(const Manifest& manifest, const std::string& folder_digest) {
  return manifest.release.empty() ? "migrations-" + folder_digest.substr(0, 12) : manifest.release;
}

void run(const Manifest& manifest, Stop& stop, RunReport& report) {
  report.app = manifest.app;
  if (manifest.mode == Mode::off)
    return log::info("mode: off: nothing is looked at and nothing is done");
  explaining_database_errors(stop, [&] { Job{manifest, stop, report}.run(); });
}

}  // namespace schemagate
