#include "schemagate/recovery/rehearsal.hpp"

#include <fmt/core.h>

#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/impact/measure.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/migrate/advice.hpp"
#include "schemagate/migrate/statement_failure.hpp"
#include "schemagate/postgres/cancel_on_stop.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_shown_max = 200;

// It may have to come before any query of its transaction, and asks nothing of a relation.
bool is_setting(const Statement& statement) {
  const auto word = lower_case(statement.text.substr(0, statement.text.find_first_of(" \t\r\n")));
  return statement.kind == Statement::Kind::setting || word == "set" || word == "reset" ||
         word == "show";
}

ExitCode exit_code_of(const pg::Error& error) {
  if (lacks_resource(error)) return ExitCode::connection_lost;
  return is_retryable(error) ? ExitCode::lock_timeout : ExitCode::migration_failed;
}

class Rehearser {
 public:
  Rehearser(Replay& copy, const Target& target, const Stop& stop)
      : copy_{copy}, session_{copy.scratch().session()}, live_{target.database.address()},
        settings_{target.settings}, stop_{stop}, measure_{session_} {}

  Rehearsal rehearse(const Plan& plan) {
    const CancelOnStop cancel{session_, stop_};
    try {
      if (settings_.atomic == Atomic::release && !plan.pending.empty()) {
        as_one(plan.pending);
      } else {
        for (const auto& planned : plan.pending)
          if (!report_.failure) each(planned);
      }
    } catch (const CannotTell& e) {
      throw Failure{ExitCode::refused, e.what(), e.hint};
    }
    stop_.check();
    return std::move(report_);
  }

 private:
  void begin(const Migration& migration) {
    copy_.refuse_what_may_reach_outside(migration, parse_script(migration.sql));
    report_.migrations.push_back({.name = migration.name, .path = display_path(migration)});
  }

  void each(PlannedMigration planned) {
    begin(*planned.migration);
    for (std::size_t i = 0; i < planned.segments.size();) {
      std::optional<PlannedMigration> cut;
      try {
        run(planned.segments[i]);
        ++i;
      } catch (const StatementFailed& e) {
        if (planned.segments[i].transactional) cut = cut_as_told(planned, e);
        if (!cut) return fail(*planned.migration, e);
      }
      if (!cut) continue;
      report_.migrations.back().segments.pop_back();
      planned = std::move(*cut);  // the segments before this one are the same
    }
  }

  void as_one(const std::vector<PlannedMigration>& pending) {
    const auto* at_work = pending.front().migration;
    try {
      pg::Transaction transaction{session_};
      for (const auto& planned : pending) {
        at_work = planned.migration;
        begin(*at_work);
        session_.execute("SET CONSTRAINTS ALL DEFERRED;" + limits());
        in_transaction(planned.segments.front());
      }
      commit(transaction);
    } catch (const StatementFailed& e) {
      if (needs_commit_before(e.error.sqlstate) && e.statement != nullptr)
        report_.failure =
            not_as_one(*at_work, *e.statement, e.error.message + " (it has to be committed first)");
      else fail(*at_work, e);
    }
  }

  // What helps is typed in the live database.
  void fail(const Migration& migration, StatementFailed e) {
    e.error.role = live_.value("user");
    e.error.database = live_.database();
    report_.failure = Failure{exit_code_of(e.error), describe(migration, e), advice(migration, e)};
  }

  [[nodiscard]] static std::optional<PlannedMigration> cut_as_told(const PlannedMigration& planned,
                                                                   const StatementFailed& failure) {
    if (failure.statement == nullptr) return std::nullopt;
    const auto& [line, column] = std::pair{failure.statement->line, failure.statement->column};
    if (needs_commit_before(failure.error.sqlstate))
      return with_cut(planned, {line, column, Cut::Kind::before});
    if (refuses_transactions(failure.error.sqlstate))
      return with_cut(planned, {line, column, Cut::Kind::alone});
    return std::nullopt;
  }

  void run(const Segment& segment) {
    if (!segment.transactional) return alone(segment);
    // A line of its own: the script's words may end with a comment.
    pg::Transaction transaction{
        session_, limits() + (segment.transaction_options.empty()
                                  ? std::string{}
                                  : "SET TRANSACTION " + segment.transaction_options + "\n;")};
    in_transaction(segment);
    commit(transaction);
  }

  void in_transaction(const Segment& segment) {
    auto& told = start(segment);
    for (const auto& setting : segment.settings) execute(setting);
    for (const auto& statement : segment.statements) {
      const bool is_measured =
          !is_setting(statement) && statement.trace != Statement::Trace::outside;
      if (is_measured) measure_.before();
      told.push_back(executed(statement));
      if (is_measured) told.back().impacts = measure_.after(statement);
      // Where the script's COMMIT stood.
      if (!counts(statement)) told.pop_back();
    }
    at_the_end("SET CONSTRAINTS ALL IMMEDIATE;" + std::string{k_reset_session});
  }

  void alone(const Segment& segment) {
    auto& told = start(segment);
    const auto& statement = segment.statements.front();
    session_.execute(k_reset_session + limits());
    if (statement.what.find("CONCURRENTLY") != std::string::npos)
      session_.execute("SET lock_timeout = 0");
    for (const auto& setting : segment.settings) execute(setting);
    measure_.before();
    told.push_back(executed(statement));
    if (!told.back().left_out) told.back().impacts = measure_.after_alone(statement);
    session_.execute(k_reset_session);
  }

  std::vector<RehearsedStatement>& start(const Segment& segment) {
    auto& segments = report_.migrations.back().segments;
    segments.push_back({.transactional = segment.transactional, .reason = segment.reason});
    return segments.back().statements;
  }

  RehearsedStatement executed(const Statement& statement) {
    RehearsedStatement one{.line = statement.line,
                           .column = statement.column,
                           .text = line_without_password(statement.text, k_shown_max),
                           .left_out = statement.trace == Statement::Trace::outside};
    const auto started_at = Clock::now();
    if (!one.left_out) execute(statement);
    one.took = std::chrono::duration_cast<Milliseconds>(Clock::now() - started_at);
    return one;
  }

  void execute(const Statement& statement) {
    stop_.check();
    try {
      session_.execute(statement.text);
    } catch (const pg::Error& e) {
      stop_.check();  // a cancelled statement: the reason is ours
      throw StatementFailed{e, &statement};
    }
  }

  void at_the_end(const std::string& sql) {
    try {
      session_.execute(sql);
    } catch (const pg::Error& e) {
      stop_.check();
      throw StatementFailed{e, nullptr};
    }
  }

  void commit(pg::Transaction& transaction) const {
    try {
      transaction.commit();
    } catch (const pg::Error& e) {
      stop_.check();
      throw StatementFailed{e, nullptr};
    }
  }

  // A server that does not look whether its client lives goes on with a killed client's statement.
  [[nodiscard]] std::string limits() const {
    return fmt::format("SET statement_timeout = {}; SET lock_timeout = {};{}",
                       settings_.statement_timeout.count(), settings_.lock_timeout.count(),
                       session_.server_major_version() >= 14
                           ? "SET client_connection_check_interval = '2s';"
                           : "");
  }

  Replay& copy_;
  pg::Session& session_;
  const ConnectionString& live_;
  const Manifest::Migrations& settings_;
  const Stop& stop_;
  Measure measure_;
  Rehearsal report_;
};

}  // namespace

Rehearsal rehearse(Replay& copy, const Target& target, const Plan& plan, const Stop& stop) {
  return Rehearser{copy, target, stop}.rehearse(plan);
}

}  // namespace schemagate
