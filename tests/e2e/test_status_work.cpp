// What `schemagate status` says of whoever is at work: another tool, a run of ours, one that was
// killed; and of runs, markers and the gate.

#include <csignal>

#include "e2e/history_fixture.hpp"

using namespace testing;

constexpr const char* k_parts =
    "CREATE TABLE t (id int);\nCREATE INDEX CONCURRENTLY i ON t (id);\nSELECT aside.nap();\n";

TEST_CASE("an unfinished row is running, code 11, while a backend holds Prisma's lock alone") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.row("1_users", "killed");
  auto prisma = schemagate::pg::Session{shop.database().url() + "?application_name=schema-engine"};
  prisma.execute("SELECT pg_advisory_lock(72707369)");
  auto seen = shop.status();
  CHECK(seen == exits(11));
  CHECK(seen.findings() == "running 1_users 11");
  CHECK(seen.migrations() == "1_users: running");
  const auto pid = std::to_string(prisma.backend_pid());
  CHECK(seen.evidence("running") == contains("pid " + pid + ", user postgres (schema-engine)"));
  CHECK(seen.hint("running") == contains("pg_terminate_backend(" + pid + ")"));

  prisma.execute("SELECT pg_advisory_unlock(72707369)");
  CHECK(shop.status().findings() == "failed 1_users 20");
  // Shared, as our own runs hold it: nobody who migrates with Prisma.
  prisma.execute("SELECT pg_advisory_lock_shared(72707369)");
  CHECK(shop.status().findings() == "failed 1_users 20");
}

TEST_CASE("an unfinished row is running while a backend executes the script or a statement of it") {
  const Shop shop;
  const std::string statement = "SELECT pg_sleep(600), 'of 1_slow'";
  shop.migration("1_slow", "CREATE TABLE slow (id int);\n" + statement + ";\n");
  shop.row("1_slow", "killed");
  std::string message;
  SUBCASE("the script as one message") {
    message = "CREATE TABLE slow (id int);\n" + statement + ";\n";
  }
  SUBCASE("one statement") { message = statement; }
  const auto somebody = shop.somebody_executes(message);
  const auto pid = shop.pid_of_somebody();
  const auto seen = shop.status();
  CHECK(seen == exits(11));
  CHECK(seen.findings() == "running 1_slow 11");
  CHECK(seen.evidence("running") == contains("pid " + pid + ", user postgres (somebody), since "));
  CHECK(seen.hint("running") == contains("wait"));
}

TEST_CASE("a row with logs has failed whoever is at work, and other work is not the migration's") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_more", "CREATE TABLE more (id int);");
  shop.row("1_users", "failed");
  auto prisma = shop.database().connect();
  prisma.execute("SELECT pg_advisory_lock(72707369)");
  CHECK(shop.status().findings() == "failed 1_users 20, pending 2_more 20");
  prisma.execute("SELECT pg_advisory_unlock_all()");

  shop.row("2_more", "killed");
  const auto somebody = shop.somebody_executes("SELECT pg_sleep(600), 'of nobody'");
  CHECK(shop.status().findings() == "failed 1_users 20, failed 2_more 20");
}

TEST_CASE("while a run of ours executes a migration, status says who works, and lets it work") {
  Shop shop;
  shop.settings.rest = "app: shop\nrelease: r7\n";
  SUBCASE("in one transaction: nothing of it shows yet") {
    auto run = shop.start_napping("1_nap", "CREATE TABLE t (id int);\nSELECT aside.nap();\n");
    const auto seen = shop.status();
    CHECK(seen.findings() == contains("pending 1_nap"));
    CHECK(seen.json.at("lease").at("held") == true);
    CHECK(seen.json.at("lease").at("release") == "r7");
    CHECK(seen.json.at("lease").at("app") == "shop");
    CHECK(seen.json.at("runs").at(0).at("status") == "running");
    CHECK(seen.json.at("gate").at("open") == false);
    CHECK(seen.hint("gate-closed") == "wait for the run at work");
    CHECK(seen.out == contains("held by release r7 of shop on "));
    CHECK(run.is_running());
    CHECK(run.terminate() == exits(143));
  }
  SUBCASE("in several parts: the row is there, unfinished") {
    auto run = shop.start_napping("1_parts", k_parts);
    const auto seen = shop.status();
    CHECK(seen == exits(11));
    CHECK(seen.findings() == contains("running 1_parts 11"));
    CHECK(seen.hint("running") == "wait for the run at work");
    CHECK(run.is_running());
    CHECK(run.terminate() == exits(143));
  }
}

TEST_CASE("a run that was killed shows as killed, its migration as interrupted: run continues it") {
  Shop shop;
  auto run = shop.start_napping("1_parts", k_parts);
  run.signal(SIGKILL);
  CHECK(run.wait() == exits(137));
  shop.expire_lease();
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == contains("interrupted 1_parts 20"));
  CHECK(seen.hint("interrupted") == "schemagate run");
  CHECK(seen.json.at("lease").at("held") == false);
  CHECK(seen.json.at("runs").at(0).at("status") == "killed");
  CHECK(seen.out == contains("killed"));
  CHECK(seen.what("gate-closed") == contains("was ended before it could say how"));
  shop.set_nap(0);
  CHECK(shop.run() == exits(0));
  const auto after = shop.status();
  CHECK(after == exits(0));
  CHECK(after.json.at("runs").at(0).at("status") == "complete");
  CHECK(after.json.at("runs").at(1).at("status") == "killed");
}

TEST_CASE("status lists the last runs with their release, outcome and error, the newest first") {
  Shop shop;
  shop.settings.rest = "release: r1\n";
  shop.migration("1_users", "CREATE TABLE users (id int);");
  REQUIRE(shop.run() == exits(0));
  shop.settings.rest = "release: r2\n";
  shop.migration("2_bad", "SELECT nope;");
  REQUIRE(shop.run() == exits(21));
  const auto seen = shop.status();
  const auto& runs = seen.json.at("runs");
  REQUIRE(runs.size() == 2);
  CHECK(runs.at(0).at("release") == "r2");
  CHECK(runs.at(0).at("status") == "failed");
  CHECK(runs.at(0).at("error_code") == 21);
  CHECK(runs.at(0).at("error").get<std::string>() == contains("2_bad"));
  CHECK(runs.at(1).at("release") == "r1");
  CHECK(runs.at(1).at("status") == "complete");
  CHECK(runs.at(1).at("applied") == 1);
  CHECK(runs.at(1).at("took_ms").get<int>() >= 0);
  CHECK(seen.json.at("lease").at("held") == false);
  CHECK(seen.out == contains("lease   prisma:public: free"));
  CHECK(seen.json.at("markers").at(0).at("status") == "failed");
  CHECK(seen.json.at("markers").at(1).at("status") == "complete");
  CHECK(seen.findings() == "gate-closed 21, pending 2_bad 20");
  CHECK(seen == exits(20));
}

TEST_CASE("what status says of the gate is what the gate itself does") {
  Shop shop;
  shop.settings.rest = "release: r1\ngate: {match: release}\n";
  shop.migration("1_users", "CREATE TABLE users (id int);");
  const auto gate = [&] { return shop.call({"gate", "--once"}).exit_code; };
  CHECK(shop.status().json.at("gate").at("open") == false);
  CHECK(gate() == 30);
  REQUIRE(shop.run() == exits(0));
  CHECK(shop.status().json.at("gate").at("open") == true);
  CHECK(gate() == 0);

  shop.settings.rest = "release: r2\ngate: {match: release}\n";
  auto seen = shop.status();
  CHECK(seen == exits(30));
  CHECK(seen.findings() == "gate-closed 30");
  CHECK(seen.what("gate-closed") == contains("r2"));
  CHECK(gate() == 30);
  shop.settings.rest = "release: r2\ngate: {match: migrations}\n";
  seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.json.at("gate").at("open") == true);
  CHECK(gate() == 0);
  shop.migration("2_orders", "CREATE TABLE orders (id int);");
  seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.what("gate-closed") == contains("2_orders"));
  CHECK(gate() == 30);

  shop.settings.rest = "release: r3\nverify: [{table: nowhere}]\n";
  REQUIRE(shop.run() == exits(23));
  seen = shop.status();
  CHECK(seen == exits(23));
  CHECK(seen.findings() == "gate-closed 23");
  CHECK(seen.out == contains("gate    closed: the run for release r3 failed with code 23 at "));
  CHECK(gate() == 31);
}

TEST_CASE("a gate that goes by the migrations is open where Prisma alone has applied them") {
  Shop shop;
  shop.settings.rest = "gate: {match: migrations}\n";
  shop.migration("1_users", "CREATE TABLE users (id int);");
  CHECK(shop.status().json.at("gate").at("open") == false);
  shop.database().execute("CREATE TABLE users (id int)");
  shop.row("1_users", "applied");
  CHECK(shop.call({"gate", "--once"}) == exits(0));
  const auto seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.json.at("gate").at("open") == true);
}

TEST_CASE("what status says of a gate by migrations holds for a command without a history, too") {
  Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  const std::string command = "tool: command, command: [\"true\"]";
  const auto says = [&](bool open) {
    CHECK(shop.status().json.at("gate").at("open") == open);
    CHECK(shop.call({"gate", "--once"}).exit_code == (open ? 0 : 30));
  };
  shop.settings.rest = "release: r1\ngate: {match: migrations}\n";
  shop.settings.migrations = command;
  says(false);
  REQUIRE(shop.run() == exits(0));  // and nothing has applied it
  says(false);
  shop.settings.migrations = "";
  REQUIRE(shop.run() == exits(0));
  shop.settings.migrations = command;
  says(true);
  shop.migration("2_orders", "CREATE TABLE orders (id int);");
  says(false);
  shop.settings.migrations = command + ", history: prisma";
  says(false);
}

TEST_CASE("an index that is being built is no reason to worry") {
  const Shop shop;
  shop.migration("1_t", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  auto reader = shop.database().connect();
  const schemagate::pg::Transaction holds_it_up{reader, "LOCK TABLE t IN ROW EXCLUSIVE MODE;"};
  const auto somebody = shop.somebody_executes("CREATE INDEX CONCURRENTLY slow_index ON t (x)");
  const auto pid = shop.pid_of_somebody();
  REQUIRE(eventually([&] {
    return shop.database().value("SELECT count(*) FROM pg_stat_progress_create_index WHERE "
                                 "index_relid <> 0 AND datname = current_database()") == "1";
  }));
  const auto seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.findings() == "drift 0, index-being-built slow_index 0");
  CHECK(seen.what("index-being-built") == contains("pid " + pid));
}
