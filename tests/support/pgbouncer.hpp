#pragma once
// PgBouncer in transaction mode, with a small pool, in front of the test cluster.

#include <memory>
#include <string>

#include "support/process.hpp"
#include "support/server.hpp"
#include "support/temp_dir.hpp"

namespace testing {

class PgBouncer {
 public:
  explicit PgBouncer(int pool_size = 2);
  ~PgBouncer();
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  // False, with a loud message, when there is none on this machine; where
  // SCHEMAGATE_REQUIRE_POSTGRES is set, that is a failure of the case.
  [[nodiscard]] static bool is_there();

  // As a user writes it, for a database of the cluster: without Prisma's ?pgbouncer=true.
  [[nodiscard]] std::string url(const TestDatabase& database) const;
  [[nodiscard]] int pool_size() const { return pool_size_; }

 private:
  bool start();

  int pool_size_;
  int port_ = 0;
  TempDir files_;
  std::unique_ptr<Process> process_;
};

}  // namespace testing
