#include <cmath>

#include "schemagate/cli/plan_report.hpp"

namespace schemagate {
namespace {

const char* name_of(Waiting waiting) {
  switch (waiting) {
    case Waiting::nobody: return "nobody";
    case Waiting::writes: return "writes";
    case Waiting::reads_and_writes: return "reads and writes";
  }
  return "";
}

const char* name_of(Remark::Kind kind) {
  switch (kind) {
    case Remark::Kind::destructive: return "destructive";
    case Remark::Kind::incompatible: return "incompatible";
    case Remark::Kind::safer: return "safer";
    case Remark::Kind::unknown: return "unknown";
  }
  return "";
}

void add_lock(Json& document, const std::string& relation, LockMode lock, Work work) {
  document.set("relation", relation).set("lock", name_of(lock));
  document.set("waits", name_of(who_waits(lock))).set("work", name_of(work));
}

void add_estimate(Json& document, const Estimate& estimate) {
  document.set("low_ms", std::int64_t{estimate.low.count()});
  document.set("high_ms", std::int64_t{estimate.high.count()});
}

Json document_of(const Remark& remark) {
  Json document;
  document.set("kind", name_of(remark.kind)).set("rule", remark.rule);
  document.set("text", remark.text).set("instead", remark.instead);
  return document;
}

Json document_of(const StatementForecast& statement) {
  Json document;
  document.set("line", statement.line).set("column", statement.column);
  document.set("text", statement.text);
  std::vector<Json> impacts;
  for (const auto& one : statement.impacts)
    add_lock(impacts.emplace_back(), one.relation, one.lock, one.work);
  document.set("impacts", impacts);
  add_estimate(document, statement.estimate);
  std::vector<Json> remarks;
  for (const auto& one : statement.remarks) remarks.push_back(document_of(one));
  document.set("remarks", remarks);
  document.set("more", static_cast<std::int64_t>(statement.more));
  return document;
}

Json document_of(const Hold& hold) {
  Json document;
  add_lock(document, hold.relation, hold.lock, hold.work);
  document.set("from_line", hold.from_line);
  document.set("work_bytes", hold.work_bytes).set("work_on", hold.work_on);
  add_estimate(document, hold.estimate);
  return document;
}

Json document_of(const SegmentForecast& segment) {
  Json document;
  document.set("transactional", segment.transactional).set("reason", segment.reason);
  std::vector<Json> statements;
  for (const auto& one : segment.statements) statements.push_back(document_of(one));
  document.set("statements", statements);
  std::vector<Json> holds;
  for (const auto& one : segment.holds) holds.push_back(document_of(one));
  document.set("holds", holds);
  return document;
}

Json document_of(const MigrationForecast& migration) {
  Json document;
  document.set("name", migration.name).set("path", migration.path);
  std::vector<Json> segments;
  for (const auto& one : migration.segments) segments.push_back(document_of(one));
  document.set("segments", segments);
  return document;
}

const char* name_of(Policy policy) {
  switch (policy) {
    case Policy::fail: return "fail";
    case Policy::warn: return "warn";
    case Policy::allow: return "allow";
  }
  return "";
}

Json document_of(const PolicyFinding& finding) {
  Json document;
  document.set("level", name_of(finding.level)).set("migration", finding.migration);
  document.set("rule", finding.rule).set("location", finding.location);
  document.set("text", finding.text).set("because", finding.because);
  return document;
}

Json document_of(const std::string& name, const TouchedRelation& relation) {
  Json document;
  document.set("name", name).set("heap_bytes", relation.heap_bytes);
  document.set("index_bytes", relation.index_bytes);
  document.set("rows", std::int64_t{std::llround(relation.rows)});
  if (!relation.traffic) return document;
  // What happens at all is not nothing.
  const auto rate = [](double per_s) { return static_cast<std::int64_t>(std::ceil(per_s)); };
  document.set("reads_per_s", rate(relation.traffic->reads_per_s));
  document.set("writes_per_s", rate(relation.traffic->writes_per_s));
  return document;
}

}  // namespace

void add_plan(Json& document, const PlanReport& report) {
  if (report.refused)
    document.set("error", report.refused->what()).set("hint", report.refused->hint().text());
  document.set("app", report.app).set("release", report.release);
  if (!report.database.empty())
    document.set("database", report.database).set("schema", report.schema);
  document.set("server_version", report.forecast.server_major_version);
  if (!report.since.empty())
    document.set("since", Json{}.set("release", report.since).set("complete_at", report.since_at));
  std::vector<Json> migrations;
  for (const auto& one : report.forecast.migrations) migrations.push_back(document_of(one));
  document.set("migrations", migrations);
  std::vector<Json> relations;
  for (const auto& [name, one] : report.forecast.relations)
    relations.push_back(document_of(name, one));
  document.set("relations", relations);
  std::vector<Json> policies;
  for (const auto& one : report.policies) policies.push_back(document_of(one));
  document.set("policies", policies).set("remarks", report.remarks);
}

}  // namespace schemagate
