// CREATE INDEX CONCURRENTLY: it refuses transactions, and leaves an INVALID index when it fails.

#include <csignal>

#include "e2e/deployment.hpp"

using namespace testing;

namespace {

constexpr const char* k_init = "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (1);";

// Holds back every CONCURRENTLY of its database for as long as it lives.
class OldTransaction {
 public:
  explicit OldTransaction(const Deployment& shop)
      : session_{shop.database().connect()}, transaction_{session_} {
    transaction_.execute("INSERT INTO t VALUES (100)");
  }

 private:
  schemagate::pg::Session session_;
  schemagate::pg::Transaction transaction_;
};

}  // namespace

TEST_CASE("a unique index built concurrently on duplicates fails and leaves no INVALID index") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n");
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 21);
  CHECK(result.err == contains("2_unique/migration.sql:1:1"));
  CHECK(result.err == contains("23505"));
  CHECK(result.err == contains("Key (x)=(1) is duplicated."));
  CHECK(shop.indexes(true).empty());
  CHECK(shop.indexes(false).empty());
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_unique 0 rolled-back logs");

  shop.database().execute("DELETE FROM t");
  const auto again = shop.run();
  INFO(again.err);
  CHECK(again.exit_code == 0);
  CHECK(shop.indexes(true) == "once");
}

TEST_CASE(
    "an unnamed unique index on duplicates leaves nothing either, beside an older INVALID one") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  REQUIRE(shop.run().exit_code == 0);
  // Somebody else's: not ours to drop.
  CHECK_THROWS(shop.database().execute("CREATE UNIQUE INDEX CONCURRENTLY theirs ON t (x)"));
  REQUIRE(shop.indexes(false) == "theirs");
  shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY ON t (x);\n");
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 21);
  CHECK(shop.indexes(true).empty());
  CHECK(shop.indexes(false) == "theirs");
}

TEST_CASE("a failed concurrent index after other parts leaves those, and no INVALID index") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  shop.migration("2_parts",
                 "CREATE TABLE before (x int);\nCREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n");
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 21);
  CHECK(shop.tables() == "before, t");
  CHECK(shop.indexes(false).empty());
  shop.database().execute("DELETE FROM t");
  CHECK(shop.run().exit_code == 0);
  CHECK(shop.indexes(true) == "once");
}

TEST_CASE("an INVALID index of that name, left by an aborted attempt, is cleared and rebuilt") {
  const Deployment shop;
  shop.migration("1_init", k_init);
  REQUIRE(shop.run().exit_code == 0);
  CHECK_THROWS(shop.database().execute("CREATE UNIQUE INDEX CONCURRENTLY once ON t (x)"));
  REQUIRE(shop.indexes(false) == "once");
  shop.database().execute("DELETE FROM t");
  SUBCASE("plain") {
    shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n");
  }
  SUBCASE("IF NOT EXISTS, which would find it and be content") {
    shop.migration("2_unique", "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS once ON t (x);\n");
  }
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.err == contains("dropped the INVALID index \"public\".\"once\""));
  CHECK(shop.indexes(true) == "once");
  CHECK(shop.indexes(false).empty());
}

TEST_CASE("a valid index of that name is not touched: the migration fails as PostgreSQL says") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int, y int); CREATE INDEX i ON t (x);");
  shop.migration("2_index", "CREATE INDEX CONCURRENTLY i ON t (y);");
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 21);
  CHECK(result.err == contains("42P07"));
  CHECK(shop.database().value("SELECT indexdef FROM pg_indexes WHERE indexname = 'i'") ==
        contains("(x)"));
}

TEST_CASE(
    "a runner killed while it builds an index concurrently is replaced, and the index gets built once") {
  const Deployment shop;
  std::string expected;
  shop.migration("1_init", "CREATE TABLE t (x int);");
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
  std::filesystem::rename(shop.folder() / "2_index", shop.dir().path() / "aside");
  REQUIRE(shop.run().exit_code == 0);
  std::filesystem::rename(shop.dir().path() / "aside", shop.folder() / "2_index");

  std::optional<OldTransaction> old{std::in_place, shop};
  auto first = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  REQUIRE(eventually([&] { return shop.indexes(false) == expected; }));
  const auto pid = shop.database().value(
      "SELECT pid FROM pg_stat_activity WHERE starts_with(query, 'CREATE INDEX CONC') AND datname = current_database()");
  first.signal(SIGKILL);
  (void)first.wait();
  shop.expire_lease();

  auto second = shop.start();
  REQUIRE(eventually([&] {
    return shop.database().value("SELECT count(*) FROM pg_stat_activity WHERE pid = " + pid) == "0";
  }));
  old.reset();
  const auto result = second.wait();
  INFO(result.err);
  CHECK(result.exit_code == 0);
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
  std::filesystem::rename(shop.folder() / "2_index", shop.dir().path() / "aside");
  REQUIRE(shop.run().exit_code == 0);
  std::filesystem::rename(shop.dir().path() / "aside", shop.folder() / "2_index");

  // Stopped: its backend goes on and commits; killed before it could record that.
  std::optional<OldTransaction> old{std::in_place, shop};
  auto first = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  REQUIRE(eventually([&] { return shop.indexes(false) == "t_x_idx"; }));
  first.signal(SIGSTOP);
  old.reset();
  REQUIRE(eventually([&] { return shop.indexes(true) == "t_x_idx"; }));
  first.signal(SIGKILL);
  (void)first.wait();
  shop.expire_lease();

  const auto oid = shop.database().value("SELECT 't_x_idx'::regclass::oid");
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(result.err == contains("had been finished by the interrupted run"));
  CHECK(shop.indexes(true) == "t_x_idx");
  CHECK(shop.database().value("SELECT 't_x_idx'::regclass::oid") == oid);
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_index 1 finished");
}

TEST_CASE(
    "two deploys with a concurrent index and a session waiting for Prisma's lock do not deadlock") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run().exit_code == 0);
  shop.migration("2_index",
                 "CREATE INDEX CONCURRENTLY i ON t (x);\nCREATE INDEX CONCURRENTLY j ON t (x);\n");

  // As `prisma migrate deploy` waits, and then ends. Holding the lock first makes the order
  // certain: both runs are there before the waiter can get on.
  auto holder = shop.database().connect();
  holder.execute("SELECT pg_advisory_lock(72707369)");
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
  holder.execute("SELECT pg_advisory_unlock(72707369)");
  const auto one = first.wait();
  const auto two = second.wait();
  waiter.join();
  INFO(one.err);
  INFO(two.err);
  CHECK(waits);
  CHECK(waiter_error.empty());
  CHECK(one.exit_code == 0);
  CHECK(two.exit_code == 0);
  CHECK(shop.indexes(true) == "i, j");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_index 1 finished");
}

TEST_CASE(
    "a session that begins to wait for Prisma's lock while an index is being built does not stop it") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run().exit_code == 0);
  shop.migration("2_index",
                 "CREATE INDEX CONCURRENTLY i ON t (x);\nCREATE INDEX CONCURRENTLY j ON t (x);\n");
  std::optional<OldTransaction> old{std::in_place, shop};
  auto deploy = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  std::thread waiter{[&] {
    auto session = shop.database().connect();
    session.execute("SELECT pg_advisory_lock(72707369)");
  }};
  waiter.join();  // it got the lock at once, read the history, and ended, as Prisma does (P3009)
  old.reset();
  const auto result = deploy.wait();
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(shop.indexes(true) == "i, j");
}
