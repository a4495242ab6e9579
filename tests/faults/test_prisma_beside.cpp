// Prisma's own engine at the same moment on the same database.

#include <algorithm>

#include "faults/crowd.hpp"
#include "faults/door.hpp"
#include "support/open_transaction.hpp"
#include "support/prisma_engine.hpp"
#include "support/trials.hpp"

using namespace testing;

namespace {

// Scripts that Prisma can execute, too: CONCURRENTLY alone in its file.
void folder_for_both(const Deployment& shop) {
  shop.migration("1_init", k_init);
  shop.migration("2_step", "INSERT INTO calls VALUES ('2'); SELECT pg_sleep(0.1);");
  shop.migration("3_index", "CREATE INDEX CONCURRENTLY i3 ON t (slow(x));");
  shop.migration("4_step", "INSERT INTO calls VALUES ('4'); SELECT pg_sleep(0.1);");
}

// The backends in Prisma's `SELECT pg_advisory_lock(72707369)`.
std::vector<std::string> waiting_for_prismas_lock(const TestDatabase& database) {
  return database.column("SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
                         " WHERE d.datname = current_database() AND l.locktype = 'advisory'"
                         "   AND l.objid = 72707369 AND NOT l.granted");
}

// CREATE INDEX CONCURRENTLY waits for every transaction that has an older snapshot.
constexpr const char* k_keep_a_snapshot =
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1";

std::string index_waits_for(const TestDatabase& database) {
  return database.value("SELECT pg_blocking_pids(pid) FROM pg_stat_progress_create_index"
                        " WHERE datname = current_database() AND phase LIKE 'waiting%'");
}

void check_all_is_applied_once(const Deployment& shop) {
  REQUIRE(calls(shop) == "1, 2, 4");
  REQUIRE(joined(shop.history()) ==
          "1_init 1 finished, 2_step 1 finished, 3_index 1 finished, 4_step 1 finished");
  REQUIRE(shop.indexes(true) == "i3");
}

}  // namespace

TEST_SUITE_BEGIN("prisma beside");

TEST_CASE("Prisma's engine and up to five runs at once apply every migration exactly once") {
  if (!PrismaEngine::is_there()) return;
  const auto seed = any_seed();
  INFO("SCHEMAGATE_SEED=" << seed);
  std::mt19937 random{seed};
  constexpr int k_rounds = 8;
  int refused = 0;
  int prisma_first = 0;
  for (int round = 0; round < k_rounds; ++round) {
    const auto shop = release_one("ttl: 30s");
    folder_for_both(shop);
    auto prisma = PrismaEngine::start_deploy(shop.folder(), shop.database());
    std::vector<Process> runs;
    sleep_ms(between(random, 0, 1200));  // the engine needs a moment to load
    for (int i = between(random, 1, 5); i > 0; --i) {
      runs.push_back(shop.start());
      sleep_ms(between(random, 0, 100));
    }
    for (auto& run : runs) REQUIRE(run.wait() == exits(0));
    const auto outcome = PrismaEngine::outcome(prisma.wait());
    // P3009: it came while a run was in CREATE INDEX CONCURRENTLY, whose row is unfinished. P1002:
    // runs that are slow kept it waiting for longer than its 10 s.
    REQUIRE_MESSAGE((outcome == "ok" || outcome == "P3009" || outcome == "P1002"), outcome);
    if (outcome != "ok") {
      ++refused;
      const auto again = PrismaEngine::start_deploy(shop.folder(), shop.database()).wait();
      REQUIRE(PrismaEngine::outcome(again) == "ok");
    }
    if (shop.database().value("SELECT sum(applied) FROM schemagate.run") == "0") ++prisma_first;
    check_all_is_applied_once(shop);
    REQUIRE(shop.indexes(false).empty());
    REQUIRE(shop.database().value("SELECT status FROM schemagate.marker") == "complete");
    REQUIRE(!is_lease_held(shop.database()));
  }
  MESSAGE("Prisma did all the work in " << prisma_first << " rounds, was refused in " << refused);
  record({.fault = "`prisma migrate deploy` at the same moment as 1 to 5 runs",
          .where = "anywhere",
          .seen =
              "every migration was applied once; all runs exit 0; Prisma ends well, or with P3009 "
              "during a CONCURRENTLY statement and well when run again"},
         k_rounds);
}

// Prisma waits inside the server, with a snapshot for which CREATE INDEX CONCURRENTLY waits.
TEST_CASE("Prisma's engine that waits for a run gives up or is let in, and the run goes on") {
  if (!PrismaEngine::is_there()) return;
  const auto shop = release_one("ttl: 30s");
  prepare_door(shop.database());
  folder_for_both(shop);
  shop.migration("2_step", "INSERT INTO calls VALUES ('2'); SELECT aside.wait();");
  auto run = shop.start();
  REQUIRE(shop.is_running("SELECT aside.wait()"));
  auto impatient = PrismaEngine::start_deploy(shop.folder(), shop.database());
  REQUIRE(eventually([&] { return !waiting_for_prismas_lock(shop.database()).empty(); }));
  REQUIRE(PrismaEngine::outcome(impatient.wait()) == "P1002");  // after 10 s
  REQUIRE(run.is_running());

  // Its backend goes on waiting, without a client.
  const auto left_behind = waiting_for_prismas_lock(shop.database()).size();
  auto lucky = PrismaEngine::start_deploy(shop.folder(), shop.database());
  REQUIRE(
      eventually([&] { return waiting_for_prismas_lock(shop.database()).size() > left_behind; }));
  open_door(shop.database());
  REQUIRE(PrismaEngine::outcome(lucky.wait()) == "P3009");
  REQUIRE(run.wait() == exits(0));
  check_all_is_applied_once(shop);
  record({.fault = "`prisma migrate deploy` waits for a run",
          .where = "for longer than 10 s",
          .seen = "Prisma gives up with P1002; the run goes on and exits 0"});
  record(
      {.fault = "`prisma migrate deploy` waits for a run",
       .where = "until `CREATE INDEX CONCURRENTLY` begins",
       .seen = "no deadlock: Prisma is let in and ends with P3009; the run goes on and exits 0"});
}

TEST_CASE(
    "an index that waits for an old transaction is not held up by runs or by Prisma's engine") {
  if (!PrismaEngine::is_there()) return;
  const auto shop = release_one("ttl: 30s");
  shop.migration("1_init", k_init);
  REQUIRE(shop.run() == exits(0));
  folder_for_both(shop);
  OpenTransaction old{shop.database(), k_keep_a_snapshot};
  auto run = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  REQUIRE(run.says("pid " + old.pid()));
  std::vector<Process> others;
  for (int i = 0; i < 5; ++i) others.push_back(shop.start());
  for (auto& other : others) REQUIRE(other.says("waiting for the lease"));
  const auto prisma = PrismaEngine::start_deploy(shop.folder(), shop.database()).wait();
  REQUIRE(PrismaEngine::outcome(prisma) == "P3009");
  REQUIRE(index_waits_for(shop.database()) == "{" + old.pid() + "}");
  old.commit();
  REQUIRE(run.wait() == exits(0));
  for (auto& other : others) REQUIRE(other.wait() == exits(0));
  check_all_is_applied_once(shop);
  record({.fault = "the app holds an old transaction",
          .where = "in `CREATE INDEX CONCURRENTLY`, five runs and Prisma beside it",
          .seen =
              "the log says for whom it waits; runs wait, Prisma ends with P3009; afterwards all "
              "runs exit 0"});
}

TEST_CASE("runs that wait for Prisma's engine do not hold up the index that it builds") {
  if (!PrismaEngine::is_there()) return;
  const auto shop = release_one("ttl: 30s");
  folder_for_both(shop);
  OpenTransaction old{shop.database(), k_keep_a_snapshot};
  auto prisma = PrismaEngine::start_deploy(shop.folder(), shop.database());
  // Its last wait: earlier phases wait for nobody, and pass.
  const auto for_the_old = "{" + old.pid() + "}";
  REQUIRE(eventually([&] { return index_waits_for(shop.database()) == for_the_old; }));
  std::vector<Process> runs;
  for (int i = 0; i < 5; ++i) runs.push_back(shop.start());
  REQUIRE(eventually([&] {
    return std::any_of(runs.begin(), runs.end(), [](const auto& run) {
      return run.output_so_far() == contains("waiting for Prisma's migration lock");
    });
  }));
  REQUIRE(index_waits_for(shop.database()) == for_the_old);
  old.commit();
  REQUIRE(PrismaEngine::outcome(prisma.wait()) == "ok");
  for (auto& run : runs) REQUIRE(run.wait() == exits(0));
  check_all_is_applied_once(shop);
  record({.fault = "`prisma migrate deploy` is in `CREATE INDEX CONCURRENTLY`",
          .where = "waiting for Prisma's lock, five runs",
          .seen = "no deadlock: Prisma finishes, then all runs exit 0"});
}

TEST_SUITE_END();
