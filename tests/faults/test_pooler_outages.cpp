#include "faults/door.hpp"
#include "faults/pooled_fixture.hpp"

#include "support/trials.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

// Its only migration naps until the test lets it go on.
void napping(Pooled& pooled) {
  testing::prepare_door(pooled.project.database);
  pooled.project.migration("20240101000000_nap",
                           "CREATE TABLE users (id integer PRIMARY KEY);\nSELECT aside.wait();\n"
                           "INSERT INTO users VALUES (1);");
}

bool naps(const Pooled& pooled) {
  return eventually([&] {
    return pooled.count_backends("query LIKE 'SELECT aside.wait()%' AND state = 'active'") == "1";
  });
}

void wake(const Pooled& pooled) { testing::open_door(pooled.project.database); }

void check_once_and_clean(const Pooled& pooled, const std::set<std::string>& fresh) {
  CHECK(pooled.project.database.value("SELECT count(*) FROM users") == "1");
  CHECK(pooled.project.marker("status") == "complete");
  check_nothing_is_left(pooled, fresh);
}

// Every backend of the pool taken, as by clients in long transactions.
class FullPool {
 public:
  explicit FullPool(const Pooled& pooled) {
    for (int i = 0; i < pooled.pooler.pool_size(); ++i)
      sessions_.emplace_back(pooled.pooler.url(pooled.project.database) + "?application_name=busy");
    for (auto& session : sessions_)
      transactions_.push_back(std::make_unique<pg::Transaction>(session));
  }

 private:
  std::vector<pg::Session> sessions_;
  std::vector<std::unique_ptr<pg::Transaction>> transactions_;
};

}  // namespace

TEST_SUITE_BEGIN("pooler outages");

TEST_CASE("a pooler killed under a run is named, and the next run completes") {
  if (!PgBouncer::is_there()) return;
  Pooled pooled;
  napping(pooled);
  const auto fresh = pooled.backends();
  auto run = pooled.project.start_run();
  REQUIRE(naps(pooled));
  pooled.pooler.kill();
  CHECK(run.wait() == exits(14, "connection lost"));
  expire_lease(pooled.project.database);
  auto waiting = pooled.project.start_run();
  REQUIRE(waiting.says("waiting for the database"));
  pooled.pooler.restart();
  wake(pooled);
  const auto next = waiting.wait();
  CHECK(next == exits(0));
  check_once_and_clean(pooled, fresh);
  record({.fault = "SIGKILL of the pooler",
          .where = "while a migration runs",
          .seen = "exit 14; the next run waits for the pooler and completes"});
}

TEST_CASE("a pause of the pooler makes a run and a gate wait") {
  if (!PgBouncer::is_there()) return;
  Pooled pooled;
  napping(pooled);
  wake(pooled);
  const auto fresh = pooled.backends();
  auto gate = pooled.project.start_gate();
  REQUIRE(gate.says("gate closed"));
  pooled.pooler.admin("PAUSE");
  auto run = pooled.project.start_run();
  std::this_thread::sleep_for(2s);
  CHECK(run.is_running());
  CHECK(gate.is_running());
  pooled.pooler.admin("RESUME");
  CHECK(run.wait() == exits(0));
  CHECK(gate.wait() == exits(0));
  check_once_and_clean(pooled, fresh);
  record({.fault = "PAUSE and RESUME of the pooler",
          .where = "while a run begins and a gate waits",
          .seen = "both wait, then exit 0"});
}

TEST_CASE("a full pool makes a run wait, and a query_wait_timeout in it does not end that") {
  if (!PgBouncer::is_there()) return;
  for (const std::string settings : {"", "query_wait_timeout = 3"}) {
    CAPTURE(settings);
    Pooled pooled{2, settings};
    napping(pooled);
    wake(pooled);
    const auto fresh = pooled.backends();
    auto full = std::make_unique<FullPool>(pooled);
    auto run = pooled.project.start_run();
    if (settings.empty()) std::this_thread::sleep_for(3s);
    else CHECK(run.says("waiting for the database"));  // it has been refused once
    CHECK(run.is_running());
    full.reset();
    CHECK(run.wait() == exits(0));
    check_once_and_clean(pooled, fresh);
  }
  record({.fault = "the pool is full for 3 s",
          .where = "when a run begins, with and without query_wait_timeout",
          .seen = "the run waits and exits 0"},
         2);
}

TEST_CASE("behind a pool that stays full database.wait and gate.timeout hold") {
  if (!PgBouncer::is_there()) return;
  Pooled pooled{2};
  napping(pooled);
  wake(pooled);
  pooled.project.set("database.wait", "2s").set("gate.timeout", "2s");
  const FullPool full{pooled};
  auto run = pooled.project.start_run();
  auto gate = pooled.project.start_gate();
  auto probe = pooled.project.start_gate({"--once"});
  CHECK(eventually([&] { return !run.is_running(); }, 60s));
  CHECK(eventually([&] { return !gate.is_running(); }, 60s));
  CHECK(eventually([&] { return !probe.is_running(); }, 60s));
  if (!run.is_running()) CHECK(run.wait() == exits(10));
  if (!gate.is_running()) CHECK(gate.wait() == exits(30));
  if (!probe.is_running()) CHECK(probe.wait() == exits(30));
  record({.fault = "the pool stays full",
          .where = "when a run begins, and while a gate or a probe looks",
          .seen = "run exits 10, gate and probe 30, at most 10 s later than they were told"});
}

TEST_CASE("a run behind a pooler that is strict with its clients completes") {
  if (!PgBouncer::is_there()) return;
  for (const auto* settings :
       {"client_idle_timeout = 2", "server_lifetime = 1\nserver_idle_timeout = 1",
        "server_reset_query = DISCARD ALL\nserver_reset_query_always = 1"}) {
    CAPTURE(settings);
    Pooled pooled{3, settings};
    napping(pooled);
    pooled.project.set("lease.ttl", "9s");  // renewed each 3 s
    const auto fresh = pooled.backends();
    auto run = pooled.project.start_run();
    REQUIRE(naps(pooled));
    std::this_thread::sleep_for(5s);
    wake(pooled);
    CHECK(run.wait() == exits(0));
    check_once_and_clean(pooled, fresh);
  }
  record({.fault = "client_idle_timeout = 2, server_lifetime = 1, or server_reset_query_always",
          .where = "PgBouncer, while a migration runs for 5 s",
          .seen = "exit 0"},
         3);
}

TEST_CASE("where the pooler takes no more clients a run waits, and says so when it gives up") {
  if (!PgBouncer::is_there()) return;
  // More than our own looks take, whose connections the pooler counts until it has seen their end.
  constexpr std::size_t k_clients = 10;
  Pooled pooled{2, "max_client_conn = " + std::to_string(k_clients)};
  napping(pooled);
  wake(pooled);
  const auto fresh = pooled.backends();
  std::vector<pg::Session> others;
  REQUIRE(eventually([&] {
    try {
      while (others.size() < k_clients)
        others.emplace_back(pooled.pooler.url(pooled.project.database));
    } catch (const pg::ConnectionLost&) {
      return false;
    }
    return true;
  }));
  pooled.project.set("database.wait", "1s");
  CHECK(pooled.project.run() == exits(10, "no more connections allowed"));
  pooled.project.set("database.wait", "2m");
  auto run = pooled.project.start_run();
  REQUIRE(run.says("no more connections allowed"));
  others.clear();
  CHECK(run.wait() == exits(0));
  check_once_and_clean(pooled, fresh);
  record({.fault = "max_client_conn is reached",
          .where = "PgBouncer, when a run begins",
          .seen = "exit 10 after database.wait, with the pooler's words; sooner freed: exit 0"});
}

TEST_CASE("behind a session pooler runs at once and a killed one leave nothing") {
  if (!PgBouncer::is_there()) return;
  Pooled pooled{10, "pool_mode = session\nserver_reset_query = DISCARD ALL"};
  three_kinds(pooled.project);
  const auto fresh = pooled.backends();
  std::vector<Process> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(pooled.project.start_run());
  for (auto& run : runs) CHECK(run.wait() == exits(0));
  check_nothing_is_left(pooled, fresh);
  pooled.project.migration("20240104000000_more", "CREATE TABLE more (id integer);")
      .set("release", "r2");
  pooled.project.environment["SCHEMAGATE_FAULT"] = "postgres.send:25:kill";
  CHECK(pooled.project.run() == exits(128 + SIGKILL));
  pooled.project.environment.erase("SCHEMAGATE_FAULT");
  expire_lease(pooled.project.database);
  CHECK(pooled.project.run() == exits(0));
  check_nothing_is_left(pooled, fresh);
  record({.fault = "4 runs at once, then SIGKILL of another",
          .where = "behind a pooler in session mode",
          .seen = "exit 0 each; the next run completes; nothing left on the pool's backends"});
}

TEST_CASE("CONCURRENTLY in a busy pool is refused, and where allowed sets nothing for neighbours") {
  if (!PgBouncer::is_there()) return;
  Pooled pooled;
  auto& project = pooled.project;
  const auto fresh = pooled.backends();
  project.migration("20240101000000_users", "CREATE TABLE users (id integer);")
      .migration("20240102000000_index", "SET lock_timeout = '3s';\n"
                                         "CREATE INDEX CONCURRENTLY users_id ON users (id);");
  Neighbours neighbours{pooled, 3};
  CHECK(project.run() == exits(24));
  CHECK(project.database.value("SELECT to_regclass('users')") == "NULL");
  check_nothing_is_left(pooled, fresh);
  project.set("lease.unfenced", "allow");
  CHECK(project.run() == exits(24, "what the script SETs cannot be set through a pooler"));
  project.migration("20240102000000_index", "CREATE INDEX CONCURRENTLY users_id ON users (id);");
  CHECK(project.run() == exits(0));
  CHECK(joined(neighbours.troubles()) == "");
  check_nothing_is_left(pooled, fresh);
  record(
      {.fault = "CREATE INDEX CONCURRENTLY",
       .where = "in a busy pool",
       .seen =
           "exit 24; with lease.unfenced: allow and without SET exit 0, nothing left on the pool's backends"});
}

TEST_SUITE_END();
