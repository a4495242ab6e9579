#include "schemagate/recovery/resolve.hpp"

#include <fmt/core.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma_lock.hpp"
#include "schemagate/postgres/cancel_on_stop.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {
namespace {

using Outcome = Settlement::Outcome;

constexpr std::size_t k_missing_max = 6;

std::string this_user() {
  const auto* entry = ::getpwuid(::geteuid());
  return (entry != nullptr ? entry->pw_name : std::to_string(::geteuid())) + "@" + this_host();
}

void tell(const Settlement& settlement) {
  for (const auto& line : describe(settlement)) log::info(line);
}

Failure undecided(const Settlement& settlement) {
  if (settlement.outcome == Outcome::running)
    return {ExitCode::lease_held,
            fmt::format("migration {}: {}", settlement.row->name, settlement.because),
            settlement.hint};
  return {ExitCode::history,
          fmt::format("migration {} is not settled, nothing was changed:\n  {}",
                      settlement.row->name, join(describe(settlement), "\n  ")),
          settlement.hint};
}

std::string missing_list(const Remainder& remainder) {
  auto some = remainder.missing;
  if (some.size() > k_missing_max) {
    some.resize(k_missing_max);
    some.push_back(fmt::format("and {} more", remainder.missing.size() - k_missing_max));
  }
  return join(some, "; ");
}

// Reads, decides, and writes what was decided, all under the lease.
class Resolver {
 public:
  // What to write for one migration.
  struct Step {
    std::string name;
    bool applied;
    std::string checksum;              // for applied
    std::vector<std::string> row_ids;  // these become rolled back
    std::string because;
  };

  Resolver(const Manifest& manifest, Stop& stop, std::vector<Settled>& settled)
      : manifest_{manifest}, stop_{stop}, settled_{settled}, target_{manifest, folder_of(manifest)},
        session_{ready(target_, manifest, stop)} {}

  void resolve(const std::string& name, Decision decision) {
    history_ = target_.history().read(session_);  // before anything is created for a typing error
    if (last_row(name, false) == nullptr && migration(name) == nullptr) throw unknown(name);
    work("resolve", [&] { return decide(name, decision); });
  }
  void baseline(const BaselineOptions& options) {
    history_ = target_.history().read(session_);
    (void)chosen(options);
    work("baseline", [&] { return decide_baseline(options); });
  }

 private:
  static pg::Session ready(Target& target, const Manifest& manifest, Stop& stop) {
    if (!target.has_history())
      throw Failure{ExitCode::usage, "there is no history that this manifest's tool keeps",
                    "only tool: prisma, or history: prisma, has one"};
    auto session = wait_until_ready(target.database, manifest.database, stop);
    target.find_history(session);
    return session;
  }

  void work(const std::string& mode, const std::function<std::vector<Step>()>& decide);
  void write(const std::string& mode, const Lease& lease, const std::vector<Step>& steps);

  std::vector<Step> decide(const std::string& name, Decision decision);
  std::vector<Step> decide_applied(const std::string& name);
  std::vector<Step> decide_rolled_back(const std::string& name);
  std::vector<Step> decide_by_evidence(const std::string& name);
  std::vector<Step> decide_marked(const HistoryRow& row, Decision decision);
  std::vector<Step> decide_baseline(const BaselineOptions& options);
  std::vector<const Migration*> chosen(const BaselineOptions& options) const;

  [[nodiscard]] Step applied(const std::string& name, const std::string& because) const;
  [[nodiscard]] Step rolled_back(const std::string& name, const std::string& because) const;
  [[nodiscard]] std::vector<std::string> failed_rows(const std::string& name) const;
  [[nodiscard]] const Migration* migration(const std::string& name) const;
  [[nodiscard]] const HistoryRow* last_row(const std::string& name, bool failed_only) const;
  [[nodiscard]] Failure unknown(const std::string& name) const;
  [[nodiscard]] std::optional<Remainder> remainder(const std::string& name);
  [[nodiscard]] Settlement settlement_of(const std::string& name, const HistoryRow* failed);
  void nothing(const std::string& name, const std::string& why) const;

  const Manifest& manifest_;
  Stop& stop_;
  std::vector<Settled>& settled_;
  Target target_;
  pg::Session session_;
  History history_;
  HistoryRow none_{};  // for a migration without a row
};

void Resolver::work(const std::string& mode, const std::function<std::vector<Step>()>& decide) {
  target_.bookkeeping.create_if_missing(session_);
  target_.bookkeeping.check_rights(session_, target_.history().schema());
  target_.bookkeeping.check_may_create_history(session_, target_.history().schema());
  Lease lease{session_, target_.database, target_.bookkeeping, target_.lease_request(), stop_};
  try {
    explaining_database_errors(stop_, [&] {
      const CancelOnStop cancel{session_, stop_};  // a row or the table may be locked by somebody
      PrismaLock prisma_lock{session_, target_.database, manifest_.lease.wait, stop_};
      prisma_lock.acquire();
      history_ = target_.history().read(session_);
      const auto steps = decide();
      if (!steps.empty()) write(mode, lease, steps);
    });
  } catch (...) {
    lease.release(session_);
    throw;
  }
  lease.release(session_);
}

void Resolver::write(const std::string& mode, const Lease& lease, const std::vector<Step>& steps) {
  pg::Transaction transaction{session_, lease.name_sql()};
  const auto& history = target_.history();
  const auto role = session_.row("SELECT session_user").text(0);
  RunRecord record;
  record.begin(session_, target_.bookkeeping, target_.id, mode, target_.folder.digest,
               lease.fence());
  history.create_if_missing(session_);
  std::vector<std::string> notes;
  for (const auto& step : steps) {
    for (const auto& id : step.row_ids) history.mark_rolled_back(session_, id);
    if (step.applied) history.mark_applied(session_, step.name, step.checksum);
    notes.push_back(fmt::format("{} marked as {} by {} (role {}): {}", step.name,
                                step.applied ? "applied" : "rolled back", this_user(), role,
                                step.because));
  }
  record.note(session_, join(notes, "\n"));
  record.complete(session_, 0);
  lease.check(session_);
  stop_.check();
  transaction.commit();
  for (const auto& step : steps) {
    log::info(fmt::format("migration {} marked as {}", step.name,
                          step.applied ? "applied" : "rolled back"));
    settled_.push_back({step.name, step.applied, step.because});
  }
}

const Migration* Resolver::migration(const std::string& name) const {
  const auto* found = target_.folder.find(name);
  return found != nullptr && !found->file_missing ? found : nullptr;
}

const HistoryRow* Resolver::last_row(const std::string& name, bool failed_only) const {
  const HistoryRow* last = nullptr;
  for (const auto& row : history_.rows)
    if (row.name == name && (!failed_only || row.failed())) last = &row;
  return last;
}

Failure Resolver::unknown(const std::string& name) const {
  if (const auto* found = target_.folder.find(name))
    return {ExitCode::history,
            fmt::format("{} does not exist, but its directory does (Prisma: P3017)",
                        found->file.string()),
            "restore the file, or remove the directory"};
  std::vector<std::string> names;
  for (const auto& one : target_.folder.migrations) names.push_back(one.name);
  for (const auto& row : history_.rows) names.push_back(row.name);
  const auto meant = closest(name, names);
  return {ExitCode::usage,
          fmt::format("there is no migration {}: neither in {} nor in the history (Prisma: P3017)",
                      name, target_.folder.directory.string()),
          meant.empty() ? "give the whole name of the directory"
                        : "did you mean " + shell_word(meant) + "?"};
}

std::vector<std::string> Resolver::failed_rows(const std::string& name) const {
  std::vector<std::string> ids;
  for (const auto& row : history_.rows)
    if (row.name == name && row.failed()) ids.push_back(row.id);
  return ids;
}

Resolver::Step Resolver::applied(const std::string& name, const std::string& because) const {
  const auto* found = migration(name);
  return {name, true, found != nullptr ? found->checksum : last_row(name, false)->checksum,
          failed_rows(name), because};
}

Resolver::Step Resolver::rolled_back(const std::string& name, const std::string& because) const {
  return {name, false, {}, failed_rows(name), because};
}

void Resolver::nothing(const std::string& name, const std::string& why) const {
  log::info(fmt::format("migration {} {}; nothing to settle", name, why));
}

Settlement Resolver::settlement_of(const std::string& name, const HistoryRow* failed) {
  if (failed == nullptr) {
    none_.name = name;
    none_.checksum = migration(name)->checksum;
    none_.steps = 0;
    return examine(session_, target_, *migration(name), none_);
  }
  for (auto& settlement : examine_failed(session_, target_, history_))
    if (settlement.row == failed) return settlement;
  throw std::logic_error{"a failed row without settlement"};
}

std::optional<Remainder> Resolver::remainder(const std::string& name) {
  for (auto& one : examine_marked(session_, target_, history_))
    if (one.migration->name == name) return one;
  return std::nullopt;
}

std::vector<Resolver::Step> Resolver::decide(const std::string& name, Decision decision) {
  if (migration(name) == nullptr && last_row(name, false) == nullptr) throw unknown(name);
  switch (decision) {
    case Decision::applied: return decide_applied(name);
    case Decision::rolled_back: return decide_rolled_back(name);
    case Decision::automatic: break;
  }
  return decide_by_evidence(name);
}

std::vector<Resolver::Step> Resolver::decide_applied(const std::string& name) {
  if (history_.applied(name) != nullptr) {
    nothing(name, "is already recorded as applied (Prisma: P3008)");
    return {};
  }
  const auto* failed = last_row(name, true);
  if (failed != nullptr || migration(name) != nullptr) {
    const auto settlement = settlement_of(name, failed);
    if (settlement.outcome == Outcome::running) throw undecided(settlement);
    tell(settlement);
    if (settlement.outcome != Outcome::applied)
      log::warn(fmt::format(
          "migration {} is recorded as applied because you say so; what is missing of it "
          "will not be made by any later run",
          name));
  }
  return {applied(name, "a person said so (--applied)")};
}

std::vector<Resolver::Step> Resolver::decide_rolled_back(const std::string& name) {
  if (const auto* failed = last_row(name, true)) {
    const auto settlement = settlement_of(name, failed);
    if (settlement.outcome == Outcome::running) throw undecided(settlement);
    tell(settlement);
    if (settlement.outcome != Outcome::rolled_back)
      log::warn(fmt::format("migration {} is recorded as rolled back because you say so; {}", name,
                            settlement.migration != nullptr
                                ? "the next run executes the whole script"
                                : "its script is gone, so that no run executes it"));
    return {rolled_back(name, "a person said so (--rolled-back)")};
  }
  if (const auto* row = history_.applied(name)) {
    if (remainder(name)) return decide_marked(*row, Decision::rolled_back);
    throw Failure{ExitCode::history,
                  fmt::format("migration {} is applied and did not fail (Prisma: P3012)", name),
                  "what it did is undone by a new migration"};
  }
  if (last_row(name, false) == nullptr)
    throw Failure{ExitCode::history,
                  fmt::format("migration {} has never been applied here (Prisma: P3011)", name),
                  "it is pending: schemagate run"};
  nothing(name, "is already rolled back");
  return {};
}

// Recorded by hand or by `resolve --applied`: true? Whether its data was written cannot be seen.
std::vector<Resolver::Step> Resolver::decide_marked(const HistoryRow& row, Decision decision) {
  const auto left = remainder(row.name);
  if (!left) {
    nothing(row.name, "is recorded as applied, and what it makes is there as far as can be seen");
    return {};
  }
  const auto refused = [&](const std::string& why, const std::string& hint) {
    return Failure{
        ExitCode::history,
        fmt::format("migration {} is recorded as applied, but {}: {}; nothing was changed",
                    row.name, why, missing_list(*left)),
        hint};
  };
  if (!left->is_nothing())
    throw refused("part of it is missing", "make what is missing by hand, or by a new migration");
  if (decision == Decision::automatic && left->changes_data)
    throw refused(
        "nothing of it is there as far as can be seen, and it changes data, too",
        fmt::format("if its data was not changed either: schemagate resolve {} --rolled-back",
                    shell_word(row.name)));
  log::info(fmt::format("{} is recorded as applied, but {}", row.name, missing_list(*left)));
  return {{row.name, false, {}, {row.id}, "recorded as applied, but nothing of it is there"}};
}

std::vector<Resolver::Step> Resolver::decide_by_evidence(const std::string& name) {
  const auto* failed = last_row(name, true);
  const auto* done = history_.applied(name);
  if (failed == nullptr && done != nullptr) {
    if (done->steps == 0 && migration(name) != nullptr)
      return decide_marked(*done, Decision::automatic);
    nothing(name, "is applied");
    return {};
  }
  if (failed == nullptr && migration(name) == nullptr) {
    nothing(name, "is rolled back, and its directory is gone");
    return {};
  }
  const auto settlement = settlement_of(name, failed);
  if (settlement.outcome == Outcome::running) throw undecided(settlement);
  if (failed == nullptr && settlement.outcome == Outcome::rolled_back) {
    nothing(name, "is pending, and nothing of it is there: schemagate run applies it");
    return {};
  }
  switch (settlement.outcome) {
    case Outcome::applied: tell(settlement); return {applied(name, settlement.because)};
    case Outcome::rolled_back: tell(settlement); return {rolled_back(name, settlement.because)};
    case Outcome::resumable: nothing(name, "is continued by the next run"); return {};
    default: throw undecided(settlement);
  }
}

std::vector<const Migration*> Resolver::chosen(const BaselineOptions& options) const {
  std::vector<const Migration*> migrations;
  if (options.names.empty()) {
    if (migration(options.through) == nullptr) throw unknown(options.through);
    for (const auto& one : target_.folder.migrations) {
      migrations.push_back(&one);
      if (one.name == options.through) break;
    }
    return migrations;
  }
  for (const auto& name : options.names)
    if (migration(name) == nullptr) throw unknown(name);
  for (const auto& one : target_.folder.migrations)
    if (std::find(options.names.begin(), options.names.end(), one.name) != options.names.end())
      migrations.push_back(&one);
  return migrations;
}

std::vector<Resolver::Step> Resolver::decide_baseline(const BaselineOptions& options) {
  std::vector<Step> steps;
  std::vector<const Migration*> all;  // as they will be recorded afterwards, in order
  const auto asked = chosen(options);
  for (const auto& one : target_.folder.migrations) {
    const bool is_asked = std::find(asked.begin(), asked.end(), &one) != asked.end();
    const bool is_applied = history_.applied(one.name) != nullptr;
    if (is_asked || is_applied) all.push_back(&one);
    if (!is_asked) continue;
    if (is_applied) {
      nothing(one.name, "is already recorded as applied");
      continue;
    }
    if (one.file_missing)
      throw Failure{ExitCode::history,
                    fmt::format("{} does not exist, but its directory does (Prisma: P3017)",
                                one.file.string()),
                    "restore the file, or remove the directory"};
    if (last_row(one.name, true) != nullptr)
      throw Failure{ExitCode::history,
                    fmt::format("migration {} has failed; it is to be settled by itself", one.name),
                    fmt::format("schemagate resolve {} --auto", shell_word(one.name))};
    steps.push_back(applied(one.name, "baseline: what it makes was there already"));
  }
  std::string problems;
  for (const auto& one : remainders_of(session_, target_, all)) {
    const auto is_new = [&](const auto& step) { return step.name == one.migration->name; };
    if (std::none_of(steps.begin(), steps.end(), is_new)) continue;
    if (!one.missing.empty())
      problems += fmt::format("\n  {}: {}", one.migration->name, missing_list(one));
    else if (one.changes_data)
      log::warn(
          fmt::format("migration {} changes data, too, and whether that was done cannot be seen",
                      one.migration->name));
  }
  if (!problems.empty())
    throw Failure{
        ExitCode::history, "these are not there, so nothing was recorded:" + problems,
        "leave these migrations out, and a run applies them; or make what is missing by hand; or, "
        "if you are sure that they are done all the same: schemagate resolve NAME --applied"};
  return steps;
}

}  // namespace

void settle(pg::Session& session, const HistoryTable& history,
            const std::vector<Settlement>& proven, const RunRecord& record) {
  std::set<std::string> recorded;  // two rows of one name become one that is applied
  std::vector<std::string> notes;
  for (const auto& settlement : proven) {
    const auto& row = *settlement.row;
    const bool is_applied = settlement.outcome == Outcome::applied;
    history.mark_rolled_back(session, row.id);
    if (is_applied && recorded.insert(row.name).second)
      history.mark_applied(session, row.name,
                           settlement.migration != nullptr ? settlement.migration->checksum
                                                           : row.checksum);
    notes.push_back(fmt::format("{} settled as {}: {}", row.name,
                                is_applied ? "applied" : "rolled back", settlement.because));
    log::warn(fmt::format(
        "migration {}, which an earlier deploy left unfinished, is settled as {}: {}", row.name,
        is_applied ? "applied" : "rolled back, and will be executed again", settlement.because));
  }
  record.note(session, join(notes, "\n"));
}

History as_settled(History history, const std::vector<Settlement>& proven) {
  for (auto& row : history.rows) {
    for (const auto& settlement : proven) {
      if (settlement.row->id != row.id) continue;
      row.finished = settlement.outcome == Outcome::applied;
      row.rolled_back = !row.finished;
    }
  }
  return history;
}

void resolve(const Manifest& manifest, const std::string& name, Decision decision, Stop& stop,
             std::vector<Settled>& settled) {
  explaining_database_errors(stop,
                             [&] { Resolver{manifest, stop, settled}.resolve(name, decision); });
}

void baseline(const Manifest& manifest, const BaselineOptions& options, Stop& stop,
              std::vector<Settled>& settled) {
  explaining_database_errors(stop, [&] { Resolver{manifest, stop, settled}.baseline(options); });
}

}  // namespace schemagate
