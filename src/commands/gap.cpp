#include "gap.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_look_within = 5s;
constexpr Milliseconds k_long = 1s;

// $1 the relations. What a role may not know (pg_read_all_stats) is null. A prepared transaction
// has no process.
constexpr const char* k_occupants = R"sql(
SELECT l.relation, l.mode, l.virtualtransaction,
       CASE WHEN l.pid IS NULL THEN 'the prepared transaction ' || quote_literal(p.gid) || ' of user ' || p.owner
            ELSE concat_ws(', ', 'pid ' || l.pid, 'user ' || a.usename, nullif(a.application_name, '')) END,
       (extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, p.prepared)) * 1000)::bigint
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_prepared_xacts p ON l.pid IS NULL AND split_part(l.virtualtransaction, '/', 2) = p.transaction::text
 WHERE l.locktype = 'relation' AND l.relation = ANY ($1::oid[])
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_backend_pid()
   AND (a.backend_type IS NULL OR a.backend_type NOT IN ('autovacuum worker', 'parallel worker'))
 ORDER BY 5 DESC NULLS LAST, 3, 1)sql";

// PostgreSQL manual, table 13.2, of the locks that writes wait for.
bool conflict(LockMode ours, LockMode theirs) {
  switch (ours) {
    case LockMode::access_exclusive: return true;
    case LockMode::exclusive: return theirs >= LockMode::row_share;
    case LockMode::share_row_exclusive: return theirs >= LockMode::row_exclusive;
    case LockMode::share: return theirs >= LockMode::row_exclusive && theirs != LockMode::share;
    default: return false;
  }
}

using Locks = std::map<std::string, LockMode>;  // by relation

// Those that ordinary traffic has to wait for.
Locks locks_to_come(const Forecast& forecast) {
  Locks locks;
  for (const auto& migration : forecast.migrations)
    for (const auto& segment : migration.segments)
      for (const auto& hold : segment.holds)
        if (who_waits(hold.lock) != Waiting::nobody)
          locks[hold.relation] = std::max(locks[hold.relation], hold.lock);
  return locks;
}

// One by one: a transaction that is no longer there has made place for the next.
class Watch {
 public:
  explicit Watch(const Forecast& forecast) : forecast_{forecast}, locks_{locks_to_come(forecast)} {}

  [[nodiscard]] bool has_nothing_to_lock() const { return locks_.empty(); }

  std::vector<Occupant> in_the_way(pg::Session& session) {
    auto found = occupants(session, forecast_);
    found.erase(std::remove_if(found.begin(), found.end(),
                               [&](const auto& one) { return !is_in_the_way(one); }),
                found.end());
    is_first_look_ = false;
    return found;
  }

 private:
  bool is_in_the_way(const Occupant& one) {
    const auto lock = locks_.find(one.relation);
    if (lock == locks_.end() || !conflict(lock->second, one.lock)) return false;
    if (one.age) return *one.age > k_long;
    // One that is of unknown age has lasted if it was there at the first look.
    if (is_first_look_) seen_.insert(one.transaction);
    return seen_.contains(one.transaction);
  }

  const Forecast& forecast_;
  Locks locks_;
  bool is_first_look_ = true;
  std::set<std::string> seen_;
};

std::string names_of(const std::vector<Occupant>& occupants) {
  constexpr std::size_t k_told_max = 3;
  std::vector<std::string> all;
  std::set<std::string> transactions;
  for (const auto& one : occupants)
    if (transactions.insert(one.transaction).second) all.push_back(told(one));
  const auto count = all.size();
  if (count <= k_told_max) return join(all, "; ");
  all.resize(k_told_max);
  return fmt::format("{}; and {} more", join(all, "; "), count - k_told_max);
}

}  // namespace

std::string told(const Occupant& occupant) {
  return fmt::format("{}: {}, {}", occupant.relation, occupant.who,
                     occupant.age
                         ? "for " + for_people(*occupant.age)
                         : "for how long is hidden from this role (pg_read_all_stats shows it)");
}

bool may_be_long(const Occupant& occupant) { return !occupant.age || *occupant.age > k_long; }

std::vector<Occupant> occupants(pg::Session& session, const Forecast& forecast) {
  std::map<std::int64_t, std::string> names;
  std::vector<std::string> oids;
  for (const auto& [name, relation] : forecast.relations) {
    names[relation.oid] = name;
    oids.push_back(std::to_string(relation.oid));
  }
  std::vector<Occupant> all;
  if (oids.empty()) return all;
  for (const auto& row :
       session.query_within(k_look_within, k_occupants, {"{" + join(oids, ",") + "}"}))
    all.push_back({.relation = names[row.number(0)],
                   .lock = lock_mode_of(row.text(1)),
                   .transaction = row.text(2),
                   .who = row.text(3),
                   .age = row.at(4) ? std::optional{Milliseconds{row.number(4)}} : std::nullopt});
  return all;
}

void wait_for_gap(pg::Session& session, const Forecast& forecast, Milliseconds limit,
                  const Stop& stop) {
  Watch watch{forecast};
  if (watch.has_nothing_to_lock() || limit == Milliseconds::zero()) return;
  const auto begin = Clock::now();
  const Deadline deadline{limit};
  Backoff backoff{200ms, 1s};
  Reminder reminder;
  for (bool has_waited = false;; has_waited = true) {
    const auto in_the_way = watch.in_the_way(session);
    const auto waited = std::chrono::duration_cast<Milliseconds>(Clock::now() - begin);
    if (in_the_way.empty()) {
      if (has_waited) log::info("a gap was found after " + for_people(waited));
      return;
    }
    if (deadline.passed())
      return log::warn(fmt::format(
          "there was no gap within {} (migrations.gap_wait): it goes on, and gives way after "
          "migrations.lock_timeout; in the way is {}",
          for_people(limit), names_of(in_the_way)));
    if (reminder.is_due(in_the_way.front().transaction))
      log::info("waiting for a gap between long transactions: " + names_of(in_the_way));
    sleep(std::min(backoff.next(), deadline.remaining() + 10ms), stop);
    stop.check();
  }
}

}  // namespace schemagate
