// What a run leaves behind, and says, when a migration or the history is not as it should be.

#include "support/deployment.hpp"
#include "support/history.hpp"

using namespace testing;

TEST_CASE("a failing statement is reported with file, line, column, SQLSTATE and detail") {
  const Deployment shop;
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY);");
  shop.migration("2_orders", "CREATE TABLE orders (id int);\n"
                             "INSERT INTO users VALUES (1);\n"
                             "  INSERT INTO users VALUES (1);\n");
  CHECK(shop.run() ==
        exits(21, "migration 2_orders failed at", "2_orders/migration.sql:3:3", "23505",
              "duplicate key value violates unique constraint \"users_pkey\"",
              "Key (id)=(…) already exists.", "statement: INSERT INTO users VALUES (1)",
              "hint: correct the data, then: schemagate run; or, where "));
}

TEST_CASE("a failed migration leaves nothing but a rolled-back row, and runs once it is mended") {
  const Deployment shop;
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY);");
  shop.migration("2_orders", "CREATE TABLE orders (id int); INSERT INTO users VALUES (1), (1);");
  shop.migration("3_later", "CREATE TABLE later (id int);");
  const auto failed = shop.run();
  REQUIRE(failed == exits(21));
  CHECK(shop.tables() == "users");
  CHECK(joined(shop.history()) == "1_users 1 finished, 2_orders 0 rolled-back logs");
  const auto logs = shop.database().value("SELECT logs FROM _prisma_migrations WHERE logs <> ''");
  CHECK(logs == contains("23505"));
  CHECK(logs == contains("users_pkey"));
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "failed");

  shop.migration("2_orders", "CREATE TABLE orders (id int); INSERT INTO users VALUES (1), (2);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "later, orders, users");
  CHECK(joined(shop.history()) ==
        "1_users 1 finished, 2_orders 0 rolled-back logs, 2_orders 1 finished, 3_later 1 finished");
  CHECK(shop.database().column("SELECT status FROM schemagate.marker ORDER BY run_id").back() ==
        "complete");
}

TEST_CASE("a deferred constraint that fails at the end of the script rolls all of it back") {
  const Deployment shop;
  shop.migration("1_deferred",
                 "CREATE TABLE p (id int PRIMARY KEY);\n"
                 "CREATE TABLE c (p int REFERENCES p DEFERRABLE INITIALLY DEFERRED);\n"
                 "INSERT INTO c VALUES (7);\n");
  CHECK(shop.run() == exits(21, "1_deferred", "failed at its end", "23503",
                            "Key (p)=(…) is not present in table \"p\"."));
  CHECK(shop.tables().empty());
  CHECK(joined(shop.history()) == "1_deferred 0 rolled-back logs");
}

TEST_CASE("the reported column counts characters inside a long statement with tabs and umlauts") {
  const Deployment shop;
  shop.migration("1_wide", "-- Übersicht\n"
                           "CREATE TABLE t (\n"
                           "\ta text DEFAULT 'ä€ö',\n"
                           "\t/* ßß */ b nosuchtype\n"
                           ");\n");
  CHECK(shop.run() == exits(21, "1_wide/migration.sql:4:13", "42704"));
}

TEST_CASE("the reported column is right at the end of a line that libpq shows only in part") {
  const Deployment shop;
  std::string filler;
  for (int i = 100; i < 150; ++i) filler += std::to_string(i);
  shop.migration("1_long", "SELECT 1;\nSELECT\n\t'" + filler + "' AS \"grün\",\t'ü', nope;\n");
  const auto result = shop.run();
  CHECK(result == exits(21));
  // tab, quote, filler, quote, ' AS "grün",', tab, "'ü', "
  CHECK(result.err == contains("1_long/migration.sql:3:" +
                               std::to_string(1 + 1 + 150 + 1 + 11 + 1 + 5 + 1) + ":"));
}

TEST_CASE("the reported column is right in a long line that repeats itself") {
  const Deployment shop;
  std::string zeros;
  for (int i = 0; i < 50; ++i) zeros += "0, ";
  shop.migration("1_long", "SELECT 1;\nSELECT " + zeros + "nope;\n");
  CHECK(shop.run() == exits(21, "1_long/migration.sql:2:158:"));
}

TEST_CASE("the reported column counts characters also before a statement on the same line") {
  const Deployment shop;
  shop.migration("1_same_line", "/* äöü */ SELECT nope;\n");
  CHECK(shop.run() == exits(21, "1_same_line/migration.sql:1:18:"));
}

TEST_CASE("a syntax error and a missing privilege are reported with their SQLSTATE, too") {
  const Deployment shop;
  const auto role = "role_" + shop.database().name();
  std::string sqlstate;
  SUBCASE("syntax error") {
    shop.migration("1_wrong", "SELEKT 1;\n");
    sqlstate = "42601";
  }
  SUBCASE("missing privilege") {
    shop.migration("1_wrong",
                   "CREATE ROLE " + role + "; SET ROLE " + role + "; SELECT * FROM pg_authid;\n");
    sqlstate = "42501";
  }
  CHECK(shop.run() == exits(21, "ERROR " + sqlstate + ": "));
}

namespace {

// Counts each of its statements, in parts that cannot be one transaction.
std::string counting_script(const std::string& first, const std::string& indexed_column) {
  return "INSERT INTO calls VALUES ('" + first + "');\n" +
         "CREATE INDEX CONCURRENTLY i ON t (x);\n"
         "INSERT INTO calls VALUES ('second');\n"
         "CREATE INDEX CONCURRENTLY j ON t (" +
         indexed_column + ");\n" + "INSERT INTO calls VALUES ('third');\n";
}

std::string calls(const Deployment& shop) {
  return joined(shop.database().column("SELECT what FROM calls ORDER BY ctid"));
}

}  // namespace

TEST_CASE("a migration of several parts continues where it stopped, no part executed twice") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int, y int); CREATE TABLE calls (what text);");
  shop.migration("2_parts", counting_script("first", "nope"));
  REQUIRE(shop.run() == exits(21, "2_parts/migration.sql:4:", "42703", "stay applied"));
  CHECK(calls(shop) == "first, second");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 0 logs");

  CHECK(shop.run() == exits(21));
  CHECK(calls(shop) == "first, second");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 0 logs");

  shop.migration("2_parts", counting_script("first", "y"));
  const auto mended = shop.run();
  CHECK(mended == exits(0, "continuing with part 4"));
  CHECK(calls(shop) == "first, second, third");
  CHECK(shop.indexes(true) == "i, j");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 1 finished");
  CHECK(shop.run() == exits(0));  // the recorded checksum is the mended file's
}

TEST_CASE("a migration of several parts is refused when a part that was applied has changed") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int, y int); CREATE TABLE calls (what text);");
  shop.migration("2_parts", counting_script("first", "nope"));
  REQUIRE(shop.run() == exits(21));

  shop.migration("2_parts", counting_script("FIRST", "y"));
  CHECK(shop.run() == exits(20, "2_parts/migration.sql", "changed since"));
  CHECK(calls(shop) == "first, second");
  CHECK(shop.indexes(true) == "i");

  shop.migration("2_parts", counting_script("first", "y"));
  CHECK(shop.run() == exits(0));
  CHECK(calls(shop) == "first, second, third");
}

TEST_CASE("a schema with tables but without a history is refused as Prisma's P3005") {
  const Deployment shop;
  shop.database().execute("CREATE TABLE legacy (x int)");
  const auto before = shop.database().dump_schema();
  shop.migration("1_init", "CREATE TABLE t (x int);");
  CHECK(shop.run() == exits(20, "P3005", "legacy", "schemagate baseline --none"));
  CHECK(shop.database().dump_schema() == before);
  CHECK(joined(shop.history()) == "no table");
  // It is the right database, and the table is to stay.
  CHECK(shop.call({"baseline", "--none"}) == exits(0, "a history begins"));
  CHECK(shop.run() == exits(0));
  CHECK(shop.call({"baseline", "--none"}) == exits(0, "there is a history already"));
}

TEST_CASE("views, types and partitioned tables do not make a schema non-empty, as under Prisma") {
  const Deployment shop;
  shop.database().execute(
      "CREATE VIEW v AS SELECT 1 AS x; CREATE TYPE e AS ENUM ('a'); CREATE TABLE parts (x int) "
      "PARTITION BY LIST (x); CREATE TABLE \"Spatial_Ref_Sys\" (x int)");
  shop.migration("1_init", "CREATE TABLE t (x int);");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("a row that a killed or failed Prisma left is refused as P3009, with its reason") {
  const Deployment shop;
  shop.database().execute(
      std::string{k_history_table} +
      "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, logs) VALUES "
      "('a', 'c', '1_killed', '2024-01-02 03:04:05Z', NULL), "
      "('b', 'c', '2_failed', '2024-01-02 03:04:06Z', 'Database error code: 42P01')");
  shop.migration("1_killed", "CREATE TABLE killed (x int);");
  shop.migration("3_next", "CREATE TABLE t (x int);");
  const auto before = shop.database().dump_schema();
  CHECK(shop.run() == exits(20, "P3009",
                            "1_killed started at 2024-01-02 03:04:05 UTC: no reason was recorded",
                            "2_failed started at 2024-01-02 03:04:06 UTC",
                            "schemagate resolve 1_killed --rolled-back"));
  CHECK(shop.database().dump_schema() == before);
  CHECK(joined(shop.history()) == "1_killed 0, 2_failed 0 logs");

  // What `prisma migrate resolve` does settles it.
  shop.database().execute("UPDATE _prisma_migrations SET rolled_back_at = now()");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "killed, t");
}

TEST_CASE("a pending directory without its file is refused as P3015 before anything is applied") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  std::filesystem::create_directory(shop.folder() / "2_empty");
  const auto before = shop.database().dump_schema();
  CHECK(shop.run() == exits(20, "P3015", "2_empty/migration.sql"));
  CHECK(shop.database().dump_schema() == before);
  CHECK(joined(shop.history()) == "no table");
}

TEST_CASE("an applied directory whose file is missing is no error, as under Prisma") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  std::filesystem::remove(shop.folder() / "1_init/migration.sql");
  shop.migration("2_next", "CREATE TABLE u (x int);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "t, u");
}

TEST_CASE("a folder for another database is refused as P3019 before anything is touched") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.dir().write("migrations/migration_lock.toml", "provider = \"mysql\"\n");
  CHECK(shop.run() == exits(20, "P3019", "mysql"));
  CHECK(shop.tables().empty());
  CHECK(shop.database().value("SELECT to_regnamespace('schemagate') IS NULL") == "t");
}
