#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/lease/tables.hpp"
#include "support/gate_project.hpp"
#include "support/history.hpp"
#include "support/json.hpp"

using namespace testing;
using schemagate::sha256_hex;

namespace {

const std::string k_first = "20240101000000_first";
const std::string k_second = "20240102000000_second";
constexpr const char* k_table = "CREATE TABLE users (id integer PRIMARY KEY);";

void simple(GateProject& project) { project.migration(k_first, k_table); }

// What another tool (Prisma itself) would have written.
void insert_history(const GateProject& project, const std::string& name, const std::string& sql) {
  project.database.execute(k_history_table);
  project.database.execute(
      "INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, "
      "applied_steps_count) VALUES (gen_random_uuid(), '" +
      sha256_hex(sql) + "', now(), '" + name + "', 1)");
}

std::string sql_file(const std::string& name) {
  return std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/sql/" + name;
}

Result psql(const std::string& url, const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{"psql", "-X", "-q", "-d", url};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv);
}

// A gate says that it is closed when it listens already, and looks at its marker last; or, for want
// of room, when it has hung up after asking for it.
bool is_listening(const std::string& url) {
  return !schemagate::pg::Session{url}
              .query("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND "
                     "application_name = 'schemagate gate' AND state = 'idle' AND query NOT LIKE "
                     "'%max_connections%'")
              .empty();
}

// A gate that would look again after an hour only, so that it opens by what it hears or not at all.
// It does not listen while half of the server's connections are taken, perhaps by other cases.
Process start_listening_gate(GateProject& project, const std::vector<std::string>& more = {}) {
  project.set("gate.poll", "1h");
  for (int attempt = 0; attempt < 60; ++attempt) {
    auto gate = project.start_gate(more);
    REQUIRE(gate.says("gate closed"));
    if (eventually([&] { return is_listening(project.database.url()); }, std::chrono::seconds{1}))
      return gate;
  }
  throw std::runtime_error{"the gate does not listen"};
}

}  // namespace

TEST_SUITE_BEGIN("gate");

TEST_CASE("a gate is closed on a database that no run has touched, and leaves it so") {
  GateProject project;
  simple(project);
  CHECK(project.gate({"--once"}) ==
        exits(30, "no run has happened on this database yet", "hint: "));
  CHECK(project.is_untouched());
}

TEST_CASE("a gate is closed while only another release has a marker") {
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
  project.set("release", "r2");
  CHECK(project.gate({"--once"}) == exits(30, "no run for release r2 yet"));
}

TEST_CASE("a gate is closed while only another app has a marker for a release of that name") {
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));
  project.set("app", "office");
  CHECK(project.look() == 30);
}

TEST_CASE("a gate is closed while the run is at work and open when it is complete") {
  GateProject project;
  project.migration(k_first, "SELECT pg_sleep(600);");
  auto run = project.start_run();
  REQUIRE(eventually([&] { return project.gate({"--once"}).err == contains("and is at work"); }));
  CHECK(project.look() == 30);
  auto waiting = project.start_gate();
  REQUIRE(waiting.says("is at work"));
  // The statement ends early: nothing has to wait for the ten minutes.
  REQUIRE(eventually([&] {
    return project.database.value(
               "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state "
               "= 'active' AND datname = current_database() AND pid <> pg_backend_pid()") == "1";
  }));
  CHECK(run.terminate() == exits(128 + SIGTERM));
  CHECK(project.look() == 30);
  project.migration(k_first, k_table);
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
  waiting.signal(SIGTERM);  // it is another image: it still holds the sleeping migration's digest
  CHECK(waiting.wait() == exits(128 + SIGTERM));
}

TEST_CASE(
    "a waiting gate opens within half a second of the marker though it would poll much later") {
  GateProject project;
  simple(project);
  REQUIRE(project.set("release", "r0").run() == exits(0));
  double fastest = 100;
  // That it opens shows that it has heard of the marker; how fast, only a machine that is not busy.
  for (int i = 1; i <= 10 && fastest >= 0.5; ++i) {
    const auto release = "r" + std::to_string(i);
    project.set("release", release);
    auto gate = start_listening_gate(project, {"--", "date", "+%s.%N"});
    REQUIRE(project.run() == exits(0));
    const auto result = gate.wait();
    REQUIRE(result == exits(0));
    const double opened = std::stod(result.out);
    const double marked = std::stod(project.marker("extract(epoch FROM completed_at)", release));
    MESSAGE("marker to exec: " << (opened - marked) * 1000 << " ms");
    CHECK(opened > marked);
    fastest = std::min(fastest, opened - marked);
  }
  CHECK(fastest < 0.5);
}

TEST_CASE("a gate that waits for the very first run hears of its marker at once too") {
  GateProject project;
  simple(project);
  auto gate = start_listening_gate(project);
  REQUIRE(project.run() == exits(0));
  CHECK(gate.wait() == exits(0));
}

TEST_CASE("a gate ends at once with 31 and the reason when the run failed for good") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);\nSELECT nonsense;");
  REQUIRE(project.run() == exits(21));
  for (const auto& arguments : {std::vector<std::string>{"--once"}, std::vector<std::string>{}}) {
    const auto result = project.gate(arguments);
    CHECK(result == exits(31));
    CHECK(result.err != contains("gate closed"));  // it would say so before it waits
    CHECK(result.err == contains("failed with code 21"));
    CHECK(result.err == contains("nonsense"));
    CHECK(result.err == contains(k_first));
  }
}

TEST_CASE("a waiting gate hears at once that the run failed") {
  GateProject project;
  simple(project);
  REQUIRE(project.set("release", "r0").run() == exits(0));
  project.set("release", "r1").migration(k_second, "SELECT nonsense;");
  auto gate = start_listening_gate(project, {"--", "touch", project.file("started")});
  REQUIRE(project.run() == exits(21));
  CHECK(gate.wait() == exits(31));
  CHECK_FALSE(std::filesystem::exists(project.file("started")));
}

TEST_CASE("a gate keeps waiting after a retryable failure and opens after the next run") {
  GateProject project;
  project.set("migrations.lock_timeout", "100ms")
      .set("migrations.lock_retry", "0")
      .set("gate.poll", "200ms");
  project.migration(k_first, "ALTER TABLE busy ADD COLUMN more integer;");
  project.database.execute("CREATE TABLE busy (id integer)");
  insert_history(project, "20230101000000_busy", "");  // or the database would count as not empty
  auto gate = project.start_gate();
  REQUIRE(gate.says("gate closed"));
  {
    auto blocker = project.database.connect();
    const schemagate::pg::Transaction transaction{blocker};
    blocker.execute("LOCK TABLE busy IN ACCESS SHARE MODE");
    REQUIRE(project.run() == exits(13));
  }
  CHECK(project.look() == 30);
  CHECK(gate.is_running());
  CHECK(project.marker("status") != "failed");
  project.set("migrations.lock_timeout", "").set("migrations.lock_retry", "");
  REQUIRE(project.run() == exits(0));
  CHECK(gate.wait() == exits(0));
}

TEST_CASE("a later good run turns a failed marker into a complete one") {
  GateProject project;
  project.migration(k_first, "SELECT nonsense;");
  REQUIRE(project.run() == exits(21));
  REQUIRE(project.look() == 31);
  CHECK(project.marker("status") == "failed");
  simple(project);
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
  CHECK(project.marker("status") == "complete");
  CHECK(project.marker("error") == "NULL");
  CHECK(project.marker("error_code") == "NULL");
}

TEST_CASE("a gate that stays closed ends with 30 after its timeout and says what it waited for") {
  GateProject project;
  simple(project);
  project.set("gate.timeout", "700ms").set("gate.poll", "100ms");
  const Stopwatch watch;
  const auto result = project.gate();
  CHECK(result == exits(30));
  CHECK(watch.seconds() >= 0.7);
  CHECK(watch.seconds() < 60);
  CHECK(result.err == contains("gate still closed after 700 ms"));
  CHECK(result.err == contains("no run has happened"));
}

TEST_CASE("a complete marker of the same release id does not open an image with other migrations") {
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));
  project.migration(k_second, "ALTER TABLE users ADD COLUMN name text;");
  CHECK(project.gate({"--once"}) == exits(30, "for other migrations than this image holds"));
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
}

TEST_CASE(
    "a failed marker of the same release id does not end the gate of an image with other migrations") {
  GateProject project;
  project.migration(k_first, "SELECT nonsense;");
  REQUIRE(project.run() == exits(21));
  REQUIRE(project.look() == 31);
  simple(project);
  CHECK(project.look() == 30);
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
}

TEST_CASE("without a release the content of the migrations folder is the release") {
  GateProject project;
  simple(project);
  project.set("release", "");
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
  project.migration(k_second, "ALTER TABLE users ADD COLUMN name text;");
  CHECK(project.look() == 30);
  REQUIRE(project.run() == exits(0));
  CHECK(project.look() == 0);
  // A rolled-back image finds its own marker again.
  std::filesystem::remove_all(project.files.path() / "migrations" / k_second);
  CHECK(project.look() == 0);
}

TEST_CASE("an image without the migrations folder is let in by the release's name alone") {
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));
  std::filesystem::remove_all(project.files.path() / "migrations");
  CHECK(project.look() == 0);
  project.set("release", "r2");
  CHECK(project.look() == 30);
  project.set("release", "");
  CHECK(project.look() == 2);  // neither a name nor a folder to derive it from
}

TEST_CASE(
    "match migrations: a gate opens when every migration of its image is applied, whoever did it") {
  GateProject project;
  project.set("gate.match", "migrations").set("release", "").set("gate.poll", "100ms");
  project.migration(k_first, k_table)
      .migration(k_second, "ALTER TABLE users ADD COLUMN name text;");
  CHECK(project.gate({"--once"}) == exits(30));
  insert_history(project, k_first, k_table);
  auto waiting = project.start_gate();
  REQUIRE(waiting.says("migration " + k_second + " is not applied"));
  CHECK(project.look() == 30);
  insert_history(project, k_second, "ALTER TABLE users ADD COLUMN name text;");
  CHECK(waiting.wait() == exits(0));
  CHECK(project.look() == 0);
}

TEST_CASE("match migrations: what a command without a history has to apply is looked for where the "
          "folder's own tool records it") {
  GateProject project;
  project.migration("1_a", "CREATE TABLE a (id int)").set("gate.match", "migrations");
  project.set("migrations.tool", "command").set("migrations.command", "[\"true\"]");
  REQUIRE(project.run() == exits(0));  // and nothing has applied it
  project.set("release", "r2");
  CHECK(project.look() == 30);
  project.set("migrations.tool", "").set("migrations.command", "");
  REQUIRE(project.run() == exits(0));
  project.set("migrations.tool", "command").set("migrations.command", "[\"true\"]");
  CHECK(project.look() == 0);
}

TEST_CASE("match migrations: a database that is ahead of the image is open") {
  GateProject project;
  project.set("gate.match", "migrations");
  simple(project);
  insert_history(project, k_first, k_table);
  insert_history(project, k_second, "SELECT 1;");
  CHECK(project.look() == 0);
}

TEST_CASE("match migrations: an applied migration with another content keeps the gate closed") {
  GateProject project;
  project.set("gate.match", "migrations");
  simple(project);
  insert_history(project, k_first, "CREATE TABLE users (id bigint);");
  CHECK(project.gate({"--once"}) == exits(30, k_first + " is applied with another content"));
  project.set("migrations.edited", "warn");
  CHECK(project.look() == 0);
}

TEST_CASE("match migrations: started, rolled back and failed rows do not open the gate") {
  GateProject project;
  project.set("gate.match", "migrations");
  simple(project);
  insert_history(project, k_first, k_table);
  REQUIRE(project.look() == 0);
  project.database.execute("UPDATE _prisma_migrations SET rolled_back_at = now()");
  CHECK(project.look() == 30);
  project.database.execute(
      "UPDATE _prisma_migrations SET rolled_back_at = NULL, finished_at = NULL");
  CHECK(project.look() == 30);
}

TEST_CASE("match migrations: a run that failed for good ends the gate with 31") {
  GateProject project;
  project.set("gate.match", "migrations");
  project.migration(k_first, "SELECT nonsense;");
  REQUIRE(project.run() == exits(21));
  CHECK(project.gate() == exits(31, "nonsense"));
}

TEST_CASE("match migrations: the history of another schema is looked up where the URL says") {
  GateProject project;
  project.set("gate.match", "migrations");
  simple(project);
  project.environment["DATABASE_URL"] += "?schema=shop";
  insert_history(project, k_first, k_table);
  CHECK(project.look() == 30);
  project.database.execute("CREATE SCHEMA shop; ALTER TABLE _prisma_migrations SET SCHEMA shop");
  CHECK(project.look() == 0);
}

TEST_CASE("a gate waits while the server is down, says so, and opens when it is up") {
  GateProject project;
  simple(project);
  const TempDir server;
  const std::string script = std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/postgres";
  const auto directory = (server.path() / "pg").string();
  REQUIRE(::chmod(server.path().c_str(), 0755) == 0);
  const auto started =
      run({"sh", "-c", script + " start " + directory + " --parent " + std::to_string(::getpid())});
  REQUIRE(started == exits(0));
  const auto url = schemagate::trim(started.out);
  project.environment["DATABASE_URL"] = url;
  REQUIRE(project.run() == exits(0));

  const auto port = url.substr(url.rfind(':') + 1, url.rfind('/') - url.rfind(':') - 1);
  const std::string as_server =
      ::getuid() == 0 ? "setpriv --reuid=postgres --regid=postgres --init-groups " : "";
  const auto pg_ctl = [&](const std::string& what) {
    const std::string find =
        "bin=${SCHEMAGATE_PG_BIN:-$(printf '%s\\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)}; cd / && ";
    return run({"sh", "-c",
                find + as_server + "$bin/pg_ctl " + what + " -D " + directory + "/data -s -w"})
        .exit_code;
  };
  REQUIRE(pg_ctl("stop -m immediate") == 0);
  CHECK(project.look() == 30);
  project.set("gate.poll", "200ms");
  auto gate = project.start_gate();
  REQUIRE(gate.says("cannot be reached"));
  CHECK(gate.is_running());
  REQUIRE(pg_ctl("start -l " + directory + "/again.log -o \"-p " + port + "\"") == 0);
  CHECK(gate.wait() == exits(0));

  // And the same while it listens: the server goes away under it.
  project.set("release", "r2");
  auto listening = project.start_gate();
  REQUIRE(listening.says("no run for release r2"));
  REQUIRE(eventually([&] { return is_listening(url); }));
  REQUIRE(pg_ctl("stop -m immediate") == 0);
  REQUIRE(listening.says("cannot be reached"));
  REQUIRE(pg_ctl("start -l " + directory + "/again.log -o \"-p " + port + "\"") == 0);
  REQUIRE(project.run() == exits(0));
  CHECK(listening.wait() == exits(0));
  CHECK(run({"sh", "-c", script + " stop " + directory}) == exits(0));
}

TEST_CASE("a gate whose connection is ended by the server connects again and opens") {
  GateProject project;
  simple(project);
  REQUIRE(project.set("release", "r0").run() == exits(0));
  project.set("release", "r1").set("gate.poll", "300ms");
  auto gate = project.start_gate();
  REQUIRE(gate.says("gate closed"));
  const std::string listening =
      "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'schemagate gate'";
  for (int i = 0; i < 3; ++i) {
    REQUIRE(eventually([&] {
      return project.database.value("SELECT count(pg_terminate_backend(pid)) " + listening) == "1";
    }));
  }
  CHECK(gate.is_running());
  REQUIRE(project.run() == exits(0));
  CHECK(gate.wait() == exits(0));
}

TEST_CASE("a gate on a database that does not exist yet waits for it") {
  GateProject project;
  simple(project);
  const TestDatabase later{false};
  project.environment["DATABASE_URL"] = later.url();
  project.set("gate.poll", "200ms").set("database.create", "true");
  auto gate = project.start_gate();
  REQUIRE(gate.says("does not exist"));
  CHECK(TestRole::maintenance()
            .query("SELECT 1 FROM pg_database WHERE datname = $1", {later.name()})
            .empty());
  REQUIRE(project.run() == exits(0));
  CHECK(gate.wait() == exits(0));
}

TEST_CASE("a gate without read rights names what is missing and the script that grants it") {
  const TestRole role{"blind"};
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  auto result = project.gate({"--once"});
  CHECK(result == exits(30, "permission denied for schema schemagate", "deploy/sql/gate-role.sql"));
  project.database.execute("GRANT USAGE ON SCHEMA schemagate TO " + role.name());
  result = project.gate({"--once"});
  CHECK(result == exits(30, "permission denied for table marker"));
}

TEST_CASE("a gate waits in front of older tables for the run that brings them up to date") {
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));
  // As version 2 would have left it.
  const auto digest = project.marker("digest");
  project.database.execute(
      std::string{"DROP SCHEMA schemagate CASCADE; CREATE SCHEMA schemagate;"} +
      schemagate::statements::k_create_tables + schemagate::statements::k_upgrades.front() +
      "INSERT INTO schemagate.lock VALUES ('prisma:public', '', 1, 'shop', 'r1', 'h', now(), now(),"
      " '-infinity');"
      "INSERT INTO schemagate.run (app, release, fence, mode, digest, tool_version, host, status)"
      " VALUES ('shop', 'r1', 1, 'prisma', '', '0.1', 'h', 'complete');"
      "INSERT INTO schemagate.marker VALUES ('shop', 'r1', 'complete', '" +
      digest + "', 1, NULL, NULL, now())");
  CHECK(project.gate({"--once"}) == exits(30, "those of an older version"));
  project.set("release", "r2").migration(k_second, "ALTER TABLE users ADD COLUMN name text;");
  CHECK(project.run() == exits(0));
  CHECK(project.look() == 0);
  // The release of before, by its old marker.
  std::filesystem::remove_all(project.files.path() / "migrations" / k_second);
  project.set("release", "r1");
  CHECK(project.look() == 0);
}

TEST_CASE("deploy/sql/gate-role.sql lets a role pass the gate and nothing else") {
  const TestRole role{"gate"};
  GateProject project;
  project.migration(k_first, std::string{k_table} + "\nCREATE TABLE secrets (id integer);");
  REQUIRE(project.run() == exits(0));
  CHECK(psql(project.database.url(),
             {"-v", "role=" + role.name(), "-f", sql_file("gate-role.sql")}) == exits(0));
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  CHECK(project.look() == 0);
  project.set("gate.match", "migrations");
  CHECK(project.look() == 30);  // reads no history yet
  project.set("gate.match", "");

  const auto rights = [&] {
    return project.database.column(
        "SELECT n.nspname || '.' || c.relname || ' ' || p FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, "
        "unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p "
        "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_' AND c.relkind IN ('r', 'v', 'm', 'p') "
        "AND has_table_privilege('" +
        role.name() + "', c.oid, p) ORDER BY 1");
  };
  CHECK(rights() == std::vector<std::string>{"schemagate.marker SELECT"});
  CHECK(project.database.value("SELECT has_schema_privilege('" + role.name() +
                               "', 'schemagate', 'CREATE')") == "f");
  CHECK(project.database.value("SELECT has_database_privilege('" + role.name() +
                               "', current_database(), 'CREATE')") == "f");
  CHECK(
      project.database.value(
          "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls FROM pg_roles WHERE rolname = '" +
          role.name() + "'") == "f");

  // It still hears the marker at once: LISTEN needs no right.
  project.set("release", "r2");
  auto gate = start_listening_gate(project);
  CHECK(gate.output_so_far() == contains("no run for release r2"));
  auto runner = project.options();
  runner.environment["DATABASE_URL"] = project.database.url();
  REQUIRE(testing::schemagate(project.arguments("run"), runner) == exits(0));
  CHECK(gate.wait() == exits(0));

  CHECK(psql(project.database.url(), {"-v", "role=" + role.name(), "-v", "history=public", "-f",
                                      sql_file("gate-role.sql")}) == exits(0));
  project.set("gate.match", "migrations");
  CHECK(project.look() == 0);
  CHECK(rights() ==
        std::vector<std::string>{"public._prisma_migrations SELECT", "schemagate.marker SELECT"});
}

TEST_CASE("deploy/sql/gate-role.sql makes the role, can be repeated and asks for a first run") {
  GateProject project;
  simple(project);
  const auto name = "role_" + std::to_string(::getpid()) + "_new";
  struct Dropped {
    std::string name;
    const TestDatabase& database;
    ~Dropped() {
      try {
        database.execute("DROP OWNED BY " + name);
        TestRole::maintenance().execute("DROP ROLE " + name);
      } catch (const std::exception&) {  // the cluster goes away soon
      }
    }
  } const dropped{name, project.database};
  const auto grant = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"-f", sql_file("gate-role.sql")});
    return psql(project.database.url(), arguments);
  };
  CHECK(grant({}).err == contains("which role?"));
  CHECK(grant({"-v", "role=" + name}) == exits(3, "let `schemagate run` work once"));
  REQUIRE(project.run() == exits(0));
  for (int i = 0; i < 2; ++i) {
    CHECK(grant({"-v", "role=" + name}) == exits(0));
  }
  project.database.execute("ALTER ROLE " + name + " LOGIN");
  project.environment["DATABASE_URL"] = project.database.url_as(name);
  CHECK(project.look() == 0);
}

TEST_CASE("deploy/sql/run-role.sql is enough for a run of the example on a fresh database") {
  const TestRole role{"run"};
  GateProject project;
  CHECK(psql(project.database.url(),
             {"-v", "role=" + role.name(), "-f", sql_file("run-role.sql")}) == exits(0));
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  const auto example = std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/example/schemagate.yaml";
  CHECK(testing::schemagate({"run", "-f", example}, project.options()) == exits(0));
  CHECK(testing::schemagate({"gate", "-f", example, "--once"}, project.options()) == exits(0));
  CHECK(testing::schemagate({"run", "-f", example}, project.options()) == exits(0));
  CHECK(project.database.value("SELECT count(*) FROM users WHERE password_changed_at IS NULL") ==
        "3");
  CHECK(
      project.database.value(
          "SELECT rolsuper OR rolcreatedb OR rolcreaterole OR rolbypassrls OR rolreplication FROM pg_roles "
          "WHERE rolname = '" +
          role.name() + "'") == "f");
  CHECK(project.database.value("SELECT has_database_privilege('" + role.name() +
                               "', current_database(), 'CREATE')") == "f");
}

TEST_CASE("deploy/sql/run-role.sql needs no superuser, but an owner that may create roles") {
  // As a managed server gives one. From PostgreSQL 16 on such a role may not become what it makes.
  const TestRole admin{"admin"};
  const auto role = admin.name() + "_made";
  GateProject project;
  simple(project);
  struct Dropped {
    std::string role, admin;
    const TestDatabase& database;
    ~Dropped() {
      try {
        database.execute("DROP OWNED BY " + role + "; REASSIGN OWNED BY " + admin +
                         " TO postgres; DROP OWNED BY " + admin);
        TestRole::maintenance().execute("DROP ROLE " + role);
      } catch (const std::exception&) {  // the cluster goes away soon
      }
    }
  } const dropped{role, admin.name(), project.database};
  project.database.execute("ALTER ROLE " + admin.name() + " CREATEROLE; ALTER DATABASE " +
                           project.database.name() + " OWNER TO " + admin.name());
  if (project.database.value("SELECT current_setting('server_version_num')::int < 150000") == "t")
    project.database.execute("GRANT CREATE ON SCHEMA public TO " + admin.name() +
                             " WITH GRANT OPTION");
  for (int i = 0; i < 2; ++i) {
    CHECK(psql(project.database.url_as(admin.name()),
               {"-v", "role=" + role, "-f", sql_file("run-role.sql")}) == exits(0));
  }
  project.database.execute("ALTER ROLE " + role + " LOGIN");
  project.environment["DATABASE_URL"] = project.database.url_as(role);
  CHECK(project.run() == exits(0));
}

TEST_CASE(
    "without deploy/sql/run-role.sql a run as a plain role is refused and says what to grant") {
  const TestRole role{"poor"};
  GateProject project;
  simple(project);
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  CHECK(project.run() == exits(24, "GRANT CREATE ON DATABASE"));
  CHECK(project.is_untouched());
}

TEST_CASE("deploy/sql/run-role.sql takes over the tables that another role has made") {
  const TestRole role{"heir"};
  GateProject project;
  simple(project);
  REQUIRE(project.run() == exits(0));  // as the superuser
  CHECK(psql(project.database.url(), {"-v", "role=" + role.name(), "-v", "take_over=public", "-f",
                                      sql_file("run-role.sql")}) == exits(0));
  project.migration(k_second, "ALTER TABLE users ADD COLUMN name text;").set("release", "r2");
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  CHECK(project.run() == exits(0));
}

TEST_CASE("the marker file is written with what the gate needs and opens it without any database") {
  GateProject project;
  simple(project);
  project.set("marker.file", project.file("marker.json"));
  REQUIRE(project.run() == exits(0));
  const auto marker = Json::parse(read_text(project.file("marker.json")));
  CHECK(marker["app"] == "shop");
  CHECK(marker["release"] == "r1");
  CHECK(marker["status"] == "complete");
  CHECK(marker["digest"] == project.marker("digest"));

  auto alone = project.options();
  alone.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing";
  const auto gate = [&](const std::string& file) {
    return testing::schemagate(project.arguments("gate", {"--once", "--marker-file", file}), alone);
  };
  CHECK(gate(project.file("marker.json")) == exits(0));
  CHECK(gate(project.file("missing.json")) == exits(30));
  project.files.write("half.json", R"({"app": "shop", "release": "r1", "sta)");
  CHECK(gate(project.file("half.json")) == exits(30));
  project.files.write("empty.json", "");
  CHECK(gate(project.file("empty.json")) == exits(30));

  project.set("release", "r2");  // a stale file of the release before
  CHECK(gate(project.file("marker.json")) == exits(30, "no run for release r2 yet", "marker.json"));
  project.set("release", "r1").migration(k_second, "SELECT 1;");
  CHECK(gate(project.file("marker.json")) == exits(30));  // other migrations
}

TEST_CASE("the marker file of one tenant opens no gate of another's") {
  GateProject project;
  simple(project);
  project.set("marker.file", project.file("marker.json"));
  const auto url = project.database.url();
  const auto gate = [&] {
    return project.gate({"--once", "--marker-file", project.file("marker.json")});
  };
  project.environment["DATABASE_URL"] = url + "?schema=tenant_a";
  REQUIRE(project.run() == exits(0));
  CHECK(gate() == exits(0));
  project.environment["DATABASE_URL"] = url + "?schema=tenant_b";
  CHECK(gate() == exits(30, "no run for release r1 yet"));
  REQUIRE(project.run() == exits(0));
  CHECK(gate() == exits(0));
  project.environment["DATABASE_URL"] = url;  // whose it is this gate cannot tell
  CHECK(gate() == exits(0));
  project.set("migrations.schema", "tenant_a");
  CHECK(gate() == exits(30));
}

TEST_CASE("a marker file without a database is enough for a manifest without database.url") {
  GateProject project;
  simple(project);
  project.set("marker.file", project.file("marker.json"));
  REQUIRE(project.run() == exits(0));
  project.set("database.url", "").set("database.wait", "");
  CHECK(project.gate({"--once", "--marker-file", project.file("marker.json")}) == exits(0));
}

TEST_CASE("a gate that waits for a marker file opens when a run writes it") {
  GateProject project;
  simple(project);
  project.set("marker.file", project.file("marker.json")).set("gate.poll", "100ms");
  auto gate = project.start_gate({"--marker-file", project.file("marker.json")});
  REQUIRE(gate.says("gate closed"));
  REQUIRE(project.run() == exits(0));
  CHECK(gate.wait() == exits(0));
}

TEST_CASE("a marker file tells of a failed run, and a later good run replaces it") {
  GateProject project;
  project.migration(k_first, "SELECT nonsense;").set("marker.file", project.file("marker.json"));
  REQUIRE(project.run() == exits(21));
  CHECK(project.gate({"--marker-file", project.file("marker.json")}) ==
        exits(31, "failed with code 21", "nonsense"));
  simple(project);
  REQUIRE(project.run() == exits(0));
  CHECK(project.gate({"--marker-file", project.file("marker.json")}) == exits(0));
  // A lost volume gets its file back from a run that has nothing to do.
  std::filesystem::remove(project.file("marker.json"));
  REQUIRE(project.run() == exits(0));
  CHECK(project.gate({"--once", "--marker-file", project.file("marker.json")}) == exits(0));
}

TEST_CASE("the marker file is never seen half written and leaves no other file behind") {
  GateProject project;
  simple(project);
  project.files.write("shared/keep", "");
  project.set("marker.file", project.file("shared/marker.json"));
  REQUIRE(project.run() == exits(0));
  int looks = 0;
  for (int i = 0; i < 8 || looks <= 8; ++i) {
    project.set("release", "r" + std::to_string(i));
    auto run = project.start_run();
    while (run.is_running()) {
      const auto text = read_text(project.file("shared/marker.json"));
      REQUIRE(Json::accept(text));
      const auto marker = Json::parse(text);
      REQUIRE(marker.is_object());
      CHECK(marker["status"] == "complete");
      ++looks;
    }
    REQUIRE(run.wait() == exits(0));
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator{project.file("shared")})
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"keep", "marker.json"});
}

TEST_CASE("a marker file that cannot be written fails the run in words") {
  GateProject project;
  simple(project);
  project.set("marker.file", project.file("no/such/directory/marker.json"));
  CHECK(project.run() == exits(2, "cannot write marker.file", "No such file or directory"));
}

TEST_CASE("forty gates at once open and leave no connection behind") {
  GateProject project;
  simple(project);
  project.set("gate.poll", "200ms");
  std::vector<Process> gates;
  for (int i = 0; i < 40; ++i) gates.push_back(project.start_gate());
  for (auto& gate : gates) REQUIRE(gate.says("gate closed"));
  REQUIRE(project.run() == exits(0));
  const Stopwatch watch;
  for (auto& gate : gates) CHECK(gate.wait() == exits(0));
  MESSAGE("all open after " << watch.seconds() << " s");
  CHECK(watch.seconds() < 100);
  CHECK(eventually([&] {
    return project.database.value(
               "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
               "backend_type = 'client backend' AND pid <> pg_backend_pid()") == "0";
  }));
}

TEST_CASE("runs that meet while our tables are made both end well") {
  GateProject project;
  simple(project);
  auto blocker = project.database.connect();
  auto transaction = std::make_unique<schemagate::pg::Transaction>(blocker);
  blocker.execute("CREATE SCHEMA schemagate");
  auto first = project.start_run();
  auto second = project.start_run();
  REQUIRE(eventually([&] {
    return project.database.value(
               "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
               "wait_event = 'transactionid'") == "2";
  }));
  transaction.reset();
  for (auto* process : {&first, &second}) {
    CHECK(process->wait() == exits(0));
  }
}

TEST_CASE("SIGTERM ends a waiting gate at once with 143 and its command is not started") {
  for (const bool by_file : {false, true}) {
    GateProject project;
    simple(project);
    project.set("gate.poll", "1h");
    std::vector<std::string> arguments;
    if (by_file) arguments = {"--marker-file", project.file("marker.json")};
    arguments.insert(arguments.end(), {"--", "touch", project.file("started")});
    auto gate = project.start_gate(arguments);
    REQUIRE(gate.says("gate closed"));
    const auto result = gate.terminate();
    CHECK(result == exits(128 + SIGTERM));
    CHECK(result.err != contains(k_last_resort));
    CHECK_FALSE(std::filesystem::exists(project.file("started")));
  }
}

TEST_SUITE_END();
