// Publications of somebody's that cover our tables or the history.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"
#include "support/server_version.hpp"

using namespace testing;

namespace {

// A database with a release, and what comes next: migrations that write every table of ours.
struct Published : GateProject {
  Published() {
    migration("1_item", "CREATE TABLE item(id int PRIMARY KEY);");
    REQUIRE(run() == exits(0));
    migration("2_more", "CREATE TABLE more(id int);");
    migration("3_index", "CREATE INDEX CONCURRENTLY i ON item(id); CREATE TABLE last(id int);");
    set("release", "r2");
  }
  [[nodiscard]] bool is_done() const {
    return database.value(
               "SELECT to_regclass('more') IS NOT NULL AND to_regclass('last') IS NOT NULL") == "t";
  }
};

}  // namespace

TEST_CASE("a run and its gate work where a publication has our tables whole") {
  for (
      const std::string tables :
      {"ALL TABLES", "TABLES IN SCHEMA schemagate, public",
       "TABLE schemagate.run (app) WITH (publish = 'insert')",
       "TABLE _prisma_migrations (migration_name) WHERE (checksum <> '') WITH (publish = 'insert')",
       "TABLE schemagate.lock (name), schemagate.run (id) WHERE (id > 1), schemagate.version (version)"}) {
    CAPTURE(tables);
    Published project;
    if (!server_is_at_least(15, project.database)) return;
    project.database.execute("CREATE PUBLICATION p FOR " + tables);
    CHECK(project.run() == exits(0));
    CHECK(project.is_done());
    CHECK(project.run() == exits(0, "nothing to do"));
    CHECK(project.look() == 0);
  }
  // Also where it was there first.
  GateProject project;
  project.database.execute(
      "CREATE SCHEMA schemagate; CREATE PUBLICATION p FOR TABLES IN SCHEMA schemagate, public");
  project.migration("1_item", "CREATE TABLE item(id int PRIMARY KEY);");
  CHECK(project.run() == exits(0));
  CHECK(project.look() == 0);
}

TEST_CASE("a publication with a part of our tables is told of before anything is done") {
  const struct {
    std::string table;
    std::string part;
  } k_parts[] = {
      {"schemagate.lock", "(holder)"},      {"schemagate.lock", "WHERE (fence > 1)"},
      {"schemagate.run", "(app)"},          {"schemagate.run", "WHERE (fence > 1)"},
      {"schemagate.step", "(digest)"},      {"schemagate.step", "WHERE (digest <> '')"},
      {"schemagate.marker", "(app)"},       {"schemagate.marker", "WHERE (status = 'complete')"},
      {"_prisma_migrations", "(checksum)"}, {"_prisma_migrations", "WHERE (checksum <> '')"},
  };
  for (const auto& [table, part] : k_parts) {
    CAPTURE(table);
    CAPTURE(part);
    Published project;
    if (!server_is_at_least(15, project.database)) return;
    project.database.execute("CREATE PUBLICATION p FOR TABLE " + table + " " + part);
    const auto name = table.substr(table.find('.') + 1);
    const auto told = "cannot update table \"" + name + "\"";
    CHECK(project.run() == exits(24, told, "ALTER PUBLICATION ... DROP TABLE"));
    CHECK(project.database.value("SELECT to_regclass('more')") == "NULL");
    CHECK(project.gate({"--once"}) == exits(30, "no run for release r2 yet"));
    CHECK(testing::schemagate(project.arguments("baseline", {"2_more"}), project.options()) ==
          exits(24, told));
    project.database.execute("ALTER PUBLICATION p DROP TABLE " + table);
    CHECK(project.run() == exits(0));
    CHECK(project.is_done());
    CHECK(project.look() == 0);
  }
}
