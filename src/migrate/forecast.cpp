#include "schemagate/migrate/forecast.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <set>

#include "remarks.hpp"
#include "schemagate/base/password.hpp"
#include "schemagate/base/wait.hpp"
#include "schemagate/impact/rules.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t k_shown_max = 120;
constexpr int k_newest_version = 18;
constexpr std::int64_t k_counted_max_bytes = std::int64_t{100} << 20;

// MB a second that one backend does: from a fast disk and warm caches to a small cloud volume.
struct Speed {
  double high;
  double low;
};
constexpr Speed k_scan{1200, 150};
constexpr Speed k_index{200, 20};  // of the table it is built on
constexpr Speed k_rewrite{200, 20};
constexpr Speed k_rebuilt_indexes{100, 10};

Milliseconds at_speed(std::int64_t bytes, double mb_a_second) {
  return Milliseconds{
      static_cast<std::int64_t>(static_cast<double>(bytes) / 1048.576 / mb_a_second)};
}

void add(Estimate& estimate, std::int64_t bytes, Speed speed) {
  estimate.low += at_speed(bytes, speed.high);
  estimate.high += at_speed(bytes, speed.low);
}

// Of each statement, in order. A script of nothing but INSERTs has one for them all.
using Acts = std::vector<std::shared_ptr<const std::vector<Act>>>;

bool is_nothing_but_insert(const std::vector<Act>& acts) {
  return acts.size() == 1 && acts.front().kind == Act::Kind::insert;
}

class Forecaster {
 public:
  Forecaster(const Acts& acts, Relations relations, int version, pg::Session* session)
      : acts_{acts}, relations_{std::move(relations)}, session_{session} {
    forecast_.server_major_version = version;
  }

  Forecast of(const Plan& plan) {
    for (const auto& planned : plan.pending) {
      MigrationForecast migration{.name = planned.migration->name,
                                  .path = display_path(*planned.migration),
                                  .segments = {}};
      relations_.begin_script();
      for (const auto& segment : planned.segments) migration.segments.push_back(of(segment));
      forecast_.migrations.push_back(std::move(migration));
    }
    return std::move(forecast_);
  }

 private:
  SegmentForecast of(const Segment& segment) {
    SegmentForecast all{.transactional = segment.transactional, .reason = segment.reason};
    for (const auto& statement : segment.statements) {
      const auto acts = acts_.at(next_++);
      if (statement.text == k_check_deferred_constraints) continue;
      if (acts == inserts_ && !all.statements.empty()) {
        ++all.statements.back().more;
        continue;
      }
      inserts_ = is_nothing_but_insert(*acts) ? acts : nullptr;
      all.statements.push_back(of(statement, *acts));
    }
    inserts_ = nullptr;
    if (segment.transactional) all.holds = holds(all.statements);
    return all;
  }

  StatementForecast of(const Statement& statement, const std::vector<Act>& acts) {
    StatementForecast told{.line = statement.line,
                           .column = statement.column,
                           .text = line_without_password(statement.text, k_shown_max)};
    const auto version =
        forecast_.server_major_version == 0 ? k_newest_version : forecast_.server_major_version;
    const RemarkContext context{.statement = statement,
                                .is_only_act = acts.size() == 1,
                                .relations = relations_,
                                .server_major_version = version,
                                .count = [this](const Relation& table, const std::string& column) {
                                  return count(table, column);
                                }};
    for (const auto& act : acts) {
      for (auto& impact : predict(act, relations_, version)) {
        remember(impact.relation);
        told.impacts.push_back(std::move(impact));
      }
      for (auto& remark : remarks_on(act, context)) told.remarks.push_back(std::move(remark));
      relations_.apply(act);
    }
    told.impacts = schemagate::together(std::move(told.impacts));
    told.estimate = estimate(told.impacts);
    return told;
  }

  void remember(const std::string& name) {
    const auto* relation = relations_.written(name);
    if (session_ == nullptr || relation == nullptr) return;
    forecast_.relations.try_emplace(
        name, TouchedRelation{.oid = relation->oid,
                              .has_rows = relation->kind != 'v' && relation->kind != 'S',
                              .heap_bytes = std::max<std::int64_t>(relation->heap_bytes, 0),
                              .index_bytes = relation->index_bytes,
                              .rows = relation->rows});
  }

  [[nodiscard]] const TouchedRelation& size_of(const std::string& relation) const {
    static const TouchedRelation k_unknown;
    const auto at = forecast_.relations.find(relation);
    return at == forecast_.relations.end() ? k_unknown : at->second;
  }

  [[nodiscard]] Estimate estimate(const std::vector<Impact>& impacts) const {
    Estimate all;
    for (const auto& impact : impacts) {
      const auto& size = size_of(impact.relation);
      if (impact.work == Work::scan) schemagate::add(all, size.heap_bytes, k_scan);
      if (impact.work == Work::index) schemagate::add(all, size.heap_bytes, k_index);
      if (impact.work != Work::rewrite) continue;
      schemagate::add(all, size.heap_bytes, k_rewrite);
      schemagate::add(all, size.index_bytes, k_rebuilt_indexes);
    }
    return all;
  }

  [[nodiscard]] std::int64_t bytes_of(const Impact& impact) const {
    if (impact.work < Work::scan) return 0;
    const auto& size = size_of(impact.relation);
    return size.heap_bytes + (impact.work == Work::rewrite ? size.index_bytes : 0);
  }

  // Where a lock that stops writes is followed by one that stops reads, there are two.
  [[nodiscard]] std::vector<Hold> holds(const std::vector<StatementForecast>& statements) const {
    std::vector<Hold> all;
    for (const auto& statement : statements) {
      for (const auto& impact : statement.impacts) {
        const auto stops_as_much = [&](const Hold& hold) {
          return hold.relation == impact.relation && who_waits(hold.lock) >= who_waits(impact.lock);
        };
        if (who_waits(impact.lock) != Waiting::nobody &&
            std::none_of(all.begin(), all.end(), stops_as_much))
          all.push_back(
              {.relation = impact.relation, .lock = impact.lock, .from_line = statement.line});
      }
      for (auto& hold : all) add_work(hold, statement);
    }
    return all;
  }

  void add_work(Hold& hold, const StatementForecast& statement) const {
    hold.estimate.low += statement.estimate.low;
    hold.estimate.high += statement.estimate.high;
    for (const auto& impact : statement.impacts) {
      if (impact.work > hold.work || (impact.work == hold.work && impact.work >= Work::scan &&
                                      bytes_of(impact) > bytes_of({hold.work_on, {}, hold.work})))
        hold.work_on = impact.relation;
      hold.work = std::max(hold.work, impact.work);
      hold.work_bytes += bytes_of(impact);
    }
  }

  // Behind a lock, under a policy, or where there is too much: not at all.
  std::optional<std::int64_t> count(const Relation& table, const std::string& column) const {
    if (session_ == nullptr || table.heap_bytes > k_counted_max_bytes) return std::nullopt;
    try {
      const auto rows = session_->query_aside(fmt::format(
          "SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = '2s'; SELECT count({}) "
          "FROM ONLY {}",
          column.empty() ? "*" : pg::quote_identifier(column), table.quoted));
      return rows.front().number(0);
    } catch (const pg::Error&) {
      return std::nullopt;
    }
  }

  const Acts& acts_;
  std::size_t next_ = 0;                             // of acts_
  std::shared_ptr<const std::vector<Act>> inserts_;  // of the last statement, if it is nothing else
  Relations relations_;
  pg::Session* session_;
  Forecast forecast_;
};

Acts acts_of(const Plan& plan) {
  Acts all;
  std::map<RelationName, std::shared_ptr<const std::vector<Act>>> inserts;
  for (const auto& planned : plan.pending)
    for (const auto& segment : planned.segments)
      for (const auto& statement : segment.statements) {
        auto acts = acts_of(statement);
        if (!is_nothing_but_insert(acts)) {
          all.push_back(std::make_shared<const std::vector<Act>>(std::move(acts)));
          continue;
        }
        auto& known = inserts[acts.front().relation];
        if (known == nullptr) known = std::make_shared<const std::vector<Act>>(std::move(acts));
        all.push_back(known);
      }
  return all;
}

std::vector<Act> together(const Acts& acts) {
  std::set<const void*> seen;
  std::vector<Act> all;
  for (const auto& some : acts)
    if (seen.insert(some.get()).second) all.insert(all.end(), some->begin(), some->end());
  return all;
}

// $1 relations. Counters of a table: scans begun, rows written.
constexpr const char* k_traffic =
    "SELECT relid, coalesce(seq_scan, 0) + coalesce(idx_scan, 0), n_tup_ins + n_tup_upd + n_tup_del "
    "FROM pg_stat_all_tables WHERE relid = ANY ($1::oid[])";

void watch_traffic(pg::Session& session, Forecast& forecast, Milliseconds watch, const Stop& stop) {
  std::vector<std::string> oids;
  for (const auto& [name, relation] : forecast.relations)
    oids.push_back(std::to_string(relation.oid));
  if (oids.empty() || watch == 0ms) return;
  const auto look = [&] {
    (void)session.query("SELECT pg_stat_clear_snapshot()");
    std::map<std::int64_t, std::pair<std::int64_t, std::int64_t>> counters;
    for (const auto& row : session.query(k_traffic, {pg::array_of(oids)}))
      counters[row.number(0)] = {row.number(1), row.number(2)};
    return counters;
  };
  const auto before = look();
  const auto since = Clock::now();
  sleep(watch, stop);
  stop.check();
  const auto after = look();
  const auto seconds = std::chrono::duration<double>{Clock::now() - since}.count();
  for (auto& [name, relation] : forecast.relations) {
    const auto first = before.find(relation.oid);
    const auto second = after.find(relation.oid);
    if (first == before.end() || second == after.end()) continue;
    relation.traffic = Traffic{
        .reads_per_s = static_cast<double>(second->second.first - first->second.first) / seconds,
        .writes_per_s =
            static_cast<double>(second->second.second - first->second.second) / seconds};
  }
}

}  // namespace

Forecast forecast(pg::Session& session, const std::vector<std::string>& search_path,
                  const Plan& plan, Milliseconds watch, const Stop& stop) {
  if (plan.pending.empty()) return {.server_major_version = session.server_major_version()};
  const auto acts = acts_of(plan);
  auto relations = Relations::read(session, search_path, together(acts));
  auto all =
      Forecaster{acts, std::move(relations), session.server_major_version(), &session}.of(plan);
  watch_traffic(session, all, watch, stop);
  return all;
}

Forecast forecast_offline(const Folder& folder, const Plan& plan, int server_major_version) {
  Relations relations{{"public"}};
  for (const auto& migration : folder.migrations) {
    const bool is_pending =
        std::any_of(plan.pending.begin(), plan.pending.end(),
                    [&](const auto& one) { return one.migration->name == migration.name; });
    if (is_pending) continue;
    relations.begin_script();
    for (const auto& statement : parse_script(migration.sql))
      for (const auto& act : acts_of(statement)) relations.apply(act);
  }
  relations.age();
  const auto acts = acts_of(plan);
  return Forecaster{acts, std::move(relations), server_major_version, nullptr}.of(plan);
}

}  // namespace schemagate
