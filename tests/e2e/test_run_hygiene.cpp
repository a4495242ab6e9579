// What a script sets for its session reaches neither the next migration nor the bookkeeping.

#include "support/deployment.hpp"

using namespace testing;

TEST_CASE("time-outs, search_path and role that a script sets do not reach the next migration") {
  const Deployment shop;
  const auto role = "role_" + shop.database().name();
  shop.migration("1_sets", "CREATE ROLE " + role + ";\nCREATE SCHEMA other;\n" +
                               "SET statement_timeout = '61s';\nSET search_path = other;\n"
                               "SET default_transaction_isolation = 'serializable';\nSET ROLE " +
                               role + ";\n");
  shop.migration(
      "2_sees",
      "CREATE TABLE seen AS SELECT current_user::text AS role, current_schema()::text AS schema,\n"
      "  current_setting('transaction_isolation') AS isolation,\n"
      "  current_setting('statement_timeout') AS timeout;\n");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "seen");
  CHECK(
      shop.database().value("SELECT concat_ws(' ', role, schema, isolation, timeout) FROM seen") ==
      "postgres public read committed 0");
  shop.database().execute("DROP ROLE IF EXISTS " + role);
}

TEST_CASE("temporary tables live on to the next migration of the same run, as under Prisma") {
  const Deployment shop;
  shop.migration("1_makes", "CREATE TEMP TABLE carried AS SELECT 42 AS x;");
  shop.migration("2_takes", "CREATE TABLE kept AS SELECT * FROM carried;");
  CHECK(shop.run() == exits(0));
  CHECK(shop.database().value("SELECT x FROM kept") == "42");
}

TEST_CASE("what a script sets is in force in all of its parts") {
  const Deployment shop;
  shop.migration("1_parts",
                 "CREATE SCHEMA other;\nSET search_path = other;\nCREATE TABLE t (x int);\n"
                 "CREATE INDEX CONCURRENTLY i ON t (x);\nCREATE TABLE u (x int);\n");
  shop.migration("2_next", "CREATE TABLE v (x int);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "other.t, other.u, v");
  CHECK(shop.database().value("SELECT schemaname FROM pg_indexes WHERE indexname = 'i'") ==
        "other");
}

TEST_CASE("a role that a script sets owns the index it builds concurrently, and the run succeeds") {
  const Deployment shop;
  const auto role = "role_" + shop.database().name();
  shop.migration("1_owner",
                 "CREATE ROLE " + role + "; GRANT ALL ON SCHEMA public TO " + role + ";");
  shop.migration("2_index", "SET ROLE " + role +
                                ";\nCREATE TABLE t (x int);\n"
                                "CREATE INDEX CONCURRENTLY i ON t (x);\nCREATE TABLE u (x int);\n");
  CHECK(shop.run() == exits(0));
  CHECK(shop.indexes(true) == "i");
  CHECK(joined(shop.history()) == "1_owner 1 finished, 2_index 1 finished");
  CHECK(joined(shop.database().column(
            "SELECT tableowner FROM pg_tables WHERE tablename IN ('t', 'u')")) ==
        role + ", " + role);
  shop.database().execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_CASE("a setting that the server refuses before a concurrent index is a failed migration") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.migration("2_index",
                 "SET lock_timeout = '5 bananas';\nCREATE INDEX CONCURRENTLY i ON t (x);\n");
  CHECK(shop.run() == exits(21, "2_index/migration.sql:1:1"));
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_index 0 rolled-back logs");
  shop.migration("2_index", "SET lock_timeout = '5s';\nCREATE INDEX CONCURRENTLY i ON t (x);\n");
  CHECK(shop.run() == exits(0));
}
