#include "schemagate/commands/plan.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "one_look.hpp"
#include "refusals.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/recovery/existing.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {
namespace {

constexpr const char* k_scripts_of_others =
    "the scripts are the migration command's own: what they would do is not told";

constexpr const char* k_one_transaction =
    "atomic: release makes all of it one transaction: what is locked stays so until its end";

PlanReport report_of(const Manifest& manifest, const Folder& folder) {
  PlanReport report;
  report.app = manifest.app;
  report.release = release_of(manifest, folder.digest).release;
  report.folder = folder.directory.lexically_proximate(std::filesystem::current_path()).string();
  report.folder_count = folder.migrations.size();
  return report;
}

// As if all others were applied, and nothing but the scripts could be in the way.
Plan plan_of(const Folder& folder, Manifest::Migrations settings,
             const std::set<std::string>& pending) {
  History history;
  for (const auto& one : folder.migrations)
    if (!pending.contains(one.name))
      history.rows.push_back({.id = {},
                              .name = one.name,
                              .checksum = one.checksum,
                              .logs = {},
                              .started_at = {},
                              .finished = true});
  settings.out_of_order = Policy::allow;
  return make_plan(folder, history, settings);
}

// For scripts that are the tool's own.
Forecast names_only(const std::vector<const Migration*>& pending) {
  Forecast forecast;
  for (const auto* one : pending)
    forecast.migrations.push_back({.name = one->name, .path = display_path(*one), .segments = {}});
  return forecast;
}

bool is_one_transaction(const Manifest::Migrations& settings, const Forecast& forecast) {
  return settings.atomic == Atomic::release && forecast.migrations.size() > 1;
}

bool holds_sql(const Manifest& manifest, const Folder& folder) {
  if (manifest.migrations.tool != Tool::command) return true;
  return folder.format && std::any_of(folder.migrations.begin(), folder.migrations.end(),
                                      [](const auto& one) { return !one.sql.empty(); });
}

std::vector<const Migration*> those_behind(const Folder& folder, const std::string& after,
                                           const std::string& shown_folder) {
  std::vector<const Migration*> behind;
  std::vector<std::string> names;
  bool is_behind = after.empty();
  for (const auto& one : folder.migrations) {
    if (is_behind) behind.push_back(&one);
    is_behind = is_behind || one.name == after;
    names.push_back(one.name);
  }
  if (is_behind) return behind;
  const auto meant = closest(after, names);
  throw Failure{ExitCode::usage,
                fmt::format("{} holds no migration \"{}\"{}", shown_folder, after,
                            meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant)),
                "--after takes the name of the last one that is applied"};
}

void judge(PlanReport& report, const Manifest& manifest) {
  report.policies = findings(report.forecast, manifest.policy);
  report.refused = refusal(report.policies, manifest.file.string());
}

// One look at what a run would find.
class Look {
 public:
  Look(pg::Session& session, Target& target, PlanReport& report, const Stop& stop)
      : session_{session}, target_{target}, report_{report}, stop_{stop} {
    target_.find_history(session_);
    target_.refuse_untrusted(session_, Bookkeeping::Trust::to_read);
    report_.database = target_.database.address().display();
    report_.schema = target_.schema();
  }

  void look_ahead(Milliseconds watch) {
    tell_run_at_work();
    if (target_.history() == nullptr)
      return tell("the migration command keeps no history that can be read here: nobody can tell "
                  "what is pending, or what it would do");
    const auto history = target_.history()->read(session_);
    if (target_.writable_history() == nullptr) {
      refuse_lost_folder(target_, history);
      report_.forecast = names_only(pending_of(target_.folder, history));
      return tell(k_scripts_of_others);
    }
    const auto plan = planned(history);
    report_.forecast = forecast(session_, target_.search_path(), plan, watch, stop_);
    judge(report_, target_.manifest);
    if (is_one_transaction(target_.settings, report_.forecast)) tell(k_one_transaction);
    if (target_.settings.tool == Tool::command)
      tell("a migration command executes the scripts: in transactions of its own, or in none");
  }

  void look_back(const std::string& release);

 private:
  void tell(const std::string& remark) { report_.remarks.push_back(remark); }
  void tell_run_at_work();
  Plan planned(const History& history);
  void refuse_drift(const Drift& drift);
  [[nodiscard]] Completion completion_of(const std::string& release);

  pg::Session& session_;
  Target& target_;
  PlanReport& report_;
  const Stop& stop_;
};

void Look::tell_run_at_work() {
  if (!target_.bookkeeping.may_read(session_, "lock")) return;
  const auto rows = session_.query(target_.bookkeeping.sql(statements::k_read_lease),
                                   {target_.lease_request().name});
  if (rows.empty() || rows.front().flag(5)) return;
  tell(fmt::format("a run is at work (release {} on {}): this is the plan beside it",
                   rows.front().text(1), rows.front().text(2)));
}

Plan Look::planned(const History& history) {
  const auto settled = as_settled(history, proven_failures(session_, target_, history, stop_));
  const auto drift = look_for_drift(session_, target_);
  refuse_drift(drift);
  auto plan = plan_unless_refused(session_, target_, settled, drift, stop_);
  refuse_lost_folder(target_, settled);
  refuse_what_a_pooler_forbids(target_, plan);
  for (const auto& warning : plan.warnings) tell(warning);
  return plan;
}

void Look::refuse_drift(const Drift& drift) {
  if (!drift.is_compared() || drift.differences.empty()) return;
  if (target_.manifest.drift.policy == DriftPolicy::fail) throw failure_of(drift);
  tell(headline(drift) + ": see schemagate status");
}

Completion Look::completion_of(const std::string& release) {
  const auto& bookkeeping = target_.bookkeeping;
  if (!bookkeeping.exists(session_))
    throw Failure{ExitCode::usage, "no run has happened on this database yet", {}};
  if (!bookkeeping.may_read(session_, "run") || !bookkeeping.may_read(session_, "marker"))
    throw Failure{ExitCode::refused, "this role may not read what runs have left",
                  "grant it what deploy/sql/status-role.sql grants"};
  auto id = target_.id;
  id.release = release;
  if (auto found = find_first_completion(session_, bookkeeping, id)) return *found;
  throw Failure{ExitCode::usage,
                fmt::format("no run of release {} was ever complete here, schema {}", release,
                            target_.schema()),
                own_command("status") + " tells the last releases"};
}

void Look::look_back(const std::string& release) {
  if (target_.writable_history() == nullptr)
    throw Failure{ExitCode::usage, "--since needs a history with times, and scripts in SQL",
                  std::string{"of those with "} + k_writable_histories};
  const auto complete = completion_of(release);
  report_.since = release;
  report_.since_at = complete.at;
  std::set<std::string> later;
  for (const auto& row : target_.history()->read(session_, HistoryTable::Times::all).rows) {
    if (!row.applied() || row.finished_us <= complete.at_us) continue;
    const auto* migration = target_.folder.find(row.name);
    if (migration != nullptr && !migration->file_missing) later.insert(row.name);
    else
      tell(fmt::format("{} was applied at {} and is not here: what it does is not told", row.name,
                       row.finished_at));
  }
  auto settings = target_.settings;
  settings.atomic = Atomic::migration;
  report_.forecast = forecast_offline(target_.folder, plan_of(target_.folder, settings, later),
                                      session_.server_major_version());
}

PlanReport looked(const Manifest& manifest, Stop& stop, const std::string& again,
                  const std::function<void(Look&)>& look) {
  Target target{manifest, folder_of(manifest)};
  auto report = report_of(manifest, target.folder);
  in_one_look(target.database, manifest.database, again, stop, [&](pg::Session& session) {
    Look one{session, target, report, stop};
    look(one);
  });
  return report;
}

}  // namespace

PlanReport plan(const Manifest& manifest, Milliseconds watch, Stop& stop) {
  return looked(manifest, stop, "plan", [&](Look& look) { look.look_ahead(watch); });
}

PlanReport plan_since(const Manifest& manifest, const std::string& release, Stop& stop) {
  return looked(manifest, stop, "plan --since " + shell_word(release),
                [&](Look& look) { look.look_back(release); });
}

PlanReport plan_offline(const Manifest& manifest, const std::string& after,
                        int server_major_version) {
  const auto folder = folder_of(manifest);
  auto report = report_of(manifest, folder);
  const auto pending = those_behind(folder, after, report.folder);
  if (holds_sql(manifest, folder)) {
    std::set<std::string> names;
    for (const auto* one : pending) names.insert(one->name);
    report.forecast =
        forecast_offline(folder, plan_of(folder, manifest.migrations, names), server_major_version);
    judge(report, manifest);
    if (is_one_transaction(manifest.migrations, report.forecast))
      report.remarks.emplace_back(k_one_transaction);
  } else {
    report.forecast = names_only(pending);
    report.remarks.emplace_back(k_scripts_of_others);
  }
  return report;
}

}  // namespace schemagate
