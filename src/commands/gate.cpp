#include "schemagate/commands/gate.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/commands/gate_view.hpp"
#include "schemagate/lease/marker_file.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_stop_checked = 200ms;  // while waiting for a notification
constexpr auto k_look_within = 5s;      // one query

// Connections beyond this share of max_connections are not held: many replicas may wait. A standby
// does not let anybody listen.
constexpr const char* k_is_room = R"sql(
SELECT 2 * count(*) < current_setting('max_connections')::integer AND NOT pg_is_in_recovery(), pg_backend_pid()
  FROM pg_stat_activity)sql";

class Gate {
 public:
  Gate(const Manifest& manifest, const GateOptions& options, Stop& stop)
      : manifest_{manifest}, options_{options}, stop_{stop} {
    const auto& directory = manifest.migrations.directory;
    std::error_code error;
    has_folder_ = !directory.empty() && std::filesystem::is_directory(directory, error);
    Folder folder;
    // An app image may come without the folder; then the release's name alone has to do.
    if (has_folder_ || manifest.release.empty() || manifest.gate.match == GateMatch::migrations) {
      folder = folder_of(manifest);
      has_folder_ = true;
    }
    digest_ = folder.digest;
    id_ = release_of(manifest, digest_);
    if (options.file.empty()) target_.emplace(manifest, std::move(folder), Database::Purpose::look);
    else file_.emplace(options.file);
  }

  void wait() {
    const Deadline deadline{manifest_.gate.timeout};
    for (;;) {
      stop_.check();
      const auto view = look();
      if (view.state == State::open && !view.why.empty()) log::info(view.why);
      if (view.state == State::open)
        return log::info(fmt::format("gate open: {}", placed("release " + id_.release)));
      if (view.state == State::failed) throw failed(view);
      if (options_.once || deadline.passed()) throw still_closed(view);
      tell(view.why);
      pause(deadline);
    }
  }

 private:
  using State = GateView::State;

  GateView look();
  GateView look_into_database();
  GateView look_into_file();
  bool may_listen();
  void hang_up();
  void pause(const Deadline& deadline);
  void tell(const std::string& why);
  [[nodiscard]] std::string placed(std::string text) const;
  [[nodiscard]] Failure still_closed(const GateView& view) const;
  [[nodiscard]] Failure failed(const GateView& view) const;

  const Manifest& manifest_;
  const GateOptions& options_;
  Stop& stop_;
  bool has_folder_ = false;
  std::string digest_;
  ReleaseId id_;
  std::optional<MarkerFile> file_;      // to be looked at, or else
  std::optional<Target> target_;        // this
  std::optional<pg::Session> session_;  // held only while listening
  bool listening_ = false;
  Reminder reminder_;
};

GateView Gate::look_into_file() {
  try {
    GateEvidence evidence{.marker = file_->read(id_)};
    if (has_folder_) evidence.digest = digest_;
    return gate_view(id_, evidence);
  } catch (const std::runtime_error& e) {
    return {.state = State::closed, .why = e.what()};
  }
}

GateView Gate::look_into_database() {
  // One moment for all that is looked at: a run may be adding what is missing.
  const pg::Transaction look{
      *session_,
      fmt::format("{} SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};", pg::k_guard,
                  Milliseconds{k_look_within}.count(), Milliseconds{k_look_within}.count()),
      pg::Transaction::Kind::snapshot};
  target_->find_history(*session_);
  return look_through_gate(*session_, *target_, has_folder_);
}

// Worth a held connection only while there is room for everybody else, and not through a pooler.
bool Gate::may_listen() {
  if (options_.once || target_->database.pooled()) return false;
  const auto row = session_->row(k_is_room);
  return row.flag(0) && row.number(1) == session_->backend_pid();
}

GateView Gate::look() {
  const auto closed = [](std::string why) {
    return GateView{.state = State::closed, .why = std::move(why)};
  };
  if (!options_.file.empty()) return look_into_file();
  try {
    if (!session_) {
      session_.emplace(target_->database.connect("schemagate gate"));
      session_->limit_answers(2 * k_look_within);
      check_expected(*session_, manifest_.database.expect);
    }
    auto view = look_into_database();
    if (listening_ || view.state != State::closed) return view;
    if (!may_listen()) {
      session_.reset();
      return view;
    }
    session_->listen(k_marker_channel);
    listening_ = true;
    return look_into_database();  // the marker may have come before we listened
  } catch (const pg::ConnectionLost& e) {
    hang_up();
    return {.state = State::closed,
            .why = fmt::format("the database {} cannot be reached: {}",
                               target_->database.address().display(), e.what()),
            .hint = remedy_of(e.what())};
  } catch (const pg::Error& e) {
    hang_up();
    if (e.sqlstate == "42501")
      return closed(fmt::format("{} (grant it: deploy/sql/gate-role.sql)", e.message));
    return closed(fmt::format("the database answers {}: {}", e.sqlstate, e.message));
  }
}

void Gate::hang_up() {
  session_.reset();
  listening_ = false;
}

void Gate::pause(const Deadline& deadline) {
  const auto poll = std::min(jittered(manifest_.gate.poll), deadline.remaining() + 5ms);
  if (!listening_) {
    sleep(poll, stop_);
    return;
  }
  try {
    for (const Deadline next{poll}; !next.passed() && !stop_.requested();) {
      if (session_->wait_for_notification(
              std::min<Milliseconds>(k_stop_checked, next.remaining() + 1ms)))
        return;
    }
  } catch (const pg::ConnectionLost&) {
    hang_up();
  }
}

void Gate::tell(const std::string& why) {
  if (reminder_.is_due(why)) log::info(fmt::format("gate closed: {}", placed(why)));
}

// With where was looked, behind the first line: a job and an app that look at different databases
// are found by comparing this.
std::string Gate::placed(std::string text) const {
  auto where = options_.file.string();
  if (target_) {
    where = target_->database.address().display();
    if (!target_->search_path().empty()) where += ", schema " + target_->schema();
  }
  text.insert(std::min(text.find('\n'), text.size()), fmt::format(" ({}, app {})", where, id_.app));
  return text;
}

Failure Gate::failed(const GateView& view) const {
  return {ExitCode::gate_failed, placed(view.why),
          view.why.find("\nhint: ") == std::string::npos
              ? "fix the cause named above, then run the job again: " + own_command("run")
              : Hint{"when that is done, run the job again: " + own_command("run")}};
}

Failure Gate::still_closed(const GateView& view) const {
  const Hint fallback =
      "does a job run `schemagate run` for this release, on this database? its log says why it has "
      "not finished";
  return {ExitCode::gate_timeout,
          options_.once ? fmt::format("gate closed: {}", placed(view.why))
                        : fmt::format("gate still closed after {}: {}",
                                      for_people(manifest_.gate.timeout), placed(view.why)),
          view.hint.empty() ? fallback : view.hint};
}

}  // namespace

void wait_at_gate(const Manifest& manifest, const GateOptions& options, Stop& stop) {
  Gate{manifest, options, stop}.wait();
}

}  // namespace schemagate
