// What a hint says can be done as it says, and does no harm there. Found by a review that did what
// the hints said.

#include <csignal>

#include "e2e/gate_fixture.hpp"
#include "e2e/history_fixture.hpp"

using namespace testing;

TEST_CASE("where data may be written already, nobody is told to execute its statement again") {
  Shop shop;
  shop.database().execute("CREATE TABLE users (id int); INSERT INTO users VALUES (1)");
  shop.migration("1_init", "CREATE TABLE p1 (x int);\nUPDATE users SET id = id + 1000;\n"
                           "CREATE TABLE p3 (x int);\nALTER TABLE nowhere ADD y int;\n");
  shop.database().execute("CREATE TABLE p1 (x int); UPDATE users SET id = id + 1000");
  shop.row("1_init", "failed");
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 20);
  CHECK(result.err == contains("1 of 4 statements done, perhaps 2"));
  CHECK(result.err ==
        contains("hint: from line 2 of migration.sql on, find out first what is done"));
  CHECK(result.err != contains("execute the rest by hand"));
}

TEST_CASE("a check that fails is corrected by a new migration, not by an edit of an applied one") {
  testing::Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.settings.rest = "verify: [{sql: select count(*) > 0 from t}]\n";
  const auto failed = shop.run();
  INFO(failed.err);
  CHECK(failed.exit_code == 23);
  CHECK(failed.err == contains("or add a migration (one that is applied must not be edited)"));
  shop.migration("2_data", "INSERT INTO t VALUES (1);");
  CHECK(shop.run().exit_code == 0);
}

TEST_CASE("what cannot be continued is not said to be continued by the next run") {
  testing::Deployment shop;
  shop.migration("1_init", "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n"
                           "ALTER TABLE nowhere ADD y int;\n");
  const auto failed = shop.run();
  INFO(failed.err);
  REQUIRE(failed.exit_code == 21);
  CHECK(failed.err == contains("change nothing before line 3, that is applied"));
  shop.migration("1_init",
                 "CREATE TABLE a (x int, y int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n");
  const auto run = shop.run();
  INFO(run.err);
  CHECK(run.exit_code == 20);
  CHECK(run.err == contains("it cannot be continued"));
  const auto seen = shop.call({"status"});
  INFO(seen.out);
  CHECK(seen.exit_code == 20);
  CHECK(seen.out == contains("it cannot be continued"));
  CHECK(seen.out == contains("hint: restore the part that was applied"));
  CHECK(shop.call({"resolve", "1_init", "--auto"}).exit_code == 20);
  // The hint, done.
  shop.migration("1_init", "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n");
  CHECK(shop.run().exit_code == 0);
}

TEST_CASE("a failed migration whose directory is gone is not said to be executed once more") {
  Shop shop;
  shop.migration("1_init", "CREATE TABLE a (x int);");
  REQUIRE(shop.run().exit_code == 0);
  shop.row("2_gone", "failed");
  shop.migration("3_next", "CREATE TABLE b (x int);");
  const auto run = shop.run();
  INFO(run.err);
  CHECK(run.exit_code == 20);
  CHECK(run.err == contains("resolve 2_gone --rolled-back (nothing is executed: it has no script"));
  const auto resolved = shop.call({"resolve", "2_gone", "--rolled-back"});
  INFO(resolved.err);
  CHECK(resolved.exit_code == 0);
  CHECK(resolved.err == contains("its script is gone, so that no run executes it"));
  CHECK(shop.run().exit_code == 0);
}

TEST_CASE("data that breaks a constraint is corrected where the file is applied elsewhere") {
  testing::Deployment shop;
  shop.database().execute("CREATE TABLE u (name text); INSERT INTO u VALUES ('a'), ('a')");
  shop.settings.migrations = "schema: app";
  shop.database().execute("CREATE SCHEMA app");
  shop.migration("1_init", "CREATE UNIQUE INDEX u_name ON public.u (name);");
  const auto failed = shop.run();
  INFO(failed.err);
  CHECK(failed.exit_code == 21);
  CHECK(failed.err == contains("hint: correct the data, then: schemagate run"));
  shop.database().execute("DELETE FROM u WHERE ctid = (SELECT min(ctid) FROM u)");
  CHECK(shop.run().exit_code == 0);
}

TEST_CASE("status tells the cause and the remedy of a release that failed") {
  testing::Deployment shop;
  shop.migration("1_init", "ALTER TABLE nowhere ADD y int;");
  REQUIRE(shop.run().exit_code == 21);
  const auto failed = shop.call({"status"});
  INFO(failed.out);
  CHECK(failed.exit_code == 20);
  CHECK(failed.out == contains("hint: fix the cause, then: schemagate run"));
  CHECK(failed.out == contains("gate    closed: the run for release"));
  CHECK(failed.out == contains("hint: schemagate status tells whether the history claims"));
  shop.migration("1_init", "CREATE TABLE t (y int);");
  const auto pending = shop.call({"status"});
  INFO(pending.out);
  CHECK(pending.out == contains("hint: fix the cause, then: schemagate run"));
  REQUIRE(shop.run().exit_code == 0);
  shop.migration("2_next", "CREATE TABLE u (y int);");
  const auto next = shop.call({"status"});
  INFO(next.out);
  CHECK(next.exit_code == 20);
  CHECK(next.out == contains("exit code 20\nhint: schemagate run\n"));
}

TEST_CASE("what failed once, and is being applied by a run, is waited for") {
  testing::Deployment shop;
  shop.prepare_nap(600);
  shop.migration("1_init", "ALTER TABLE nowhere ADD y int;");
  REQUIRE(shop.run().exit_code == 21);
  shop.migration("1_init", "SELECT aside.nap();");
  auto run = shop.start();
  REQUIRE(shop.is_running("SELECT aside.nap()"));
  const auto seen = shop.call({"status"});
  INFO(seen.out);
  CHECK(seen.exit_code == 11);
  CHECK(seen.out == contains("the last attempt was rolled back"));
  CHECK(seen.out == contains("hint: wait for the run at work"));
  CHECK(seen.out != contains("hint: fix the cause"));
  run.signal(SIGTERM);
  (void)run.wait();
}

TEST_CASE("a gate opens for no other database than the manifest expects") {
  testing::GateProject project;
  project.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(project.run().exit_code == 0);
  REQUIRE(project.look() == 0);
  project.set("database.expect", "{name: another}");
  const auto result = project.gate({"--once"});
  INFO(result.err);
  CHECK(result.exit_code == 24);
  CHECK(result.err == contains("database.expect.name is \"another\""));
  project.set("database.expect", "{min_version: 99}");
  CHECK(project.look() == 24);
  project.set("database.expect", "{name: " + project.database.name() + ", min_version: 13}");
  CHECK(project.look() == 0);
}

TEST_CASE("a gate that cannot reach the database does not ask for a run") {
  testing::GateProject project;
  project.migration("1_init", "CREATE TABLE t (x int);");
  project.set("database.url", "postgresql://postgres@127.0.0.1:1/nowhere");
  const auto result = project.gate({"--once"});
  INFO(result.err);
  CHECK(result.exit_code == 30);
  CHECK(result.err == contains("hint: check DATABASE_URL, and the network from this container"));
}

TEST_CASE("a role that may not create the history is told the GRANT that lets it") {
  const testing::TestRole role{"lowly"};
  testing::Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.database().execute("REVOKE CREATE ON SCHEMA public FROM public");
  shop.settings.url = shop.database().url_as(role.name());
  const auto refused = shop.run();
  INFO(refused.err);
  CHECK(refused.exit_code == 24);
  const auto grant_database =
      "GRANT CREATE ON DATABASE " + shop.database().name() + " TO " + role.name();
  CHECK(refused.err == contains("hint: " + grant_database));
  shop.database().execute(grant_database);
  const auto again = shop.run();
  INFO(again.err);
  CHECK(again.exit_code == 24);
  const auto grant = "GRANT USAGE, CREATE ON SCHEMA public TO " + role.name();
  CHECK(again.err == contains("hint: " + grant));
  shop.database().execute(grant);
  CHECK(shop.run().exit_code == 0);
}

TEST_CASE("a locked history is told as a lock that could not be had, with who to look for") {
  testing::Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run().exit_code == 0);
  shop.migration("2_next", "CREATE TABLE u (x int);");
  auto other = shop.database().connect();
  other.execute("BEGIN; LOCK TABLE _prisma_migrations");
  const auto run = shop.run();
  INFO(run.err);
  CHECK(run.exit_code == 13);
  CHECK(run.err == contains("somebody holds a lock on the history or on schemagate's own tables"));
  const auto status = shop.call({"status"});
  INFO(status.err);
  CHECK(status.exit_code == 13);
  const auto query =
      std::string{"SELECT pid, usename, state, xact_start, query FROM pg_stat_activity WHERE "
                  "xact_start IS NOT NULL ORDER BY xact_start"};
  CHECK(status.err == contains(query));
  CHECK(shop.database().value("SELECT count(*) > 0 FROM (" + query +
                              ") a WHERE pid = " + std::to_string(other.backend_pid())) == "t");
}

TEST_CASE(
    "a gate by file and a gate by database see the same of a release that was complete before") {
  testing::Deployment shop;
  const auto file = (shop.dir().path() / "marker.json").string();
  shop.settings.rest = "release: r1\nmarker: {file: " + file + "}\n";
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run().exit_code == 0);
  REQUIRE(shop.call({"gate", "--once", "--marker-file", file}).exit_code == 0);
  shop.database().execute("UPDATE _prisma_migrations SET checksum = repeat('0', 64)");
  const auto refused = shop.run();
  INFO(refused.err);
  CHECK(refused.exit_code == 20);
  CHECK(shop.call({"gate", "--once"}).exit_code == 0);
  CHECK(shop.call({"gate", "--once", "--marker-file", file}).exit_code == 0);
}

namespace {

// A procedure that commits before it sleeps, as only the server can tell; its runner was killed
// then.
void kill_in_procedure(testing::Deployment& shop) {
  shop.prepare_nap(600);
  shop.migration("1_init", "CREATE TABLE log (x int);\n"
                           "CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log "
                           "VALUES (1); COMMIT; PERFORM aside.nap(); END $$;");
  REQUIRE(shop.run().exit_code == 0);
  shop.migration("2_call", "CALL fill();\nINSERT INTO log VALUES (2);\n");
  auto run = shop.start();
  REQUIRE(testing::eventually(
      [&] { return shop.database().value("SELECT count(*) FROM log") == "1"; }));
  run.signal(SIGKILL);
  (void)run.wait();
  shop.set_nap(0);
  shop.database().execute("UPDATE schemagate.lock SET expires_at = '-infinity'");
}

}  // namespace

TEST_CASE("a procedure that committed before its runner was killed is not called once more") {
  testing::Deployment shop;
  kill_in_procedure(shop);
  SUBCASE("by the same script") {}
  SUBCASE("by an edited one") { shop.migration("2_call", "CALL fill();\n"); }
  for (int i = 0; i < 2; ++i) {
    const auto result = shop.run();
    INFO(result.err);
    CHECK(result.exit_code == 20);
    CHECK(result.err == contains("how far it came cannot be told"));
    CHECK(shop.database().value("SELECT count(*) FROM log") == "1");
  }
  const auto seen = shop.call({"status"});
  INFO(seen.out);
  CHECK(seen.exit_code == 20);
  CHECK(seen.out != contains("continues there"));
}

TEST_CASE(
    "a DO block that failed after its own COMMIT is finished by hand, and not executed again") {
  testing::Deployment shop;
  shop.migration("1_init",
                 "CREATE TABLE a (x int);\n"
                 "DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; INSERT INTO nowhere VALUES "
                 "(1); END $$;\n");
  const auto failed = shop.run();
  INFO(failed.err);
  CHECK(failed.exit_code == 21);
  CHECK(failed.err ==
        contains("1 of 2 parts of this migration stay applied, and what the statement "
                 "committed before it failed stays"));
  CHECK(failed.err ==
        contains("hint: part 1 is committed; look at what the statement on line 2 did"));
  shop.migration("1_init", "CREATE TABLE a (x int);\n"
                           "DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$;\n");
  const auto again = shop.run();
  INFO(again.err);
  CHECK(again.exit_code == 20);
  CHECK(again.err ==
        contains("an earlier run failed in what stood here before the file was changed"));
  CHECK(shop.database().value("SELECT count(*) FROM a") == "1");
  CHECK(shop.call({"resolve", "1_init", "--applied"}).exit_code == 0);
  CHECK(shop.run().exit_code == 0);
}

TEST_CASE("status does not call a statement of a run at work interrupted, whoever looks") {
  const testing::TestRole reader{"reader"};
  testing::Deployment shop;
  shop.prepare_nap(600);
  shop.migration("1_do", "DO $$ BEGIN PERFORM aside.nap(); COMMIT; END $$;");
  auto run = shop.start();
  REQUIRE(shop.is_running("DO $$"));
  shop.database().execute("GRANT USAGE ON SCHEMA schemagate TO " + reader.name() +
                          "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate, public TO " +
                          reader.name());
  const auto own = shop.call({"status"});
  INFO(own.out);
  CHECK(own.exit_code == 11);
  CHECK(own.out == contains("hint: wait for the run at work"));
  shop.settings.url = shop.database().url_as(reader.name());
  const auto seen = shop.call({"status"});
  INFO(seen.out);
  CHECK(seen.exit_code == 11);
  CHECK(seen.out == contains("hint: wait for the run at work"));
  CHECK(seen.out != contains("by hand"));
  run.signal(SIGTERM);
  (void)run.wait();
}

TEST_CASE("an external command may keep a history that schemagate's own role could not create") {
  const testing::TestRole role{"helper"};
  testing::GateProject project;
  project.database.execute(
      "CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64), finished_at "
      "timestamptz, migration_name varchar(255), logs text, rolled_back_at timestamptz, started_at "
      "timestamptz DEFAULT now(), applied_steps_count int DEFAULT 0); ALTER TABLE _prisma_migrations "
      "RENAME TO kept; REVOKE CREATE ON SCHEMA public FROM public; GRANT CREATE ON DATABASE " +
      project.database.name() + " TO " + role.name());
  project.migration("1_init", "CREATE TABLE t (x int);");
  const auto checksum = schemagate::sha256_hex("CREATE TABLE t (x int);");
  project.environment["OWNER_URL"] = project.database.url();
  project.command(
      "psql -qX -v ON_ERROR_STOP=1 \"$OWNER_URL\" -c 'ALTER TABLE kept RENAME TO "
      "_prisma_migrations' -c \"INSERT INTO _prisma_migrations (id, checksum, finished_at, "
      "migration_name, applied_steps_count) VALUES ('a', '" +
      checksum +
      "', now(), '1_init', 1)\" -c 'GRANT SELECT, INSERT, UPDATE ON "
      "_prisma_migrations TO " +
      role.name() + "'\n");
  project.set("migrations.directory", "migrations").set("migrations.history", "prisma");
  project.set("migrations.env", "{OWNER_URL: \"${OWNER_URL}\"}");
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  const auto result = project.run();
  INFO(result.err);
  CHECK(result.exit_code == 0);
}

TEST_CASE("a hint's command names the manifest that was named, quoted for the shell") {
  Shop shop;
  shop.migration("1_init", "CREATE TABLE a (x int);\nCREATE TABLE b (x int);\n");
  shop.database().execute("CREATE TABLE a (x int)");
  shop.row("1_init", "failed");
  (void)shop.call({"status"});  // writes the manifest
  const auto named = shop.dir().path() / "of my shop.yaml";
  std::filesystem::copy_file(shop.dir().path() / "schemagate.yaml", named);
  const auto option = "-f '" + named.string() + "'";

  const auto run = shop.call({"run", "-f", named.string()});
  INFO(run.err);
  CHECK(run.exit_code == 20);
  CHECK(run.err == contains("schemagate resolve " + option + " 1_init"));
  for (const auto& seen : {run.err, shop.call({"status", "-f", named.string()}).out,
                           shop.call({"gate", "-f", named.string()}).err}) {
    INFO(seen);
    CHECK(seen == contains("schemagate resolve " + option));
    CHECK(seen != contains("schemagate resolve 1_init"));
  }
  const auto document = shop.call({"status", "-f", named.string(), "--json"}).out;
  INFO(document);
  CHECK(document == contains("schemagate resolve " + option));
  CHECK(shop.run().err == contains("schemagate resolve 1_init"));
}
