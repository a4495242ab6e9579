#pragma once
// A release to deploy: a manifest and a folder of migrations on disk, and a database of its own.

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "support/lease.hpp"
#include "support/manifest_file.hpp"
#include "support/process.hpp"
#include "support/server.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

namespace testing {

// The manifest's sections, written as the inside of YAML's {...}.
struct Settings {
  std::string database;
  std::string lease;
  std::string migrations;
  std::string rest;  // further top-level lines
  std::string url;   // empty: the test database's
  std::map<std::string, std::string> environment{};
};

class Deployment {
 public:
  Settings settings;

  explicit Deployment(Settings initial = {}) : settings{std::move(initial)} {
    dir_.write("migrations/migration_lock.toml", "provider = \"postgresql\"\n");
  }

  // Adds a migration, or replaces its script.
  void migration(const std::string& name, const std::string& sql) const {
    dir_.write("migrations/" + name + "/migration.sql", sql);
  }
  [[nodiscard]] std::filesystem::path folder() const { return dir_.path() / "migrations"; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }
  [[nodiscard]] const TestDatabase& database() const { return database_; }

  // `schemagate ARGUMENTS...` with this manifest.
  [[nodiscard]] Result call(const std::vector<std::string>& arguments) const {
    write_manifest();
    return schemagate(arguments, options());
  }
  [[nodiscard]] Process start_call(const std::vector<std::string>& arguments) const {
    write_manifest();
    return start_schemagate(arguments, options());
  }
  [[nodiscard]] Result run(const std::vector<std::string>& more = {}) const {
    return call(arguments(more));
  }
  [[nodiscard]] Process start(const std::vector<std::string>& more = {}) const {
    return start_call(arguments(more));
  }

  // Each row of _prisma_migrations as "NAME STEPS [finished] [rolled-back] [logs]", by start.
  [[nodiscard]] std::vector<std::string> history() const {
    if (database_.value("SELECT to_regclass('public._prisma_migrations') IS NULL") == "t")
      return {"no table"};
    return database_.column(
        "SELECT migration_name || ' ' || applied_steps_count"
        "    || CASE WHEN finished_at IS NULL THEN '' ELSE ' finished' END"
        "    || CASE WHEN rolled_back_at IS NULL THEN '' ELSE ' rolled-back' END"
        "    || CASE WHEN logs IS NULL THEN '' WHEN logs = '' THEN ' empty-logs' ELSE ' logs' END"
        "  FROM _prisma_migrations ORDER BY started_at, migration_name");
  }
  // Tables outside of our and Prisma's own, as "SCHEMA.NAME" with public left out.
  [[nodiscard]] std::string tables() const {
    return joined(database_.column(
        "SELECT CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END || tablename"
        "  FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema',"
        "       'schemagate', 'aside') AND tablename <> '_prisma_migrations' ORDER BY 1"));
  }
  [[nodiscard]] std::string indexes(bool valid) const {
    return joined(
        database_.column("SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
                         "  JOIN pg_namespace n ON n.oid = c.relnamespace"
                         " WHERE n.nspname = 'public' AND NOT i.indisprimary AND i.indisvalid = " +
                         std::string{valid ? "true" : "false"} + " ORDER BY 1"));
  }
  [[nodiscard]] std::string fence() const {
    return database_.value("SELECT fence FROM schemagate.lock");
  }
  void expire_lease() const { testing::expire_lease(database_); }

  // Scripts can then say SELECT aside.nap(): it lasts as long as the test says, without a lock.
  void prepare_nap(double seconds) const {
    database_.execute(
        "CREATE SCHEMA aside; CREATE TABLE aside.nap AS SELECT " + std::to_string(seconds) +
        "::float AS seconds; CREATE FUNCTION aside.nap() RETURNS text LANGUAGE plpgsql AS $$"
        "BEGIN PERFORM pg_sleep(seconds) FROM aside.nap; RETURN 'slept'; END $$");
  }
  // For naps to come: who is about to nap has read how long when this is done.
  void set_nap(double seconds) const {
    (void)eventually(
        [&] {
          return database_.value(
                     "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                     "   AND pid <> pg_backend_pid() AND state = 'active'"
                     "   AND query LIKE '%aside.nap()%' AND wait_event IS DISTINCT FROM 'PgSleep'") ==
                 "0";
        },
        std::chrono::seconds{10});
    database_.execute("UPDATE aside.nap SET seconds = " + std::to_string(seconds));
  }
  // A run in a migration that says SELECT aside.nap(), until set_nap().
  [[nodiscard]] Process start_napping(const std::string& name,
                                      const std::string& sql = "SELECT aside.nap();\n") const {
    prepare_nap(600);
    migration(name, sql);
    auto process = start();
    if (!is_running("SELECT aside.nap()"))
      throw std::runtime_error{"the run does not nap: " + process.output_so_far()};
    return process;
  }
  [[nodiscard]] bool is_running(const std::string& statement) const {
    return database_.is_running(statement);
  }

 private:
  [[nodiscard]] static std::vector<std::string> arguments(const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"run"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  [[nodiscard]] ProcessOptions options() const {
    return {.environment = settings.environment, .directory = dir_.path()};
  }
  void write_manifest() const {
    const auto url = settings.url.empty() ? database_.url() : settings.url;
    const auto section = [](const std::string& first, const std::string& more) {
      return "{" + first + (more.empty() ? "" : ", ") + more + "}";
    };
    ManifestFile manifest;
    manifest.set("version", "1");
    manifest.set("database", section("url: \"" + url + "\"", settings.database));
    // Whether a case's own transaction is old enough to be waited for is a matter of speed.
    const auto* const gap =
        settings.migrations.find("gap_wait") == std::string::npos ? ", gap_wait: 0" : "";
    manifest.set("migrations",
                 section("directory: migrations" + std::string{gap}, settings.migrations));
    if (!settings.lease.empty()) manifest.set("lease", "{" + settings.lease + "}");
    (void)manifest.write(dir_, settings.rest);
  }

  TestDatabase database_;
  TempDir dir_;
};

}  // namespace testing
