// Backends that somebody ends while a run needs them.

#include "faults/server_fixture.hpp"

using namespace testing;

namespace {

// Two migrations of two statements each. A run whose lease is not given back makes the next one
// wait for long: that would be seen.
void fill(Deployment& shop) {
  shop.settings.lease = "ttl: 2m";
  const auto host = testing::server_host() + ":" + testing::server_port();
  shop.settings.url = "postgresql://postgres:" + std::string{testing::k_password} + "@" + host +
                      "/" + shop.database().name();
  shop.migration("1_init", "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n");
  shop.migration("2_next", "CREATE TABLE u (x int);\nINSERT INTO u VALUES (1);\n");
}

constexpr const char* k_all_done = "1_init, 2_next | t, u | complete";

// In a third migration whose end is ours to say.
Process start_long(Deployment& shop) {
  fill(shop);
  return shop.start_napping("3_slow", "CREATE TABLE v (x int);\nSELECT aside.nap();\n");
}

const Trace& trace() {
  static const Trace points = [] {
    Deployment shop;
    fill(shop);
    return Trace{shop};
  }();
  return points;
}

// The next run, which must not have to wait for the lease.
void check_next_run(const Deployment& shop, const std::string& expected = k_all_done) {
  const auto again = shop.run();
  CHECK(again == exits(0));
  CHECK(again.err != contains("waiting for the lease"));
  CHECK(state(shop.database().url()) == expected);
}

bool is_lost_connection(const Result& result) {
  return result.exit_code == 14 && tells(result, "connection lost", "run again") &&
         keeps_secret(result);
}

// Every third message, from this one on: together the cases below have them all.
constexpr std::size_t k_shares = 3;
void check_every_third_message(std::size_t first) {
  int times = 0;
  const auto points = trace().points("postgres.send");
  for (auto i = first; i < points.size(); i += k_shares) {
    const auto& point = points[i];
    CAPTURE(point);
    Deployment shop;
    fill(shop);
    HeldRun held{shop, point};
    REQUIRE(terminate(shop.database().connect(), "true") != "0");
    const auto result = held.go_on();
    INFO(result.err);
    // 0: at the very start, and when only the lease is left to give back.
    CHECK((result == exits(0) || is_lost_connection(result)));
    const auto left = state(shop.database().url());
    CHECK((left == "none | none | none" || left == "none | none | running" ||
           left == "1_init | t | running" || left == "1_init, 2_next | t, u | running" ||
           left == k_all_done));
    CHECK((result.exit_code == 0) == (left == k_all_done));
    expire_lease(shop.database().url());  // lost between taking it and learning so
    CHECK(shop.run() == exits(0));
    CHECK(state(shop.database().url()) == k_all_done);
    ++times;
  }
  REQUIRE(times > 13);
  record(
      {.fault = "pg_terminate_backend of the run's connection",
       .where = "before each message of a run, one after the other",
       .seen = "exit 14, or 0 when only the lease was left to give back; the next run completes"},
      times);
}

// New sessions know the setting before the server's checkpointer makes COMMITs wait.
void wait_for_synchronous_commits(const OwnServer& server) {
  REQUIRE(eventually([&] {
    testing::Process probe{
        {"psql", "-qXc", "SELECT pg_logical_emit_message(true, 'probe', '')", server.url()}};
    bool waits = false;
    (void)eventually([&] {
      waits = server.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                           "   AND query LIKE '%''probe''%'") != "0";
      return waits || !probe.is_running();
    });
    return waits;
  }));
}

}  // namespace

TEST_CASE(
    "a run whose backend is terminated between two messages says so with 14, and the next one completes") {
  const auto send = [](const std::string& text, const std::string& after = {}) {
    return trace().point("postgres.send", text, after);
  };
  struct Place {
    std::string name;
    std::string point;
    std::string left;  // what is there then
  };
  const std::string insert = "INSERT INTO u VALUES";
  const std::string marker = "INSERT INTO \"schemagate\".marker";
  const std::vector<Place> places = {
      {"taking the lease", send("INSERT INTO \"schemagate\".lock"), "none | none | none"},
      {"recording the start of the run", send("INSERT INTO \"schemagate\".run"),
       "none | none | none"},
      {"before the first statement of a script", send("CREATE TABLE u"), "1_init | t | running"},
      {"between two statements of a script", send(insert), "1_init | t | running"},
      {"before the COMMIT of a migration", send("COMMIT", insert), "1_init | t | running"},
      {"after the last migration", trace().point("postgres.answer", "COMMIT", insert),
       "1_init, 2_next | t, u | running"},
      {"before the marker", send(marker, insert), "1_init, 2_next | t, u | running"},
      {"before the COMMIT of the marker", send("COMMIT", "SELECT pg_notify"),
       "1_init, 2_next | t, u | running"},
  };
  for (const auto& place : places) {
    CAPTURE(place.name);
    Deployment shop;
    fill(shop);
    HeldRun held{shop, place.point};
    REQUIRE(terminate(shop.database().connect(), "true") != "0");
    CHECK(state(shop.database().url()) == place.left);
    const auto result = held.go_on();
    INFO(result.err);
    CHECK(is_lost_connection(result));
    CHECK(result.err != contains("reactivat"));
    CHECK(state(shop.database().url()) == place.left);
    check_next_run(shop);
    record({.fault = "pg_terminate_backend of the run's connection",
            .where = place.name,
            .seen = "exit 14, connection lost; the next run completes, without a wait"});
  }
}

TEST_SUITE_BEGIN("sweep");

TEST_CASE(
    "a run whose backend is terminated before its first message, or each third one after that, leaves what the next one completes") {
  check_every_third_message(0);
}

TEST_CASE(
    "a run whose backend is terminated before its second message, or each third one after that, leaves what the next one completes") {
  check_every_third_message(1);
}

TEST_CASE(
    "a run whose backend is terminated before its third message, or each third one after that, leaves what the next one completes") {
  check_every_third_message(2);
}

TEST_SUITE_END();

TEST_CASE(
    "a statement whose backend is terminated ends the run with 14, whichever backends go with it") {
  for (const bool all : {false, true}) {
    CAPTURE(all);
    Deployment shop;
    auto deploy = start_long(shop);
    // The renewal has a connection, too.
    REQUIRE(eventually([&] {
      return shop.database().value("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                                   "current_database() AND application_name LIKE 'schemagate:%'") ==
             "2";
    }));
    CHECK(terminate(shop.database().connect(), all ? "application_name LIKE 'schemagate:%'"
                                                   : "query LIKE 'SELECT aside.nap%'") ==
          (all ? "2" : "1"));
    const auto result = deploy.wait();
    INFO(result.err);
    CHECK(is_lost_connection(result));
    CHECK(result.err == contains("not committed is rolled back"));
    CHECK(state(shop.database().url()) == "1_init, 2_next | t, u | running");
    shop.set_nap(0);
    check_next_run(shop, "1_init, 2_next, 3_slow | t, u, v | complete");
    record({.fault = all ? "pg_terminate_backend of all its connections"
                         : "pg_terminate_backend of the run's connection",
            .where = "inside a statement",
            .seen = "exit 14, connection lost; the next run completes, without a wait"});
  }
}

TEST_CASE("a run goes on when the backend that renews its lease is terminated again and again") {
  Deployment shop;
  fill(shop);
  prepare_door(shop.database());
  shop.migration("3_slow", "SELECT aside.wait();\nCREATE TABLE v (x int);\n");
  shop.settings.lease = "ttl: 9s";
  auto deploy = shop.start();
  REQUIRE(shop.is_running("SELECT aside.wait()"));
  const auto renewed_at = [&] {
    return shop.database().value("SELECT renewed_at FROM schemagate.lock");
  };
  auto before = renewed_at();
  const auto is_renewed = [&] { return renewed_at() != before; };
  // Right after a renewal, so that there is most time for the next one.
  constexpr int k_times = 3;
  for (int i = 0; i < k_times; ++i) {
    REQUIRE(eventually(is_renewed));
    REQUIRE(eventually([&] {
      return terminate(shop.database().connect(),
                       "application_name LIKE 'schemagate:%' AND query NOT LIKE '%aside.wait%'") ==
             "1";
    }));
    before = renewed_at();
  }
  REQUIRE(eventually(is_renewed));
  // Longer than a lease lives that is not renewed.
  REQUIRE(eventually([&] {
    return shop.database().value("SELECT clock_timestamp() > acquired_at + interval '9 s'"
                                 "  FROM schemagate.lock") == "t";
  }));
  open_door(shop.database());
  const auto result = deploy.wait();
  CHECK(result == exits(0, "could not be renewed, trying again"));
  CHECK(keeps_secret(result));
  CHECK(state(shop.database().url()) == "1_init, 2_next, 3_slow | t, u, v | complete");
  record({.fault = "pg_terminate_backend of the connection that renews the lease",
          .where = "inside a statement",
          .seen = "a warning; the renewal connects again, exit 0"},
         k_times);
}

TEST_CASE("a CREATE INDEX CONCURRENTLY whose backend is terminated is begun anew by the next run") {
  Deployment shop;
  fill(shop);
  REQUIRE(shop.run() == exits(0));
  shop.migration("3_index", "CREATE INDEX CONCURRENTLY i ON t (x);\n");
  OpenTransaction blocker{shop.database(), "INSERT INTO t VALUES (2)"};
  auto deploy = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX"));
  REQUIRE(eventually([&] { return shop.indexes(false) == "i"; }));
  CHECK(terminate(shop.database().connect(), "query LIKE 'CREATE INDEX%'") == "1");
  const auto result = deploy.wait();
  blocker.commit();
  INFO(result.err);
  CHECK(is_lost_connection(result));
  CHECK(shop.indexes(false) == "i");
  CHECK(state(shop.database().url()) == "1_init, 2_next, 3_index unfinished | t, u | running");
  check_next_run(shop, "1_init, 2_next, 3_index | t, u | complete");
  CHECK(shop.indexes(true) == "i");
  CHECK(shop.indexes(false).empty());
  record({.fault = "pg_terminate_backend of the run's connection",
          .where = "inside CREATE INDEX CONCURRENTLY",
          .seen = "exit 14; the next run drops the INVALID index and builds it"});
}

TEST_CASE(
    "a COMMIT that is cut off while it waits for a standby is found done, and the run goes on") {
  const OwnServer server;
  Deployment shop;
  fill(shop);
  const auto point = trace().point("postgres.send", "COMMIT", "INSERT INTO u VALUES");
  shop.settings.url = server.url();
  HeldRun held{shop, point};
  server.set("synchronous_standby_names", "nobody");
  wait_for_synchronous_commits(server);
  held.let_go();
  REQUIRE(eventually([&] {
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                        "   AND query = 'COMMIT'") == "1";
  }));
  CHECK(terminate(server.connect(), "wait_event = 'SyncRep' AND query = 'COMMIT'") == "1");
  server.set("synchronous_standby_names", "");
  const auto result = held.process().wait();
  CHECK(result == exits(0, "the COMMIT had taken place"));
  CHECK(keeps_secret(result));
  CHECK(state(server.url()) == k_all_done);
  record({.fault = "pg_terminate_backend of the run's connection",
          .where = "inside the COMMIT of a migration, which took place",
          .seen = "exit 0: the outcome is read back, and the run goes on"});
}

TEST_CASE(
    "an external command survives the loss of the run's connection, which is told with 14, but not of its own") {
  Deployment shop;
  fill(shop);
  prepare_door(shop.database());
  shop.dir().write("migrate.sh",
                   "psql -qX -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c 'SELECT aside.wait()' -c "
                   "'CREATE TABLE IF NOT EXISTS z (x int)'\n");
  shop.settings.migrations = "tool: command, command: [sh, migrate.sh]";
  auto deploy = shop.start();
  REQUIRE(shop.is_running("SELECT aside.wait()"));
  SUBCASE("its own") {
    CHECK(terminate(shop.database().connect(), "query LIKE '%aside.wait%'") == "1");
    const auto result = deploy.wait();
    CHECK(result == exits(25));
    CHECK(tells(result, "terminating connection due to administrator command", "run it again"));
    CHECK(keeps_secret(result));
    CHECK(state(shop.database().url()) == "none | none | failed");
    record({.fault = "pg_terminate_backend of an external command's own connection",
            .where = "while the command works",
            .seen = "exit 25 with the command's last words; the next run completes"});
  }
  SUBCASE("the run's") {
    CHECK(terminate(shop.database().connect(), "query NOT LIKE '%aside.wait%'") != "0");
    open_door(shop.database());
    const auto result = deploy.wait();
    INFO(result.err);
    CHECK(is_lost_connection(result));
    CHECK(state(shop.database().url()) == "none | z | running");
    record({.fault = "pg_terminate_backend of the run's connection",
            .where = "while an external command works",
            .seen = "the command ends, then exit 14; the next run runs it again and completes"});
  }
  open_door(shop.database());
  check_next_run(shop, "none | z | complete");
}

TEST_CASE(
    "a statement that somebody cancels fails with 21, and nobody is told to mend the script") {
  Deployment shop;
  auto deploy = start_long(shop);
  shop.database().execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname ="
                          " current_database() AND query LIKE 'SELECT aside.nap%'");
  const auto result = deploy.wait();
  CHECK(result == exits(21));
  CHECK(tells(result, "ERROR 57014: canceling statement due to user request", "run again"));
  CHECK(result.err != contains("hint: fix"));
  CHECK(result.err == contains("nothing of this migration remains"));
  CHECK(keeps_secret(result));
  CHECK(state(shop.database().url()) == "1_init, 2_next | t, u | failed");
  shop.set_nap(0);
  check_next_run(shop, "1_init, 2_next, 3_slow | t, u, v | complete");
  record({.fault = "pg_cancel_backend by somebody else",
          .where = "inside a statement",
          .seen = "exit 21, the statement is named; the next run completes"});
}
