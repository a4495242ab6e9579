// The judge at its limits: what it cannot compare it says so, and what it makes for comparing is
// gone afterwards.

#include <csignal>

#include "e2e/history_fixture.hpp"
#include "faults/server_fixture.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/postgres/connection.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

const std::string k_two = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n";

std::vector<std::string> scratches(const Shop& shop) {
  const auto whose = schemagate::ConnectionString{shop.settings.url}.display() + "\nprisma:public";
  const auto prefix = "schemagate_scratch_" + schemagate::sha256_hex(whose).substr(0, 16);
  return shop.database().column("SELECT datname FROM pg_database WHERE starts_with(datname, '" +
                                prefix + "') ORDER BY 1");
}

}  // namespace

TEST_CASE("an edited file is accepted where the database is as the file says, else by name only") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\n");
  REQUIRE(shop.run() == exits(0));
  SUBCASE("a comment was added") {
    shop.migration("1_a", "-- the first one\nCREATE TABLE a (id int);\n");
    CHECK(shop.run() == exits(20, "was edited after it was applied"));
    CHECK(shop.resolve("1_a", "--auto") == exits(0, "accepted as its file is now"));
    CHECK(shop.notes() == contains("the database is as the file makes it now"));
  }
  SUBCASE("a column was added, in the database, too") {
    shop.migration("1_a", "CREATE TABLE a (id int, name text);\n");
    CHECK(shop.resolve("1_a", "--auto") == exits(20, "column a.name is missing"));
    shop.database().execute("ALTER TABLE a ADD COLUMN name text");
    CHECK(shop.resolve("1_a", "--auto") == exits(0));
  }
  SUBCASE("what it says now cannot be seen") {
    shop.migration("1_a", "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n");
    const auto result = shop.resolve("1_a", "--auto");
    CHECK(result == exits(20, "cannot all be seen", "schemagate resolve 1_a --applied"));
    CHECK(shop.resolve("1_a", "--applied") == exits(0));
  }
  CHECK(joined(shop.history()) == "1_a 1 finished");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("baseline against the evidence needs a reason, which is kept") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.database().execute("CREATE TABLE a (id int)");
  CHECK(shop.call({"baseline", "1_a"}) ==
        exits(20, "1_a: table b is missing", "--force --because"));
  CHECK(shop.call({"baseline", "1_a", "--force"}) == exits(2, "--force and --because"));
  CHECK(shop.call({"baseline", "1_a", "--because", "b is not needed"}) == exits(2));
  CHECK(shop.call({"baseline", "1_a", "--force", "--because", "b is not needed"}) ==
        exits(0, "recorded against the evidence", "table b is missing"));
  CHECK(shop.notes() == contains("1_a marked as applied"));
  CHECK(shop.notes() == contains("against the evidence (table b is missing)"));
  CHECK(shop.notes() == contains("because: b is not needed"));
}

TEST_CASE("what was restored from a dump, and is printed otherwise since, is the same") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (kind varchar(10) CHECK (kind IN ('x', 'y')));\n"
                        "CREATE VIEW v AS SELECT * FROM a WHERE kind IN ('x', 'y');\n"
                        "CREATE INDEX i ON a (kind) WHERE kind IN ('x', 'y');\n");
  const auto dump = [&] {
    const Shop source;
    source.migration("1_a", testing::read_text(shop.folder() / "1_a/migration.sql"));
    REQUIRE(source.run() == exits(0));
    return testing::run(
        {"pg_dump", "-N", "schemagate", "-T", "_prisma_migrations", "-d", source.database().url()});
  }();
  REQUIRE(dump == exits(0));
  shop.dir().write("dump.sql", dump.out);
  REQUIRE(testing::run({"psql", "-qX", "-v", "ON_ERROR_STOP=1", "-f",
                        (shop.dir().path() / "dump.sql").string(), "-d", shop.database().url()}) ==
          exits(0));
  CHECK(shop.call({"baseline", "1_a"}) == exits(0));
}

TEST_CASE("what may reach beyond its database is not executed for a comparison") {
  const Shop shop;
  std::string sql;
  SUBCASE("a body that ends other sessions") {
    sql = "DO $$ BEGIN PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = "
          "'nobody'; END $$;\n";
  }
  SUBCASE("a body that makes a role") {
    sql = "DO $$ BEGIN EXECUTE 'CREATE ROLE never_made_here'; END $$;\n";
  }
  SUBCASE("a function that does, and is called") {
    sql =
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN CREATE ROLE never_made_here; "
        "END';\nSELECT f();\n";
  }
  SUBCASE("a table that is filled by what leads to another server") {
    sql = "CREATE TABLE c AS SELECT * FROM dblink('dbname=postgres', 'SELECT 1') AS t (x int);\n";
  }
  shop.migration("1_a", k_two + sql);
  shop.database().execute(k_two);
  CHECK(shop.call({"baseline", "1_a"}) == exits(20, "may reach beyond its database"));
  CHECK(shop.database().value("SELECT count(*) FROM pg_roles WHERE rolname = 'never_made_here'") ==
        "0");
}

TEST_CASE("words in data and names do not keep a script from being compared") {
  const Shop shop;
  const std::string sql = k_two + "CREATE TABLE c (http_status int, program text);\n"
                                  "INSERT INTO c (http_status, program) VALUES (1, 'alter system; "
                                  "dblink(); drop database x');\n";
  shop.migration("1_a", sql);
  shop.database().execute(sql);
  CHECK(shop.call({"baseline", "1_a"}) == exits(0, "changes data, too"));
}

TEST_CASE("roles, databases and settings of the server are left out of a comparison") {
  const Shop shop;
  const TestRole role{"somebody"};
  shop.migration("1_a", k_two + "ALTER ROLE " + role.name() + " SET work_mem = '5MB';\n");
  shop.database().execute(k_two);
  CHECK(shop.call({"baseline", "1_a"}) == exits(0));
  CHECK(
      shop.database().value("SELECT count(*) FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = "
                            "setrole WHERE rolname = '" +
                            role.name() + "'") == "0");
}

TEST_CASE("without a scratch database nothing is guessed, and the reader is told what would help") {
  Shop shop;
  shop.migration("1_a", k_two);
  shop.database().execute(k_two);
  shop.settings.rest = "scratch: off\n";
  CHECK(shop.run() == exits(20, "what is there cannot be told", "scratch: off", "hint: "));
  CHECK(shop.call({"baseline", "1_a"}) == exits(20, "1_a: what is there cannot be told"));
  CHECK(joined(shop.history()) == "no table");
  shop.settings.rest = "";
  CHECK(shop.call({"baseline", "1_a"}) == exits(0));
}

TEST_CASE(
    "a scratch database that a killed command left is dropped by the next run, and no other") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.database().execute(k_two);
  const auto baselined = [&](const std::string& variable, const std::string& value, int code) {
    const Exported fault{variable, value};
    CHECK(shop.call({"baseline", "1_a"}) == exits(code));
    if (code == 0) shop.database().execute("TRUNCATE _prisma_migrations");
  };
  baselined("SCHEMAGATE_NOTHING", "", 0);  // makes our own tables
  baselined("SCHEMAGATE_FAULT_TRACE", (shop.dir().path() / "trace").string(), 0);
  CHECK(scratches(shop).empty());
  std::string point;
  for (const auto& line : schemagate::split(read_text(shop.dir().path() / "trace"), '\n'))
    if (line.starts_with("postgres.send") && line == contains("DROP DATABASE")) point = line;
  REQUIRE_FALSE(point.empty());
  baselined("SCHEMAGATE_FAULT", point.substr(0, point.find('\t')) + ":kill", 137);
  const auto left = scratches(shop);
  REQUIRE(left.size() == 1);
  const auto key = left.front().substr(0, left.front().find('_', 19) + 1);
  const auto old = key + "1700000000_1";
  shop.database().execute("ALTER DATABASE " + left.front() + " RENAME TO " + old);
  shop.database().execute("CREATE DATABASE schemagate_scratch_0123456789abcdef_1700000000_1");
  shop.expire_lease();
  CHECK(shop.run() == exits(21, "dropped " + old));
  CHECK(scratches(shop).empty());
  CHECK(shop.database().value("SELECT count(*) FROM pg_database WHERE datname = "
                              "'schemagate_scratch_0123456789abcdef_1700000000_1'") == "1");
  shop.database().execute("DROP DATABASE schemagate_scratch_0123456789abcdef_1700000000_1");
}
