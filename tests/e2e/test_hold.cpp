// `--hold`, for platforms that restart whatever ends.
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>

#include "support/deployment.hpp"

using namespace testing;
using namespace std::chrono_literals;

TEST_SUITE_BEGIN("hold");

TEST_CASE("after a failure that stays, --hold waits before exiting, and SIGTERM ends the wait") {
  Deployment shop;
  shop.migration("20260101000000_fails", "SELECT 1/0;");
  auto run = shop.start_call({"run", "--hold", "1h"});
  REQUIRE(run.says("exit code 21 follows in 60 min (--hold)"));
  CHECK(run.is_running());
  // The lease is given back and the marker written before.
  CHECK(!is_lease_held(shop.database()));
  CHECK(shop.call({"gate"}) == exits(31));
  auto gate = shop.start_call({"gate", "--hold", "1h"});
  REQUIRE(gate.says("exit code 31 follows in 60 min (--hold)"));
  for (auto* held : {&run, &gate}) held->signal(SIGTERM);
  CHECK(run.wait() == exits(21));
  CHECK(gate.wait() == exits(31));
}

TEST_CASE("where another try may help, --hold waits a minute at most") {
  Deployment shop;
  shop.settings.database = "wait: 1s";
  shop.settings.url = "postgresql://postgres@127.0.0.1:1/shop";
  shop.migration("20260101000000_init", "SELECT 1;");
  auto run = shop.start_call({"run", "--hold", "1h"});
  REQUIRE(run.says("exit code 10 follows in 1 min (--hold)"));
  CHECK(run.terminate() == exits(10));
}

TEST_CASE("--hold delays neither success nor a signal, and is told when it is no duration") {
  Deployment shop;
  shop.migration("20260101000000_init", "SELECT 1;");
  CHECK(shop.call({"run", "--hold", "1h"}) == exits(0));
  CHECK(shop.call({"gate", "--hold", "1h"}) == exits(0));
  shop.migration("20260102000000_slow", "SELECT pg_sleep(600);");
  auto slow = shop.start_call({"run", "--hold", "1h"});
  REQUIRE(slow.says("to apply"));
  CHECK(slow.terminate() == exits(143));
  CHECK(shop.call({"run", "--hold", "soon"}) == exits(2, "must be like 30s, 10m or 1h"));
}

TEST_CASE("a run of an older release with nothing to do names the newer one") {
  Deployment shop;
  shop.migration("20260101000000_init", "SELECT 1;");
  shop.settings.rest = "release: \"1\"";
  CHECK(shop.call({"run"}) == exits(0));
  shop.settings.rest = "release: \"2\"";
  const auto second = shop.call({"run"});
  CHECK(second == exits(0));
  CHECK(second.err != contains("older image"));
  shop.settings.rest = "release: \"1\"";
  const auto back = shop.call({"run"});
  CHECK(back == exits(0, "release 2 was completed later, at ",
                      "this is an older image (right for a roll-back)"));
}
