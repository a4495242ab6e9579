// What a hint says can be done as it says, and does no harm there. Found by a review that did what
// the hints said.

#include <csignal>

#include "e2e/history_fixture.hpp"
#include "support/gate_project.hpp"
#include "support/open_transaction.hpp"

using namespace testing;

TEST_CASE("where data may be written already, nobody is told to execute its statement again") {
  Shop shop;
  shop.database().execute("CREATE TABLE users (id int); INSERT INTO users VALUES (1)");
  shop.migration("1_init", "CREATE TABLE p1 (x int);\nUPDATE users SET id = id + 1000;\n"
                           "CREATE TABLE p3 (x int);\nALTER TABLE nowhere ADD y int;\n");
  shop.database().execute("CREATE TABLE p1 (x int); UPDATE users SET id = id + 1000");
  shop.row("1_init", "failed");
  const auto result = shop.run();
  CHECK(result == exits(20, "1 of 4 statements done, perhaps 2",
                        "hint: from line 2 of migration.sql on, find out first what is done"));
  CHECK(result.err != contains("execute the rest by hand"));
}

TEST_CASE("a check that fails is corrected by a new migration, not by an edit of an applied one") {
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.settings.rest = "verify: [{sql: select count(*) > 0 from t}]\n";
  CHECK(shop.run() == exits(23, "or add a migration (one that is applied must not be edited)"));
  shop.migration("2_data", "INSERT INTO t VALUES (1);");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("what cannot be continued is not said to be continued by the next run") {
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n"
                           "ALTER TABLE nowhere ADD y int;\n");
  REQUIRE(shop.run() == exits(21, "what stands before line 3 is applied: leave it as it is"));
  shop.migration("1_init",
                 "CREATE TABLE a (x int, y int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n");
  const auto run = shop.run();
  CHECK(run == exits(20, "it cannot be continued"));
  const auto seen = shop.call({"status"});
  CHECK(seen == exits(20));
  CHECK(seen.out == contains("it cannot be continued"));
  CHECK(seen.out == contains("hint: restore the part that was applied"));
  CHECK(shop.call({"resolve", "1_init", "--auto"}) == exits(20));
  // The hint, done.
  shop.migration("1_init", "CREATE TABLE a (x int);\nCREATE INDEX CONCURRENTLY i ON a (x);\n");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("a failed migration whose directory is gone is not said to be executed once more") {
  Shop shop;
  shop.migration("1_init", "CREATE TABLE a (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.row("2_gone", "failed");
  shop.migration("3_next", "CREATE TABLE b (x int);");
  const auto run = shop.run();
  CHECK(run == exits(20, "resolve 2_gone --rolled-back (nothing is executed: it has no script"));
  CHECK(shop.call({"resolve", "2_gone", "--rolled-back"}) ==
        exits(0, "its script is gone, so that no run executes it"));
  CHECK(shop.run() == exits(0));
}

TEST_CASE("data that breaks a constraint is corrected where the file is applied elsewhere") {
  Deployment shop;
  shop.database().execute("CREATE TABLE u (name text); INSERT INTO u VALUES ('a'), ('a')");
  shop.settings.migrations = "schema: app";
  shop.database().execute("CREATE SCHEMA app");
  shop.migration("1_init", "CREATE UNIQUE INDEX u_name ON public.u (name);");
  CHECK(shop.run() == exits(21, "hint: correct the data, then: schemagate run"));
  shop.database().execute("DELETE FROM u WHERE ctid = (SELECT min(ctid) FROM u)");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("status tells the cause and the remedy of a release that failed") {
  Deployment shop;
  shop.migration("1_init", "ALTER TABLE nowhere ADD y int;");
  REQUIRE(shop.run() == exits(21));
  const auto failed = shop.call({"status"});
  CHECK(failed == exits(20));
  CHECK(failed.out == contains("hint: fix the cause, then: schemagate run"));
  CHECK(failed.out == contains("gate    closed: the run for release"));
  CHECK(failed.out == contains("hint: schemagate status tells whether the history claims"));
  shop.migration("1_init", "CREATE TABLE t (y int);");
  const auto pending = shop.call({"status"});
  INFO(pending.out);
  CHECK(pending.out == contains("hint: fix the cause, then: schemagate run"));
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_next", "CREATE TABLE u (y int);");
  const auto next = shop.call({"status"});
  CHECK(next == exits(20));
  CHECK(next.out == contains("exit code 20\nhint: schemagate run\n"));
}

TEST_CASE("what failed once, and is being applied by a run, is waited for") {
  Deployment shop;
  shop.prepare_nap(600);
  shop.migration("1_init", "ALTER TABLE nowhere ADD y int;");
  REQUIRE(shop.run() == exits(21));
  shop.migration("1_init", "SELECT aside.nap();");
  auto run = shop.start();
  REQUIRE(shop.is_running("SELECT aside.nap()"));
  const auto seen = shop.call({"status"});
  CHECK(seen == exits(11));
  CHECK(seen.out == contains("the last attempt was rolled back"));
  CHECK(seen.out == contains("hint: wait for the run at work"));
  CHECK(seen.out != contains("hint: fix the cause"));
  (void)run.terminate();
}

TEST_CASE("a gate opens for no other database than the manifest expects") {
  GateProject project;
  project.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(project.run() == exits(0));
  REQUIRE(project.look() == 0);
  project.set("database.expect", "{name: another}");
  CHECK(project.gate({"--once"}) == exits(24, "database.expect.name is \"another\""));
  project.set("database.expect", "{min_version: 99}");
  CHECK(project.look() == 24);
  project.set("database.expect", "{name: " + project.database.name() + ", min_version: 13}");
  CHECK(project.look() == 0);
}

TEST_CASE("a gate that cannot reach the database does not ask for a run") {
  GateProject project;
  project.migration("1_init", "CREATE TABLE t (x int);");
  project.set("database.url", "postgresql://postgres@127.0.0.1:1/nowhere");
  CHECK(project.gate({"--once"}) ==
        exits(30, "hint: check DATABASE_URL, and the network from this container"));
}

TEST_CASE("a role that may not create the history is told the GRANT that lets it") {
  const TestRole role{"lowly"};
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.database().execute("REVOKE CREATE ON SCHEMA public FROM public");
  shop.settings.url = shop.database().url_as(role.name());
  const auto refused = shop.run();
  CHECK(refused == exits(24));
  const auto grant_database =
      "GRANT CREATE ON DATABASE " + shop.database().name() + " TO " + role.name();
  CHECK(refused.err == contains("in database " + shop.database().name() +
                                ", as its owner or a superuser: " + grant_database));
  shop.database().execute(grant_database);
  const auto again = shop.run();
  CHECK(again == exits(24));
  const auto grant = "GRANT USAGE, CREATE ON SCHEMA public TO " + role.name();
  CHECK(again.err == contains("or a superuser: " + grant));
  shop.database().execute(grant);
  CHECK(shop.run() == exits(0));
}

TEST_CASE("a locked history is told as a lock that could not be had, with who to look for") {
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_next", "CREATE TABLE u (x int);");
  const OpenTransaction other{shop.database(), "LOCK TABLE _prisma_migrations"};
  CHECK(shop.run() ==
        exits(13, "somebody holds a lock on the history or on schemagate's own tables"));
  const auto status = shop.call({"status"});
  CHECK(status == exits(13));
  const auto query =
      std::string{"SELECT pid, usename, state, xact_start, query FROM pg_stat_activity WHERE "
                  "xact_start IS NOT NULL ORDER BY xact_start"};
  CHECK(status.err == contains(query));
  CHECK(shop.database().value("SELECT count(*) > 0 FROM (" + query +
                              ") a WHERE pid = " + other.pid()) == "t");
}

TEST_CASE("a gate by file believes the run, a gate by database the history as it is now") {
  Deployment shop;
  const auto file = (shop.dir().path() / "marker.json").string();
  shop.settings.rest = "release: r1\nmarker: {file: " + file + "}\n";
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  REQUIRE(shop.call({"gate", "--once", "--marker-file", file}) == exits(0));
  shop.database().execute("UPDATE _prisma_migrations SET checksum = repeat('0', 64)");
  CHECK(shop.run() == exits(20));
  // What was said before stays so in the file; the database knows better by now.
  CHECK(shop.call({"gate", "--once"}) == exits(30, "is applied with another content"));
  CHECK(shop.call({"gate", "--once", "--marker-file", file}) == exits(0));
  shop.database().execute("ALTER TABLE _prisma_migrations RENAME TO kept");
  CHECK(shop.call({"gate", "--once"}) == exits(30, "is gone"));
}

namespace {

// A procedure that commits before it sleeps, as only the server can tell; its runner was killed
// then.
void kill_in_procedure(Deployment& shop) {
  shop.prepare_nap(600);
  shop.migration("1_init", "CREATE TABLE log (x int);\n"
                           "CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log "
                           "VALUES (1); COMMIT; PERFORM aside.nap(); END $$;");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_call", "CALL fill();\nINSERT INTO log VALUES (2);\n");
  auto run = shop.start();
  REQUIRE(eventually([&] { return shop.database().value("SELECT count(*) FROM log") == "1"; }));
  run.kill();
  shop.set_nap(0);
  shop.expire_lease();
}

}  // namespace

TEST_CASE("a procedure that committed before its runner was killed is not called once more") {
  Deployment shop;
  kill_in_procedure(shop);
  SUBCASE("by the same script") {}
  SUBCASE("by an edited one") { shop.migration("2_call", "CALL fill();\n"); }
  for (int i = 0; i < 2; ++i) {
    CHECK(shop.run() == exits(20, "how far it came cannot be told"));
    CHECK(shop.database().value("SELECT count(*) FROM log") == "1");
  }
  const auto seen = shop.call({"status"});
  CHECK(seen == exits(20));
  CHECK(seen.out != contains("continues there"));
}

TEST_CASE(
    "a DO block that failed after its own COMMIT is finished by hand, and not executed again") {
  Deployment shop;
  shop.migration("1_init",
                 "CREATE TABLE a (x int);\n"
                 "DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; INSERT INTO nowhere VALUES "
                 "(1); END $$;\n");
  const auto failed = shop.run();
  CHECK(failed == exits(21,
                        "1 of 2 parts of this migration stay applied, and what the statement "
                        "committed before it failed stays",
                        "hint: part 1 is committed; look at what the statement on line 2 did"));
  shop.migration("1_init", "CREATE TABLE a (x int);\n"
                           "DO $$ BEGIN INSERT INTO a VALUES (1); COMMIT; END $$;\n");
  CHECK(shop.run() ==
        exits(20, "an earlier run failed in what stood here before the file was changed"));
  CHECK(shop.database().value("SELECT count(*) FROM a") == "1");
  CHECK(shop.call({"resolve", "1_init", "--applied"}) == exits(0));
  CHECK(shop.run() == exits(0));
}

TEST_CASE("status does not call a statement of a run at work interrupted, whoever looks") {
  const TestRole reader{"reader"};
  Deployment shop;
  shop.prepare_nap(600);
  shop.migration("1_do", "DO $$ BEGIN PERFORM aside.nap(); COMMIT; END $$;");
  auto run = shop.start();
  REQUIRE(shop.is_running("DO $$"));
  shop.database().execute("GRANT USAGE ON SCHEMA schemagate TO " + reader.name() +
                          "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate, public TO " +
                          reader.name());
  const auto own = shop.call({"status"});
  CHECK(own == exits(11));
  CHECK(own.out == contains("hint: wait for the run at work"));
  shop.settings.url = shop.database().url_as(reader.name());
  const auto seen = shop.call({"status"});
  CHECK(seen == exits(11));
  CHECK(seen.out == contains("hint: wait for the run at work"));
  CHECK(seen.out != contains("by hand"));
  (void)run.terminate();
}

TEST_CASE("an external command may keep a history that schemagate's own role could not create") {
  const TestRole role{"helper"};
  GateProject project;
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
  CHECK(project.run() == exits(0));
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
  CHECK(run == exits(20, "schemagate resolve " + option + " 1_init"));
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
