#pragma once
// Prisma's own schema engine (bench/prisma-engine.mjs), to be let loose beside us and to be asked.

#include <filesystem>
#include <string>

#include "support/json.hpp"
#include "support/process.hpp"
#include "support/server.hpp"

namespace testing {

class PrismaEngine {
 public:
  // How a script goes to the server.
  enum class Sends {
    scripts,     // in one message, as Prisma up to 7.3
    statements,  // one message for each statement, as Prisma since 7.4 (emulated)
  };
  struct Answer {
    std::string outcome;  // "ok", an error code as "P3009", or the message of an error without one
    std::string message;  // of an error
    Json result;          // of "ok"
  };
  // What `prisma migrate status` would say.
  struct Status {
    int exit_code = 0;
    std::string says;  // "up to date", "not yet applied: 2_b", "failed: 1_a", an error code, ...
  };

  // False, with a loud message, when node or Prisma's packages cannot be had on this machine; where
  // SCHEMAGATE_REQUIRE_POSTGRES is set, that is a failure of the case.
  [[nodiscard]] static bool is_there();

  // What `prisma migrate deploy` does with this folder.
  [[nodiscard]] static Process start_deploy(const std::filesystem::path& folder,
                                            const TestDatabase& database,
                                            Sends sends = Sends::scripts);
  static Answer deploy(const std::filesystem::path& folder, const TestDatabase& database,
                       Sends sends = Sends::scripts);
  // {editedMigrationNames, failedMigrationNames, hasMigrationsTable, history}
  [[nodiscard]] static Answer diagnose(const std::filesystem::path& folder,
                                       const TestDatabase& database);
  // `prisma migrate resolve --applied NAME` and `--rolled-back NAME`
  static Answer mark_applied(const std::filesystem::path& folder, const TestDatabase& database,
                             const std::string& name);
  static Answer mark_rolled_back(const std::filesystem::path& folder, const TestDatabase& database,
                                 const std::string& name);
  // The decision that the CLI makes of the engine's diagnosis: Prisma 7.10,
  // packages/migrate/src/commands/MigrateStatus.ts.
  [[nodiscard]] static Status status(const std::filesystem::path& folder,
                                     const TestDatabase& database);

  [[nodiscard]] static Answer answer(const Result& result);
  // The answer's `outcome`.
  [[nodiscard]] static std::string outcome(const Result& result);
};

}  // namespace testing
