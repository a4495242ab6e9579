// SIGKILL at moments that nobody chose: also in the middle of a statement, where the server goes on
// working for a client that is gone.

#include <csignal>
#include <random>
#include <thread>

#include "faults/fingerprint.hpp"
#include "support/deployment.hpp"
#include "support/trials.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

constexpr int k_migrations = 40;

// Of every kind, each leaving one row for each time that it was executed.
std::string script_of(int number) {
  const auto n = std::to_string(number);
  const auto table = "shop_" + n;
  const auto done = "INSERT INTO done VALUES (" + n + ");";
  const auto create = "CREATE TABLE " + table + " (x int);SELECT pg_sleep(0.01);";
  switch (number % 5) {
    case 0: return "BEGIN;" + create + "COMMIT; BEGIN;" + done + "COMMIT;";
    case 1: return create + done;
    case 2:
      return create + "CREATE INDEX CONCURRENTLY " + table + "_x ON " + table + " (x);" + done;
    case 3:
      return "CREATE TYPE " + table + "_mood AS ENUM ('sad');" + "ALTER TYPE " + table +
             "_mood ADD VALUE 'ok';" + done + "CREATE TABLE " + table + " (x " + table +
             "_mood DEFAULT 'ok');";
    default: return create + "ALTER TABLE " + table + " ADD y int; VACUUM " + table + ";" + done;
  }
}

void prepare(const Deployment& shop) {
  shop.migration("00_init", "CREATE TABLE done (migration int);");
  for (int number = 1; number <= k_migrations; ++number)
    shop.migration((number < 10 ? "0" : "") + std::to_string(number) + "_next", script_of(number));
}

}  // namespace

TEST_SUITE_BEGIN("sweep");

TEST_CASE("a long folder is applied exactly once however often its runner is killed") {
  Deployment undisturbed;
  prepare(undisturbed);
  REQUIRE(undisturbed.run() == exits(0));
  auto finished = undisturbed.database().connect();
  const auto reference = work_in(finished);

  constexpr unsigned k_seed = 20240229;
  std::mt19937 random{k_seed};
  std::uniform_int_distribution<int> moment_ms{20, 250};
  int kills = 0;
  while (kills < 200 / static_cast<int>(each_nth())) {
    Deployment shop;
    prepare(shop);
    auto session = shop.database().connect();
    int exit_code = -1;
    std::string log;
    for (int runs = 0; exit_code != 0; ++runs) {
      auto runner = shop.start();
      // Later and later: where a runner takes long to begin, one that never had more would not come
      // to an end.
      std::this_thread::sleep_for(std::chrono::milliseconds{moment_ms(random) * (20 + runs) / 20});
      runner.signal(SIGKILL);
      const auto result = runner.wait();
      log += result.err;
      exit_code = result.exit_code;
      INFO(log);
      REQUIRE((exit_code == 0 || exit_code == 137));
      if (exit_code == 137) ++kills;
      // The ttl passes, and the marker tells the truth.
      expire_lease(session);
      if (marker_in(session).starts_with("complete")) CHECK(work_in(session) == reference);
    }
    INFO(log);
    CHECK(work_in(session) == reference);
    CHECK(marker_in(session) == marker_in(finished));
    CHECK(shop.database().value("SELECT count(*) = count(DISTINCT migration) FROM done") == "t");
  }
  record({"SIGKILL", "at a random moment of a folder of all kinds of migrations",
          "exit 137; the runs after it complete"},
         kills);
}

TEST_SUITE_END();
