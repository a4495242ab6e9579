#include "schemagate/recovery/diagnosis.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/recovery/existing.hpp"

namespace schemagate {
namespace {

using Outcome = Settlement::Outcome;

constexpr std::size_t k_report_lines_max = 40;
constexpr std::size_t k_line_size_max = 200;
constexpr std::size_t k_data_size_max = 60;
constexpr std::size_t k_reason_lines_max = 12;

// Whoever holds the tool's lock ($1) alone is that tool at work. With that lock switched off, or
// through a pooler, only its last statement tells; and that is hidden from other roles.
constexpr const char* k_others = R"sql(
SELECT pid, coalesce(usename, '?'), coalesce(application_name, ''), coalesce(left(query, 500), ''),
       EXISTS (SELECT 1 FROM pg_locks l
                WHERE l.pid = a.pid AND locktype = 'advisory' AND objsubid = 1
                  AND (classid::bigint << 32 | objid::bigint) = $1::bigint AND mode = 'ExclusiveLock' AND granted),
       state IS NULL AND query = '<insufficient privilege>',
       to_char(coalesce(xact_start, query_start, backend_start) AT TIME ZONE 'UTC', 'HH24:MI:SS "UTC"')
  FROM pg_stat_activity a
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
 ORDER BY pid)sql";

constexpr std::size_t k_query_size_min = 12;  // shorter ones are in every script

struct Others {
  std::string working;      // who executes the script, or has just executed a part of it
  std::string pid_of_lock;  // of who holds the tool's lock
  bool all_visible = true;
};

Others look_at_others(pg::Session& session, const Format& format, const std::string& scripts) {
  Others others;
  const auto key = format.advisory_lock();
  for (const auto& row :
       session.query(k_others, {key ? pg::Value{std::to_string(*key)} : std::nullopt})) {
    const auto query = trim(row.text(3));
    const bool holds_lock = row.flag(4);
    const bool executes =
        query.size() >= k_query_size_min && scripts.find(query) != std::string::npos;
    others.all_visible = others.all_visible && !row.flag(5);
    if (!holds_lock && !executes) continue;
    others.working =
        fmt::format("pid {}, user {}{}, since {}, {}", row.text(0), row.text(1),
                    row.text(2).empty() ? "" : " (" + row.text(2) + ")", row.text(6),
                    holds_lock ? fmt::format("holds {}'s migration lock", format.title())
                               : "has sent a statement of this script");
    if (holds_lock) others.pid_of_lock = row.text(0);
  }
  return others;
}

Hint resolve_by(const HistoryRow& row, const char* decision) {
  return own_command("resolve " + shell_word(row.name) + " " + decision);
}

// To have it executed by the next run.
Hint again(const HistoryRow& row) {
  return row.id.empty() ? own_command("run") : resolve_by(row, "--rolled-back");
}

Hint by_hand(const HistoryRow& row, bool has_script) {
  if (!has_script)
    return "if all of it is done: " + resolve_by(row, "--applied") +
           "; if nothing of it is there: " + resolve_by(row, "--rolled-back") +
           " (nothing is executed: it has no script any more)";
  return "look at what is there; if all of it is done: " + resolve_by(row, "--applied") +
         "; to have it executed: " + again(row);
}

Hint automatic(const HistoryRow& row) {
  return resolve_by(row, "--auto") + " && " + own_command("run");
}

bool complains_of_something_missing(const std::string& logs) {
  return logs.find("does not exist") != std::string::npos ||
         logs.find("No such ") != std::string::npos;
}

bool changes_data(const ScriptState& state) {
  return std::any_of(state.statements.begin(), state.statements.end(),
                     [](const auto& one) { return one.trace == Statement::Trace::data; });
}

bool has_dropped(const ScriptState& state) {
  return std::any_of(
      state.statements.begin(),
      state.statements.begin() + static_cast<std::ptrdiff_t>(state.done_at_least),
      [](const Statement& one) { return lower_case(one.text).find("drop ") != std::string::npos; });
}

bool commits_by_itself(const Statement& statement) {
  return statement.kind == Statement::Kind::alone ||
         lower_case(statement.text.substr(0, 4)) == "call";
}

// What a person has to execute. What cannot be seen may be done: executed again, it would be twice.
std::string what_is_left(const ScriptState& state, const std::string& file) {
  const auto& next = state.statements.at(state.done_at_least);
  if (state.done_at_most == state.done_at_least)
    return fmt::format("execute the rest by hand (psql), from line {} of {} on", next.line, file);
  return fmt::format(
      "from line {} of {} on, find out first what is done where it cannot be seen, because "
      "executed again it would be done twice; execute by hand (psql) what is missing",
      next.line, file);
}

// As it may be shown: data of rows is nobody's business.
std::string shown(const Statement& statement) {
  const bool is_data = statement.trace == Statement::Trace::data;
  const auto text = is_data ? without_constants(statement.text) : statement.text;
  return without_password(join(split(text, '\n'), " "),
                          is_data ? k_data_size_max : k_line_size_max);
}

// Statement by statement, but for those that leave nothing behind; or what stands in their way.
std::vector<std::string> report(const ScriptState& state) {
  using Trace = Statement::Trace;
  std::vector<std::string> lines;
  if (state.kind == ScriptState::Kind::other) {
    lines = state.differences;
    if (!state.because.empty()) lines.insert(lines.begin(), state.because);
    return lines;
  }
  for (std::size_t i = 0; i < state.statements.size(); ++i) {
    const auto& statement = state.statements[i];
    if (statement.trace == Trace::nothing) continue;
    const bool can_be_seen =
        state.kind != ScriptState::Kind::untold && state.kind != ScriptState::Kind::no_trace;
    const auto* mark = !can_be_seen                     ? "cannot be seen"
                       : i < state.done_at_least        ? "done"
                       : i >= state.done_at_most        ? "not done"
                       : statement.trace == Trace::data ? "cannot be seen"
                                                        : "as good as done";
    lines.push_back(fmt::format("line {}: {}: {}", statement.line, mark, shown(statement)));
  }
  return some_of(std::move(lines), k_report_lines_max);
}

void describe_half_applied(Settlement& settlement, const ScriptState& state) {
  settlement.outcome = Outcome::half_applied;
  settlement.because = fmt::format("half applied: {} of {} done{}", state.done_at_least,
                                   counted(state.statements.size(), "statement"),
                                   state.done_at_most > state.done_at_least
                                       ? fmt::format(", perhaps {}", state.done_at_most)
                                       : "");
  const auto& row = *settlement.row;
  settlement.hint = what_is_left(state, settlement.migration->file.filename().string()) +
                    ", then: " + resolve_by(row, "--applied") +
                    "; or undo by hand what is done, then: " + again(row);
}

void judge_rolled_back(Settlement& settlement, bool certain, const std::string& because) {
  settlement.outcome = Outcome::rolled_back;
  settlement.proven = certain;
  settlement.because = because;
  settlement.hint = automatic(*settlement.row);
}

void judge_applied(Settlement& settlement, bool certain, const std::string& because) {
  settlement.outcome = Outcome::applied;
  settlement.proven = certain;
  settlement.because = because;
  settlement.hint = automatic(*settlement.row);
}

void judge_unclear(Settlement& settlement, const std::string& because) {
  settlement.outcome = Outcome::unclear;
  settlement.because = because;
  settlement.hint = by_hand(*settlement.row, settlement.migration != nullptr);
}

// `writer_is_gone`: nobody can be executing the script any more.
void judge(Settlement& settlement, const Folder& folder, const ScriptState& state,
           bool writer_is_gone) {
  using Kind = ScriptState::Kind;
  const auto& row = *settlement.row;
  const bool completed = row.steps > 0;
  const bool ended = !trim(row.logs).empty();
  const bool is_one = state.statements.size() == 1 && !commits_by_itself(state.statements.front());
  if (state.kind != Kind::none) settlement.report = report(state);
  if (!row.checksum.empty() && !folder.has_content(*settlement.migration, row.checksum))
    return judge_unclear(settlement, "its file was changed since, so that what is there may come "
                                     "from the script as it was");
  if (completed && state.kind != Kind::none)
    return judge_applied(settlement, true, "the script had run to its end when its run was killed");
  switch (state.kind) {
    case Kind::all: return judge_applied(settlement, false, "all of it is there");
    case Kind::none:
      if (completed)
        return judge_unclear(settlement, "it is recorded as executed, but nothing of it is there");
      if (changes_data(state) && !(ended && is_one))
        return judge_unclear(settlement,
                             "nothing of it seems to be there, but it does more than the "
                             "catalogue can show, which must not be done twice");
      return judge_rolled_back(settlement, ended || writer_is_gone, "nothing of it is there");
    case Kind::part:
      // Then what looks made, or dropped, may have been so before.
      if (row.logs.find("already exists") != std::string::npos)
        return judge_unclear(settlement,
                             "something that it makes was there already, so that what is "
                             "there does not tell how far it came");
      if (complains_of_something_missing(row.logs) && has_dropped(state))
        return judge_unclear(settlement,
                             "something that it drops may have been missing already, so that what "
                             "is there does not tell how far it came");
      return describe_half_applied(settlement, state);
    case Kind::unseen:
      if (state.done_at_least > 0 && state.done_at_most < state.statements.size())
        return describe_half_applied(settlement, state);
      break;
    default: break;
  }
  if (ended && is_one)
    return judge_rolled_back(settlement, true,
                             "its one statement failed, and PostgreSQL rolled it back");
  if (state.kind == Kind::untold) {
    judge_unclear(settlement, "what is there cannot be told: " + state.because);
    settlement.hint = (state.hint == Hint{} ? Hint{} : state.hint + "; or: ") + settlement.hint;
    return;
  }
  if (state.kind == Kind::other && state.order_proves_none && !changes_data(state))
    return judge_rolled_back(settlement, false,
                             "nothing of it is there: its first statement is not done, so that "
                             "somebody else made what there is of the others");
  if (state.kind == Kind::other) {
    judge_unclear(settlement,
                  "the catalogue is as it would be at no stage of the script: something "
                  "else has made or changed part of it");
    return;
  }
  judge_unclear(settlement, "what the catalogue shows does not tell how far it came");
}

Settlement examine_row(const History& history, const Folder& folder, const HistoryRow& row) {
  Settlement settlement;
  settlement.row = &row;
  settlement.migration = folder.find(row.name);
  if (settlement.migration != nullptr && settlement.migration->file_missing)
    settlement.migration = nullptr;
  if (settlement.migration != nullptr && history.steps.contains(row.id)) {
    if (const auto obstacle = obstacle_to_continuing(row, history, folder)) {
      settlement.because = obstacle->what();
      settlement.hint = obstacle->hint();
      return settlement;
    }
    settlement.outcome = Outcome::resumable;
    settlement.because = "an earlier run recorded how far it came; the next run continues there";
    settlement.hint = own_command("run");
  } else if (settlement.migration == nullptr && row.steps > 0) {
    judge_applied(settlement, true, "the script had run to its end when its run was killed");
  } else if (settlement.migration == nullptr) {
    judge_unclear(settlement, "its script is not in the migrations folder, so there is nothing to "
                              "compare the database with");
  }
  return settlement;
}

bool is_open(const Settlement& settlement) {
  return settlement.migration != nullptr && settlement.outcome == Outcome::unclear &&
         settlement.because.empty();
}

// The database may be further along: then all of it is there, with what others made of it since.
bool is_there_with_later_ones(const Settlement& settlement, const Judgement& judgement) {
  const auto* state = judgement.find(settlement.row->name);
  return state != nullptr && state->kind == MigrationState::Kind::there &&
         judgement.there().back() != settlement.migration;
}

class Examination {
 public:
  Examination(pg::Session& session, const Target& target, const History& history, const Stop& stop)
      : session_{session}, target_{target}, history_{history}, stop_{stop},
        judge_{session, target, stop} {}

  void judge_all(std::vector<Settlement>& settlements) {
    std::string texts;
    for (const auto& settlement : settlements)
      if (settlement.migration != nullptr) texts += settlement.migration->sql + "\n";
    const auto others = look_at_others(session_, *target_.folder.format, texts);
    const bool writer_is_gone = !target_.database.pooled() && others.all_visible;
    for (auto& settlement : settlements)
      if (!others.working.empty() && settlement.outcome != Outcome::resumable &&
          trim(settlement.row->logs).empty())
        judge_running(settlement, others);
      else if (is_open(settlement)) judge_one(settlement, writer_is_gone);
  }

 private:
  static void judge_running(Settlement& settlement, const Others& others);

  void judge_one(Settlement& settlement, bool writer_is_gone) {
    const auto before = applied_in_order(history_, target_.folder);
    judge(settlement, target_.folder, judge_.script(before, *settlement.migration), writer_is_gone);
    if (settlement.outcome != Outcome::unclear && settlement.outcome != Outcome::half_applied)
      return;
    if (!settlement.row->checksum.empty() &&
        !target_.folder.has_content(*settlement.migration, settlement.row->checksum))
      return;
    const auto& all = judgement_of_all(before);
    if (!is_there_with_later_ones(settlement, all)) return;
    settlement.report.clear();
    judge_applied(
        settlement, false,
        fmt::format("all of it is there: the database is as after {}", all.there().back()->name));
  }

  // Of all that are not applied, in the folder's order.
  const Judgement& judgement_of_all(const Judge::Migrations& before) {
    if (judgement_) return *judgement_;
    judgement_ = judge_.migrations(before, not_applied_of(target_.folder, history_), true);
    return *judgement_;
  }

  pg::Session& session_;
  const Target& target_;
  const History& history_;
  const Stop& stop_;
  Judge judge_;
  std::optional<Judgement> judgement_;
};

void Examination::judge_running(Settlement& settlement, const Others& others) {
  settlement.outcome = Outcome::running;
  settlement.proven = false;
  settlement.because = "somebody is at work: " + others.working;
  settlement.hint =
      others.pid_of_lock.empty()
          ? "wait until that session has ended (if it is your own psql, close it), then look "
            "again: " +
                own_command("status")
          : fmt::format("wait for it; if its process is gone: SELECT pg_terminate_backend({})",
                        others.pid_of_lock);
}

}  // namespace

std::vector<Settlement> examine_failed(pg::Session& session, const Target& target,
                                       const History& history, const Stop& stop) {
  std::vector<Settlement> settlements;
  for (const auto& row : history.rows)
    if (row.failed()) settlements.push_back(examine_row(history, target.folder, row));
  if (!settlements.empty()) Examination{session, target, history, stop}.judge_all(settlements);
  return settlements;
}

Settlement examine(pg::Session& session, const Target& target, const History& history,
                   const Migration& migration, const HistoryRow& row, const Stop& stop) {
  std::vector<Settlement> one(1);
  one.front().row = &row;
  one.front().migration = &migration;
  Examination{session, target, history, stop}.judge_all(one);
  return one.front();
}

std::vector<std::string> describe(const Settlement& settlement) {
  const auto& row = *settlement.row;
  std::vector<std::string> lines = {
      row.id.empty() ? row.name + " has no row in the history"
                     : fmt::format("{} started at {}{}", row.name, row.started_at,
                                   row.logs.empty() ? ": no reason was recorded" : "")};
  for (const auto& line : row.reason)
    if (lines.size() < k_reason_lines_max) lines.push_back("  " + shortened(line, 300));
  lines.push_back("  " + settlement.because);
  for (const auto& line : settlement.report) lines.push_back("    " + line);
  return lines;
}

Failure blocked_by(const Target& target, const std::vector<Settlement>& settlements) {
  auto text =
      fmt::format("{} in the history failed and must be settled first{}:",
                  counted(settlements.size(), "migration"), target.folder.code_of(Problem::failed));
  for (const auto& settlement : settlements)
    for (const auto& line : describe(settlement)) text += "\n  " + line;
  for (const auto& settlement : settlements)
    if (settlement.outcome == Outcome::running)
      return {ExitCode::lease_held, text, settlement.hint};
  return {ExitCode::history, text, settlements.front().hint};
}

}  // namespace schemagate
