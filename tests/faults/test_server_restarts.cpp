// A server that crashes, restarts, recovers, or is a standby.

#include "faults/server_fixture.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

void fill(Deployment& shop, const OwnServer& server) {
  shop.settings.url = server.url();
  shop.settings.database = "wait: 2m";
  shop.migration("1_init", "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n");
  shop.migration("2_next", "CREATE TABLE u (x int);\n");
}

constexpr const char* k_two_done = "1_init, 2_next | t, u | complete";

bool is_running(const OwnServer& server, const std::string& statement) {
  return eventually([&] {
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
                        "   AND application_name LIKE 'schemagate:%' AND starts_with(query, '" +
                        statement + "')") == "1";
  });
}

// Of a run whose server has crashed, which took nothing back; asked for once it is up again.
void check_state(const OwnServer& server, const std::string& expected) {
  CHECK(state(server.url()) == expected);
  expire_lease(server.url());
}

// Started while the server is down, the next run waits for it and completes.
void check_next_run(const Deployment& shop, const OwnServer& server, const std::string& expected) {
  auto next = shop.start();
  CHECK(next.says("waiting for the database postgres@127.0.0.1"));
  server.start();
  const auto result = next.wait();
  CHECK(result == exits(0));
  CHECK(keeps_secret(result));
  CHECK(state(server.url()) == expected);
}

// The gate of the same image: its manifest and folder.
testing::Process start_gate(const Deployment& shop, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{"gate"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return testing::start_schemagate(arguments, {.environment = {}, .directory = shop.dir().path()});
}

}  // namespace

TEST_CASE(
    "a run that loses its server says so with 14, and the next one waits for it and completes") {
  static const OwnServer server;
  server.make_shop();
  Deployment shop;
  fill(shop, server);
  const auto check_lost = [](const testing::Result& result) {
    CHECK(result == exits(14));
    CHECK(tells(result, "connection lost", "run again"));
    CHECK(keeps_secret(result));
  };
  std::string where;
  std::string after;
  SUBCASE("inside a statement") {
    where = "inside a statement";
    shop.migration("3_slow", "CREATE TABLE v (x int);\nSELECT pg_sleep(x) FROM nap;\n");
    server.execute("CREATE SCHEMA aside; CREATE TABLE aside.nap AS SELECT 60 AS x; ALTER DATABASE "
                   "shop SET search_path = public, aside");
    auto deploy = shop.start();
    REQUIRE(is_running(server, "SELECT pg_sleep"));
    server.stop();
    check_lost(deploy.wait());
    server.start();
    check_state(server, "1_init, 2_next | t, u | running");
    server.execute("UPDATE aside.nap SET x = 0");
    server.stop();
    after = "1_init, 2_next, 3_slow | t, u, v | complete";
  }
  SUBCASE("between two migrations") {
    where = "between two migrations";
    const Deployment model;
    model.migration("1_init", "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n");
    HeldRun held{shop, Trace{model}.point("postgres.answer", "COMMIT", "INSERT INTO t VALUES")};
    server.stop();
    check_lost(held.go_on());
    server.start();
    // The 1st is committed, and so is there even after a crash.
    check_state(server, "1_init | t | running");
    server.stop();
    after = k_two_done;
  }
  SUBCASE("inside CREATE INDEX CONCURRENTLY") {
    where = "inside CREATE INDEX CONCURRENTLY";
    REQUIRE(shop.run() == exits(0));
    shop.migration("3_index", "CREATE INDEX CONCURRENTLY i ON t (x);\n");
    const OpenTransaction blocker{server.connect(), "INSERT INTO t VALUES (2)"};
    auto deploy = shop.start();
    REQUIRE(is_running(server, "CREATE INDEX"));
    REQUIRE(eventually([&] { return server.value("SELECT to_regclass('i')") == "i"; }));
    server.stop();
    check_lost(deploy.wait());
    server.start();
    check_state(server, "1_init, 2_next, 3_index unfinished | t, u | running");
    CHECK(server.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "f");
    server.stop();
    after = "1_init, 2_next, 3_index | t, u | complete";
  }
  check_next_run(shop, server, after);
  if (where.ends_with("CONCURRENTLY"))
    CHECK(server.value("SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass") == "t");
  record({.fault = "the server crashes (pg_ctl stop -m immediate)",
          .where = where,
          .seen = "exit 14; the next run waits for the server and completes"});
}

TEST_CASE("a waiting runner and a waiting gate outlive a crash of the server, each in its way") {
  const OwnServer server;
  Deployment shop;
  fill(shop, server);
  shop.settings.rest = "gate: {poll: 500ms, timeout: 10m}\n";
  shop.migration("3_slow", "CREATE TABLE v (x int);\nSELECT pg_sleep(x) FROM nap;\n");
  server.execute("CREATE SCHEMA aside; CREATE TABLE aside.nap AS SELECT 60 AS x; ALTER DATABASE "
                 "shop SET search_path = public, aside");
  auto deploy = shop.start();
  REQUIRE(is_running(server, "SELECT pg_sleep"));
  auto second = shop.start();
  auto gate = start_gate(shop);
  REQUIRE(second.says("waiting for the lease"));
  REQUIRE(gate.says("gate closed: a run for release"));
  server.stop();
  CHECK(deploy.wait() == exits(14));
  const auto waited = second.wait();
  CHECK(waited == exits(14));
  CHECK(tells(waited, "connection lost", "run again"));
  CHECK(gate.says("cannot be reached"));
  server.start();
  expire_lease(server.url());
  server.execute("UPDATE aside.nap SET x = 0");
  CHECK(gate.is_running());
  CHECK(shop.run() == exits(0));
  const auto opened = gate.wait();
  CHECK(opened == exits(0));
  CHECK(keeps_secret(opened));
  CHECK(state(server.url()) == "1_init, 2_next, 3_slow | t, u, v | complete");
  record({.fault = "the server crashes (pg_ctl stop -m immediate)",
          .where = "waiting for the lease",
          .seen = "exit 14; the next run completes"});
  record({.fault = "the server crashes (pg_ctl stop -m immediate)",
          .where = "a gate that waits",
          .seen = "\"cannot be reached\"; the gate waits on, and opens after the run"});
}

TEST_CASE("a server that is starting up or shutting down is waited for, with its own words") {
  const OwnServer server;
  Deployment shop;
  fill(shop, server);
  // Recovery that lasts: a standby that nobody may look into.
  server.stop("fast");
  const auto signal = (server.data() / "standby.signal").string();
  const auto settings = (server.data() / "postgresql.conf").string();
  REQUIRE(testing::run({"sh", "-c",
                        "echo 'hot_standby = off' >> " + settings + " && touch " + signal +
                            " && chown postgres: " + signal}) == exits(0));
  server.start(false);
  auto deploy = shop.start();
  CHECK(deploy.says("the database system is not accepting connections"));
  CHECK(deploy.is_running());
  CHECK(server.control({"promote", "-w", "-s"}) == exits(0));
  CHECK(deploy.wait() == exits(0));
  CHECK(state(server.url()) == k_two_done);
  record({.fault = "57P03, the server recovers and takes no connections",
          .where = "start of a run",
          .seen = "waits, saying what the server says; exit 0 as soon as it takes them"});

  shop.migration("3_more", "CREATE TABLE v (x int);\n");
  {
    const auto open = server.connect();
    CHECK(server.control({"stop", "-m", "smart", "-W", "-s"}) == exits(0));
    REQUIRE(eventually([&] {  // it has heard of it
      try {
        (void)server.connect();
        return false;
      } catch (const schemagate::pg::ConnectionLost&) {
        return true;
      }
    }));
    auto second = shop.start();
    CHECK(second.says("the database system is shutting down"));
    CHECK(second.is_running());
    shop.settings.database = "wait: 1s";
    const auto impatient = shop.run();
    CHECK(impatient == exits(10));
    CHECK(tells(impatient, "the database system is shutting down", "database.wait"));
    CHECK(keeps_secret(impatient));
    record({.fault = "57P03, the server is shutting down",
            .where = "start of a run",
            .seen = "waits, then exit 10 with what the server says"});
  }
  REQUIRE(eventually([&] { return server.control({"status"}) == exits(3); }));
  shop.settings.database = "wait: 2m";
  check_next_run(shop, server, "1_init, 2_next, 3_more | t, u, v | complete");
}

TEST_CASE(
    "a standby is waited for and then refused with 10, serves a gate, and is worked with once promoted") {
  const OwnServer primary;
  const auto standby = OwnServer::standby_of(primary);
  Deployment shop;
  fill(shop, *standby);
  shop.settings.database = "wait: 1s";
  shop.settings.rest = "gate: {poll: 300ms, timeout: 10m}\n";
  const auto refused = shop.run();
  CHECK(refused == exits(10));
  CHECK(tells(refused, "in recovery (a standby", "primary"));
  CHECK(keeps_secret(refused));
  CHECK(state(standby->url()) == "none | none | none");

  auto gate = start_gate(shop);
  CHECK(gate.says("gate closed: no run has happened on this database yet"));
  // The same release, run on the primary; a folder of its own, since the gate reads the first.
  Deployment origin;
  fill(origin, primary);
  REQUIRE(origin.run() == exits(0));
  const auto opened = gate.wait();
  CHECK(opened == exits(0));
  CHECK(keeps_secret(opened));
  CHECK(opened.err != contains("LISTEN"));

  shop.migration("3_more", "CREATE TABLE v (x int);\n");
  shop.settings.database = "wait: 2m";
  auto deploy = shop.start();
  CHECK(deploy.says("in recovery (a standby"));
  CHECK(deploy.is_running());
  auto second = start_gate(shop);
  CHECK(second.says("gate closed: no run for release"));
  CHECK(standby->control({"promote", "-w", "-s"}) == exits(0));
  CHECK(deploy.wait() == exits(0));
  CHECK(state(standby->url()) == "1_init, 2_next, 3_more | t, u, v | complete");
  CHECK(second.wait() == exits(0));
  record({.fault = "a standby instead of the primary",
          .where = "start of a run",
          .seen = "waits, then exit 10, \"in recovery (a standby)\"; once promoted, exit 0"});
  record({.fault = "a standby instead of the primary",
          .where = "a gate",
          .seen = "opens as soon as the marker has been replicated"});
}
