// One case for each defect that a hostile reading of the sources found.

#include <csignal>

#include "support/deployment.hpp"
#include "support/open_transaction.hpp"
#include "support/server_version.hpp"

namespace testing {
namespace {

// Rows that scripts of these cases leave: each execution adds one.
constexpr const char* k_log = "CREATE TABLE log (x int);";

std::string log_rows(const Deployment& shop) {
  return shop.database().value("SELECT count(*) FROM log");
}

TEST_SUITE("regressions") {
  TEST_CASE("a DO block that commits half-way is not retried when it then meets a lock") {
    Deployment shop;
    shop.settings.migrations = "lock_timeout: 200ms, lock_retry: 3s";
    shop.migration("1_init", std::string{k_log} + "CREATE TABLE busy (x int);");
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_do",
                   "DO $$ BEGIN INSERT INTO log VALUES (1); COMMIT; LOCK TABLE busy; END $$;");
    const OpenTransaction other{shop.database(), "LOCK TABLE busy"};
    CHECK(shop.run() == exits(21));
    CHECK(log_rows(shop) == "1");
    CHECK(shop.run() == exits(20));  // how far it came cannot be told
    CHECK(log_rows(shop) == "1");
  }

  TEST_CASE("a statement that swallows its cancellation does not get committed after SIGTERM") {
    const Deployment shop;
    shop.prepare_nap(600);
    shop.migration("1_deaf",
                   std::string{k_log} +
                       "DO $$ BEGIN BEGIN PERFORM aside.nap(); EXCEPTION WHEN query_canceled THEN "
                       "INSERT INTO log VALUES (1); END; END $$;");
    auto process = shop.start({"--", "echo", "APP STARTED"});
    REQUIRE(eventually([&] {
      return shop.database().value(
                 "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %' AND wait_event = "
                 "'PgSleep' AND datname = current_database()") == "1";
    }));
    const auto result = process.terminate();
    CHECK(result == exits(143));
    CHECK(result.out != contains("APP STARTED"));
    CHECK(shop.tables().empty());
  }

  TEST_CASE("a procedure that commits is found out, and its script continues after it was mended") {
    const Deployment shop;
    shop.migration(
        "1_init",
        std::string{k_log} +
            "CREATE PROCEDURE work(fail bool) LANGUAGE plpgsql AS $$ BEGIN COMMIT; IF fail "
            "THEN RAISE 'not yet'; END IF; END $$;");
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_call",
                   "INSERT INTO log VALUES (1); CALL work(false); INSERT INTO log VALUES (2);");
    CHECK(shop.run() == exits(0));
    CHECK(log_rows(shop) == "2");

    shop.migration("3_call", "INSERT INTO log VALUES (3); CALL work(true);");
    CHECK(shop.run() == exits(21));
    const auto again =
        shop.run();  // part 1 is done; whether the procedure did something, nobody knows
    CHECK(again == exits(20, "cannot be told"));
    CHECK(log_rows(shop) == "3");
  }

  TEST_CASE("CREATE DATABASE that was done but not recorded counts as done in the rerun") {
    const Deployment shop;
    const TestDatabase made{false};
    const auto script = "CREATE DATABASE " + made.name() + ";";
    shop.migration("1_init", "CREATE TABLE t (x int);");
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_database", script);
    REQUIRE(shop.run() == exits(0));
    // As a runner that was killed right after the statement leaves it.
    shop.database().execute(
        "UPDATE _prisma_migrations SET finished_at = NULL, applied_steps_count = 0 WHERE migration_name = '2_database';"
        "UPDATE schemagate.step SET finished_at = NULL; DELETE FROM schemagate.marker");
    CHECK(shop.run() == exits(0));
  }

  TEST_CASE(
      "CREATE DATABASE of a name that was taken before is not believed to be done by a rerun") {
    const Deployment shop;
    shop.migration("1_init", "CREATE TABLE t (x int);");
    REQUIRE(shop.run() == exits(0));
    const TestDatabase taken;
    shop.migration("2_database", "CREATE DATABASE " + taken.name() + ";");
    CHECK(shop.run() == exits(21));
    CHECK(shop.run() == exits(21, "42P04"));
  }

  TEST_CASE(
      "a statement's own report of another server is a failed migration, not a lost connection") {
    const Deployment shop;
    shop.migration("1_remote", "DO $$ BEGIN RAISE 'no route' USING errcode = '08006'; END $$;");
    CHECK(shop.run() == exits(21, "no route"));
  }

  TEST_CASE("a role whose transactions are REPEATABLE READ by default can run long migrations") {
    Deployment shop;
    shop.settings.migrations = "lock_timeout: 0";
    shop.database().execute("ALTER DATABASE " + shop.database().name() +
                            " SET default_transaction_isolation = 'repeatable read'");
    shop.migration("1_slow", "CREATE TABLE t (x int); SELECT pg_advisory_lock(1);");
    auto other = shop.database().connect();
    other.execute("SELECT pg_advisory_lock(1)");
    auto process = shop.start();
    REQUIRE(shop.is_running("SELECT pg_advisory_lock"));
    // Renewed since the transaction took its snapshot: the fence check meets a changed row.
    const auto renewed = [&] {
      return shop.database().value("SELECT renewed_at FROM schemagate.lock");
    };
    const auto before = renewed();
    REQUIRE(eventually([&] { return renewed() != before; }));
    other.execute("SELECT pg_advisory_unlock(1)");
    CHECK(process.wait() == exits(0));
  }

  TEST_CASE(
      "DETACH PARTITION CONCURRENTLY waits for old transactions instead of stopping half-way") {
    Deployment shop;
    if (!server_is_at_least(14, shop.database())) return;
    shop.settings.migrations = "lock_timeout: 200ms";
    shop.migration(
        "1_init",
        "CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);");
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_detach", "ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;");
    OpenTransaction other{shop.database(), "SELECT * FROM p"};
    auto process = shop.start();
    REQUIRE(process.says("waiting for a lock, blocked by"));
    other.commit();
    CHECK(process.wait() == exits(0));
    CHECK(shop.database().value(
              "SELECT count(*) FROM pg_inherits WHERE inhrelid = 'p1'::regclass") == "0");
  }

  TEST_CASE("deferred constraints are checked where the script's own COMMIT stood") {
    const Deployment shop;
    shop.migration("1_init",
                   "CREATE TABLE parent (id int PRIMARY KEY);"
                   "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);");
    REQUIRE(shop.run() == exits(0));
    shop.migration(
        "2_fill",
        "BEGIN; INSERT INTO child VALUES (1); INSERT INTO parent VALUES (1); COMMIT;"
        "ALTER TABLE child ADD COLUMN y int; INSERT INTO child VALUES (2); INSERT INTO parent VALUES (2);");
    CHECK(shop.run() == exits(0));
  }

  TEST_CASE(
      "with atomic: release a deferred constraint of the second migration is still deferred") {
    Deployment shop;
    shop.settings.migrations = "atomic: release";
    shop.migration("1_init",
                   "CREATE TABLE parent (id int PRIMARY KEY);"
                   "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);");
    shop.migration("2_fill", "INSERT INTO child VALUES (1); INSERT INTO parent VALUES (1);");
    CHECK(shop.run() == exits(0));
  }

  TEST_CASE("a comment behind BEGIN's options does not swallow our settings") {
    Deployment shop;
    shop.settings.url = shop.database().url() + "?schema=shop";
    shop.migration("1_init",
                   "BEGIN ISOLATION LEVEL SERIALIZABLE -- why\n; CREATE TABLE t (x int); COMMIT;");
    CHECK(shop.run() == exits(0));
    CHECK(shop.tables() == "shop.t");
  }

  TEST_CASE("a table lock on Prisma's table is waited for no longer than lock_timeout at a time") {
    Deployment shop;
    shop.settings.migrations = "lock_timeout: 200ms, lock_retry: 1s";
    shop.migration("1_init", "CREATE TABLE t (x int);");
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_next", "ALTER TABLE t ADD COLUMN y int;");
    const OpenTransaction other{shop.database(), "LOCK TABLE _prisma_migrations IN SHARE MODE"};
    CHECK(shop.run() == exits(13));
    CHECK(shop.database().value(
              "SELECT count(*) FROM information_schema.columns WHERE table_name = 't'") == "1");
  }

  TEST_CASE("a password inside a failing script is told by no log, history or marker") {
    const Deployment shop;
    shop.migration(
        "1_role",
        "DO $x$ BEGIN EXECUTE 'CREATE ROLE postgres PASSWORD ''hunter2secret'''; END $x$;");
    const auto result = shop.run();
    CHECK(result == exits(21));
    CHECK(result.err != contains("hunter2secret"));
    CHECK(shop.database().value(
              "SELECT count(*) FROM _prisma_migrations WHERE logs LIKE '%hunter2%'") == "0");
    CHECK(shop.database().value(
              "SELECT count(*) FROM schemagate.marker WHERE error LIKE '%hunter2%'") == "0");
  }

  TEST_CASE("an SQL check sees the schema that the url names") {
    Deployment shop;
    shop.settings.url = shop.database().url() + "?schema=shop";
    shop.settings.rest = "verify: [{sql: select count(*) = 0 from t}]\n";
    shop.migration("1_init", "CREATE TABLE t (x int);");
    CHECK(shop.run() == exits(0));
  }

  TEST_CASE("a rolled-back image that meets a newer, broken history keeps its complete marker") {
    Deployment shop;
    shop.settings.rest = "release: r1\n";
    shop.migration("1_init", "CREATE TABLE t (x int);");
    REQUIRE(shop.run() == exits(0));
    shop.database().execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', 'x', '2_newer');"
        "DELETE FROM schemagate.marker WHERE release <> 'r1'");
    CHECK(shop.run() == exits(0));
    CHECK(shop.database().value("SELECT status FROM schemagate.marker WHERE release = 'r1'") ==
          "complete");
  }

  TEST_CASE(
      "when the role's search_path names another schema, history and tables are there together") {
    const Deployment shop;
    shop.database().execute("CREATE SCHEMA app; ALTER DATABASE " + shop.database().name() +
                            " SET search_path = app");
    shop.migration("1_init", "CREATE TABLE t (x int);");
    REQUIRE(shop.run() == exits(0));
    CHECK(shop.database().value("SELECT to_regclass('app._prisma_migrations') IS NOT NULL") == "t");
    shop.migration("2_next", "CREATE TABLE u (x int);");
    CHECK(shop.run() == exits(0));
  }
}

}  // namespace
}  // namespace testing
