// Many runners at once: killed, told to stop, and of different releases.

#include <algorithm>
#include <optional>
#include <utility>

#include "faults/crowd.hpp"
#include "support/gate_project.hpp"
#include "support/lease.hpp"
#include "support/open_transaction.hpp"
#include "support/trials.hpp"

using namespace testing;

namespace {

constexpr int k_runners = 20;

// A folder, and what is there once each of its migrations was applied once.
struct Folder {
  void (*fill)(const Deployment&);
  std::string calls;
  std::string history;
  std::string indexes;
};
const Folder k_plain{plain_folder, "1, 2, 3, 4, 5",
                     "1_init 1 finished, 2_step 1 finished, 3_step 1 finished, 4_step 1 finished, "
                     "5_step 1 finished",
                     ""};
const Folder k_concurrent{concurrent_folder, "1, 3, 5",
                          "1_init 1 finished, 2_index 1 finished, 3_step 1 finished, 4_index 1 "
                          "finished, 5_step 1 finished",
                          "i2, i4"};
const Folder k_mixed{mixed_folder, "1, 2a, 2b, 3, 4a, 4b",
                     "1_init 1 finished, 2_mixed 1 finished, 3_enum 1 finished, 4_mixed 1 finished",
                     "i2, i4"};

void check_applied_once(const Deployment& shop, const Folder& folder) {
  REQUIRE(calls(shop) == folder.calls);
  REQUIRE(shop.indexes(true) == folder.indexes);
  REQUIRE(joined(shop.history()) == folder.history);
}

void check_all_is_given_back(const Deployment& shop) {
  REQUIRE(!is_lease_held(shop.database()));
  REQUIRE(no_backend_is_left(shop.database()));
  REQUIRE(overlapping_runs(shop.database()) == "0");
  REQUIRE(shop.indexes(false).empty());
}

// For people: nothing here is asserted, because the machine may be busy.
void tell_hand_overs(const Deployment& shop, const std::vector<CrowdOfRuns::Kill>& killed) {
  const auto& database = shop.database();
  MESSAGE("longest hand-over between two runs: "
          << database.value("SELECT round(max(extract(epoch FROM started_at - before)), 2) FROM"
                            "  (SELECT started_at, fence - lag(fence) OVER (ORDER BY fence) AS"
                            "          step, lag(finished_at) OVER (ORDER BY fence) AS before"
                            "     FROM schemagate.run) r WHERE step = 1")
          << " s, runs: " << database.value("SELECT count(*) FROM schemagate.run"));
  for (const auto& kill : killed)
    MESSAGE("after the kill of a holder, whose lease then expired, the next one began after "
            << database.value("SELECT round(extract(epoch FROM min(started_at) - '" + kill.at +
                              "'::timestamptz), 2) FROM schemagate.run WHERE fence > " + kill.fence)
            << " s");
}

// 20 runners, of which some are killed and replaced: two that hold the lease, and four others.
void survive_kills(const std::string& where, const Folder& folder,
                   const std::string& migrations = {}) {
  const auto shop = release_one("ttl: 30s", migrations);
  folder.fill(shop);
  const auto seed = any_seed();
  INFO("SCHEMAGATE_SEED=" << seed);
  std::mt19937 random{seed};
  CrowdOfRuns crowd{shop, random};
  // Nobody gets past 1_init before one was killed, however long that takes.
  std::optional<OpenTransaction> blocker{std::in_place, shop.database(), "CREATE TABLE calls ()"};
  crowd.start(k_runners);
  for (int i = 0; i < 6; ++i) {
    sleep_ms(between(random, 0, 250));
    if (i % 3 == 1) crowd.replace_the_holder();
    else crowd.replace_any();
    if (i == 0) blocker.reset();
  }
  for (const auto& result : crowd.wait()) REQUIRE(result == exits(0));
  REQUIRE(crowd.killed() > 0);
  REQUIRE(shop.database().value("SELECT status FROM schemagate.marker") == "complete");
  check_applied_once(shop, folder);
  check_all_is_given_back(shop);
  tell_hand_overs(shop, crowd.holders_killed());
  record({.fault = "20 runners at once, some killed (SIGKILL) and started again",
          .where = where,
          .seen = "every runner that lives exits 0; every migration was applied once"});
}

// Every runner is told to stop at some moment of the first second and a half.
void survive_terms(const Deployment& shop, std::mt19937& random) {
  CrowdOfRuns crowd{shop, random};
  crowd.start(k_runners);
  std::vector<std::pair<int, std::size_t>> moments;
  for (std::size_t i = 0; i < crowd.runs().size(); ++i)
    moments.emplace_back(between(random, 0, 1500), i);
  std::sort(moments.begin(), moments.end());
  int now = 0;
  for (const auto& [moment, index] : moments) {
    sleep_ms(moment - now);
    now = moment;
    crowd.runs()[index].signal(SIGTERM);
  }
  for (const auto& result : crowd.wait())
    REQUIRE_MESSAGE((result == exits(0) || result == exits(128 + SIGTERM)), result.err);
  // Given back by the one that was told to stop: the ttl is 2 min.
  if (shop.database().value("SELECT to_regclass('schemagate.lock') IS NULL") == "f")
    REQUIRE(!is_lease_held(shop.database()));
  const Stopwatch watch;
  REQUIRE(shop.run() == exits(0));
  REQUIRE(watch.seconds() < 60);
  REQUIRE(shop.database().value("SELECT status FROM schemagate.marker") == "complete");
  check_all_is_given_back(shop);
}

}  // namespace

TEST_SUITE_BEGIN("crowd");

TEST_CASE("20 runners with some killed apply plain migrations exactly once") {
  survive_kills("plain migrations", k_plain);
}

TEST_CASE("20 runners with some killed apply CONCURRENTLY migrations exactly once") {
  survive_kills("`CREATE INDEX CONCURRENTLY`", k_concurrent);
}

TEST_CASE("20 runners with some killed apply migrations of several parts exactly once") {
  survive_kills("migrations of several parts", k_mixed);
}

TEST_CASE("20 runners with some killed apply a whole release exactly once") {
  survive_kills("`atomic: release`", k_plain, "atomic: release");
}

TEST_CASE("20 runners of two releases in any order apply every migration exactly once") {
  const auto seed = any_seed();
  INFO("SCHEMAGATE_SEED=" << seed);
  std::mt19937 random{seed};
  constexpr int k_rounds = 2;
  for (int round = 0; round < k_rounds; ++round) {
    const auto older = release_one("ttl: 30s");
    const Deployment newer{{.database = {},
                            .lease = "ttl: 30s",
                            .migrations = {},
                            .rest = "release: r2\n",
                            .url = older.database().url()}};
    plain_folder(older);
    plain_folder(newer);
    newer.migration("6_new", "INSERT INTO calls VALUES ('6');");
    std::vector<const Deployment*> order(k_runners / 2, &older);
    order.insert(order.end(), k_runners / 2, &newer);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Process> runs;
    for (const auto* release : order) runs.push_back(release->start());
    for (auto& run : runs) REQUIRE(run.wait() == exits(0));
    REQUIRE(calls(older) == "1, 2, 3, 4, 5, 6");
    REQUIRE(joined(older.history()) == k_plain.history + ", 6_new 1 finished");
    REQUIRE(joined(older.database().column(
                "SELECT release || ' ' || status FROM schemagate.marker ORDER BY 1")) ==
            "r1 complete, r2 complete");
    check_all_is_given_back(older);
  }
  record({.fault = "20 runners at once, half of them of the next release",
          .where = "plain migrations",
          .seen = "all exit 0; every migration was applied once; both releases are complete"},
         k_rounds);
}

TEST_CASE("20 runners told to stop at any moment leave nothing that the next run would wait for") {
  const auto seed = any_seed();
  INFO("SCHEMAGATE_SEED=" << seed);
  std::mt19937 random{seed};
  constexpr int k_rounds = 2;
  for (int round = 0; round < k_rounds; ++round) {
    const auto plain = release_one("ttl: 2m");
    plain_folder(plain);
    survive_terms(plain, random);
    check_applied_once(plain, k_plain);

    const auto mixed = release_one("ttl: 2m");
    mixed_folder(mixed);
    survive_terms(mixed, random);
    check_applied_once(mixed, k_mixed);

    const auto whole = release_one("ttl: 2m", "atomic: release");
    plain_folder(whole);
    survive_terms(whole, random);
    REQUIRE(calls(whole) == "1, 2, 3, 4, 5");
  }
  record({.fault = "SIGTERM to each of 20 runners, at any moment",
          .where = "plain migrations, several parts, `atomic: release`",
          .seen = "each exits 143 or 0; the lease is given back; the next run completes at once"},
         k_rounds * 3);
}

TEST_SUITE_END();

// The role may not end the backend, so that it stays for as long as the test wants.
TEST_CASE("SIGTERM while an earlier runner's backend does not end gives the lease back") {
  const TestRole role{"stuck"};
  auto shop = release_one("ttl: 2m");
  plain_folder(shop);
  shop.database().execute("ALTER DATABASE " + shop.database().name() + " OWNER TO " + role.name());
  shop.settings.url = shop.database().url_as(role.name());
  REQUIRE(shop.run() == exits(0));
  shop.database().execute("UPDATE schemagate.lock SET role = 'postgres'");
  shop.migration("9_more", "CREATE TABLE more (x int);");
  const schemagate::pg::Session stuck{shop.database().url() + "?application_name=" +
                                      runner_name(shop.database(), "prisma:public", 0, "ab")};
  auto run = shop.start();
  REQUIRE(run.says("cannot be ended"));
  REQUIRE(run.terminate() == exits(128 + SIGTERM));
  REQUIRE(!is_lease_held(shop.database()));
}
