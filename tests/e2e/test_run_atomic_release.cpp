// migrations.atomic: release. All pending migrations and the marker in one transaction, or none.

#include "support/deployment.hpp"

using namespace testing;

namespace {

Deployment atomic(const std::string& rest = {}) {
  return Deployment{
      {.database = {}, .lease = {}, .migrations = "atomic: release", .rest = rest, .url = {}}};
}

}  // namespace

TEST_CASE("with atomic: release all migrations are applied together") {
  const Deployment shop = atomic("release: r1\n");
  shop.migration("1_a", "CREATE TABLE a (x int);");
  shop.migration("2_b", "CREATE TABLE b (x int);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "a, b");
  CHECK(joined(shop.history()) == "1_a 1 finished, 2_b 1 finished");
  // One transaction: history rows and marker carry the same xmin.
  CHECK(shop.database().value(
            "SELECT count(DISTINCT x) FROM (SELECT xmin::text AS x FROM _prisma_migrations"
            " UNION ALL SELECT xmin::text FROM schemagate.marker) all_rows") == "1");
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "complete");
}

TEST_CASE("with atomic: release the run's record counts the migrations it applied") {
  const Deployment shop = atomic();
  shop.migration("1_a", "CREATE TABLE a (x int);");
  shop.migration("2_b", "CREATE TABLE b (x int);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.database().value("SELECT status || ' ' || applied FROM schemagate.run") ==
        "complete 2");
}

TEST_CASE("with atomic: release a failing second migration takes the first one back, too") {
  const Deployment shop = atomic();
  shop.migration("1_a", "CREATE TABLE a (x int);");
  shop.migration("2_b", "CREATE TABLE b (x int);\nSELECT nope;\n");
  CHECK(shop.run() == exits(21, "2_b/migration.sql:2:8", "nor of any other of this release"));
  CHECK(shop.tables().empty());
  CHECK(joined(shop.history()) == "2_b 0 rolled-back logs");

  shop.migration("2_b", "CREATE TABLE b (x int);\n");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "a, b");
}

TEST_CASE(
    "with atomic: release a statement that refuses transactions is refused before anything runs") {
  const Deployment shop = atomic();
  shop.migration("1_a", "CREATE TABLE a (x int);");
  shop.migration("2_b", "CREATE TABLE b (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n");
  CHECK(shop.run() == exits(24, "2_b/migration.sql:2:1", "CREATE INDEX CONCURRENTLY"));
  CHECK(shop.tables().empty());
  CHECK(joined(shop.history()) == "no table");
}

TEST_CASE(
    "with atomic: release the use of a new enum value is refused, in the same or a later migration") {
  const Deployment shop = atomic();
  shop.migration("1_a", "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (x e);");
  REQUIRE(shop.run() == exits(0));
  SUBCASE("in the same migration") {
    shop.migration("2_b",
                   "ALTER TYPE e ADD VALUE 'fresh';\nALTER TABLE t ALTER x SET DEFAULT 'fresh';\n");
  }
  SUBCASE("in a later migration") {
    shop.migration("2_b", "ALTER TYPE e ADD VALUE 'fresh';\n");
    shop.migration("3_c", "-- uses it\nALTER TABLE t ALTER x SET DEFAULT 'fresh';\n");
  }
  CHECK(shop.run() ==
        exits(24, "migration.sql:2:1", "atomic: release is not possible", "\"fresh\""));
  CHECK(joined(shop.history()) == "1_a 1 finished");
  CHECK(shop.database().value("SELECT count(*) FROM pg_enum WHERE enumlabel = 'fresh'") == "0");
}

TEST_CASE("with atomic: release a failing check takes every migration back") {
  Deployment shop = atomic("verify: [{table: a}, {sql: \"SELECT count(*) = 1 FROM a\"}]\n");
  shop.migration("1_a", "CREATE TABLE a (x int);");
  shop.migration("2_b", "CREATE TABLE b (x int);");
  CHECK(shop.run() == exits(23, "SELECT count(*) = 1 FROM a"));
  CHECK(shop.tables().empty());
  CHECK(joined(shop.history()).empty());
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "failed");
  CHECK(shop.database().value(
            "SELECT status || ' ' || applied || ' ' || error_code FROM schemagate.run") ==
        "failed 0 23");

  shop.migration("2_b", "CREATE TABLE b (x int); INSERT INTO a VALUES (1);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "a, b");
}

TEST_CASE("with atomic: release a run keeps its lease for longer than the ttl") {
  Deployment shop = atomic();
  // It is given up where a renewal takes longer than a third of the ttl, which may happen.
  shop.settings.lease = "ttl: 9s";
  shop.migration("1_a", "CREATE TABLE a (x int);");
  shop.migration("2_b", "SELECT pg_sleep(10);\nCREATE TABLE b (x int);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "a, b");
}

TEST_CASE("with atomic: migration a failing check keeps the migrations and the gate closed") {
  Deployment shop{{.database = {},
                   .lease = {},
                   .migrations = {},
                   .rest = "verify: [{column: a.nope}]\n",
                   .url = {}}};
  shop.migration("1_a", "CREATE TABLE a (x int);");
  CHECK(shop.run() == exits(23, "a.nope"));
  CHECK(joined(shop.history()) == "1_a 1 finished");
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "failed");
}
