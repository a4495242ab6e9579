#include "support/prisma_engine.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "schemagate/base/text.hpp"
#include "support/skip.hpp"

namespace testing {
namespace {

const Result& packages() {
  static const auto result =
      run({std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/prisma-packages"});
  return result;
}

Process start(const std::vector<std::string>& arguments, const TestDatabase& database,
              PrismaEngine::Sends sends = PrismaEngine::Sends::scripts) {
  std::vector<std::string> argv{"node",
                                std::string{SCHEMAGATE_SOURCE_DIR} + "/bench/prisma-engine.mjs"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return Process{argv,
                 {.environment = {{"DATABASE_URL", database.url()},
                                  {"SCHEMAGATE_NODE_DIR", schemagate::trim(packages().out)},
                                  {"SCHEMAGATE_PRISMA_SPLIT",
                                   sends == PrismaEngine::Sends::statements ? "1" : "0"}},
                  .directory = {}}};
}

// To its end, until the server has seen it, too: till then the engine's lock says that a Prisma is
// at work.
Result wait(Process engine, const TestDatabase& database) {
  auto result = engine.wait();
  const auto locked_by = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = 0"
                         "   AND objid = 72707369 AND mode = 'ExclusiveLock' AND granted"
                         "   AND database = (SELECT oid FROM pg_database"
                         "                    WHERE datname = current_database())";
  const auto holder = database.value(locked_by);  // another engine may come to hold it
  if (holder != "(no row)") (void)eventually([&] { return database.value(locked_by) != holder; });
  return result;
}

std::string names_in(const Json& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + name.get<std::string>();
  return all;
}

}  // namespace

bool PrismaEngine::is_there() {
  if (const char* why = std::getenv("SCHEMAGATE_WITHOUT_PRISMA")) {
    MESSAGE("SKIPPED: no Prisma engine wanted: " << why);
    return false;
  }
  if (packages().exit_code == 0) return true;
  skip("Prisma's engine cannot be had: " + packages().err);
  return false;
}

Process PrismaEngine::start_deploy(const std::filesystem::path& folder,
                                   const TestDatabase& database, Sends sends) {
  return start({"apply", folder.string()}, database, sends);
}

PrismaEngine::Answer PrismaEngine::deploy(const std::filesystem::path& folder,
                                          const TestDatabase& database, Sends sends) {
  return answer(wait(start_deploy(folder, database, sends), database));
}

PrismaEngine::Answer PrismaEngine::diagnose(const std::filesystem::path& folder,
                                            const TestDatabase& database) {
  return answer(wait(start({"diagnose", folder.string()}, database), database));
}

PrismaEngine::Answer PrismaEngine::mark_applied(const std::filesystem::path& folder,
                                                const TestDatabase& database,
                                                const std::string& name) {
  return answer(wait(start({"markApplied", folder.string(), name}, database), database));
}

PrismaEngine::Answer PrismaEngine::mark_rolled_back(const std::filesystem::path& folder,
                                                    const TestDatabase& database,
                                                    const std::string& name) {
  return answer(wait(start({"markRolledBack", folder.string(), name}, database), database));
}

PrismaEngine::Status PrismaEngine::status(const std::filesystem::path& folder,
                                          const TestDatabase& database) {
  const auto diagnosis = diagnose(folder, database);
  if (diagnosis.outcome != "ok") return {1, diagnosis.outcome};
  const auto& result = diagnosis.result;
  const auto& history = result.at("history");
  const auto kind = history.is_null() ? "" : history.at("diagnostic").get<std::string>();
  if (kind == "databaseIsBehind")
    return {1, "not yet applied: " + names_in(history.at("unappliedMigrationNames"))};
  if (kind == "historiesDiverge")
    return {1, "not yet applied: " + names_in(history.at("unappliedMigrationNames")) +
                   "; not found locally: " + names_in(history.at("unpersistedMigrationNames"))};
  if (!result.at("hasMigrationsTable").get<bool>()) return {1, "not managed by Prisma Migrate"};
  if (!result.at("failedMigrationNames").empty())
    return {1, "failed: " + names_in(result.at("failedMigrationNames"))};
  return {0, "up to date"};
}

PrismaEngine::Answer PrismaEngine::answer(const Result& result) {
  if (!Json::accept(result.out)) return {"no answer: " + result.err, result.err, {}};
  const auto answer = Json::parse(result.out);
  if (answer.at("ok") == true) return {"ok", "", answer.at("result")};
  const auto& error = answer.at("error");
  const auto message = error.at("message").get<std::string>();
  return {
      error.at("code").is_string() ? error.at("code").get<std::string>() : message, message, {}};
}

std::string PrismaEngine::outcome(const Result& result) { return answer(result).outcome; }

}  // namespace testing
