#pragma once
// PgBouncer in transaction mode, with a small pool, in front of the test cluster or another server.

#include <memory>
#include <string>

#include "support/process.hpp"
#include "support/server.hpp"
#include "support/temp_dir.hpp"

namespace testing {

class PgBouncer {
 public:
  // `settings`: further lines of pgbouncer.ini, which win. `server`: "HOST:PORT", the test cluster
  // when empty.
  explicit PgBouncer(int pool_size = 2, std::string settings = {}, std::string server = {});
  ~PgBouncer();
  PgBouncer(const PgBouncer&) = delete;
  PgBouncer& operator=(const PgBouncer&) = delete;

  // False, with a loud message, when there is none on this machine; where
  // SCHEMAGATE_REQUIRE_POSTGRES is set, that is a failure of the case.
  [[nodiscard]] static bool is_there();

  // As a user writes it, for a database of the cluster: without Prisma's ?pgbouncer=true.
  [[nodiscard]] std::string url(const TestDatabase& database) const;
  [[nodiscard]] std::string url(const std::string& user, const std::string& database) const;
  // A command of its console; returns what it answers.
  std::string admin(const std::string& command) const;
  void kill();     // SIGKILL: every connection is cut
  void restart();  // after kill(), at the same address
  [[nodiscard]] int pool_size() const { return pool_size_; }

 private:
  bool start();
  bool launch();

  int pool_size_;
  std::string settings_;
  std::string server_;
  int port_ = 0;
  TempDir files_;
  std::unique_ptr<Process> process_;
};

}  // namespace testing
