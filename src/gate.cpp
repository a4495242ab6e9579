#include "schemagate/gate.hpp"

#include <fmt/core.h>

#include <variant>

#include "schemagate/database.hpp"
#include "schemagate/history.hpp"
#include "schemagate/job.hpp"
#include "schemagate/log.hpp"
#include "schemagate/marker.hpp"
#include "schemagate/migrations.hpp"
#include "schemagate/text.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_told_again = 10s;
constexpr auto k_stop_checked = 200ms;  // while waiting for a notification

struct Open {};
struct Closed {
  std::string why;
};
using View = std::variant<Open, Closed>;

// Connections beyond this share of max_connections are not held: many replicas may wait.
constexpr const char* k_is_room = R"sql(
SELECT 2 * count(*) < current_setting('max_connections')::integer FROM pg_stat_activity)sql";

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
  View judge(const std::optional<Marker>& marker) const;
  View look_into_database();
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
  std::string told_;
  Clock::time_point told_at_;
};

View Gate::judge(const std::optional<Marker>& marker) const {
  if (!marker) return Closed{fmt::format("no run for release {} yet", id_.release)};
  // The same id was used for other content: its outcome says nothing about this image's.
  if (folder_ && marker->digest != folder_->digest) {
    return Closed{fmt::format(
        "the last run for release {} was for other migrations than this image holds", id_.release)};
  }
  switch (marker->status) {
    case Marker::Status::complete: return Open{};
    case Marker::Status::running:
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

View Gate::look_into_database() {
  if (!session_) session_.emplace(database_->open("schemagate gate"));
  if (manifest_.gate.match == GateMatch::release)
    return judge(read_marker(*session_, bookkeeping_, id_));
  const auto schema = manifest_.migrations.schema.empty() ? database_->address().schema()
                                                          : manifest_.migrations.schema;
  const HistoryTable table{schema.empty() ? "public" : schema, bookkeeping_};
  const auto missing = not_applied(*folder_, table.read(*session_), manifest_.migrations.edited);
  if (missing.empty()) return Open{};
  if (bookkeeping_.exists(
          *session_)) {  // a failed run is worth knowing even when nobody waits for its marker
    if (const auto marker = read_marker(*session_, bookkeeping_, id_);
        marker && marker->status == Marker::Status::failed)
      return judge(marker);
  }
  return Closed{missing.front() +
                (missing.size() > 1 ? fmt::format(" (and {} more)", missing.size() - 1) : "")};
}

View Gate::look() {
  if (!options_.file.empty()) {
    auto view = judge(read_marker_file(options_.file, id_));
    if (auto* closed = std::get_if<Closed>(&view))
      closed->why += fmt::format(" (in {})", options_.file.string());
    return view;
  }
  try {
    auto view = look_into_database();
    if (!listening_) {
      const bool may_hold = std::holds_alternative<Closed>(view) && !options_.once &&
                            !database_->pooled() && session_->query(k_is_room).at(0).at(0) == "t";
      if (!may_hold) {
        session_.reset();
        return view;
      }
      session_->listen(k_marker_channel);
      listening_ = true;
      return look_into_database();  // the marker may have come before we listened
    }
    return view;
  } catch (const pg::ConnectionLost& e) {
    session_.reset();
    listening_ = false;
    return Closed{fmt::format("the database {} cannot be reached: {}",
                              database_->address().display(), e.what())};
  } catch (const pg::Error& e) {
    session_.reset();
    listening_ = false;
    if (e.sqlstate == "42P01" || e.sqlstate == "3F000")
      return Closed{"no run has happened on this database yet"};
    if (e.sqlstate == "42501")
      return Closed{fmt::format("{} (grant it: deploy/sql/gate-role.sql)", e.message)};
    return Closed{fmt::format("the database answers {}: {}", e.sqlstate, e.message)};
  }
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
    session_.reset();
    listening_ = false;
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
