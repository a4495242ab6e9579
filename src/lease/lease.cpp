#include "schemagate/lease/lease.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/statements.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_look_within = 5s;     // reading the row
constexpr auto k_poll = 400ms;         // of a waiting runner
constexpr auto k_first_renewal = 1s;   // early: a missing connection slot shows at once
constexpr auto k_renew_retry = 500ms;  // after a failed renewal

struct Holder {
  std::string app, release, host, since, renewed_ago_seconds;
  bool expired = false;
  std::string name, role, sign_of_life;
  std::int64_t fence = 0;
  Milliseconds ttl{};
};

std::optional<Holder> read_holder(pg::Session& session, const Bookkeeping& bookkeeping,
                                  const std::string& name) {
  const auto rows =
      session.query_within(k_look_within, bookkeeping.sql(statements::k_read_lease), {name});
  if (rows.empty()) return std::nullopt;
  const auto& row = rows.front();
  return Holder{.app = row.text(0),
                .release = row.text(1),
                .host = row.text(2),
                .since = row.text(3),
                .renewed_ago_seconds = row.text(4),
                .expired = row.flag(5),
                .name = row.text(6),
                .role = row.text(8),
                .sign_of_life = row.text(9),
                .fence = row.number(7),
                .ttl = Milliseconds{row.number(10)}};
}

std::string describe(const Holder& holder) {
  return fmt::format("app {}, release {}, on {}, since {}, last sign of life {} s ago", holder.app,
                     holder.release, holder.host, holder.since, holder.renewed_ago_seconds);
}

// A holder lives by the server's clock. Where that was set back, a dead one would seem to live for
// as long: so a row that nobody renews for its whole ttl, by our own clock, may be taken as well.
class Silence {
 public:
  // The sign of life that was not renewed in time, or nothing.
  std::optional<std::string> seen(const Holder& holder) {
    const auto now = Clock::now();
    if (sign_ != holder.sign_of_life) sign_ = holder.sign_of_life, since_ = now;
    if (now - since_ <= holder.ttl + k_grace) return std::nullopt;
    return sign_;
  }

 private:
  static constexpr auto k_grace = 500ms;
  std::string sign_;
  Clock::time_point since_ = Clock::now();
};

}  // namespace

std::string this_host() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

std::string backend_name_prefix(pg::Session& session, const Bookkeeping& bookkeeping,
                                const std::string& lease_name) {
  const auto oid =
      session.row("SELECT oid FROM pg_namespace WHERE nspname = $1", {bookkeeping.schema_name()})
          .text(0);
  return fmt::format("schemagate:{}:", sha256_hex(oid + " " + lease_name).substr(0, 16));
}

// Takes, renews and watches. Two threads: one renews and may be stuck in the network, the other
// only looks at the clock, so that the lease is given up in time whatever the network does.
class Lease::Keeper {
 public:
  Keeper(const Database& database, const Bookkeeping& bookkeeping, const LeaseRequest& request,
         Stop& stop)
      : database_{database}, bookkeeping_{bookkeeping}, request_{request}, stop_{stop},
        holder_{fmt::format("{}-{}", this_host(), ::getpid())}, nonce_{random_uuid().substr(0, 8)} {
  }

  void take(pg::Session& session);
  [[nodiscard]] std::string check_sql() const;
  void judge(const pg::Rows& answer) const;
  void release(pg::Session& session) noexcept;
  [[nodiscard]] bool is_pooled() const { return database_.pooled(); }

  std::int64_t fence = 0;
  std::string application_name;

 private:
  bool try_to_take(pg::Session& session, const std::optional<std::string>& silent);
  // `below`: a fence, before the lease is ours.
  std::set<std::string> end_other_backends(pg::Session& session, std::set<std::string> already_told,
                                           std::int64_t below = 0) const;
  [[nodiscard]] bool is_ours(pg::Session& session) const;
  void start_renewing();
  void clear_the_way(pg::Session& session, const Deadline& deadline);
  void renew_forever(const std::stop_token& done);
  void watch_the_clock(const std::stop_token& done);
  bool renew(pg::Session& session);
  [[nodiscard]] Failure lost(const std::string& how) const;
  // Well before the server lets it expire.
  [[nodiscard]] Clock::time_point trusted_until(Clock::time_point sent_at) const {
    return sent_at + request_.ttl - request_.ttl / 3;
  }
  [[nodiscard]] std::vector<pg::Value> identity() const {
    return {request_.name, nonce_, std::to_string(fence)};
  }

  const Database& database_;
  const Bookkeeping& bookkeeping_;
  LeaseRequest request_;
  Stop& stop_;
  std::string holder_;       // for people
  std::string nonce_;        // whose row and backends these are; others cannot guess it in time
  std::string prefix_;       // of backends of this lease
  std::string former_role_;  // the role of whoever had it before us

  std::mutex mutex_;
  std::condition_variable_any renewed_;
  Clock::time_point trusted_until_;
  std::string last_error_;  // of a renewal
  std::jthread watcher_;
  std::jthread renewer_;
};

// Tells the backends of earlier runners to end; returns the pids of those that stand in the way. A
// name can be worn by anybody: who is neither of our role nor of that which had the lease before us
// may be a command's that connects as another one, or a stranger, and is nobody to wait for.
std::set<std::string> Lease::Keeper::end_other_backends(pg::Session& session,
                                                        std::set<std::string> already_told,
                                                        std::int64_t below) const {
  std::set<std::string> pids;
  // Once it is ours, all others: a failover may have lost greater fences. Before, one of the next
  // fence is that of whoever took it since we looked.
  const auto ours = fence == 0 ? std::string{} : fmt::format("{}:{}", fence, nonce_);
  const auto others =
      session.query(statements::k_other_backends, {prefix_, ours, std::to_string(below)});
  // Seen while it was ours, if it still is: then a successor's are not among them.
  if (fence != 0 && !others.empty() && !is_ours(session)) return pids;
  for (const auto& row : others) {
    const auto pid = row.text(0);
    const auto role = row.text(1);
    const bool is_a_runner = row.flag(2) || role == former_role_;
    const bool is_news = already_told.insert(pid).second;
    if (is_a_runner) pids.insert(pid);
    else if (is_news)
      log::warn(fmt::format("backend {} of role {} calls itself like an earlier runner, but that "
                            "one's role was {}: not waited for",
                            pid, role, former_role_.empty() ? "another" : former_role_));
    try {
      session.query(statements::k_terminate_backend, {pid});
      if (is_news && is_a_runner)
        log::warn(fmt::format("ending backend {} that an earlier runner left behind", pid));
    } catch (const pg::Error& e) {
      if (is_news && is_a_runner)
        log::warn(fmt::format("backend {} of role {} cannot be ended: {}", pid, role, e.message));
    }
  }
  return pids;
}

// Without waiting for whoever locks the row.
bool Lease::Keeper::is_ours(pg::Session& session) const {
  const auto holder = read_holder(session, bookkeeping_, request_.name);
  return holder && holder->sign_of_life.starts_with(fmt::format("{} {} ", fence, nonce_));
}

// One message and one implicit transaction: a runner that is paused here leaves nothing open. The
// row may be locked by a holder between its fence check and its COMMIT: a moment, unless that one
// is stuck; then its backend is ended as one of an older fence.
bool Lease::Keeper::try_to_take(pg::Session& session, const std::optional<std::string>& silent) {
  try {
    const auto sent_at = Clock::now();
    const auto rows = session.query_within(
        1s, bookkeeping_.sql(statements::k_take_lease),
        {request_.name, holder_, nonce_, request_.app, request_.release, this_host(),
         std::to_string(request_.ttl.count()), silent ? pg::Value{*silent} : std::nullopt});
    if (rows.empty()) return false;
    fence = rows.front().number(0);
    trusted_until_ = trusted_until(sent_at);
    return true;
  } catch (const pg::Error& e) {
    if (e.sqlstate == "55P03" || e.sqlstate == "40P01" || e.sqlstate == "57014") return false;
    throw;
  }
}

void Lease::Keeper::take(pg::Session& session) {
  const Deadline deadline{request_.wait};
  prefix_ = backend_name_prefix(session, bookkeeping_, request_.name);
  Reminder reminder;
  Silence silence;
  for (;;) {
    stop_.check();
    const auto holder = read_holder(session, bookkeeping_, request_.name);
    const auto silent = holder && !holder->expired ? silence.seen(*holder) : std::nullopt;
    if (!holder || holder->expired || silent) {
      if (silent)
        log::warn(fmt::format("the lease {} has not been renewed for its whole ttl ({}), though by "
                              "the server's clock it lasts: taking it",
                              request_.name, for_people(holder->ttl)));
      if (holder) {
        former_role_ = holder->role;
        end_other_backends(session, {}, holder->fence + 1);
      }
      if (try_to_take(session, silent)) break;
    } else if (reminder.is_due(holder->name)) {
      log::info(
          fmt::format("waiting for the lease {}: held by {}", request_.name, describe(*holder)),
          {{"lease", request_.name}, {"holder", holder->name}});
    }
    if (deadline.passed()) {
      throw Failure{
          ExitCode::lease_held,
          fmt::format("another runner still holds the lease {} after {}: {}", request_.name,
                      for_people(request_.wait), holder ? describe(*holder) : "unknown"),
          "let it finish and run again; a crashed holder is replaced by itself after lease.ttl"};
    }
    sleep(std::min<Milliseconds>(jittered(k_poll), deadline.remaining() + 10ms), stop_);
  }
  application_name = fmt::format("{}{}:{}", prefix_, fence, nonce_);
  start_renewing();  // clearing the way may take longer than the ttl
  try {
    clear_the_way(session, Deadline{std::max<Milliseconds>(request_.ttl, 10s)});
  } catch (...) {  // it is ours already, and the next runner need not wait for the ttl
    release(session);
    throw;
  }
  log::debug(fmt::format("lease {} taken with fence {}", request_.name, fence));
}

void Lease::Keeper::clear_the_way(pg::Session& session, const Deadline& deadline) {
  std::set<std::string> left;
  while (!(left = end_other_backends(session, left)).empty()) {
    if (deadline.passed()) {
      const auto pids = join({left.begin(), left.end()}, ", ");
      throw Failure{
          ExitCode::lease_held,
          fmt::format("backends of an earlier runner of {} do not end: pid {}", request_.name,
                      pids),
          fmt::format("end them with a role that may: SELECT pg_terminate_backend(pid) FROM "
                      "pg_stat_activity WHERE pid IN ({})",
                      pids)};
    }
    sleep(100ms, stop_);
    stop_.check();
  }
}

void Lease::Keeper::start_renewing() {
  renewer_ = std::jthread{[this](const std::stop_token& done) { renew_forever(done); }};
  watcher_ = std::jthread{[this](const std::stop_token& done) { watch_the_clock(done); }};
}

bool Lease::Keeper::renew(pg::Session& session) {
  const auto sent_at = Clock::now();
  auto parameters = identity();
  parameters.emplace_back(std::to_string(request_.ttl.count()));
  const auto rows = session.query_within(request_.ttl / 3,
                                         bookkeeping_.sql(statements::k_renew_lease), parameters);
  if (rows.empty()) return false;
  {
    const std::lock_guard lock{mutex_};
    trusted_until_ = trusted_until(sent_at);
  }
  renewed_.notify_all();
  end_other_backends(session, {});
  return true;
}

void Lease::Keeper::renew_forever(const std::stop_token& done) {
  name_this_thread("lease-renewer");
  std::optional<pg::Session> session;  // a short run never needs it
  auto pause = std::min<Milliseconds>(k_first_renewal, request_.ttl / 3);
  while (sleep(pause, done)) {
    try {
      if (!session)
        session.emplace(database_.open(database_.pooled() ? "schemagate" : application_name));
      if (!renew(*session)) {
        stop_.request(lost("another runner has taken it, or it had expired"));
        return;
      }
      pause = request_.ttl / 3;
    } catch (const std::exception& e) {
      log::warn(fmt::format("the lease {} could not be renewed, trying again: {}", request_.name,
                            e.what()));
      {
        const std::lock_guard lock{mutex_};
        last_error_ = e.what();
      }
      session.reset();
      pause = std::min<Milliseconds>(k_renew_retry, request_.ttl / 10);
    }
  }
}

void Lease::Keeper::watch_the_clock(const std::stop_token& done) {
  name_this_thread("lease-clock");
  std::unique_lock lock{mutex_};
  while (!done.stop_requested()) {
    const auto until = trusted_until_;
    renewed_.wait_until(lock, done, until, [&] { return trusted_until_ != until; });
    if (done.stop_requested() || trusted_until_ != until) continue;
    const auto reason = last_error_.empty() ? "" : ": " + last_error_;
    lock.unlock();
    stop_.request(lost("it could not be renewed in time" + reason));
    return;
  }
}

Failure Lease::Keeper::lost(const std::string& how) const {
  return {ExitCode::lease_lost,
          fmt::format("the lease {} (fence {}) is lost: {}; nothing more is committed",
                      request_.name, fence, how),
          "run again: what is missing will be done then"};
}

std::string Lease::Keeper::check_sql() const {
  return pg::with_values(bookkeeping_.sql(statements::k_check_fence), identity());
}

void Lease::Keeper::judge(const pg::Rows& answer) const {
  if (answer.empty()) throw lost("another runner has taken it");
}

void Lease::Keeper::release(pg::Session& session) noexcept {
  try {
    watcher_ = {};
    renewer_ = {};
    // Renamed, or the next runner would end this backend; in one message, so that a runner that is
    // paused here has done both or neither.
    session.execute((database_.pooled() ? "" : "SET application_name = 'schemagate';") +
                    std::string{pg::k_guard} +
                    pg::with_values(bookkeeping_.sql(statements::k_release_lease), identity()));
  } catch (const std::exception& e) {
    log::debug(fmt::format("the lease could not be released and will expire: {}", e.what()));
  }
}

Lease::Lease(pg::Session& session, const Database& database, const Bookkeeping& bookkeeping,
             const LeaseRequest& request, Stop& stop)
    : keeper_{std::make_unique<Keeper>(database, bookkeeping, request, stop)} {
  keeper_->take(session);
}
Lease::~Lease() = default;

void Lease::check(pg::Session& session) const { judge(session.query(check_sql())); }
std::string Lease::check_sql() const { return keeper_->check_sql(); }
void Lease::judge(const pg::Rows& answer) const { keeper_->judge(answer); }
Fence Lease::fence() const { return Fence{keeper_->fence}; }
const std::string& Lease::application_name() const { return keeper_->application_name; }
std::string Lease::name_sql() const {
  return "SET LOCAL application_name = " + pg::quote_literal(application_name()) + ";";
}
std::string Lease::clean_sql() const {
  return (keeper_->is_pooled() ? "" : k_reset_session) + std::string{pg::k_guard} + name_sql();
}
void Lease::release(pg::Session& session) noexcept { keeper_->release(session); }

}  // namespace schemagate
