#include "schemagate/gate.hpp"

#include <fmt/core.h>

#include <variant>

#include "schemagate/database.hpp"
#include "schemagate/history.hpp"
#include "schemagate/log.hpp"
#include "schemagate/marker.hpp"
#include "schemagate/target.hpp"
#include "schemagate/text.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_told_again = 10s;
constexpr auto k_stop_checked = 200ms;  // while waiting for a notification
constexpr auto k_look_within = 5s;      // one query

struct Open {};
struct Closed {
  std::string why;
};
using View = std::variant<Open, Closed>;

// Connections beyond this share of max_connections are not held: many replicas may wait. A standby
// does not let anybody listen.
constexpr const char* k_is_room = R"sql(
SELECT 2 * count(*) < current_setting('max_connections')::integer AND NOT pg_is_in_recovery(), pg_backend_pid()
  FROM pg_stat_activity)sql";

class Gate {
 public:
  Gate(const Manifest& manifest, const GateOptions& options, Stop& stop)
      : manifest_{manifest}, options_{options}, stop_{stop},
        bookkeeping_{manifest.database.bookkeeping_schema} {
    const auto& directory = manifest.migrations.directory;
    std::error_code error;
    const bool here = !directory.empty() && std::filesystem::is_directory(directory, error);
    // An app image may come without the folder; then the release's name alone has to do.
    if (here || manifest.release.empty() || manifest.gate.match == GateMatch::migrations)
      folder_ = read_folder(directory, manifest.migrations.allow_empty);
    id_ = {manifest.app, release_of(manifest, folder_ ? folder_->digest : "")};
    if (options.file.empty()) database_.emplace(manifest.database, Database::Purpose::look);
  }

  void wait() {
    const Deadline deadline{manifest_.gate.timeout};
    for (;;) {
      stop_.check();
      const auto view = look();
      if (std::holds_alternative<Open>(view))
        return log::info(fmt::format("gate open: release {}", id_.release));
      const auto& why = std::get<Closed>(view).why;
      if (options_.once || deadline.passed()) throw still_closed(why);
      tell(why);
      pause(deadline);
    }
  }

 private:
  View look();
  View judge(const std::optional<Marker>& marker);
  View look_into_database();
  View compare_with_history();
  std::optional<Marker> marker_in_database();
  bool may_listen();
  void hang_up();
  void pause(const Deadline& deadline);
  void tell(const std::string& why);
  [[nodiscard]] Failure still_closed(const std::string& why) const;

  const Manifest& manifest_;
  const GateOptions& options_;
  Stop& stop_;
  Bookkeeping bookkeeping_;
  std::optional<Folder> folder_;
  ReleaseId id_;
  std::optional<Database> database_;
  std::optional<pg::Session> session_;  // held only while listening
  bool listening_ = false;
  bool has_tables_ = true;
  bool is_at_work_ = false;  // as the last marker said, for this content
  std::string told_;
  Clock::time_point told_at_;
};

View Gate::judge(const std::optional<Marker>& marker) {
  is_at_work_ = false;
  if (!marker) return Closed{fmt::format("no run for release {} yet", id_.release)};
  // The same id was used for other content: its outcome says nothing about this image's.
  if (folder_ && marker->digest != folder_->digest) {
    return Closed{fmt::format(
        "the last run for release {} was for other migrations than this image holds", id_.release)};
  }
  switch (marker->status) {
    case Marker::Status::complete: return Open{};
    case Marker::Status::running:
      is_at_work_ = true;
      return Closed{fmt::format("a run for release {} is at work", id_.release)};
    case Marker::Status::failed: break;
  }
  throw Failure{ExitCode::gate_failed,
                fmt::format("the run for release {} failed with code {}: {}", id_.release,
                            marker->error_code, marker->error),
                marker->error.find("\nhint: ") == std::string::npos
                    ? "mend what it says and run it again"
                    : ""};
}

std::optional<Marker> Gate::marker_in_database() {
  try {
    return read_marker(*session_, bookkeeping_, id_, k_look_within);
  } catch (const pg::Error& e) {
    if (e.sqlstate != "42P01" && e.sqlstate != "3F000") throw;
    has_tables_ = false;
    return std::nullopt;
  }
}

View Gate::look_into_database() {
  has_tables_ = true;
  // The history first: what it lacks a run may add, and still be at its checks, before we come to
  // look at the marker.
  std::optional<View> by_history;
  if (manifest_.gate.match == GateMatch::migrations) by_history = compare_with_history();
  const auto view = judge(marker_in_database());
  if (by_history && !is_at_work_) return *by_history;
  if (!has_tables_) return Closed{"no run has happened on this database yet"};
  return view;
}

// For images whose release nobody marks: the migrations themselves, unless a run for this very
// release is at work (its checks are still to come) or has failed.
View Gate::compare_with_history() {
  const auto given = manifest_.migrations.schema.empty() ? database_->address().schema()
                                                         : manifest_.migrations.schema;
  const HistoryTable table{given.empty() ? current_schema(*session_) : given, bookkeeping_};
  const auto missing = not_applied(*folder_, table.read(*session_), manifest_.migrations.edited);
  if (missing.empty()) return Open{};
  return Closed{missing.front() +
                (missing.size() > 1 ? fmt::format(" (and {} more)", missing.size() - 1) : "")};
}

// Worth a held connection only while there is room for everybody else, and not through a pooler.
bool Gate::may_listen() {
  if (options_.once || database_->pooled()) return false;
  const auto rows = session_->query(k_is_room);
  return rows.at(0).at(0) == "t" && rows.at(0).at(1) == std::to_string(session_->backend_pid());
}

View Gate::look() {
  if (!options_.file.empty()) {
    auto view = judge(read_marker_file(options_.file, id_));
    if (auto* closed = std::get_if<Closed>(&view))
      closed->why += fmt::format(" (in {})", options_.file.string());
    return view;
  }
  try {
    if (!session_) {
      session_.emplace(database_->open("schemagate gate"));
      session_->limit_answers(2 * k_look_within);
    }
    auto view = look_into_database();
    if (listening_ || std::holds_alternative<Open>(view)) return view;
    if (!may_listen()) {
      session_.reset();
      return view;
    }
    session_->listen(k_marker_channel);
    listening_ = true;
    return look_into_database();  // the marker may have come before we listened
  } catch (const pg::ConnectionLost& e) {
    hang_up();
    return Closed{fmt::format("the database {} cannot be reached: {}",
                              database_->address().display(), e.what())};
  } catch (const pg::Error& e) {
    hang_up();
    if (e.sqlstate == "42501")
      return Closed{fmt::format("{} (grant it: deploy/sql/gate-role.sql)", e.message)};
    return Closed{fmt::format("the database answers {}: {}", e.sqlstate, e.message)};
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

Failure Gate::still_closed(const std::string& why) const {
  return {ExitCode::gate_timeout,
          options_.once ? fmt::format("gate closed: {}", why)
                        : fmt::format("gate still closed after {}: {}",
                                      for_people(manifest_.gate.timeout), why),
          "does a job run `schemagate run` for this release? its log says why it has not finished"};
}

}  // namespace

void wait_at_gate(const Manifest& manifest, const GateOptions& options, Stop& stop) {
  Gate{manifest, options, stop}.wait();
}

}  // namespace schemagate
