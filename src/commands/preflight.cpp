#include "preflight.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "gap.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/people.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/policy.hpp"
#include "schemagate/recovery/existing.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {
namespace {

constexpr std::chrono::seconds k_look_within{5};
constexpr std::size_t k_told_max = 10;
constexpr std::int64_t k_large_rewrite_bytes = 1LL << 30;

constexpr const char* k_server = R"sql(
SELECT current_setting('server_version'), current_user)sql";

// A role without pg_monitor sees that there are standbys, and nothing of them.
constexpr const char* k_standbys = R"sql(
SELECT count(*), count(*) FILTER (WHERE state IS NULL),
       coalesce(max(extract(epoch FROM replay_lag) * 1000), 0)::bigint,
       (array_agg(application_name ORDER BY replay_lag DESC NULLS LAST))[1], current_user
  FROM pg_stat_replication)sql";

// Empty where this role may not know.
constexpr const char* k_data_directory = R"sql(
SELECT setting FROM pg_settings WHERE name = 'data_directory')sql";

using Lines = std::vector<std::string>;

Lines first_of(Lines all) {
  if (all.size() <= k_told_max) return all;
  const auto more = all.size() - k_told_max;
  all.resize(k_told_max);
  all.push_back(fmt::format("and {} more", more));
  return all;
}

// "  tables     public.orders 3 GB": what a label does not fit stands below.
class Block {
 public:
  void add(const std::string& label, const Lines& lines) {
    for (std::size_t i = 0; i < lines.size(); ++i)
      text_ += fmt::format("\n  {:<10} {}", i == 0 ? label : "", lines[i]);
  }
  void add(const std::string& label, const std::string& line) { add(label, Lines{line}); }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_ = "preflight:";
};

Lines tables_of(const Forecast& forecast) {
  std::vector<std::pair<std::int64_t, std::string>> by_size;
  for (const auto& [name, one] : forecast.relations) {
    if (!one.has_rows) continue;
    by_size.emplace_back(
        one.heap_bytes + one.index_bytes,
        fmt::format("{}: {} and {} of indexes{}", name, size_for_people(one.heap_bytes),
                    size_for_people(one.index_bytes),
                    one.rows < 0 ? "" : fmt::format(", {} rows", number_for_people(one.rows))));
  }
  std::stable_sort(by_size.begin(), by_size.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  Lines lines;
  for (auto& [size, line] : by_size) lines.push_back(std::move(line));
  return lines;
}

Lines users_of(pg::Session& session, const Forecast& forecast) {
  Lines lines;
  for (const auto& one : occupants(session, forecast))
    if (may_be_long(one))
      if (auto line = told(one); lines.empty() || lines.back() != line)
        lines.push_back(std::move(line));
  return lines;
}

std::int64_t largest_rewrite(const Forecast& forecast) {
  std::int64_t most = 0;
  for (const auto& migration : forecast.migrations)
    for (const auto& segment : migration.segments)
      for (const auto& hold : segment.holds)
        if (hold.work == Work::rewrite) most = std::max(most, hold.work_bytes);
  return most;
}

// PostgreSQL tells nobody how much is free. Where it is on this machine, the file system does.
std::optional<std::uintmax_t> free_disk(pg::Session& session, const Target& target) {
  const auto host = target.database.address().value("host");
  if (!host.empty() && !host.starts_with('/')) return std::nullopt;
  const auto rows = session.query_within(k_look_within, k_data_directory);
  if (rows.empty() || rows[0].text(0).empty()) return std::nullopt;
  std::error_code error;
  const auto space = std::filesystem::space(rows[0].text(0), error);
  return error ? std::nullopt : std::optional{space.available};
}

std::string disk_for(std::int64_t rewrite, std::optional<std::uintmax_t> free) {
  const auto ahead = fmt::format("{} are written anew", size_for_people(rewrite));
  if (!free) return ahead + "; how much is free cannot be seen from here";
  const auto is_enough = *free > static_cast<std::uintmax_t>(rewrite);
  return fmt::format("{}; {} are free{}", ahead, size_for_people(static_cast<std::int64_t>(*free)),
                     is_enough ? "" : ": TOO LITTLE");
}

struct Standbys {
  std::string line;
  std::optional<Failure> failure;
};

Standbys standbys(pg::Session& session, Milliseconds lag_max) {
  const auto row = session.query_within(k_look_within, k_standbys).at(0);
  if (row.number(0) == 0) return {"none is connected", std::nullopt};
  if (row.number(1) > 0)
    return {"how far they are behind is hidden from this role",
            Failure{ExitCode::refused,
                    "refused: database.expect.max_lag cannot be looked at: this role does not see "
                    "how far the standbys are behind",
                    fmt::format("a superuser types: GRANT pg_monitor TO {}",
                                written_name(row.text(4)))}};
  const Milliseconds lag{row.number(2)};
  const auto line = fmt::format("{} of them, {} behind by {} (at most {})", row.number(0),
                                row.text(3).empty() ? "the last one" : row.text(3), for_people(lag),
                                for_people(lag_max));
  if (lag <= lag_max) return {line, std::nullopt};
  return {line, Failure{ExitCode::not_ready,
                        fmt::format("the standby {} is {} behind, more than "
                                    "database.expect.max_lag ({}); nothing was changed",
                                    row.text(3), for_people(lag), for_people(lag_max)),
                        "run again when it has caught up"}};
}

std::string verdict(const Policies& policies, const Outlook& outlook,
                    const std::vector<PolicyFinding>& found) {
  if (!outlook.forecast) return "not asked: what an external command does cannot be foreseen";
  const auto word = [](Policy policy) {
    return policy == Policy::fail ? "fail" : policy == Policy::warn ? "warn" : "allow";
  };
  Lines counts;
  for (const auto& [level, noun] :
       {std::pair{Policy::fail, "refusal"}, std::pair{Policy::warn, "warning"},
        std::pair{Policy::allow, "note"}})
    if (const auto count = std::count_if(found.begin(), found.end(),
                                         [&](const auto& one) { return one.level == level; });
        count > 0)
      counts.push_back(counted(static_cast<std::size_t>(count), noun));
  return fmt::format("destructive: {}, blocking: {} over {}: {}", word(policies.destructive),
                     word(policies.blocking.policy),
                     size_for_people(policies.blocking.max_table_bytes),
                     counts.empty() ? "nothing found" : join(counts, ", "));
}

void tell_findings(const std::vector<PolicyFinding>& found) {
  for (const auto level : {Policy::warn, Policy::allow}) {
    const auto tell = level == Policy::warn ? log::warn : log::info;
    std::size_t count = 0;
    for (const auto& one : found)
      if (one.level == level && ++count <= k_told_max) tell(told(one), {});
    if (count > k_told_max) tell(fmt::format("and {} more of these", count - k_told_max), {});
  }
}

void tell_unknown_allowances(const Policies& policies, const Outlook& outlook) {
  auto known = outlook.pending.value_or(Lines{});
  const auto applied = outlook.applied.value_or(Lines{});
  known.insert(known.end(), applied.begin(), applied.end());
  for (const auto& name : unknown_migrations(policies, known)) {
    const auto meant = closest(name, known);
    log::warn(fmt::format("policy.allow names {}, which neither the folder nor the history "
                          "knows{}",
                          name, meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant)));
  }
}

void add_place(Block& block, pg::Session& session, const Target& target, const Lease* lease) {
  const auto server = session.query_within(k_look_within, k_server).at(0);
  block.add("database",
            fmt::format("{}, schema {}", target.database.address().display(), target.schema()));
  block.add("server", fmt::format("PostgreSQL {}, as role {}", server.text(0), server.text(1)));
  block.add("release", target.id.release);
  if (lease == nullptr) return;
  const auto request = target.lease_request();
  block.add("lease",
            fmt::format("{}, held by this run on {} (ttl {}, fence {})", request.name, this_host(),
                        for_people(request.ttl), static_cast<std::int64_t>(lease->fence())));
}

void add_work(Block& block, const Outlook& outlook) {
  if (outlook.applied) block.add("applied", counted(outlook.applied->size(), "migration"));
  if (!outlook.pending) return block.add("pending", "what the command finds to do");
  auto names = first_of(*outlook.pending);
  block.add("pending", counted(outlook.pending->size(), "migration"));
  block.add("", names);
}

void add_tables(Block& block, pg::Session& session, const Target& target,
                const Forecast& forecast) {
  block.add("tables", first_of(tables_of(forecast)));
  block.add("in use", first_of(users_of(session, forecast)));
  if (const auto rewrite = largest_rewrite(forecast); rewrite > k_large_rewrite_bytes)
    block.add("disk", disk_for(rewrite, free_disk(session, target)));
}

}  // namespace

Outlook outlook(pg::Session& session, const Target& target, const Plan& plan,
                const History& history, const Stop& stop) {
  Outlook all{.pending = Lines{}, .applied = Lines{}, .forecast = Forecast{}};
  if (!plan.pending.empty())
    all.forecast = forecast(session, target.search_path(), plan, Milliseconds::zero(), stop);
  for (const auto& one : plan.pending) all.pending->push_back(one.migration->name);
  for (const auto& row : history.rows)
    if (row.applied()) all.applied->push_back(row.name);
  return all;
}

Outlook outlook(pg::Session& session, const Target& target) {
  if (target.history() == nullptr) return {};
  Outlook all{.pending = Lines{}, .applied = {}, .forecast = {}};
  for (const auto* one : not_applied_of(target.folder, target.history()->read(session)))
    all.pending->push_back(one->name);
  return all;
}

std::optional<Failure> preflight(pg::Session& session, const Target& target, const Outlook& outlook,
                                 const Lease* lease) {
  const auto& manifest = target.manifest;
  Block block;
  add_place(block, session, target, lease);
  add_work(block, outlook);
  if (const auto& first = manifest.hooks.before; !first.empty())
    block.add("hooks",
              fmt::format("hooks.before runs first: {}", counted(first.size(), "command")));
  if (outlook.forecast) add_tables(block, session, target, *outlook.forecast);
  std::optional<Failure> failure;
  if (const auto lag_max = manifest.database.expect.max_lag; lag_max > Milliseconds::zero()) {
    auto found = standbys(session, lag_max);
    block.add("standbys", found.line);
    failure = std::move(found.failure);
  }
  const auto found = outlook.forecast ? findings(*outlook.forecast, manifest.policy)
                                      : std::vector<PolicyFinding>{};
  block.add("policies", verdict(manifest.policy, outlook, found));
  log::info(block.text());
  tell_findings(found);
  if (outlook.forecast) tell_unknown_allowances(manifest.policy, outlook);
  if (auto refused = refusal(found, manifest.file.string())) return refused;
  return failure;
}

}  // namespace schemagate
