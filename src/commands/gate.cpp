#include "schemagate/commands/gate.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/marker_file.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_told_again = 10s;
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
      if (view.state == State::open)
        return log::info(fmt::format("gate open: release {}", id_.release));
      if (view.state == State::failed) throw failed(view.why);
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
  std::optional<Marker> marker_in_database();
  [[nodiscard]] const std::string* digest() const { return has_folder_ ? &digest_ : nullptr; }
  bool may_listen();
  void hang_up();
  void pause(const Deadline& deadline);
  void tell(const std::string& why);
  [[nodiscard]] Failure still_closed(const GateView& view) const;
  [[nodiscard]] static Failure failed(const std::string& why);

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
  bool has_tables_ = true;
  std::string told_;
  Clock::time_point told_at_;
};

std::optional<Marker> Gate::marker_in_database() {
  try {
    return read_marker(*session_, target_->bookkeeping, id_, k_look_within);
  } catch (const pg::Error& e) {
    if (e.sqlstate != "42P01" && e.sqlstate != "3F000") throw;
    has_tables_ = false;
    return std::nullopt;
  }
}

GateView Gate::look_into_database() {
  has_tables_ = true;
  // The history first: what it lacks a run may add, and still be at its checks, before we come to
  // look at the marker.
  const bool by_history = manifest_.gate.match == GateMatch::migrations;
  if (by_history && target_->history() == nullptr)
    throw std::logic_error{"a gate by migrations without a history"};
  const auto missing =
      by_history ? target_->missing_in_history(*session_) : std::vector<std::string>{};
  auto view = gate_view(id_, marker_in_database(), digest(), by_history ? &missing : nullptr);
  if (!by_history && !has_tables_) view.why = "no run has happened on this database yet";
  return view;
}

GateView Gate::look_into_file() {
  try {
    auto view = gate_view(id_, file_->read(id_), digest(), nullptr);
    if (view.state == State::closed) view.why += fmt::format(" (in {})", options_.file.string());
    return view;
  } catch (const std::runtime_error& e) {
    return {.state = State::closed, .why = e.what()};
  }
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
      session_.emplace(target_->database.open("schemagate gate"));
      session_->limit_answers(2 * k_look_within);
      check_expected(*session_, manifest_.database.expect);
      if (manifest_.gate.match == GateMatch::migrations) target_->find_history(*session_);
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
  if (why == told_ && Clock::now() - told_at_ < k_told_again) return;
  log::info(fmt::format("gate closed: {}", why));
  told_ = why;
  told_at_ = Clock::now();
}

Failure Gate::failed(const std::string& why) {
  return {ExitCode::gate_failed, why,
          why.find("\nhint: ") == std::string::npos
              ? "fix the cause named above, then run the job again"
              : ""};
}

Failure Gate::still_closed(const GateView& view) const {
  return {
      ExitCode::gate_timeout,
      options_.once ? fmt::format("gate closed: {}", view.why)
                    : fmt::format("gate still closed after {}: {}",
                                  for_people(manifest_.gate.timeout), view.why),
      view.hint.empty()
          ? "does a job run `schemagate run` for this release? its log says why it has not finished"
          : view.hint};
}

}  // namespace

GateView gate_view(const ReleaseId& id, const std::optional<Marker>& marker,
                   const std::string* digest, const std::vector<std::string>* missing) {
  using State = GateView::State;
  // The same id was used for other content: its outcome says nothing about this image's.
  const bool is_ours = marker && (digest == nullptr || marker->digest == *digest);
  if (is_ours && marker->status == Marker::Status::failed)
    return {.state = State::failed,
            .why = fmt::format("the run for release {} failed with code {}: {}", id.release,
                               marker->error_code, marker->error)};
  if (is_ours && marker->status == Marker::Status::running)
    return {.state = State::closed,
            .why = fmt::format("a run for release {} has begun and not ended yet", id.release)};
  // For images whose release nobody marks: the migrations themselves.
  if (missing != nullptr && missing->empty()) return {.state = State::open, .why = {}};
  if (missing != nullptr) {
    return {.state = State::closed,
            .why = missing->front() +
                   (missing->size() > 1 ? fmt::format(" (and {} more)", missing->size() - 1) : "")};
  }
  if (is_ours) return {.state = State::open, .why = {}};
  return {.state = State::closed,
          .why = marker ? fmt::format("the last run for release {} was for other migrations than "
                                      "this image holds",
                                      id.release)
                        : fmt::format("no run for release {} yet", id.release)};
}

void wait_at_gate(const Manifest& manifest, const GateOptions& options, Stop& stop) {
  Gate{manifest, options, stop}.wait();
}

}  // namespace schemagate
