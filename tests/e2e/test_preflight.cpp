// The last look of a run before its first change: one block of the log, what it waits for, and what
// it does not begin with.

#include <doctest/doctest.h>

#include "schemagate/base/text.hpp"
#include "support/deployment.hpp"
#include "support/gate_project.hpp"
#include "support/json.hpp"
#include "support/open_transaction.hpp"
#include "support/own_server.hpp"

using namespace testing;

namespace {

// A table with rows, and a migration that locks it against reads and writes.
class Shop : public Deployment {
 public:
  explicit Shop(const std::string& limits = {}, const std::string& rest = {})
      : Deployment{{.database = {}, .lease = {}, .migrations = limits, .rest = rest, .url = {}}} {
    migration("1_init", "CREATE TABLE orders (id int, note text);"
                        "INSERT INTO orders SELECT i, 'x' FROM generate_series(1, 1000) i;");
    REQUIRE(run() == exits(0));
    migration("2_total", "ALTER TABLE orders ADD total int;");
  }

  // Until the transaction of this backend is older than what counts as traffic.
  void is_long(const std::string& pid) const {
    REQUIRE(eventually([&] {
      return database().value("SELECT clock_timestamp() - xact_start > interval '2 s'"
                              "  FROM pg_stat_activity WHERE pid = " +
                              pid) == "t";
    }));
  }
};

}  // namespace

TEST_CASE("before its first change a run says in one block where it is and what it will do") {
  const Shop shop{"", "app: shop\nrelease: r1\n"};
  const auto result = shop.run();
  CHECK(result ==
        exits(0, "preflight:", "  database   postgres@", "schema public",
              "  server     PostgreSQL ", "as role postgres", "  release    r1",
              "  lease      prisma:public, held by this run on ", "  applied    1 migration",
              "  pending    1 migration\n", "2_total",
              "  policies   destructive: warn, blocking: warn over 100 MB: nothing found"));
  CHECK(result.err.find("preflight:") == result.err.rfind("preflight:"));
}

TEST_CASE("a run with nothing to do has no preflight") {
  const Shop shop;
  REQUIRE(shop.run() == exits(0));
  CHECK(shop.run().err != contains("preflight"));
}

TEST_CASE("the block is one line of a JSON log") {
  Shop shop;
  shop.settings.environment["SCHEMAGATE_LOG_FORMAT"] = "json";
  const auto result = shop.run();
  REQUIRE(result == exits(0));
  std::size_t found = 0;
  for (const auto& line : schemagate::split(schemagate::trim(result.err), '\n')) {
    const std::string message = Json::parse(line).at("message");
    if (!message.starts_with("preflight:")) continue;
    ++found;
    CHECK(message == contains("\n  pending    1 migration"));
  }
  CHECK(found == 1);
}

TEST_CASE("mode: check prints the same block, changes nothing, and ends as it did") {
  Shop shop;
  shop.settings.environment["SCHEMAGATE_MODE"] = "check";
  const auto result = shop.run();
  CHECK(result == exits(20, "preflight:", "2_total", "mode: check: 1 migration pending"));
  CHECK(result.err != contains("  lease "));
  CHECK(joined(shop.history()) == "1_init 1 finished");
}

TEST_CASE("SCHEMAGATE_MODE=false does nothing, SCHEMAGATE_MODE=true does the work") {
  Shop shop;
  shop.settings.environment["SCHEMAGATE_MODE"] = "false";
  CHECK(shop.run() == exits(0, "mode: off"));
  CHECK(joined(shop.history()) == "1_init 1 finished");
  shop.settings.environment["SCHEMAGATE_MODE"] = "true";
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_total 1 finished");
}

TEST_CASE("an external command is announced by the block, without what nobody can foresee") {
  GateProject project;
  project.command("exit 0\n");
  CHECK(project.run() == exits(0, "preflight:", "  pending    what the command finds to do",
                               "  policies   not asked"));
}

TEST_CASE("the block names the tables with their sizes, and who is using them, not what they ask") {
  const Shop shop{"gap_wait: 0"};
  const OpenTransaction report{shop.database(),
                               "SET LOCAL application_name = 'report'; "
                               "CREATE TEMP TABLE t AS SELECT 'secret-query' FROM orders"};
  shop.is_long(report.pid());
  auto deploy = shop.start();
  CHECK(deploy.says("preflight:"));
  CHECK(deploy.says("  tables     public.orders: "));
  CHECK(deploy.says("  in use     public.orders: pid " + report.pid() +
                    ", user postgres, report, for "));
  CHECK(deploy.output_so_far() != contains("secret-query"));
  (void)deploy.terminate();
}

TEST_CASE("a run waits for a gap before it asks for a lock, and says for whom") {
  const Shop shop{"gap_wait: 10m"};
  std::optional<OpenTransaction> report{std::in_place, shop.database(), "SELECT * FROM orders"};
  shop.is_long(report->pid());
  auto deploy = shop.start();
  CHECK(deploy.says("waiting for a gap between long transactions: public.orders: pid " +
                    report->pid() + ", user postgres"));
  // Nobody is behind it meanwhile: it has not asked for its lock.
  CHECK(shop.database().value("SELECT count(*) FROM pg_locks WHERE NOT granted"
                              "   AND database = (SELECT oid FROM pg_database"
                              "                    WHERE datname = current_database())") == "0");
  report.reset();
  const auto result = deploy.wait();
  CHECK(result == exits(0, "a gap was found after"));
  CHECK(result.err != contains("trying again"));
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_total 1 finished");
}

TEST_CASE("where there is no gap a run goes on after gap_wait, and gives way by lock_timeout") {
  const Shop shop{"gap_wait: 1s, lock_timeout: 300ms, lock_retry: 10m"};
  std::optional<OpenTransaction> report{std::in_place, shop.database(), "SELECT * FROM orders"};
  shop.is_long(report->pid());
  auto deploy = shop.start();
  CHECK(deploy.says("there was no gap within 1 s (migrations.gap_wait)"));
  CHECK(deploy.says("trying again"));
  report.reset();
  CHECK(deploy.wait() == exits(0));
}

TEST_CASE("a transaction that the lock does not conflict with is no reason to wait") {
  const Shop shop{"gap_wait: 10m"};
  shop.migration("2_total", "CREATE INDEX orders_id ON orders (id);");
  const OpenTransaction report{shop.database(), "SELECT * FROM orders"};
  shop.is_long(report.pid());
  const auto result = shop.run();
  CHECK(result == exits(0, "  in use     public.orders: pid " + report.pid()));
  CHECK(result.err != contains("gap"));
}

TEST_CASE("a stop ends the wait for a gap, and nothing was changed") {
  const Shop shop{"gap_wait: 10m"};
  const OpenTransaction report{shop.database(), "SELECT * FROM orders"};
  shop.is_long(report.pid());
  auto deploy = shop.start();
  REQUIRE(deploy.says("waiting for a gap"));
  CHECK(deploy.terminate().exit_code == 143);
  CHECK(joined(shop.history()) == "1_init 1 finished");
}

TEST_CASE("a prepared transaction, which has no process, is waited for and named") {
  const OwnServer server{
      {.settings = {"max_prepared_transactions=2"}, .directory = {}, .environment = {}}};
  Deployment shop;
  shop.settings.url = server.url();
  shop.settings.migrations = "gap_wait: 10m";
  shop.migration("1_init", "CREATE TABLE orders (id int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_total", "ALTER TABLE orders ADD total int;");
  server.execute("BEGIN; INSERT INTO orders VALUES (0); PREPARE TRANSACTION 'left'");
  REQUIRE(eventually([&] {
    return server.value("SELECT clock_timestamp() - prepared > interval '2 s'"
                        "  FROM pg_prepared_xacts") == "t";
  }));
  auto deploy = shop.start();
  CHECK(deploy.says("waiting for a gap"));
  CHECK(deploy.says("the prepared transaction 'left' of user postgres, for "));
  server.execute("ROLLBACK PREPARED 'left'");
  CHECK(deploy.wait() == exits(0));
}

TEST_CASE("a run does not begin while a standby is further behind than the manifest expects") {
  const OwnServer primary{
      {.settings = {"wal_receiver_status_interval=1"}, .directory = {}, .environment = {}}};
  Deployment shop;
  shop.settings.url = primary.url();
  shop.settings.database = "expect: {max_lag: 1h}";
  shop.migration("1_init", "CREATE TABLE t (x int);");
  CHECK(shop.run() == exits(0, "  standbys   none is connected"));
  const auto standby = OwnServer::standby_of(primary);
  const auto is_true = [&](const std::string& sql) {
    return eventually([&] { return primary.value(sql + " FROM pg_stat_replication") == "t"; });
  };
  REQUIRE(is_true("SELECT state = 'streaming'"));
  shop.migration("2_next", "CREATE TABLE u (x int);");
  CHECK(shop.run() == exits(0, "  standbys   1 of them, "));
  standby->execute("SELECT pg_wal_replay_pause()");
  primary.execute("INSERT INTO t VALUES (1)");
  REQUIRE(is_true("SELECT replay_lag > interval '1 s'"));
  shop.settings.database = "expect: {max_lag: 100ms}";
  shop.migration("3_more", "CREATE TABLE v (x int);");
  CHECK(shop.run() == exits(10, "behind, more than database.expect.max_lag (100 ms)",
                            "nothing was changed", "run again when it has caught up"));
  CHECK(primary.value("SELECT to_regclass('v') IS NULL") == "t");
  standby->execute("SELECT pg_wal_replay_resume()");
  shop.settings.database = "expect: {max_lag: 1h}";
  CHECK(shop.run() == exits(0));
}

TEST_CASE("a lag that this role may not see is a refusal, with the right that it lacks") {
  const OwnServer primary;
  const auto standby = OwnServer::standby_of(primary);
  REQUIRE(eventually(
      [&] { return primary.value("SELECT state = 'streaming' FROM pg_stat_replication") == "t"; }));
  primary.execute("CREATE ROLE deploy LOGIN; GRANT ALL ON DATABASE shop TO deploy;"
                  "GRANT ALL ON SCHEMA public TO deploy");
  Deployment shop;
  shop.settings.url = primary.url("deploy");
  shop.settings.database = "expect: {max_lag: 1h}";
  shop.migration("1_init", "CREATE TABLE t (x int);");
  CHECK(shop.run() == exits(24, "database.expect.max_lag cannot be looked at",
                            "a superuser types: GRANT pg_monitor TO deploy"));
  CHECK(primary.value("SELECT to_regclass('t') IS NULL") == "t");
  primary.execute("GRANT pg_monitor TO deploy");
  CHECK(shop.run() == exits(0));
}
