#include "support/prisma_engine.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "schemagate/text.hpp"

namespace testing {
namespace {

const Result& packages() {
  static const auto result =
      run({std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/prisma-packages"});
  return result;
}

}  // namespace

bool PrismaEngine::is_there() {
  if (const char* why = std::getenv("SCHEMAGATE_WITHOUT_PRISMA")) {
    MESSAGE("SKIPPED: no Prisma engine wanted: " << why);
    return false;
  }
  if (packages().exit_code == 0) return true;
  MESSAGE("SKIPPED: Prisma's engine cannot be had: " << packages().err);
  CHECK_MESSAGE(std::getenv("SCHEMAGATE_REQUIRE_POSTGRES") == nullptr,
                "SCHEMAGATE_REQUIRE_POSTGRES is set, but Prisma's engine is missing");
  return false;
}

Process PrismaEngine::start_deploy(const std::filesystem::path& folder,
                                   const TestDatabase& database) {
  return Process{{"node", std::string{SCHEMAGATE_SOURCE_DIR} + "/bench/prisma-engine.mjs", "apply",
                  folder.string()},
                 {.environment = {{"DATABASE_URL", database.url()},
                                  {"SCHEMAGATE_NODE_DIR", schemagate::trim(packages().out)}},
                  .directory = {}}};
}

std::string PrismaEngine::outcome(const Result& result) {
  const auto answer = nlohmann::json::parse(result.out, nullptr, false);
  if (answer.is_discarded()) return "no answer: " + result.err;
  if (answer.value("ok", false)) return "ok";
  const auto& error = answer.at("error");
  return error.at("code").is_string() ? error.at("code").get<std::string>()
                                      : error.at("message").get<std::string>();
}

}  // namespace testing
