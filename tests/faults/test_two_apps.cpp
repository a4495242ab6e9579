// Several apps in one database at the same time.

#include "faults/crowd.hpp"
#include "support/gate_project.hpp"
#include "support/open_transaction.hpp"
#include "support/trials.hpp"

using namespace testing;

namespace {

// Scripts can say SELECT aside.meet('a', 'b'): it ends when the other one has said it, too. A
// sequence is seen by everybody at once, without a COMMIT.
constexpr const char* k_meeting = R"sql(
CREATE SCHEMA aside;
CREATE SEQUENCE aside.a;
CREATE SEQUENCE aside.b;
CREATE FUNCTION aside.meet(mine text, other text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE there boolean := false;
BEGIN
  PERFORM nextval('aside.' || mine);
  FOR i IN 1..2000 LOOP
    EXECUTE 'SELECT is_called FROM aside.' || other INTO there;
    IF there THEN RETURN 'met'; END IF;
    PERFORM pg_sleep(0.05);
  END LOOP;
  RAISE EXCEPTION 'the other one did not come';
END $$;)sql";

Settings app(const std::string& name, const std::string& url) {
  return {.database = {},
          .lease = "ttl: 30s",
          .migrations = {},
          .rest = "app: " + name + "\nrelease: r1\n",
          .url = url};
}

std::string markers(const TestDatabase& database) {
  return joined(database.column("SELECT app || ' ' || status FROM schemagate.marker ORDER BY app"));
}

}  // namespace

TEST_SUITE_BEGIN("two apps");

TEST_CASE("two apps with schemas of their own in one database migrate at the same time") {
  const TestDatabase database;
  database.execute(k_meeting);
  const Deployment a{app("a", database.url() + "?schema=a")};
  const Deployment b{app("b", database.url() + "?schema=b")};
  a.migration("1_init", "CREATE TABLE t (x int); SELECT aside.meet('a', 'b');");
  b.migration("1_init", "CREATE TABLE t (x int); SELECT aside.meet('b', 'a');");
  auto first = a.start();
  auto second = b.start();
  const auto one = first.wait();
  const auto two = second.wait();
  REQUIRE(one == exits(0));
  REQUIRE(two == exits(0));
  for (const auto* other : {"the lease", "Prisma's migration lock", "a lock"})
    REQUIRE(one.err + two.err != contains(std::string{"waiting for "} + other));
  REQUIRE(joined(database.column("SELECT name || ' ' || fence FROM schemagate.lock ORDER BY 1")) ==
          "prisma:a 1, prisma:b 1");
  REQUIRE(database.value("SELECT count(*) FROM a._prisma_migrations") == "1");
  REQUIRE(database.value("SELECT count(*) FROM b._prisma_migrations") == "1");
  REQUIRE(markers(database) == "a complete, b complete");
  record({.fault = "two apps in one database at the same time",
          .where = "each with a schema of its own (`?schema=`)",
          .seen = "neither waits for the other; both exit 0"});
}

TEST_CASE("a migration that meets another app's CREATE SCHEMA IF NOT EXISTS tries again") {
  const TestDatabase database;
  Deployment shop{app("shop", database.url())};
  // It waits until the other one commits, and does not begin anew before.
  shop.settings.migrations = "lock_timeout: 100s";
  shop.migration("1_init", "CREATE SCHEMA IF NOT EXISTS shared; CREATE TABLE shop (x int);");
  OpenTransaction other{database, "CREATE SCHEMA shared"};
  auto run = shop.start();
  REQUIRE(eventually([&] {
    return database.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                          "   AND query LIKE 'CREATE SCHEMA IF NOT EXISTS shared%'"
                          "   AND datname = current_database()") == "1";
  }));
  other.commit();
  REQUIRE(run.wait() == exits(0, "pg_namespace_nspname_index", "rolled back, trying again"));
  record({.fault = "two apps create the same shared object",
          .where = "in a migration",
          .seen = "exit 0 after a second try"});
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("crowd");

TEST_CASE("20 runners of two apps that share a history work one after the other") {
  const Deployment a{app("a", {})};
  const Deployment b{app("b", a.database().url())};
  plain_folder(a);
  plain_folder(b);
  std::vector<Process> runs;
  for (int i = 0; i < 20; ++i) runs.push_back(i % 2 == 0 ? a.start() : b.start());
  for (auto& run : runs) REQUIRE(run.wait() == exits(0));
  REQUIRE(calls(a) == "1, 2, 3, 4, 5");
  REQUIRE(a.history().size() == 5);
  REQUIRE(a.database().column("SELECT name FROM schemagate.lock") ==
          std::vector<std::string>{"prisma:public"});
  REQUIRE(overlapping_runs(a.database()) == "0");
  REQUIRE(markers(a.database()) == "a complete, b complete");
  record({.fault = "two apps in one database at the same time",
          .where = "with one history",
          .seen = "one works, the others wait; every migration was applied once; all exit 0"});
}

TEST_CASE("20 runners of two apps with external commands run each command once, side by side") {
  const TestDatabase database;
  database.execute(k_meeting);
  database.execute("CREATE TABLE calls (what text)");
  std::vector<std::unique_ptr<GateProject>> projects;
  std::vector<Process> runs;
  for (const auto& [mine, other] : {std::pair{"a", "b"}, std::pair{"b", "a"}}) {
    auto& project = *projects.emplace_back(std::make_unique<GateProject>());
    project.environment["DATABASE_URL"] = database.url();
    project.set("app", mine).set("lease.ttl", "30s");
    project.command("exec psql -qX -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c \"SELECT aside.meet('" +
                    std::string{mine} + "', '" + other + "')\" -c \"INSERT INTO calls VALUES ('" +
                    mine + "')\"\n");
  }
  for (int i = 0; i < 20; ++i) runs.push_back(projects[i % 2]->start_run());
  for (auto& run : runs) REQUIRE(run.wait() == exits(0));
  REQUIRE(joined(database.column("SELECT what FROM calls ORDER BY what")) == "a, b");
  REQUIRE(joined(database.column("SELECT name FROM schemagate.lock ORDER BY 1")) == "app:a, app:b");
  REQUIRE(markers(database) == "a complete, b complete");
  REQUIRE(!is_lease_held(database));
  REQUIRE(no_backend_is_left(database));
  record({.fault = "two apps in one database at the same time",
          .where = "each with an external command",
          .seen = "neither waits for the other; each command runs once; all exit 0"});
}

TEST_SUITE_END();
