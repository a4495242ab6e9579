#pragma once
// An app's image as the gate sees it (a manifest and a migrations folder), with a database of its
// own, and the few ways to use it.

#include <unistd.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "schemagate/postgres/session.hpp"
#include "support/manifest_file.hpp"
#include "support/process.hpp"
#include "support/server.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

namespace testing {

class GateProject {
 public:
  GateProject() {
    environment["DATABASE_URL"] = database.url();
    // Waits that a busy machine does not use up; gate.timeout is longer than Process::wait() waits.
    set("version", "1").set("app", "shop").set("release", "r1");
    set("database.url", "${DATABASE_URL}").set("database.wait", "1m");
    set("migrations.directory", "migrations").set("gate.timeout", "10m");
    // Whether a case's own transaction is old enough to be waited for is a matter of speed.
    set("migrations.gap_wait", "0");
  }

  // A key as in the reference ("gate.poll") and its YAML value; an empty one leaves the key out.
  GateProject& set(const std::string& key, const std::string& value) {
    manifest_.set(key, value);
    return *this;
  }

  GateProject& migration(const std::string& name, const std::string& sql) {
    files.write("migrations/" + name + "/migration.sql", sql);
    return *this;
  }

  // tool: command, with a shell script as the program.
  GateProject& command(const std::string& script) {
    const auto file = files.write("migrate.sh", script);
    set("migrations.tool", "command").set("migrations.directory", "");
    return set("migrations.command", "[sh, " + file.string() + "]");
  }

  // Writes the manifest and returns its path.
  std::string manifest() const { return manifest_.write(files); }

  [[nodiscard]] std::vector<std::string>
  arguments(const std::string& what, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{what, "-f", manifest()};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  [[nodiscard]] ProcessOptions options() const {
    return {.environment = environment, .directory = files.path().string()};
  }

  [[nodiscard]] Result run(const std::vector<std::string>& more = {}) const {
    return schemagate(arguments("run", more), options());
  }
  [[nodiscard]] Result gate(const std::vector<std::string>& more = {}) const {
    return schemagate(arguments("gate", more), options());
  }
  [[nodiscard]] Process start_run(const std::vector<std::string>& more = {}) const {
    return start_schemagate(arguments("run", more), options());
  }
  [[nodiscard]] Process start_gate(const std::vector<std::string>& more = {}) const {
    return start_schemagate(arguments("gate", more), options());
  }
  [[nodiscard]] int look() const { return gate({"--once"}).exit_code; }

  [[nodiscard]] bool is_untouched() const {
    return database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'schemagate'") ==
               "0" &&
           database.value("SELECT count(*) FROM pg_class WHERE relname = '_prisma_migrations'") ==
               "0";
  }
  [[nodiscard]] std::string marker(const std::string& column,
                                   const std::string& release = "r1") const {
    return database.value("SELECT " + column + " FROM schemagate.marker WHERE release = '" +
                          release + "'");
  }
  [[nodiscard]] std::string file(const std::string& name) const {
    return (files.path() / name).string();
  }

  TestDatabase database;
  TempDir files;
  std::map<std::string, std::string> environment;

 protected:
  ManifestFile manifest_;
};

// A role of one case. Make it before the project, so that the database goes first.
class TestRole {
 public:
  explicit TestRole(const std::string& suffix)
      : name_{"role_" + std::to_string(::getpid()) + "_" + suffix} {
    maintenance().execute("CREATE ROLE " + name_ + " LOGIN");
  }
  ~TestRole() {
    try {
      maintenance().execute("DROP ROLE " + name_);
    } catch (const std::exception&) {  // the cluster goes away soon
    }
  }
  TestRole(const TestRole&) = delete;
  TestRole& operator=(const TestRole&) = delete;
  [[nodiscard]] const std::string& name() const { return name_; }

  [[nodiscard]] static schemagate::pg::Session maintenance() {
    return schemagate::pg::Session{"postgresql://postgres@" + server_host() + ":" + server_port() +
                                   "/postgres"};
  }

 private:
  std::string name_;
};

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace testing
