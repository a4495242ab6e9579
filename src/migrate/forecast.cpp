#include "schemagate/migrate/forecast.hpp"

#include "schemagate/base/password.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_shown_max = 120;

Forecast outline(const Plan& plan) {
  Forecast forecast;
  for (const auto& planned : plan.pending) {
    MigrationForecast migration{
        .name = planned.migration->name, .path = display_path(*planned.migration), .segments = {}};
    for (const auto& segment : planned.segments) {
      SegmentForecast one{.transactional = segment.transactional, .reason = segment.reason};
      for (const auto& statement : segment.statements)
        one.statements.push_back({.line = statement.line,
                                  .column = statement.column,
                                  .text = without_password(statement.text, k_shown_max)});
      migration.segments.push_back(std::move(one));
    }
    forecast.migrations.push_back(std::move(migration));
  }
  return forecast;
}

}  // namespace

Forecast forecast(pg::Session& session, const std::vector<std::string>&, const Plan& plan,
                  Milliseconds) {
  auto all = outline(plan);
  all.server_major_version = session.server_major_version();
  return all;
}

Forecast forecast_offline(const Folder&, const Plan& plan, int server_major_version) {
  auto all = outline(plan);
  all.server_major_version = server_major_version;
  return all;
}

}  // namespace schemagate
