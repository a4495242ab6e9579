// One runner at a time, whatever becomes of it.

#include <csignal>
#include <unistd.h>

#include "support/deployment.hpp"
#include "support/lease.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* k_nap = "SELECT aside.nap();\nCREATE TABLE t (x int);\n";

// Everything that a runner may change, as one text.
std::string state_of(const Deployment& shop) {
  return shop.database().dump_schema() +
         joined(shop.database().column(
             "SELECT m::text FROM _prisma_migrations m ORDER BY started_at")) +
         joined(shop.database().column("SELECT m::text FROM schemagate.marker m ORDER BY run_id")) +
         joined(shop.database().column("SELECT r::text FROM schemagate.run r ORDER BY id")) +
         joined(shop.database().column("SELECT l::text FROM schemagate.lock l")) +
         joined(shop.database().column("SELECT s::text FROM schemagate.step s ORDER BY 1"));
}

Deployment release_r1() {
  return Deployment{
      {.database = {}, .lease = {}, .migrations = {}, .rest = "release: r1\n", .url = {}}};
}

}  // namespace

TEST_CASE("eight runs at once on an empty database apply every migration exactly once") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int); CREATE TABLE calls (what text);");
  shop.migration("2_count", "INSERT INTO calls VALUES ('2');");
  shop.migration("3_index",
                 "INSERT INTO calls VALUES ('3a');\nCREATE INDEX CONCURRENTLY i ON t (x);\n"
                 "INSERT INTO calls VALUES ('3b');\n");
  shop.migration("4_count", "INSERT INTO calls VALUES ('4');");
  std::vector<testing::Process> runs;
  for (int i = 0; i < 8; ++i) runs.push_back(shop.start());
  for (auto& run : runs) CHECK(run.wait() == exits(0));
  CHECK(joined(shop.database().column("SELECT what FROM calls ORDER BY ctid")) == "2, 3a, 3b, 4");
  CHECK(joined(shop.history()) ==
        "1_init 1 finished, 2_count 1 finished, 3_index 1 finished, 4_count 1 finished");
  const auto fences =
      shop.database().column("SELECT fence FROM schemagate.run ORDER BY started_at");
  REQUIRE(!fences.empty());
  for (std::size_t i = 1; i < fences.size(); ++i)
    CHECK(std::stol(fences[i]) > std::stol(fences[i - 1]));
  CHECK(fences.back() == shop.fence());
  CHECK(shop.database().value("SELECT count(*) FROM schemagate.run WHERE status <> 'complete'") ==
        "0");
}

TEST_CASE("a run with nothing to do takes no lease and writes nothing") {
  const Deployment shop = release_r1();
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  const auto before = state_of(shop);
  CHECK(shop.run() == exits(0, "nothing to do"));
  CHECK(state_of(shop) == before);
}

TEST_CASE("a run with nothing to do does not wait for a lease that another runner holds") {
  const Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.database().execute(
      "UPDATE schemagate.lock SET expires_at = clock_timestamp() + interval '1 hour'");
  const auto result = shop.run();
  CHECK(result == exits(0));
  CHECK(result.err != contains("waiting for the lease"));
}

TEST_CASE(
    "a runner killed in a long statement is replaced after the ttl, and its work was rolled back") {
  const Deployment shop = release_r1();
  shop.migration("1_first", "CREATE TABLE first (x int);");
  auto first = shop.start_napping("2_long", k_nap);
  first.kill();
  CHECK(shop.database().value("SELECT expires_at - renewed_at BETWEEN interval '30 s' AND interval"
                              " '1 min' FROM schemagate.lock") == "t");
  shop.set_nap(0);
  auto second = shop.start();
  REQUIRE(second.says("waiting for the lease"));
  // Most of the ttl is skipped, and its end is not.
  shop.database().execute(
      "UPDATE schemagate.lock SET expires_at = clock_timestamp() + interval '1 s'");
  const auto start = Clock::now();
  CHECK(second.wait() == exits(0));
  CHECK(Clock::now() - start < 60s);
  CHECK(joined(shop.history()) == "1_first 1 finished, 2_long 1 finished");
  CHECK(shop.tables() == "first, t");
  CHECK(shop.database().value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND query LIKE '%nap()%' AND pid <> pg_backend_pid()") == "0");
}

TEST_CASE(
    "a stopped runner is replaced after the ttl, and woken up it ends with 12, changing nothing") {
  const Deployment shop = release_r1();
  auto first = shop.start_napping("1_long", k_nap);
  first.freeze();
  shop.expire_lease();
  shop.set_nap(0);
  CHECK(shop.run() == exits(0, "ending backend"));
  const auto after = state_of(shop);
  first.signal(SIGCONT);
  CHECK(first.wait() == exits(12, "lease"));
  CHECK(state_of(shop) == after);
  CHECK(joined(shop.history()) == "1_long 1 finished");
}

TEST_CASE(
    "a runner stopped in a statement that refuses transactions is ended by its successor, too") {
  const Deployment shop = release_r1();
  shop.prepare_nap(600);
  shop.migration("1_long",
                 "DO $$ BEGIN PERFORM aside.nap(); COMMIT; CREATE TABLE late (x int); END $$;");
  auto first = shop.start();
  REQUIRE(shop.is_running("DO $$"));
  first.freeze();
  shop.expire_lease();
  shop.set_nap(0);
  // How far a DO block with its own COMMIT came nobody can tell: a person has to look.
  CHECK(shop.run() == exits(20, "how far it came cannot be told",
                            "look at what the statement on line 1 did",
                            "resolve 1_long --rolled-back"));
  const auto seen = shop.call({"status"});
  CHECK(seen == exits(20));
  CHECK(seen.out == contains("how far it came cannot be told"));
  CHECK(seen.out == contains("look at what the statement on line 1 did"));
  CHECK(shop.call({"resolve", "1_long", "--auto"}) == exits(20));
  const auto after = state_of(shop);
  first.signal(SIGCONT);
  CHECK(first.wait() == exits(12));
  CHECK(state_of(shop) == after);
  CHECK(shop.tables().empty());
}

TEST_CASE("a runner that waits for another one in vain ends with 11 and says who holds the lease") {
  Deployment shop = release_r1();
  auto first = shop.start_napping("1_long", k_nap);
  shop.settings.lease = "wait: 2s";
  shop.settings.rest = "release: r2\n";
  const auto second = shop.run();
  CHECK(second == exits(11, "prisma:public", "release r1"));
  std::string host(256, '\0');
  REQUIRE(::gethostname(host.data(), host.size() - 1) == 0);
  CHECK(second.err == contains("on " + std::string{host.c_str()}));
  CHECK(first.is_running());
}

TEST_CASE("a long migration keeps its lease for longer than the ttl") {
  Deployment shop;
  // It is given up where a renewal takes longer than a third of the ttl, which may happen.
  shop.settings.lease = "ttl: 9s";
  shop.prepare_nap(10);
  shop.migration("1_long", k_nap);
  CHECK(shop.run() == exits(0));
  CHECK(shop.fence() == "1");
  CHECK(shop.database().value(
            "SELECT renewed_at - acquired_at > interval '4 s' FROM schemagate.lock") == "t");
}

TEST_CASE("SIGTERM in a long statement cancels it, gives the lease back, and ends with 143") {
  const Deployment shop;
  auto first = shop.start_napping("1_long", k_nap);
  const auto stopped = first.terminate();
  CHECK(stopped == exits(143));
  CHECK(stopped.err != contains(k_last_resort));
  CHECK(shop.database().value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'active' AND query LIKE '%nap()%' AND pid <> pg_backend_pid()") == "0");
  CHECK(joined(shop.history()).empty());
  CHECK(shop.database().value("SELECT status || ' ' || error_code FROM schemagate.run") ==
        "failed 143");
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "running");

  shop.set_nap(0);
  const auto second = shop.run();
  CHECK(second == exits(0));
  CHECK(second.err != contains("waiting for the lease"));
}

TEST_CASE("SIGTERM while another runner holds the lease ends the wait at once") {
  const Deployment shop;
  auto first = shop.start_napping("1_long", k_nap);
  auto second = shop.start();
  REQUIRE(second.says("waiting for the lease"));
  const auto stopped = second.terminate();
  CHECK(stopped == exits(143));
  CHECK(stopped.err != contains(k_last_resort));
  CHECK(first.is_running());
}

TEST_CASE(
    "a run that loses its backend in a long statement ends with 14, and the next one succeeds") {
  const Deployment shop;
  shop.migration("1_first", "CREATE TABLE first (x int);");
  auto first = shop.start_napping("2_long", k_nap);
  CHECK(shop.database().column(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
            " current_database() AND starts_with(application_name, '" +
            runner_name(shop.database(), "prisma:public", 1) +
            "')"
            " AND query LIKE '%nap()%'") == std::vector<std::string>{"t"});
  CHECK(first.wait() == exits(14, "connection lost"));
  CHECK(joined(shop.history()) == "1_first 1 finished");
  shop.set_nap(0);
  const auto second = shop.run();
  CHECK(second == exits(0));
  CHECK(second.err != contains("waiting for the lease"));  // it had been given back
  CHECK(joined(shop.history()) == "1_first 1 finished, 2_long 1 finished");
}

TEST_CASE(
    "a run whose every connection is ended in a long statement ends retryably, and the next one succeeds") {
  const Deployment shop = release_r1();
  auto first = shop.start_napping("1_long", k_nap);
  (void)shop.database().column(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname ="
      " current_database() AND application_name LIKE 'schemagate%'");
  const auto result = first.wait();
  INFO(result.err);
  CHECK((result == exits(14) || result == exits(12)));
  shop.expire_lease();
  shop.set_nap(0);
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.history()) == "1_long 1 finished");
}

TEST_CASE("two apps that share a history exclude each other, under the history's name") {
  Deployment shop = release_r1();
  auto first = shop.start_napping("1_long", k_nap);
  shop.settings.lease = "wait: 1s";
  shop.settings.rest = "app: other\nrelease: r9\n";
  CHECK(shop.run() == exits(11));
}
