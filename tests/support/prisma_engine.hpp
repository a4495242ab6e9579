#pragma once
// Prisma's own schema engine (bench/prisma-engine.mjs), to be let loose beside us.

#include <filesystem>
#include <string>

#include "support/process.hpp"
#include "support/server.hpp"

namespace testing {

class PrismaEngine {
 public:
  // False, with a loud message, when node or Prisma's packages cannot be had on this machine; where
  // SCHEMAGATE_REQUIRE_POSTGRES is set, that is a failure of the case.
  [[nodiscard]] static bool is_there();

  // What `prisma migrate deploy` does with this folder.
  [[nodiscard]] static Process start_deploy(const std::filesystem::path& folder,
                                            const TestDatabase& database);
  // "ok", an error code as "P3009", or the message of an error without one.
  [[nodiscard]] static std::string outcome(const Result& result);
};

}  // namespace testing
