#include "schemagate/migrate/apply.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "applier.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/migrate/advice.hpp"
#include "schemagate/migrate/statement_failure.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

ExitCode exit_code_of(const StatementFailed& failure) {
  return lacks_resource(failure.error) ? ExitCode::connection_lost : ExitCode::migration_failed;
}

// Of a migration whose segment `index` failed.
std::string what_stays(const PlannedMigration& planned, std::size_t index) {
  const auto done = planned.parts_done + index;
  const auto before = done == 0 ? std::string{}
                                : fmt::format("{} of {} parts of this migration stay applied", done,
                                              planned.parts());
  if (planned.segments[index].may_be_half_done())
    return before + (done == 0 ? "" : ", and ") +
           "what the statement committed before it failed stays";
  if (done == 0) return "what the statement did before it failed stays";
  return before + fmt::format("; the next run continues with part {}", done + 1);
}

}  // namespace

void Applier::attend_session() {
  session_.on_notice([this](const std::string& text) {
    was_noticed_ = true;
    log::info(text);
  });
  cancel_.emplace(session_, context_.stop);
}

void Applier::reopen() {
  cancel_.reset();
  session_ = context_.connection.open();
  attend_session();
}

// The server says so with a NOTICE, in its own language.
void Applier::compare_if_left_out(const std::vector<const Migration*>& made) {
  const bool is_tolerant = std::any_of(made.begin(), made.end(), [](const auto* one) {
    return lower_case(one->sql).find("if not exists") != std::string::npos;
  });
  if (context_.compare && was_noticed_ && is_tolerant) context_.compare(made);
}

// Rolls back, waits and tries again while the server says that another moment may be better.
// `migration` is the one at work, which an attempt may change.
void Applier::with_retries(const Migration* const& migration,
                           const std::function<void()>& attempt) {
  const Deadline deadline{context_.connection.settings.lock_retry};
  Backoff backoff{500ms, 10s};
  for (;;) {
    try {
      return attempt();
    } catch (const StatementFailed& e) {
      if (!is_retryable(e.error)) throw;
      if (deadline.passed()) throw lock_not_had(*migration, e);
      const auto pause = std::min(backoff.next(), deadline.remaining() + 10ms);
      const auto blocker = script_.last_blocker().text;
      log::warn(fmt::format("migration {}: {}; rolled back, trying again in {}{}", migration->name,
                            e.error.message, for_people(pause),
                            blocker.empty() ? "" : "; blocked by " + blocker));
      sleep(pause, context_.stop);
      context_.stop.check();
    }
  }
}

Failure Applier::lock_not_had(const Migration& migration, const StatementFailed& failure) {
  const auto blocker = script_.last_blocker();
  const auto where = failure.statement == nullptr
                         ? migration.name
                         : location(migration, failure.statement->line, failure.statement->column);
  return {
      ExitCode::lock_timeout,
      fmt::format(
          "{}: a lock could not be had within migrations.lock_retry ({}): {}{}\n  the open part of "
          "the migration was rolled back",
          where, for_people(context_.connection.settings.lock_retry), failure.error.message,
          blocker.text.empty() ? "" : "\n  blocked by " + blocker.text),
      blocker.pid == 0
          ? "run again at a quieter time"
          : fmt::format(
                "{1}see what it does: SELECT * FROM pg_stat_activity WHERE pid = {0}; if it may be "
                "ended: SELECT pg_terminate_backend({0}); then run again",
                blocker.pid, blocker.as_whom)};
}

void Applier::in_fenced_transaction(const std::function<void(Fenced&)>& work) {
  Fenced transaction{session_, context_.connection.lease, script_.bookkeeping_prologue()};
  work(transaction);
  transaction.commit();
}

// `happened` looks in a new session whether the COMMIT whose answer was lost took place. It may
// only look once the old backend has let go of the lease row, which the fence check waits for.
void Applier::commit(Fenced& transaction, const std::function<bool()>& happened) {
  context_.stop.check();
  try {
    transaction.commit();
  } catch (const pg::CommitInDoubt& e) {
    context_.stop.check();
    log::warn(fmt::format("connection lost during COMMIT, reading the outcome back: {}", e.what()));
    reopen();
    bool committed = false;
    {
      const Fenced look{session_, context_.connection.lease};
      context_.connection.lease.check(session_);
      committed = happened();
    }
    if (!committed) throw;
    context_.tool_lock.acquire();
    log::info("the COMMIT had taken place");
  }
}

void Applier::quietly(const std::function<void(Fenced&)>& record) {
  try {
    script_.clean();
    in_fenced_transaction(record);
  } catch (const std::exception& e) {
    log::warn(fmt::format("the failure could not be recorded in the history: {}", e.what()));
  }
}

// One transaction, rolled back: the row says so, and neither our next run nor the tool's is
// blocked.
Failure Applier::record_failure(const Migration& migration, const StatementFailed& failure) {
  const auto text = describe(migration, failure);
  quietly([&](Fenced& transaction) {
    context_.history.insert_rolled_back(transaction, random_uuid(), migration.name,
                                        migration.checksum, text);
  });
  return {exit_code_of(failure), text + "\n  nothing of this migration remains",
          advice(migration, failure)};
}

void Applier::one_transaction(const PlannedMigration& planned) {
  const auto& migration = *planned.migration;
  const auto& segment = planned.segments.front();
  const auto id = random_uuid();
  const auto* at_work = &migration;
  std::optional<PlannedMigration> cut;
  try {
    with_retries(at_work, [&] {
      Fenced transaction{session_, context_.connection.lease, script_.prologue(segment)};
      script_.begun();
      was_noticed_ = false;
      script_.run(segment, migration.name);
      compare_if_left_out({&migration});
      script_.conclude(transaction, context_.history.insert_applied_sql(
                                        id, migration.name, migration.checksum, "now()"));
      commit(transaction, [&] { return context_.history.is_finished(session_, id); });
    });
  } catch (const StatementFailed& e) {
    cut = cut_as_told(planned, e);
    if (!cut) throw record_failure(migration, e);
  }
  if (cut) in_segments(std::move(*cut));
}

// Only the server can tell that a procedure commits, that a partitioned table is to be rebuilt, or
// which statement uses a new enum value.
std::optional<PlannedMigration> Applier::cut_as_told(const PlannedMigration& planned,
                                                     const StatementFailed& failure) {
  if (failure.statement == nullptr) return std::nullopt;
  const auto& [line, column] = std::pair{failure.statement->line, failure.statement->column};
  std::optional<PlannedMigration> cut;
  if (needs_commit_before(failure.error.sqlstate))
    cut = with_cut(planned, {line, column, Cut::Kind::before});
  if (refuses_transactions(failure.error.sqlstate) && context_.may_run_alone)
    cut = with_cut(planned, {line, column, Cut::Kind::alone});
  if (!cut || (context_.connection.database.pooled() && cut->sets_outside_transactions()))
    return std::nullopt;
  log::info(fmt::format("{}: {}; rolled back, and done again in {} parts",
                        location(*planned.migration, line, column), failure.error.message,
                        cut->parts()));
  return cut;
}

void Applier::apply_as_one(const std::vector<PlannedMigration>& pending,
                           const std::function<void(Fenced&)>& before_commit) {
  const auto* at_work = pending.front().migration;
  std::string last_id;
  try {
    with_retries(at_work, [&] {
      Fenced transaction{session_, context_.connection.lease, context_.connection.lease.name_sql()};
      script_.begun();
      was_noticed_ = false;
      std::vector<const Migration*> made;
      for (const auto& planned : pending) {
        at_work = planned.migration;
        last_id = random_uuid();
        const auto started_at = session_.row("SELECT clock_timestamp()").text(0);
        session_.execute("SET CONSTRAINTS ALL DEFERRED;" + std::string{pg::k_unguard} +
                         script_.prologue(planned.segments.front()));
        script_.run(planned.segments.front(), at_work->name);
        made.push_back(at_work);
        script_.conclude_part(
            context_.history.insert_applied_sql(last_id, at_work->name, at_work->checksum,
                                                pg::quote_literal(started_at) + "::timestamptz"));
        log::info(fmt::format("ran {} (commits with the release)", at_work->name));
      }
      compare_if_left_out(made);
      before_commit(transaction);
      commit(transaction, [&] { return context_.history.is_finished(session_, last_id); });
    });
  } catch (const StatementFailed& e) {
    if (needs_commit_before(e.error.sqlstate) && e.statement != nullptr)
      throw not_as_one(*at_work, *e.statement, e.error.message + " (it has to be committed first)");
    const auto failure = record_failure(*at_work, e);
    throw Failure{failure.code(),
                  std::string{failure.what()} +
                      ", nor of any other of this release (atomic: release)",
                  failure.hint()};
  }
  for (const auto& planned : pending) applied_.push_back(planned.migration->name);
}

std::string Applier::finish_part_sql(const PlannedMigration& planned, std::size_t index,
                                     const std::string& id) const {
  const auto& migration = *planned.migration;
  auto sql = pg::with_values(context_.bookkeeping.sql(statements::k_finish_step),
                             {id, migration.name, std::to_string(planned.parts_done + index),
                              join(planned.segments[index].digests(), "\n")});
  if (index + 1 == planned.segments.size())
    sql += ";" + context_.history.finish_sql(id, migration.checksum);
  return sql;
}

void Applier::transactional_segment(const PlannedMigration& planned, std::size_t index,
                                    const std::string& id) {
  const auto& segment = planned.segments[index];
  with_retries(planned.migration, [&] {
    Fenced transaction{session_, context_.connection.lease, script_.prologue(segment)};
    script_.begun();
    script_.run(segment, planned.migration->name);
    script_.conclude(transaction, finish_part_sql(planned, index, id));
    commit(transaction, [&] {
      return !session_
                  .query(context_.bookkeeping.sql(statements::k_step_is_finished),
                         {id, std::to_string(planned.parts_done + index)})
                  .empty();
    });
  });
}

// Some parts may be committed: then the row stays unfinished, and the next run continues there, or
// says why it cannot.
Failure Applier::record_failure(const PlannedMigration& planned, const StatementFailed& failure,
                                std::size_t index, const std::string& id) {
  const auto& migration = *planned.migration;
  const auto& segment = planned.segments[index];
  const auto done = planned.parts_done + index;
  const auto text = describe(migration, failure);
  const bool leaves_nothing = segment.transactional || (segment.statements.front().index &&
                                                        segment.statements.front().index->action ==
                                                            Statement::Index::Action::create);
  const bool nothing_remains = done == 0 && leaves_nothing;
  quietly([&](Fenced& transaction) {
    if (nothing_remains) context_.history.set_rolled_back(transaction, id, text);
    else context_.history.set_failed(transaction, id, text);
  });
  const auto told =
      text + "\n  " +
      (nothing_remains ? "nothing of this migration remains" : what_stays(planned, index));
  if (segment.may_be_half_done())
    return {exit_code_of(failure), told,
            finish_by_hand(migration, segment.statements.front().line, done)};
  auto hint = advice(migration, failure);
  if (done > 0 && !segment.statements.empty())
    hint =
        hint + fmt::format("; what stands before line {0} is applied: leave it as it is, and put "
                           "what is new between that and line {0}",
                           segment.statements.front().line);
  return {exit_code_of(failure), told, hint};
}

void Applier::begin_or_continue(const PlannedMigration& planned, const std::string& id) {
  const auto& migration = *planned.migration;
  const auto start_step = [&](Fenced& transaction, std::size_t segment) {
    transaction.query(context_.bookkeeping.sql(statements::k_start_step),
                      {id, migration.name, std::to_string(planned.parts_done + segment),
                       planned.interrupted.digest, planned.interrupted.evidence});
  };
  if (planned.row_id.empty())
    return in_fenced_transaction([&](Fenced& transaction) {
      context_.history.insert_started(transaction, id, migration.name, migration.checksum);
      start_step(transaction, 0);
    });
  log::info(fmt::format("migration {}: continuing with part {} of {}, where an earlier run stopped",
                        migration.name, planned.parts_done + 1, planned.parts()));
  in_fenced_transaction([&](Fenced& transaction) {
    context_.history.forget_logs(transaction, id);
    // What was begun may have another number in the script as it is now, or none.
    transaction.query(context_.bookkeeping.sql(statements::k_forget_begun), {id});
    start_step(transaction, planned.interrupted_segment);
  });
}

void Applier::in_segments(PlannedMigration planned) {
  const auto id = planned.row_id.empty() ? random_uuid() : planned.row_id;
  begin_or_continue(planned, id);
  for (std::size_t index = 0; index < planned.segments.size();) {
    std::optional<PlannedMigration> cut;
    try {
      if (planned.segments[index].transactional) transactional_segment(planned, index, id);
      else alone_segment(planned, index, id);
      ++index;
    } catch (const StatementFailed& e) {
      if (planned.segments[index].transactional) cut = cut_as_told(planned, e);
      if (!cut) throw record_failure(planned, e, index, id);
    }
    if (cut) planned = std::move(*cut);  // the segments before this one are the same
  }
}

void Applier::apply(const PlannedMigration& planned) {
  const auto& name = planned.migration->name;
  const auto started_at = Clock::now();
  log::debug(fmt::format("applying {}", name), {{"migration", name}});
  if (planned.is_one_transaction()) one_transaction(planned);
  else in_segments(planned);
  const auto took = std::chrono::duration_cast<Milliseconds>(Clock::now() - started_at);
  log::info(fmt::format("applied {} in {}", name, for_people(took)),
            {{"migration", name}, {"duration_ms", std::to_string(took.count())}});
  applied_.push_back(name);
}

void apply_each(pg::Session& session, const Plan& plan, const ApplyContext& context,
                std::vector<std::string>& applied) {
  Applier applier{session, context, applied};
  for (const auto& planned : plan.pending) applier.apply(planned);
}

void apply_as_release(pg::Session& session, const Plan& plan, const ApplyContext& context,
                      std::vector<std::string>& applied,
                      const std::function<void(Fenced&)>& before_commit) {
  Applier{session, context, applied}.apply_as_one(plan.pending, before_commit);
}

}  // namespace schemagate
