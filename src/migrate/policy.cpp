#include "schemagate/migrate/policy.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "schemagate/base/json.hpp"
#include "schemagate/base/people.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_told_max = 10;

std::string at(const MigrationForecast& migration, int line, int column) {
  return fmt::format("{}:{}:{}", migration.path, line, column);
}

std::string_view rule_of(Work work) {
  if (work == Work::scan) return "scan";
  return work == Work::index ? "index" : "rewrite";
}

std::string_view done_to(Work work) {
  if (work == Work::scan) return "read";
  return work == Work::index ? "read and indexed" : "written anew";
}

std::string sentence_on(const Hold& hold) {
  return fmt::format("{} wait ({} on {} until the COMMIT) while {} are {}{}: {}",
                     who_waits(hold.lock) == Waiting::writes ? "writes" : "reads and writes",
                     name_of(hold.lock), hold.relation, size_for_people(hold.work_bytes),
                     done_to(hold.work),
                     hold.work_on.empty() || hold.work_on == hold.relation
                         ? ""
                         : fmt::format(", {} above all", hold.work_on),
                     range_for_people(hold.estimate.low, hold.estimate.high));
}

// How much there is of what would be lost.
std::string sizes_of(const StatementForecast& statement, const Forecast& forecast) {
  std::string sizes;
  for (const auto& impact : statement.impacts)
    if (const auto found = forecast.relations.find(impact.relation);
        found != forecast.relations.end() && impact.lock == LockMode::access_exclusive)
      sizes += fmt::format("{}{}: {}", sizes.empty() ? " (" : ", ", impact.relation,
                           size_for_people(found->second.heap_bytes));
  return sizes.empty() ? "" : sizes + ")";
}

const StatementForecast* statement_on(const SegmentForecast& segment, int line) {
  const auto found = std::find_if(segment.statements.begin(), segment.statements.end(),
                                  [&](const auto& statement) { return statement.line >= line; });
  return found == segment.statements.end() ? nullptr : &*found;
}

// The way of the statement that does most of the work, if that one has a way.
std::string safer_than(const SegmentForecast& segment, const Hold& hold) {
  const auto works_most = [&](const StatementForecast& statement) {
    return statement.line >= hold.from_line &&
           std::any_of(statement.impacts.begin(), statement.impacts.end(),
                       [&](const Impact& impact) {
                         return impact.relation == hold.work_on && impact.work == hold.work;
                       });
  };
  const auto statement =
      std::find_if(segment.statements.begin(), segment.statements.end(), works_most);
  if (statement == segment.statements.end()) return {};
  for (const auto& remark : statement->remarks)
    if (remark.kind == Remark::Kind::safer) return remark.instead;
  return {};
}

class Judging {
 public:
  Judging(const Forecast& forecast, const Policies& policies)
      : forecast_{forecast}, policies_{policies} {}

  std::vector<PolicyFinding> all() {
    for (const auto& migration : forecast_.migrations)
      for (const auto& segment : migration.segments) {
        for (const auto& statement : segment.statements) judge(migration, statement);
        for (const auto& hold : segment.holds) judge(migration, segment, hold);
      }
    return std::move(found_);
  }

 private:
  void judge(const MigrationForecast& migration, const StatementForecast& statement) {
    for (const auto& remark : statement.remarks) {
      PolicyFinding one{.migration = migration.name,
                        .rule = remark.rule,
                        .location = at(migration, statement.line, statement.column),
                        .text = remark.text,
                        .level = Policy::allow};
      if (remark.kind == Remark::Kind::destructive) {
        one.text += sizes_of(statement, forecast_);
        add(std::move(one), Rule::Kind::destructive, policies_.destructive);
      } else if (remark.kind == Remark::Kind::unknown) {
        one.rule = "unknown";
        found_.push_back(std::move(one));
      }
    }
  }

  void judge(const MigrationForecast& migration, const SegmentForecast& segment, const Hold& hold) {
    if (who_waits(hold.lock) == Waiting::nobody || hold.work < Work::scan ||
        hold.work_bytes <= policies_.blocking.max_table_bytes)
      return;
    const auto* const first = statement_on(segment, hold.from_line);
    add({.migration = migration.name,
         .rule = std::string{rule_of(hold.work)},
         .location = at(migration, hold.from_line, first == nullptr ? 1 : first->column),
         .text = sentence_on(hold),
         .safer = safer_than(segment, hold),
         .level = Policy::allow},
        Rule::Kind::blocking, policies_.blocking.policy);
  }

  void add(PolicyFinding one, Rule::Kind kind, Policy policy) {
    if (policy == Policy::allow) return;
    const auto allowance =
        std::find_if(policies_.allow.begin(), policies_.allow.end(), [&](const auto& allowed) {
          return allowed.migration == one.migration &&
                 (allowed.rule == one.rule || allowed.rule == name_of(kind));
        });
    if (allowance == policies_.allow.end()) one.level = policy;
    else one.because = allowance->because;
    found_.push_back(std::move(one));
  }

  const Forecast& forecast_;
  const Policies& policies_;
  std::vector<PolicyFinding> found_;
};

// As YAML has it, whatever the directory is called; `${` would be a variable.
std::string yaml_text(std::string text) {
  for (auto found = text.find("${"); found != std::string::npos; found = text.find("${", found + 3))
    text.insert(found, "$");
  const auto member = Json{}.set("", text).line();  // {"":"..."}
  return member.substr(4, member.size() - 5);
}

}  // namespace

std::vector<PolicyFinding> findings(const Forecast& forecast, const Policies& policies) {
  return Judging{forecast, policies}.all();
}

std::string told(const PolicyFinding& finding) {
  auto text = fmt::format("{}: {}: {}", finding.location, finding.rule, finding.text);
  if (!finding.because.empty()) text += fmt::format("; allowed, because: {}", finding.because);
  if (!finding.safer.empty())
    text += "\n  safer:\n    " + join(split(trim(finding.safer), '\n'), "\n    ");
  return text;
}

std::optional<Failure> refusal(const std::vector<PolicyFinding>& found,
                               const std::string& manifest) {
  std::string text;
  std::string allowances;
  std::set<std::pair<std::string, std::string>> seen;
  std::size_t count = 0;
  bool has_safer = false;
  for (const auto& one : found) {
    if (one.level != Policy::fail) continue;
    if (++count <= k_told_max) text += "\n  " + told(one);
    has_safer = has_safer || !one.safer.empty();
    if (seen.emplace(one.migration, one.rule).second)
      allowances += fmt::format("{}{{migration: {}, rule: {}, because: \"who says so, and why\"}}",
                                allowances.empty() ? "" : ", ", yaml_text(one.migration), one.rule);
  }
  if (count == 0) return std::nullopt;
  if (count > k_told_max) text += fmt::format("\n  and {} more", count - k_told_max);
  return Failure{ExitCode::refused, "refused by policy, and nothing was changed:" + text,
                 fmt::format("{}; or, if it is meant, add below \"policy:\" of {}: allow: [{}]",
                             has_safer ? "write it the safer way" : "change the migration",
                             manifest, allowances)};
}

std::vector<std::string> unknown_migrations(const Policies& policies,
                                            const std::vector<std::string>& known) {
  std::vector<std::string> unknown;
  for (const auto& one : policies.allow)
    if (std::find(known.begin(), known.end(), one.migration) == known.end() &&
        std::find(unknown.begin(), unknown.end(), one.migration) == unknown.end())
      unknown.push_back(one.migration);
  return unknown;
}

}  // namespace schemagate
