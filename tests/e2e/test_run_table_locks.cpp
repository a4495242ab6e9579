// Table locks: a run gives up its place in the queue after lock_timeout, says who is in the way,
// and tries again.

#include <atomic>
#include <thread>

#include "support/deployment.hpp"
#include "support/open_transaction.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

Deployment blocked_deployment(const std::string& limits) {
  // Who blocks is there before, and would be waited for without asking for a lock.
  return Deployment{
      {.database = {}, .lease = {}, .migrations = limits + ", gap_wait: 0", .rest = {}, .url = {}}};
}

void prepare(const Deployment& shop) {
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_alter", "CREATE TABLE u (x int);\nALTER TABLE t ADD y int;\n");
}

}  // namespace

TEST_CASE(
    "a run that meets a locked table says who blocks it, and succeeds when the table is free") {
  const Deployment shop = blocked_deployment("lock_timeout: 2s, lock_retry: 2m");
  prepare(shop);
  std::optional<OpenTransaction> blocker{std::in_place, shop.database(),
                                         "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"};
  auto deploy = shop.start();
  CHECK(deploy.says("trying again"));
  CHECK(deploy.says("pid " + blocker->pid()));
  CHECK(deploy.says("user postgres"));
  CHECK(shop.tables() == "t");  // nothing of the migration is visible or held in between
  blocker.reset();
  const auto done = deploy.wait();
  CHECK(done == exits(0));
  CHECK(done.err != contains("ACCESS EXCLUSIVE"));  // other people's statements may hold data
  CHECK(shop.tables() == "t, u");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_alter 1 finished");
}

TEST_CASE(
    "after lock_retry the run ends with 13, names the blocker, and nothing of the migration remains") {
  // It looks for the blocker after 700 ms, and has the rest of the time to find it.
  const Deployment shop = blocked_deployment("lock_timeout: 4s, lock_retry: 1s");
  prepare(shop);
  const auto before = shop.database().dump_schema();
  std::optional<OpenTransaction> blocker{std::in_place, shop.database(),
                                         "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"};
  CHECK(shop.run() == exits(13, "2_alter/migration.sql:2:1", "lock_retry",
                            "pg_terminate_backend(" + blocker->pid() + ")"));
  CHECK(joined(shop.history()) == "1_init 1 finished");
  blocker.reset();
  CHECK(shop.database().dump_schema() == before);
  // Retryable: waiting gates are not told that it failed for good.
  CHECK(shop.database().value(
            "SELECT status FROM schemagate.marker ORDER BY run_id DESC LIMIT 1") == "running");
  CHECK(shop.run() == exits(0));
}

// The watcher sleeps for the statement before this one first, and then may come too late. It looks
// after half of the time: shorter than the 700 ms after which it looks where there is more.
TEST_CASE("the blocker is named every time, also when lock_timeout is short") {
  const Deployment shop = blocked_deployment("lock_timeout: 600ms, lock_retry: 0");
  prepare(shop);
  shop.migration("2_alter", "SELECT pg_sleep(0.002);\nALTER TABLE t ADD y int;\n");
  const OpenTransaction blocker{shop.database(), "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"};
  int named = 0;
  int rounds = 0;
  for (; rounds < 8 && named < 3; ++rounds) {
    const auto result = shop.run();
    CHECK(result == exits(13));
    if (result.err == contains("pg_terminate_backend(" + blocker.pid() + ")")) ++named;
  }
  CHECK(named == 3);
  MESSAGE("named in " << named << " of " << rounds);  // a machine may stand still for that moment
}

TEST_CASE("nobody waits behind a waiting run for longer than lock_timeout") {
  const Deployment shop = blocked_deployment("lock_timeout: 400ms, lock_retry: 2m");
  prepare(shop);
  // A long report: readers pass it, but ALTER TABLE has to wait, and readers wait behind that.
  std::optional<OpenTransaction> report{std::in_place, shop.database(), "SELECT count(*) FROM t"};
  std::atomic<bool> done = false;
  std::atomic<std::chrono::milliseconds> longest{0ms};
  std::thread traffic{[&] {
    auto session = shop.database().connect();
    while (!done) {
      const auto start = std::chrono::steady_clock::now();
      session.execute("SELECT count(*) FROM t");
      longest = std::max(longest.load(), std::chrono::duration_cast<std::chrono::milliseconds>(
                                             std::chrono::steady_clock::now() - start));
      std::this_thread::sleep_for(5ms);
    }
  }};
  auto deploy = shop.start();
  const auto retries = [&] {
    int count = 0;
    const auto said = deploy.output_so_far();
    for (auto at = said.find("trying again"); at != std::string::npos;
         at = said.find("trying again", at + 1))
      ++count;
    return count;
  };
  // Somebody was behind us, else the case shows nothing.
  const bool retried = eventually([&] { return retries() >= 3 && longest.load() > 100ms; });
  done = true;
  traffic.join();
  report.reset();
  const auto result = deploy.wait();
  INFO(result.err);
  CHECK(retried);
  CHECK(longest.load() < 4s);  // far from the 5 s without that setting, and from the report's end
  CHECK(result == exits(0));
}

TEST_CASE(
    "a lock that is missing in a later part is waited for without repeating the earlier parts") {
  const Deployment shop = blocked_deployment("lock_timeout: 300ms, lock_retry: 2m");
  shop.migration("1_init", "CREATE TABLE t (x int); CREATE TABLE calls (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_parts",
                 "INSERT INTO calls VALUES (1);\nCREATE INDEX CONCURRENTLY ON calls (x);\n"
                 "INSERT INTO calls VALUES (2);\nALTER TABLE t ADD y int;\n");
  std::optional<OpenTransaction> blocker{std::in_place, shop.database(),
                                         "LOCK TABLE t IN ACCESS EXCLUSIVE MODE"};
  auto deploy = shop.start();
  CHECK(deploy.says("trying again"));
  blocker.reset();
  CHECK(deploy.wait() == exits(0));
  CHECK(joined(shop.database().column("SELECT x FROM calls ORDER BY x")) == "1, 2");
}

TEST_CASE("a deadlock with another session is retried") {
  const Deployment shop = blocked_deployment("lock_timeout: 2m, lock_retry: 2m");
  shop.migration("1_init", "CREATE TABLE a (x int); CREATE TABLE b (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_both", "LOCK TABLE a;\nSELECT pg_advisory_xact_lock(1);\nLOCK TABLE b;\n"
                           "INSERT INTO a VALUES (1);\n");
  auto gate = shop.database().connect();
  gate.execute("SELECT pg_advisory_lock(1)");
  auto other = shop.database().connect();
  std::optional<schemagate::pg::Transaction> transaction{std::in_place, other};
  // Our side of the deadlock must be the one that closes it and looks for it, and so the victim: a
  // waiter looks once only.
  other.execute("SET LOCAL deadlock_timeout = '10min'");
  other.execute("LOCK TABLE b");
  auto deploy = shop.start();
  REQUIRE(shop.is_running("SELECT pg_advisory_xact_lock"));
  std::thread waiting{[&] { other.execute("LOCK TABLE a"); }};
  const bool waits = eventually([&] {
    return shop.database().value(
               "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass"
               " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") ==
           "1";
  });
  gate.execute("SELECT pg_advisory_unlock(1)");
  const bool retried = deploy.says("deadlock detected; rolled back, trying again");
  waiting.join();
  transaction.reset();
  const auto result = deploy.wait();
  INFO(result.err);
  CHECK(waits);
  CHECK(retried);
  CHECK(result == exits(0));
  CHECK(shop.database().value("SELECT count(*) FROM a") == "1");
}

TEST_CASE(
    "a run waits for Prisma's own lock, names its holder, and continues when it is released") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  OpenTransaction holder{shop.database(), k_take_prismas_lock};
  auto deploy = shop.start();
  CHECK(deploy.says("Prisma's migration lock"));
  CHECK(deploy.says("pid " + holder.pid()));
  CHECK(joined(shop.history()) == "no table");
  holder.commit();
  CHECK(deploy.wait() == exits(0));
}

TEST_CASE("a run holds Prisma's lock while it works, so that prisma migrate waits") {
  const Deployment shop;
  auto deploy = shop.start_napping("1_long", "SELECT aside.nap();");
  CHECK(shop.database().value("SELECT pg_try_advisory_lock(72707369)") == "f");
}

TEST_CASE("a run gives up with 11 when Prisma's lock stays held for lease.wait") {
  Deployment shop;
  shop.settings.lease = "wait: 3s";  // the lease itself must be had within it, too
  shop.migration("1_init", "CREATE TABLE t (x int);");
  OpenTransaction holder{shop.database(), k_take_prismas_lock};
  CHECK(shop.run() == exits(11, "pid " + holder.pid()));
  CHECK(shop.tables().empty());
}
