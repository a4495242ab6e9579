#include "refusals.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/recovery/existing.hpp"

namespace schemagate {
namespace {

// What was wrong with the description of a table that the command has only just made is no mistake
// before anything was done: the gates have to know.
std::vector<std::string> missing_after_the_command(pg::Session& session, const Target& target) {
  try {
    return target.missing_in_history(session);
  } catch (const Failure& failure) {
    if (failure.code() != ExitCode::usage) throw;
    throw Failure{ExitCode::command_failed,
                  fmt::format("the migration command ended with exit code 0, but what it has done "
                              "cannot be read: {}",
                              failure.what()),
                  failure.hint()};
  }
}

bool is_claim(const HistoryRow& row) { return row.applied() && row.steps == 0; }

}  // namespace

// Where the schema is as the last good run left it, the rows are true. Where nobody knows, a row
// that a person wrote, or had written, may claim what was never done.
std::optional<Failure> claims_nothing(pg::Session& session, const Target& target,
                                      const History& history, const Drift& drift,
                                      const Stop& stop) {
  const bool has_doubt = drift.is_compared()
                             ? drift.may_miss_something()
                             : std::any_of(history.rows.begin(), history.rows.end(), is_claim);
  if (target.writable_history() == nullptr || !has_doubt) return std::nullopt;
  return not_there(examine_applied(session, target, history, stop));
}

std::vector<Settlement> proven_failures(pg::Session& session, const Target& target,
                                        const History& history, const Stop& stop) {
  std::vector<Settlement> proven;
  std::vector<Settlement> open;
  for (auto& settlement : examine_failed(session, target, history, stop)) {
    if (settlement.outcome == Settlement::Outcome::resumable) continue;
    (settlement.proven && target.settings.repair == Repair::automatic ? proven : open)
        .push_back(std::move(settlement));
  }
  if (!open.empty()) throw blocked_by(target, open);
  return proven;
}

Plan plan_unless_refused(pg::Session& session, const Target& target, const History& history,
                         const Drift& drift, const Stop& stop) {
  if (!history.foreign_tables.empty())
    throw not_baselined(target, history, examine_pending(session, target, history, stop));
  if (const auto failure = claims_nothing(session, target, history, drift, stop)) throw *failure;
  auto plan = make_plan(target.folder, history, target.settings);
  if (!plan.blocking.empty())
    throw blocked_by(target, examine_failed(session, target, history, stop));
  return plan;
}

void refuse_lost_folder(const Target& target, const History& history) {
  if (!target.folder.migrations.empty()) return;
  const auto lost = not_applied(target.folder, history, target.settings.edited);
  if (lost.empty()) return;
  throw Failure{ExitCode::history, fmt::format("schema {}: {}", target.schema(), lost.front()),
                "does the image hold them (COPY)? is it the right database?"};
}

bool may_run_unfenced(const Target& target) {
  return !target.database.pooled() || target.manifest.lease.allow_unfenced;
}

void refuse_unfenced(const Target& target, const std::string& what) {
  if (may_run_unfenced(target)) return;
  throw Failure{
      ExitCode::refused,
      fmt::format(
          "refused: {} cannot be fenced through a pooler ({}): if this runner lost its lease, nobody "
          "could end it",
          what, target.database.address().display()),
      "set database.direct_url to the server's own address; or accept the risk with lease.unfenced: allow"};
}

// Outside of transactions a SET would stay on a pooled backend, which is another client's next.
void refuse_what_a_pooler_forbids(const Target& target, const Plan& plan) {
  if (!plan.needs_direct_connection()) return;
  refuse_unfenced(target, "a statement that PostgreSQL does not run in a transaction");
  if (!target.database.pooled()) return;
  const bool other_schema =
      target.search_path_setting() != target.database.surroundings().search_path;
  if (!plan.sets_outside_transactions() && !other_schema) return;
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: {} cannot be set through a pooler ({}) for a statement that PostgreSQL "
                  "does not run in a transaction",
                  other_schema ? "the search_path" : "what the script SETs",
                  target.database.address().display()),
      "set database.direct_url to the server's own address"};
}

void refuse_what_the_command_left_out(pg::Session& session, const Target& target) {
  const auto missing = missing_after_the_command(session, target);
  if (missing.empty()) return;
  throw Failure{
      ExitCode::command_failed,
      "the migration command ended with exit code 0, but the history does not hold what this image holds:\n  " +
          join(missing, "\n  "),
      "does the command run in an older container or another folder than this manifest's? (Coolify's "
      "pre-deployment command does)"};
}

}  // namespace schemagate
