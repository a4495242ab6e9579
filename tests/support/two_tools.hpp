#pragma once
// One folder of migrations and any number of databases, on which schemagate and Prisma's engine
// take turns; and what is compared afterwards.

#include <memory>
#include <string>
#include <vector>

#include "support/json.hpp"
#include "support/prisma_engine.hpp"
#include "support/process.hpp"
#include "support/server.hpp"
#include "support/temp_dir.hpp"

namespace testing {

using Sends = PrismaEngine::Sends;

class SharedFolder {
 public:
  explicit SharedFolder(const std::string& manifest_lines = {});

  // Adds a migration, or replaces its script.
  void migration(const std::string& name, const std::string& sql) const;
  void remove(const std::string& name) const;
  [[nodiscard]] std::filesystem::path path() const { return dir_.path() / "migrations"; }
  [[nodiscard]] std::string script(const std::string& name) const;
  [[nodiscard]] const TempDir& dir() const { return dir_; }

  // `schemagate ARGUMENTS...` on this database
  Result ours(const TestDatabase& database, const std::vector<std::string>& arguments) const;
  Result run(const TestDatabase& database) const { return ours(database, {"run"}); }
  // `schemagate status --json`
  [[nodiscard]] Json status(const TestDatabase& database) const;

  PrismaEngine::Answer deploy(const TestDatabase& database, Sends sends = Sends::scripts) const {
    return PrismaEngine::deploy(path(), database, sends);
  }
  PrismaEngine::Answer mark_applied(const TestDatabase& database, const std::string& name) const {
    return PrismaEngine::mark_applied(path(), database, name);
  }
  PrismaEngine::Answer mark_rolled_back(const TestDatabase& database,
                                        const std::string& name) const {
    return PrismaEngine::mark_rolled_back(path(), database, name);
  }

 private:
  TempDir dir_;
};

// The states of all findings about the subject, as "failed"; with its exit code when there is one.
[[nodiscard]] std::string states_of(const Json& status, const std::string& subject);

// Each row of _prisma_migrations with all of its columns, by start; ids and times only by what they
// are to each other.
[[nodiscard]] std::vector<std::string> history_rows(const TestDatabase& database);
// All rows of the tables of public, without their times.
[[nodiscard]] std::string data_of(const TestDatabase& database);
// The schema as pg_dump shows it, and the data.
[[nodiscard]] std::string contents_of(const TestDatabase& database);
// The first difference, for a message; empty when there is none.
[[nodiscard]] std::string difference(const std::string& one, const std::string& other);

// An independent copy, bookkeeping included.
[[nodiscard]] std::unique_ptr<TestDatabase> copy_of(const TestDatabase& database);

// Scripts can then say CREATE TABLE ... AS SELECT aside.check(): it fails until the database is
// mended.
void prepare_fault(const TestDatabase& database);
void mend_fault(const TestDatabase& database);

}  // namespace testing
