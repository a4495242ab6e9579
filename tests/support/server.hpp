#pragma once
// A database of its own for one test case, on the cluster that ctest started (or, when a test
// program is run by hand, on one that it starts itself).

#include <string>
#include <vector>

#include "schemagate/postgres/session.hpp"

namespace testing {

class TestDatabase {
 public:
  explicit TestDatabase(bool create = true);  // false: only a name that nobody uses
  ~TestDatabase();
  TestDatabase(const TestDatabase&) = delete;
  TestDatabase& operator=(const TestDatabase&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string url() const;  // as superuser postgres
  [[nodiscard]] std::string url_as(const std::string& role) const;
  [[nodiscard]] schemagate::pg::Session connect() const;
  // The first column of the first row as text; "NULL" and "(no row)" are told apart.
  [[nodiscard]] std::string value(const std::string& sql) const;
  [[nodiscard]] std::vector<std::string> column(const std::string& sql) const;
  void execute(const std::string& sql) const;
  // Waits until another session executes (or waits in) a statement that is LIKE this and more.
  [[nodiscard]] bool is_running(const std::string& statement) const;
  [[nodiscard]] std::string
  dump_schema() const;  // pg_dump --schema-only without our own and Prisma's tables

 private:
  std::string name_;
};

[[nodiscard]] std::string server_host();
[[nodiscard]] std::string server_port();

}  // namespace testing
