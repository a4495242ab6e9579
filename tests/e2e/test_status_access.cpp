// `schemagate status` only looks: whatever the role, the server and the route to it, it works, and
// leaves no trace.

#include "e2e/history_fixture.hpp"
#include "faults/server_fixture.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/lease/tables.hpp"
#include "support/gate_project.hpp"
#include "support/pgbouncer.hpp"

using namespace testing;

namespace {

// Something of each kind to look at.
void make_trouble(const Shop& shop) {
  shop.migration("1_users", "CREATE TABLE users (id serial PRIMARY KEY, at timestamp DEFAULT "
                            "now());");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_half", "ALTER TABLE users ADD COLUMN age int DEFAULT 7;\n"
                           "ALTER TABLE users ADD COLUMN name text DEFAULT 'nobody';\n");
  shop.migration("3_marked", "CREATE TABLE marked (id int);");
  shop.migration("4_next", "ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 17);");
  shop.row("2_half", "failed");
  shop.row("3_marked", "baselined");
  shop.database().execute("ALTER TABLE users ADD COLUMN age int DEFAULT 7");
}

constexpr const char* k_trouble =
    "gate-closed 30, half-applied 2_half 20, not-there 3_marked 20, pending 4_next 20";

}  // namespace

TEST_CASE("status changes nothing, on whatever database") {
  const Shop shop;
  SUBCASE("an empty one") { shop.migration("1_users", "CREATE TABLE users (id int);"); }
  SUBCASE("one without a history") {
    shop.migration("1_users", "CREATE TABLE users (id int);");
    shop.database().execute("CREATE TABLE users (id int)");
  }
  SUBCASE("one in trouble") { make_trouble(shop); }
  const auto before = shop.everything();
  CHECK(shop.status() == exits(20));
  CHECK(shop.everything() == before);
}

TEST_CASE("status holds no lock but to read catalogues and bookkeeping") {
  const Shop shop;
  make_trouble(shop);
  const auto file = shop.dir().path() / "trace";
  {
    const Exported trace{"SCHEMAGATE_FAULT_TRACE", file.string()};
    REQUIRE(shop.call({"status"}) == exits(20));
  }
  // Stopped at its last question, it holds all that it ever took: it is one transaction.
  std::string last;
  for (const auto& line : schemagate::split(testing::read_text(file), '\n'))
    if (line.starts_with("postgres.answer:") && line != contains("ROLLBACK") &&
        line != contains("COMMIT"))
      last = line.substr(0, line.find('\t'));
  REQUIRE_FALSE(last.empty());
  const Exported fault{"SCHEMAGATE_FAULT", last + ":stop"};
  auto status = shop.start_call({"status"});
  const auto locks = [&] {
    return testing::joined(shop.database().column(
        "SELECT DISTINCT locktype || ' ' || mode FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        "   AND application_name LIKE 'schemagate%' ORDER BY 1"));
  };
  REQUIRE(eventually([&] { return status.is_stopped(); }));
  CHECK(locks() == "relation AccessShareLock, virtualxid ExclusiveLock");
  CHECK(shop.database().value("SELECT coalesce(string_agg(DISTINCT relation::regclass::text, ', '),"
                              " 'none') FROM pg_locks JOIN pg_class c ON c.oid = relation"
                              " WHERE database = (SELECT oid FROM pg_database WHERE datname ="
                              " current_database())"
                              "   AND relnamespace = 'public'::regnamespace AND relkind = 'r'"
                              "   AND relname <> '_prisma_migrations'") == "none");
  status.signal(SIGCONT);
  CHECK(status.wait() == exits(20));
}

TEST_CASE("status does not wait for a migration that holds the app's tables") {
  const Shop shop;
  make_trouble(shop);
  auto migration = shop.database().connect();
  const schemagate::pg::Transaction open{migration, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE;"};
  CHECK(shop.call({"status"}) == exits(20));  // it waits for no lock longer than 2 s: then 13
}

TEST_CASE("status works for a role that may only read the history, and says what it cannot see") {
  const TestRole role{"reader"};
  Shop shop;
  make_trouble(shop);
  shop.settings.url = shop.database().url_as(role.name() + ":" + testing::k_url_password);
  shop.database().execute("GRANT SELECT ON _prisma_migrations TO " + role.name());
  // What is there is told by a replay, which needs a scratch database.
  std::string findings = "failed 2_half 20, gate-closed 30, pending 4_next 20";
  SUBCASE("nothing of our own tables") { findings = "failed 2_half 20, pending 4_next 20"; }
  SUBCASE("our schema, but no table of it") {
    shop.database().execute("GRANT USAGE ON SCHEMA schemagate TO " + role.name());
    findings = "failed 2_half 20, pending 4_next 20";
  }
  SUBCASE("what a gate may read") {
    shop.database().execute("GRANT USAGE ON SCHEMA schemagate TO " + role.name() +
                            "; GRANT SELECT ON schemagate.marker TO " + role.name());
  }
  const auto seen = shop.status();
  INFO(seen.out << seen.err);
  CHECK(seen == exits(20));
  CHECK(seen.findings() == findings);
  CHECK_FALSE(seen.json.contains("lease"));
  CHECK(seen.evidence("failed", "2_half") == contains("no scratch database can be made"));
  CHECK(seen.hint("failed", "2_half") == contains("CREATEDB"));
  const bool may_see_markers = findings == contains("gate-closed");
  CHECK(seen.json.contains("gate") == may_see_markers);
  CHECK((seen.out == contains("this role may not read the markers")) == !may_see_markers);
}

TEST_CASE("deploy/sql/status-role.sql lets a role see all of it and change nothing") {
  const TestRole role{"oncall"};
  Shop shop;
  make_trouble(shop);
  const auto as_owner = shop.status();
  const auto file = std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/sql/status-role.sql";
  for (int i = 0; i < 2; ++i) {  // it may be repeated
    CHECK(testing::run({"psql", "-qX", "-v", "role=" + role.name(), "-f", file, "-d",
                        shop.database().url()}) == exits(0));
  }
  shop.settings.rest = "scratch: {url: \"" + shop.database().url() + "\"}\n";
  shop.settings.url = shop.database().url_as(role.name() + ":" + testing::k_url_password);
  const auto seen = shop.status();
  CHECK(seen.findings() == as_owner.findings());
  CHECK(seen.json.at("runs") == as_owner.json.at("runs"));
  CHECK(seen.json.at("markers") == as_owner.json.at("markers"));
  const auto rights = shop.database().column(
      "SELECT DISTINCT p FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, "
      "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p "
      "WHERE n.nspname IN ('schemagate', 'public') AND c.relkind = 'r' AND has_table_privilege('" +
      role.name() + "', c.oid, p)");
  CHECK(rights == std::vector<std::string>{"SELECT"});
  CHECK(shop.call({"resolve", "2_half", "--applied"}) != exits(0));
  CHECK(shop.call({"run"}) != exits(0));
}

TEST_CASE("status refuses, naming the GRANT, where a role may not read the history") {
  const TestRole role{"stranger"};
  Shop shop;
  make_trouble(shop);
  shop.settings.url = shop.database().url_as(role.name() + ":" + testing::k_url_password);
  const auto result = shop.call({"status"});
  CHECK(result == exits(24, "_prisma_migrations"));
  const auto hint = result.err.substr(std::min(result.err.find("hint: "), result.err.size()));
  CHECK(hint == contains("GRANT SELECT"));
  // To look, no more than to look is needed.
  CHECK(hint != contains("UPDATE"));
  CHECK(hint != contains("GRANT CREATE"));
  const auto json = shop.call({"status", "--json"});
  CHECK(json == exits(24));
  CHECK(Json::parse(json.out).at("exit_code") == 24);
  CHECK(Json::parse(json.out).at("healthy") == false);
}

TEST_CASE("status through PgBouncer in transaction mode sees the same, and leaves nothing behind") {
  if (!testing::PgBouncer::is_there()) return;
  Shop shop;
  make_trouble(shop);
  const auto direct = shop.status();
  const testing::PgBouncer pooler{1};
  shop.settings.url = pooler.url(shop.database()) + "?schema=public";
  shop.settings.rest = "scratch: {url: \"" + shop.database().url() + "\"}\n";
  auto probe = schemagate::pg::Session{pooler.url(shop.database()) + "?application_name=probe"};
  const auto settings = [&] {
    return probe
        .query("SELECT concat_ws(' ', pg_backend_pid(), current_setting('search_path'),"
               " current_setting('transaction_read_only'), current_setting('statement_timeout'),"
               " current_setting('lock_timeout'), (SELECT count(*) FROM pg_prepared_statements))")
        .at(0)
        .at(0);
  };
  const auto before = settings();
  const auto pooled = shop.status();
  CHECK(pooled == exits(20));
  CHECK(pooled.json.at("findings") == direct.json.at("findings"));
  CHECK(pooled.json.at("migrations") == direct.json.at("migrations"));
  CHECK(settings() == before);
}

TEST_CASE("status works on a read-only database and on a standby") {
  Shop shop;
  SUBCASE("default_transaction_read_only") {
    make_trouble(shop);
    shop.database().execute("ALTER DATABASE " + shop.database().name() +
                            " SET default_transaction_read_only = on");
    CHECK(shop.status().findings() == std::string{k_trouble});
  }
  SUBCASE("standby") {
    const testing::OwnServer primary;
    shop.settings.url = primary.url();
    shop.migration("1_users", "CREATE TABLE users (id int);");
    REQUIRE(shop.run() == exits(0));
    const auto standby = testing::OwnServer::standby_of(primary);
    shop.migration("2_next", "CREATE TABLE next (id int);");
    shop.settings.url = standby->url();
    const auto seen = shop.status();
    REQUIRE(seen == exits(20));
    CHECK(seen.findings() == contains("pending 2_next 20"));
    CHECK(seen.migrations() == "1_users: applied, 2_next: pending");
    CHECK(seen.json.at("runs").at(0).at("status") == "complete");
  }
}

TEST_CASE("status and resolve work on the tables of an older version, and only resolve upgrades") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.row("1_users", "failed");
  shop.database().execute(
      std::string{"CREATE SCHEMA schemagate;"} + schemagate::statements::k_create_tables +
      "INSERT INTO schemagate.run (app, release, fence, mode, digest, tool_version, host, status)"
      " VALUES ('default', 'r0', 1, 'prisma', '', '0.1', 'old', 'complete')");
  const auto before = shop.everything();
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == contains("failed 1_users 20"));
  CHECK(seen.json.at("runs").at(0).at("release") == "r0");
  CHECK(shop.everything() == before);
  CHECK(shop.resolve("1_users", "--auto") == exits(0));
  CHECK(shop.notes() == contains("1_users marked as rolled back by "));
  CHECK(shop.status().json.at("runs").at(1).at("release") == "r0");
}

TEST_CASE("status has colours on a terminal only, and never with NO_COLOR") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  CHECK(shop.status().out != contains("\x1b"));
  const auto on_terminal = [&](const std::string& environment) {
    return testing::run({"script", "-qec",
                         environment + " " + testing::tested_program() + " status", "/dev/null"},
                        {.environment = {}, .directory = shop.dir().path()})
        .out;
  };
  CHECK(on_terminal("env") == contains("\x1b[31mpending"));
  const auto plain = on_terminal("NO_COLOR=1");
  CHECK(plain == contains("pending"));
  CHECK(plain != contains("\x1b"));
}

TEST_CASE("status of a server that is not there says so at once, with code 10, as JSON too") {
  Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.settings.url = std::string{"postgresql://postgres:"} + testing::k_url_password +
                      "@127.0.0.1:1/" + shop.database().name();
  const auto seen = shop.status();  // looks for the password, too
  CHECK(seen == exits(10));
  CHECK(seen.out.empty());
  CHECK(seen.err == contains("127.0.0.1:1"));
  CHECK(seen.json.at("exit_code") == 10);
  CHECK(seen.json.at("healthy") == false);
  CHECK(seen.json.at("error").get<std::string>() == contains("127.0.0.1:1"));
}

TEST_CASE("status finds history and tables in the schemas that the manifest and the URL name") {
  Shop shop;
  shop.settings.url += "?schema=shop";
  shop.settings.database = "bookkeeping_schema: jobs";
  shop.migration("1_users", "CREATE TABLE users (id int DEFAULT 7);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_marked", "CREATE TABLE marked (id int);");
  shop.database().execute("CREATE TABLE public.marked (id int);"
                          "INSERT INTO shop._prisma_migrations (id, checksum, migration_name, logs,"
                          " started_at, finished_at) VALUES ('b', '" +
                          shop.checksum("2_marked") + "', '2_marked', '', now(), now())");
  const auto seen = shop.status();
  CHECK(seen.json.at("schema") == "shop");
  CHECK(seen.findings() == contains("not-there 2_marked 20"));
  CHECK(seen.json.at("runs").size() == 1);
  CHECK(shop.database().value("SELECT to_regnamespace('schemagate') IS NULL") == "t");
}
