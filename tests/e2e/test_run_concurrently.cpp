// CREATE INDEX CONCURRENTLY: it refuses transactions, and leaves an INVALID index when it fails.

#include <csignal>

#include "support/deployment.hpp"
#include "support/open_transaction.hpp"

using namespace testing;

namespace {

constexpr const char* k_init = "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (1);";

// In a transaction that stays open it holds back every CONCURRENTLY.
constexpr const char* k_write = "INSERT INTO t VALUES (100)";

void add_two_indexes(const Deployment& shop) {
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_index",
                 "CREATE INDEX CONCURRENTLY i ON t (x);\nCREATE INDEX CONCURRENTLY j ON t (x);\n");
}

void run_without(const Deployment& shop, const std::string& migration) {
  const auto aside = shop.dir().path() / "aside";
  std::filesystem::rename(shop.folder() / migration, aside);
  REQUIRE(shop.run() == exits(0));
  std::filesystem::rename(aside, shop.folder() / migration);
}

// A run whose index is there, and not valid yet.
Process start_building(const Deployment& shop, const std::string& index) {
  auto process = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  REQUIRE(eventually([&] { return shop.indexes(false) == index; }));
  return process;
}

}  // namespace

TEST_CASE("a unique index built concurrently on duplicates fails and leaves no INVALID index") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n");
  CHECK(shop.run() ==
        exits(21, "2_unique/migration.sql:1:1", "23505", "Key (x)=(…) is duplicated."));
  CHECK(shop.indexes(true).empty());
  CHECK(shop.indexes(false).empty());
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_unique 0 rolled-back logs");

  shop.database().execute("DELETE FROM t");
  CHECK(shop.run() == exits(0));
  CHECK(shop.indexes(true) == "once");
}

TEST_CASE(
    "an unnamed unique index on duplicates leaves nothing either, beside an older INVALID one") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  REQUIRE(shop.run() == exits(0));
  // Somebody else's: not ours to drop.
  CHECK_THROWS(shop.database().execute("CREATE UNIQUE INDEX CONCURRENTLY theirs ON t (x)"));
  REQUIRE(shop.indexes(false) == "theirs");
  shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY ON t (x);\n");
  CHECK(shop.run() == exits(21));
  CHECK(shop.indexes(true).empty());
  CHECK(shop.indexes(false) == "theirs");
}

TEST_CASE("a failed concurrent index after other parts leaves those, and no INVALID index") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  shop.migration("2_parts",
                 "CREATE TABLE before (x int);\nCREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n");
  CHECK(shop.run() == exits(21));
  CHECK(shop.tables() == "before, t");
  CHECK(shop.indexes(false).empty());
  shop.database().execute("DELETE FROM t");
  CHECK(shop.run() == exits(0));
  CHECK(shop.indexes(true) == "once");
}

TEST_CASE("an INVALID index of that name, left by an aborted attempt, is cleared and rebuilt") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  REQUIRE(shop.run() == exits(0));
  CHECK_THROWS(shop.database().execute("CREATE UNIQUE INDEX CONCURRENTLY once ON t (x)"));
  REQUIRE(shop.indexes(false) == "once");
  shop.database().execute("DELETE FROM t");
  SUBCASE("plain") {
    shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n");
  }
  SUBCASE("IF NOT EXISTS, which would find it and be content") {
    shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS once ON t (x);\n");
  }
  CHECK(shop.run() == exits(0, "dropped the INVALID index \"public\".\"once\""));
  CHECK(shop.indexes(true) == "once");
  CHECK(shop.indexes(false).empty());
}

TEST_CASE("a valid index of that name is not touched: the migration fails as PostgreSQL says") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int, y int); CREATE INDEX i ON t (x);");
  shop.migration("2_index", "CREATE INDEX CONCURRENTLY i ON t (y);");
  CHECK(shop.run() == exits(21, "42P07"));
  CHECK(shop.database().value("SELECT indexdef FROM pg_indexes WHERE indexname = 'i'") ==
        contains("(x)"));
}

TEST_CASE(
    "a runner killed while it builds an index concurrently is replaced, and the index gets built once") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  std::string expected;
  SUBCASE("a named index") {
    shop.migration("2_index", "CREATE INDEX CONCURRENTLY i ON t (x);\n");
    expected = "i";
  }
  SUBCASE("an unnamed index") {
    shop.migration("2_index", "CREATE INDEX CONCURRENTLY ON t (x);\n");
    expected = "t_x_idx";
  }
  SUBCASE("in the middle of a script") {
    shop.migration(
        "2_index",
        "INSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY ON t (x);\nINSERT INTO t VALUES (2);\n");
    expected = "t_x_idx";
  }
  run_without(shop, "2_index");

  std::optional<OpenTransaction> old{std::in_place, shop.database(), k_write};
  auto first = start_building(shop, expected);
  const auto pid = shop.database().value(
      "SELECT pid FROM pg_stat_activity WHERE starts_with(query, 'CREATE INDEX CONC') AND datname = current_database()");
  first.kill();
  shop.expire_lease();

  auto second = shop.start();
  REQUIRE(eventually([&] {
    return shop.database().value("SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid) == "0";
  }));
  old.reset();
  CHECK(second.wait() == exits(0));
  CHECK(shop.indexes(true) == expected);
  CHECK(shop.indexes(false).empty());
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_index 1 finished");
  if (shop.database().value("SELECT count(*) FROM t") != "0")
    CHECK(joined(shop.database().column("SELECT x FROM t ORDER BY x")) == "1, 2");
}

TEST_CASE("an index that was finished when its runner died is not built a second time") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.migration("2_index", "CREATE INDEX CONCURRENTLY ON t (x);\n");
  run_without(shop, "2_index");

  // Stopped: its backend goes on and commits; killed before it could record that.
  std::optional<OpenTransaction> old{std::in_place, shop.database(), k_write};
  auto first = start_building(shop, "t_x_idx");
  first.freeze();
  old.reset();
  REQUIRE(eventually([&] { return shop.indexes(true) == "t_x_idx"; }));
  first.kill();
  shop.expire_lease();

  const auto oid = shop.database().value("SELECT 't_x_idx'::regclass::oid");
  CHECK(shop.run() == exits(0, "had been finished by the interrupted run"));
  CHECK(shop.indexes(true) == "t_x_idx");
  CHECK(shop.database().value("SELECT 't_x_idx'::regclass::oid") == oid);
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_index 1 finished");
}

TEST_CASE(
    "two deploys with a concurrent index and a session waiting for Prisma's lock do not deadlock") {
  const Deployment shop;
  add_two_indexes(shop);

  // As `prisma migrate deploy` waits, and then ends. Holding the lock first makes the order
  // certain: both runs are there before the waiter can get on.
  OpenTransaction holder{shop.database(), k_take_prismas_lock};
  std::string waiter_error;
  std::thread waiter{[&] {
    try {
      auto session = shop.database().connect();
      session.execute("SET deadlock_timeout = '100ms'");
      session.execute("SELECT pg_advisory_lock(72707369)");
    } catch (const std::exception& e) {
      waiter_error = e.what();
    }
  }};
  auto first = shop.start();
  auto second = shop.start();
  const bool waits = eventually([&] {
    return shop.database().value(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 72707369"
               " AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname ="
               " current_database())") == "1";
  });
  holder.commit();
  const auto one = first.wait();
  const auto two = second.wait();
  waiter.join();
  INFO(one.err);
  INFO(two.err);
  CHECK(waits);
  CHECK(waiter_error.empty());
  CHECK(one == exits(0));
  CHECK(two == exits(0));
  CHECK(shop.indexes(true) == "i, j");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_index 1 finished");
}

TEST_CASE(
    "a session that begins to wait for Prisma's lock while an index is being built does not stop it") {
  const Deployment shop;
  add_two_indexes(shop);
  std::optional<OpenTransaction> old{std::in_place, shop.database(), k_write};
  auto deploy = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  std::thread waiter{[&] {
    auto session = shop.database().connect();
    session.execute("SELECT pg_advisory_lock(72707369)");
  }};
  waiter.join();  // it got the lock at once, read the history, and ended, as Prisma does (P3009)
  old.reset();
  CHECK(deploy.wait() == exits(0));
  CHECK(shop.indexes(true) == "i, j");
}
