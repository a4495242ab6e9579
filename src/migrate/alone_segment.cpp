#include <fmt/core.h>

#include "applier.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/migrate/concurrent_index.hpp"
#include "schemagate/migrate/statement_failure.hpp"

namespace schemagate {

// An earlier run sent the statement and did not live to record its end. Was it done?
bool Applier::was_done_before(const PlannedMigration& planned, const Segment& segment) {
  const auto& statement = segment.statements.front();
  if (!statement.index) return false;
  script_.apply_settings(segment);
  return concurrent_index::is_done(session_, *statement.index, planned.interrupted.evidence);
}

void Applier::drop_left_invalid(const Migration& migration, const Segment& segment,
                                const std::string& before) {
  const auto& index = segment.statements.front().index;
  if (!index) return;
  script_.clean();
  script_.apply_settings(segment);
  const auto names = concurrent_index::left_invalid(session_, *index, before);
  script_.clean();
  for (const auto& name : names) {
    context_.connection.lease.check(session_);
    script_.wait_without_limits();
    session_.execute("DROP INDEX CONCURRENTLY " + name);
    log::warn(
        fmt::format("migration {}: dropped the INVALID index {} that an aborted CONCURRENTLY left",
                    migration.name, name));
  }
}

void Applier::run_alone(const PlannedMigration& planned, const Segment& segment,
                        const std::string& before, bool resuming) {
  const auto& statement = segment.statements.front();
  const auto attempt = [&] {
    drop_left_invalid(*planned.migration, segment, before);
    try {
      script_.run_alone(segment, planned.migration->name);
    } catch (const StatementFailed& e) {
      const bool may_be_done =
          resuming && !planned.was_refused && statement.rerun == Statement::Rerun::existing;
      if (may_be_done && says_it_was_done(e.error.sqlstate)) return;
      try {
        drop_left_invalid(*planned.migration, segment, before);
      } catch (const pg::Error& second) {  // the first error is the one to be told
        log::warn(
            fmt::format("an INVALID index may be left, the next run drops it: {}", second.message));
      }
      throw;
    }
  };
  // What commits by itself half-way must not be run twice.
  if (statement.index || statement.rerun == Statement::Rerun::repeat)
    with_retries(planned.migration, attempt);
  else attempt();
}

void Applier::alone_segment(const PlannedMigration& planned, std::size_t index,
                            const std::string& id) {
  const auto& segment = planned.segments[index];
  const auto& statement = segment.statements.front();
  const bool resuming = index == planned.interrupted_segment && !planned.interrupted.digest.empty();
  script_.clean();
  if (resuming && was_done_before(planned, segment)) {
    log::info(fmt::format("migration {}: {} on line {} had been finished by the interrupted run",
                          planned.migration->name, statement.what, statement.line));
  } else {
    auto before = resuming ? planned.interrupted.evidence : std::string{};
    if (!resuming && statement.index) {
      script_.apply_settings(segment);
      before = concurrent_index::evidence(session_, *statement.index);
    }
    script_.clean();
    in_fenced_transaction([&](Fenced& transaction) {
      transaction.query(context_.bookkeeping.sql(statements::k_start_step),
                        {id, planned.migration->name, std::to_string(planned.parts_done + index),
                         digest_of(statement), before});
    });
    context_.tool_lock.release();
    run_alone(planned, segment, before, resuming);
    script_.clean();
    context_.tool_lock.acquire();
  }
  script_.clean();
  in_fenced_transaction(
      [&](Fenced& transaction) { transaction.execute(finish_part_sql(planned, index, id)); });
}

}  // namespace schemagate
