#include "settling.hpp"

#include <fmt/core.h>

#include "schemagate/base/text.hpp"

namespace schemagate::cli {

void SettlingCommand::describe(Json& document, ExitCode) const {
  std::vector<Json> migrations;
  for (const auto& one : settled_)
    migrations.emplace_back()
        .set("name", one.name)
        .set("marked", one.applied ? "applied" : "rolled-back")
        .set("because", one.because);
  document.set("settled", migrations);
}

std::string SettlingCommand::good_news() const {
  return fmt::format("{} settled", counted(settled_.size(), "migration"));
}

}  // namespace schemagate::cli
