// A server that lacks something: disk, connections, the will to be written to, patience.

#include "faults/server_fixture.hpp"

using namespace testing;

namespace {

void fill(Deployment& shop, const OwnServer& server, const std::string& role = "postgres") {
  shop.settings.url = server.url(role);
  shop.settings.lease = "ttl: 30s";
  shop.settings.database = "wait: 1s";
  shop.migration("1_init", "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n");
}

constexpr const char* k_one_done = "1_init | t | complete";

void check_told(const Result& result, int code, const std::string& cause, const std::string& hint) {
  CHECK(result == exits(code));
  CHECK(tells(result, cause, hint));
  CHECK(keeps_secret(result));
}

void check_completes(const Deployment& shop, const OwnServer& server, const std::string& expected) {
  const auto result = shop.run();
  CHECK(result == exits(0));
  CHECK(keeps_secret(result));
  CHECK(state(server.url()) == expected);
}

void make_role(const OwnServer& server, const std::string& more = {}) {
  server.execute("DROP ROLE IF EXISTS deployer; CREATE ROLE deployer LOGIN " + more +
                 "; GRANT CREATE ON DATABASE shop TO deployer; GRANT CREATE ON SCHEMA public TO "
                 "deployer");
}

using Sessions = std::vector<schemagate::pg::Session>;
constexpr std::size_t k_connections = 12;
// All connections that the server gives to an ordinary role. It keeps three, and sessions that were
// closed may still be ending.
Sessions take_all(const OwnServer& server, const std::string& role) {
  Sessions taken;
  REQUIRE(eventually([&] {
    try {
      while (taken.size() < k_connections - 3) taken.push_back(server.connect(role));
    } catch (const schemagate::pg::ConnectionLost&) {
      return false;
    }
    return true;
  }));
  return taken;
}

// A run in a statement that lasts, with the connection that renews its lease.
void wait_for_a_renewal(const OwnServer& server) {
  REQUIRE(eventually([&] {
    return server.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query "
                        "LIKE 'SELECT pg_sleep(x)%'") == "1" &&
           server.value("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE"
                        " 'schemagate:%' AND query NOT LIKE 'SELECT pg_sleep(x)%'") == "1";
  }));
}

// In a second migration whose end is aside.nap's to say.
Process start_long(Deployment& shop, const OwnServer& server) {
  server.execute("CREATE SCHEMA aside; CREATE TABLE aside.nap AS SELECT 60 AS x;"
                 "GRANT ALL ON SCHEMA aside TO deployer; GRANT ALL ON aside.nap TO deployer");
  shop.migration("2_slow", "CREATE TABLE u (x int);\nSELECT pg_sleep(x) FROM aside.nap;\n");
  shop.settings.lease = "ttl: 6s";
  auto deploy = shop.start();
  wait_for_a_renewal(server);
  return deploy;
}

}  // namespace

TEST_CASE(
    "a full disk ends a run with 14, not as the script's failure, and the next run completes once there is room") {
  if (!SmallDisk::is_possible()) return;
  const SmallDisk disk{100};
  const OwnServer server{
      {.settings = {"max_wal_size=32MB", "min_wal_size=32MB", "shared_buffers=16MB",
                    "temp_buffers=800kB", "autovacuum=off"},
       .directory = disk.path() / "pg",
       .environment = {}}};
  Deployment shop;
  fill(shop, server);

  REQUIRE(state(server.url()) ==
          "none | none | none");  // makes the caches that later sessions read
  disk.fill();
  check_told(shop.run(), 14, "No space left on device", "free what is missing");
  CHECK(state(server.url()) == "none | none | none");
  disk.free();
  check_completes(shop, server, k_one_done);
  record({.fault = "disk full (53100)",
          .where = "creating schemagate's own tables",
          .seen = "exit 14; once there is room the next run completes"});

  // Not logged, so that the table fills the disk and not the log of transactions.
  shop.migration("2_big",
                 "CREATE UNLOGGED TABLE u (x text);\nINSERT INTO u SELECT repeat('x', 2000) FROM "
                 "generate_series(1, (SELECT rows FROM aside.load));\n");
  server.execute("CREATE SCHEMA aside; CREATE TABLE aside.load AS SELECT 100000 AS rows");
  const auto full = shop.run();
  check_told(full, 14, "ERROR 53100: could not extend file", "free what is missing");
  CHECK(full.err == contains("migration 2_big failed at migrations/2_big/migration.sql:2:1"));
  CHECK(full.err == contains("nothing of this migration remains"));
  CHECK(state(server.url()) == "1_init | t | running");
  server.execute("UPDATE aside.load SET rows = 10");
  check_completes(shop, server, "1_init, 2_big | t, u | complete");
  record(
      {.fault = "disk full (53100)",
       .where = "a statement of a script",
       .seen =
           "exit 14, nothing of the migration remains; once there is room the next run completes"});

  shop.migration(
      "3_log",
      "CREATE TABLE v (x int);\nSELECT count(pg_logical_emit_message(false, 'x', "
      "repeat('y', 1000000))) FROM generate_series(1, (SELECT rows FROM aside.load) * 8);\n");
  server.execute("CHECKPOINT");
  disk.fill(1'000'000);  // enough for a table, too little for the next file of the log
  check_told(shop.run(), 14, "connection lost", "run again");
  disk.free();
  (void)server.control({"stop", "-m", "immediate", "-s"});  // it may have given up by itself
  server.start();
  CHECK(state(server.url()) == "1_init, 2_big | t, u | running");
  expire_lease(server.url());
  server.execute("UPDATE aside.load SET rows = 0");
  check_completes(shop, server, "1_init, 2_big, 3_log | t, u, v | complete");
  record({.fault = "disk full, the server panics for lack of room for its log",
          .where = "a statement of a script",
          .seen = "exit 14, connection lost; once there is room the next run completes"});
}

TEST_CASE(
    "a run that finds no free connection at its start waits, says why with 10, and completes once one is free") {
  static const OwnServer server{{.settings = {"max_connections=" + std::to_string(k_connections)},
                                 .directory = {},
                                 .environment = {}}};
  server.make_shop();
  Deployment shop;
  std::string cause;
  std::string free_again;
  Sessions taken;
  SUBCASE("max_connections") {
    make_role(server);
    taken = take_all(server, "deployer");
    cause = "remaining connection slots are reserved";
  }
  SUBCASE("the role's limit") {
    make_role(server, "CONNECTION LIMIT 0");
    cause = "too many connections for role \"deployer\"";
    free_again = "ALTER ROLE deployer CONNECTION LIMIT -1";
  }
  SUBCASE("the database's limit") {
    make_role(server);
    server.execute("ALTER DATABASE shop CONNECTION LIMIT 0");
    cause = "too many connections for database \"shop\"";
    free_again = "ALTER DATABASE shop CONNECTION LIMIT -1";
  }
  fill(shop, server, "deployer");
  check_told(shop.run(), 10, cause, "no connection is free: end idle ones");
  CHECK(state(server.url()) == "none | none | none");
  shop.settings.database = "wait: 60s";
  auto waiting = shop.start();
  CHECK(waiting.says(cause));
  CHECK(waiting.is_running());
  taken.clear();
  if (!free_again.empty()) server.execute(free_again);
  CHECK(waiting.wait() == exits(0));
  CHECK(state(server.url()) == k_one_done);
  record({.fault = "no free connection (max_connections, a role's or a database's limit)",
          .where = "start of a run",
          .seen = "waits, then exit 10 with the server's words; goes on as soon as one is free"});
}

TEST_CASE(
    "a run that gets no second connection says so with 14, and one that cannot renew its lease with 12") {
  const OwnServer server;
  make_role(server);
  Deployment shop;
  fill(shop, server, "deployer");
  server.execute("ALTER ROLE deployer CONNECTION LIMIT 1");
  check_told(shop.run(), 14, "too many connections for role \"deployer\"", "run again");
  CHECK(state(server.url()) == "none | none | none");
  server.execute("ALTER ROLE deployer CONNECTION LIMIT -1");
  const auto second = shop.run();
  CHECK(second == exits(0));
  CHECK(second.err != contains("waiting for the lease"));
  CHECK(state(server.url()) == k_one_done);
  record({.fault = "no free connection (max_connections, a role's or a database's limit)",
          .where = "the connection for the scripts",
          .seen = "exit 14 with the server's words; the next run completes"});

  auto deploy = start_long(shop, server);
  server.execute("ALTER ROLE deployer CONNECTION LIMIT 1");
  // A renewal that has its connection already would keep it.
  server.execute(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'deployer' "
      "AND query NOT LIKE 'SELECT pg_sleep(x)%'");
  check_told(deploy.wait(), 12, "could not be renewed in time", "run again");
  CHECK(state(server.url()) == "1_init | t | running");
  server.execute("ALTER ROLE deployer CONNECTION LIMIT -1; UPDATE aside.nap SET x = 0");
  shop.settings.lease = "ttl: 30s";
  check_completes(shop, server, "1_init, 2_slow | t, u | complete");
  record({.fault = "no free connection (max_connections, a role's or a database's limit)",
          .where = "the connection that renews the lease",
          .seen = "exit 12 with the server's words, nothing half-done; the next run completes"});
}

TEST_CASE(
    "a server made read-only is waited for at the start, and in the middle ends the run with 12 and the reason") {
  const OwnServer server;
  Deployment shop;
  fill(shop, server, "deployer");
  make_role(server);
  server.execute("ALTER ROLE deployer SET default_transaction_read_only = on");
  check_told(shop.run(), 10, "read-only (default_transaction_read_only is on)", "database.wait");
  server.execute("ALTER ROLE deployer RESET default_transaction_read_only");
  server.set("default_transaction_read_only", "on");
  check_told(shop.run(), 10, "read-only (default_transaction_read_only is on)", "database.wait");
  server.set("default_transaction_read_only", "");
  CHECK(state(server.url()) == "none | none | none");
  check_completes(shop, server, k_one_done);
  record({.fault = "default_transaction_read_only for the role, database or server",
          .where = "start of a run",
          .seen = "waits, then exit 10 with the reason; once reset, the next run completes"});

  auto deploy = start_long(shop, server);
  server.set("default_transaction_read_only", "on");
  check_told(deploy.wait(), 12, "cannot execute UPDATE in a read-only transaction", "run again");
  CHECK(state(server.url()) == "1_init | t | running");
  server.set("default_transaction_read_only", "");
  expire_lease(server.url());  // it could not be given back
  server.execute("UPDATE aside.nap SET x = 0");
  shop.settings.lease = "ttl: 30s";
  check_completes(shop, server, "1_init, 2_slow | t, u | complete");
  record({.fault = "default_transaction_read_only for the role, database or server",
          .where = "inside a long statement",
          .seen = "exit 12: the lease cannot be renewed, and why; the next run completes"});
}

TEST_CASE("time limits that a role has for its own sessions do not end a run") {
  const OwnServer server;
  const int version = server.connect().server_major_version();
  // Shorter than the script and the command, and longer than a busy machine makes us pause.
  std::vector<std::string> limits = {"statement_timeout = '1200ms'", "lock_timeout = '10ms'",
                                     "idle_in_transaction_session_timeout = '1200ms'"};
  if (version >= 14) limits.emplace_back("idle_session_timeout = '1200ms'");
  if (version >= 17) limits.emplace_back("transaction_timeout = '1200ms'");
  else MESSAGE("SKIPPED: transaction_timeout, which needs PostgreSQL 17");
  make_role(server);
  int number = 0;
  for (const auto& limit : limits) {
    CAPTURE(limit);
    server.execute("ALTER ROLE deployer RESET ALL");
    server.execute("ALTER ROLE deployer SET " + limit);
    const auto name = "t" + std::to_string(++number);
    Deployment shop;
    fill(shop, server, "deployer");
    shop.settings.migrations = "schema: " + name;
    shop.migration("1_init", "CREATE TABLE x (x int);\n");
    shop.migration("2_slow", "SELECT pg_sleep(1.5);\nCREATE TABLE y (x int);\n");
    CHECK(shop.run() == exits(0));
    CHECK(server.value("SELECT count(*) FROM pg_tables WHERE schemaname = '" + name +
                       "' AND tablename IN ('x', 'y')") == "2");

    shop.settings.migrations = "tool: command, command: [sleep, \"1.5\"]";
    shop.settings.rest = "app: " + name + "\n";
    CHECK(shop.run() == exits(0));
    CHECK(server.value("SELECT status FROM schemagate.marker WHERE app = '" + name + "'") ==
          "complete");
  }
  record(
      {.fault =
           "statement_timeout, lock_timeout, idle_session_timeout or the like by ALTER ROLE ... SET",
       .where = "a slow script, and an external command",
       .seen = "exit 0: the run's own limits hold"},
      number);
}

TEST_CASE(
    "errors of a server that speaks another language are told in its words, with the same codes and hints") {
  testing::TempDir locales;
  std::filesystem::permissions(locales.path(), std::filesystem::perms{0755});
  const bool possible =
      std::filesystem::exists("/usr/share/i18n/locales/de_DE") &&
      testing::run({"sh", "-c", "ls /usr/share/locale/de/LC_MESSAGES/postgres-*.mo"}).exit_code ==
          0 &&
      testing::run(
          {"localedef", "-i", "de_DE", "-f", "UTF-8", (locales.path() / "de_DE.UTF-8").string()})
              .exit_code <= 1;
  if (!possible) {
    MESSAGE("SKIPPED: no German locale can be made here (Debian: apt install locales)");
    CHECK(std::getenv("SCHEMAGATE_REQUIRE_POSTGRES") == nullptr);
    return;
  }
  const OwnServer server{{.settings = {"lc_messages=de_DE.UTF-8"},
                          .directory = {},
                          .environment = "LOCPATH=" + locales.path().string()}};
  make_role(server);
  Deployment shop;
  fill(shop, server, "deployer");
  shop.migration("2_bad", "CREATE TABLE u (x int);\nSELECT 1\n  FROM nirgends;\n");
  const auto failed = shop.run();
  check_told(failed, 21, "ERROR 42P01: Relation »nirgends« existiert nicht", "fix");
  CHECK(failed.err == contains("migrations/2_bad/migration.sql:3:8"));
  CHECK(state(server.url()) == "1_init | t | failed");
  server.execute("ALTER ROLE deployer NOLOGIN");
  check_told(shop.run(), 10, "Rolle »deployer« hat keine Berechtigung zum Einloggen",
             "check the server");
  server.execute("ALTER ROLE deployer LOGIN; REVOKE USAGE ON SCHEMA public FROM public, deployer;"
                 "REVOKE ALL ON SCHEMA schemagate FROM deployer");
  check_told(shop.run(), 24, "keine Berechtigung für Schema schemagate", "GRANT");
  server.execute("GRANT USAGE ON SCHEMA public, schemagate TO deployer");
  shop.migration("2_bad", "CREATE TABLE u (x int);\n");
  check_completes(shop, server, "1_init, 2_bad | t, u | complete");
  record({.fault = "a server whose messages are German (lc_messages)",
          .where = "a failing script, a refused login, a missing right",
          .seen = "the same exit codes and hints, the server's words as they are"});
}
