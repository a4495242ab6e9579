// Whose history, whose release: what is said of one is never taken for another's.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"

using namespace testing;

namespace {

Result look(GateProject& project) { return project.gate({"--once"}); }

void two_tables(GateProject& project) {
  project.migration("1_a", "CREATE TABLE a(id int PRIMARY KEY);");
  project.migration("2_b", "CREATE TABLE b(id int);");
}

// tool: command with a history of one row, in this table.
void knex(GateProject& project, const std::string& table, const std::string& folder) {
  project.command("psql \"$DATABASE_URL\" -qc 'CREATE TABLE IF NOT EXISTS " + table +
                  "(name text); INSERT INTO " + table + " VALUES ($$1_a.js$$)' && echo ran " +
                  table);
  project.set("migrations.history", "{preset: knex, table: " + table + "}");
  project.set("migrations.directory", folder);
  project.files.write(folder + "/1_a.js", "exports.up = 1;\n");
}

}  // namespace

TEST_CASE("a gate is closed when the history of a complete release is not what it was") {
  for (const auto* harm :
       {"DROP TABLE _prisma_migrations", "TRUNCATE _prisma_migrations",
        "DELETE FROM _prisma_migrations WHERE migration_name = '2_b'",
        "UPDATE _prisma_migrations SET rolled_back_at = now() WHERE migration_name = '2_b'",
        "UPDATE _prisma_migrations SET finished_at = NULL WHERE migration_name = '2_b'",
        "UPDATE _prisma_migrations SET checksum = repeat('0', 64)",
        "ALTER TABLE _prisma_migrations RENAME TO x", "DROP SCHEMA public CASCADE",
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        "ALTER SCHEMA public RENAME TO old; CREATE SCHEMA public",
        "ALTER TABLE _prisma_migrations SET SCHEMA schemagate",
        "CREATE TABLE x (LIKE _prisma_migrations INCLUDING ALL); DROP TABLE _prisma_migrations; "
        "ALTER TABLE x RENAME TO _prisma_migrations"}) {
    for (const auto* match : {"release", "migrations"}) {
      CAPTURE(harm);
      CAPTURE(match);
      GateProject project;
      two_tables(project);
      project.set("gate.match", match);
      REQUIRE(project.run() == exits(0));
      REQUIRE(look(project) == exits(0));
      project.database.execute(harm);
      CHECK(look(project) == exits(30));
      CHECK(project.run().err != contains("nothing to do"));
    }
  }
}

TEST_CASE("a gate that may not read the history sees that it was made anew") {
  for (const auto* harm :
       {"DROP TABLE _prisma_migrations", "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        "ALTER TABLE _prisma_migrations RENAME TO x"}) {
    CAPTURE(harm);
    const TestRole app{"app"};
    GateProject project;
    two_tables(project);
    REQUIRE(project.run() == exits(0));
    project.database.execute("GRANT USAGE ON SCHEMA schemagate TO " + app.name() +
                             "; GRANT SELECT ON schemagate.marker TO " + app.name());
    const auto url = project.environment["DATABASE_URL"];
    project.environment["DATABASE_URL"] = project.database.url_as(app.name());
    CHECK(look(project) == exits(0));
    project.database.execute(harm);
    CHECK(look(project) == exits(30, "is gone"));
    project.database.execute("DROP OWNED BY " + app.name());
  }
}

TEST_CASE("a gate that opens without having read the history says so, and no other gate does") {
  const std::string told = "may not read the history: that it is still whole is not looked at";
  const TestRole app{"app"};
  GateProject project;
  two_tables(project);
  REQUIRE(project.run() == exits(0));
  CHECK(look(project).err != contains(told));
  project.database.execute("GRANT USAGE ON SCHEMA schemagate TO " + app.name() +
                           "; GRANT SELECT ON schemagate.marker TO " + app.name() +
                           "; TRUNCATE _prisma_migrations");
  project.environment["DATABASE_URL"] = project.database.url_as(app.name());
  CHECK(look(project) == exits(0, told, "it needs SELECT on \"public\".\"_prisma_migrations\""));
  project.database.execute("GRANT SELECT ON _prisma_migrations TO " + app.name());
  CHECK(look(project) == exits(30, "migration 1_a is not applied"));
  project.database.execute("DROP OWNED BY " + app.name());
}

TEST_CASE("what is complete for one schema, database, table or command opens no other gate") {
  const struct {
    const char* what;
    void (*one)(GateProject&);
    void (*other)(GateProject&);
  } k_pairs[] = {
      {"?schema=",
       [](GateProject& p) { p.environment["DATABASE_URL"] = p.database.url() + "?schema=blue"; },
       [](GateProject& p) { p.environment["DATABASE_URL"] = p.database.url() + "?schema=green"; }},
      {"migrations.schema", [](GateProject& p) { p.set("migrations.schema", "blue"); },
       [](GateProject& p) { p.set("migrations.schema", "BLUE"); }},
      {"one with, one without", [](GateProject& p) { p.set("migrations.schema", "blue"); },
       [](GateProject& p) { p.set("migrations.schema", ""); }},
      {"search_path", [](GateProject& p) { p.environment["PGOPTIONS"] = "-c search_path=blue"; },
       [](GateProject& p) { p.environment["PGOPTIONS"] = "-c search_path=green"; }},
      {"app", [](GateProject& p) { p.set("app", "blue"); },
       [](GateProject& p) { p.set("app", "green"); }},
      {"command",
       [](GateProject& p) { p.command("exit 0").set("migrations.env", "{COLOUR: blue}"); },
       [](GateProject& p) { p.command("exit 0").set("migrations.env", "{COLOUR: green}"); }},
      {"arguments",
       [](GateProject& p) {
         p.set("migrations.tool", "command")
             .set("migrations.directory", "")
             .set("migrations.command", "[echo, a, b]");
       },
       [](GateProject& p) {
         p.set("migrations.tool", "command")
             .set("migrations.directory", "")
             .set("migrations.command", "[echo, a b]");
       }},
      {"two tables of one tool", [](GateProject& p) { knex(p, "blue", "m1"); },
       [](GateProject& p) { knex(p, "green", "m1"); }},
  };
  for (const auto& [what, one, other] : k_pairs) {
    CAPTURE(what);
    GateProject project;
    project.database.execute("CREATE SCHEMA blue; CREATE SCHEMA green");
    project.migration("1_a", "CREATE TABLE IF NOT EXISTS a(id int);");
    one(project);
    REQUIRE(project.run() == exits(0));
    CHECK(look(project) == exits(0));
    other(project);
    CHECK(look(project) == exits(30));
    CHECK(project.run().err != contains("nothing to do"));
    CHECK(look(project) == exits(0));
    one(project);
    CHECK(look(project) == exits(0));
    CHECK(project.run() == exits(0, "nothing to do"));
    other(project);
    CHECK(project.run() == exits(0, "nothing to do"));
  }
}

TEST_CASE(
    "an image that lacks its migrations is neither run nor let in, whatever allow_empty says") {
  for (const bool by_command : {false, true}) {
    for (const auto* match : {"release", "migrations"}) {
      CAPTURE(by_command);
      CAPTURE(match);
      GateProject project;
      two_tables(project);
      if (by_command) knex(project, "knex_migrations", "js");
      project.set("migrations.allow_empty", "true").set("gate.match", match);
      REQUIRE(project.run() == exits(0));
      REQUIRE(look(project) == exits(0));
      std::filesystem::remove_all(project.file(by_command ? "js" : "migrations"));
      std::filesystem::create_directory(project.file(by_command ? "js" : "migrations"));
      for (const auto* release : {"r1", "r2"}) {
        project.set("release", release);
        CHECK(look(project).exit_code != 0);
        const auto result = project.run();
        CHECK(result == exits(20, "holds no migrations"));
        CHECK(result.err != contains("allow_empty"));
        CHECK(look(project).exit_code != 0);
      }
    }
  }
}

TEST_CASE("a policy holds for a release that is complete, too") {
  const struct {
    const char* policy;
    const char* sql;
  } k_policies[] = {
      {"missing",
       "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, "
       "applied_steps_count) VALUES ('x', repeat('0', 64), '9_other', now(), now(), 1)"},
      {"missing",
       "UPDATE _prisma_migrations SET migration_name = '0_other' WHERE migration_name = '2_b'"},
      {"edited",
       "UPDATE _prisma_migrations SET checksum = repeat('0', 64) WHERE migration_name = '1_a'"},
      {"out_of_order", "DELETE FROM _prisma_migrations WHERE migration_name = '1_a'; DROP TABLE a"},
  };
  for (const auto& [policy, sql] : k_policies) {
    for (const auto* mode : {"apply", "check"}) {
      CAPTURE(policy);
      CAPTURE(sql);
      CAPTURE(mode);
      GateProject project;
      two_tables(project);
      project.set(std::string{"migrations."} + policy, "fail");
      REQUIRE(project.run() == exits(0));
      project.database.execute(sql);
      project.set("mode", mode);
      CHECK(project.run() == exits(20));
    }
  }
}

TEST_CASE(
    "url and direct_url may be of two roles, one of which may not ask for the server's identifier") {
  for (const auto* direct : {"the same", "another"}) {
    CAPTURE(direct);
    const TestRole app{"pooled"};
    const TestDatabase second;
    GateProject project;
    two_tables(project);
    for (const auto* database :
         std::initializer_list<const TestDatabase*>{&project.database, &second})
      database->execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    project.environment["DATABASE_URL"] = project.database.url_as(app.name()) + "?pgbouncer=true";
    project.set("database.direct_url",
                std::string{direct} == "the same" ? project.database.url() : second.url());
    CHECK(project.run() ==
          (std::string{direct} == "the same" ? exits(0) : exits(24, "different databases")));
    CHECK(second.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0");
  }
}

TEST_CASE(
    "whoever wears our name stands in nobody's way, and an earlier runner's connection is ended") {
  for (const bool as_superuser : {false, true}) {
    CAPTURE(as_superuser);
    const TestRole migrator{"wearer"};
    const TestRole stranger{"spoof"};
    GateProject project;
    two_tables(project);
    const auto& database = project.database;
    database.execute("ALTER DATABASE " + database.name() + " OWNER TO " + migrator.name() +
                     "; GRANT CREATE ON SCHEMA public TO " + migrator.name());
    project.environment["DATABASE_URL"] = database.url_as(migrator.name());
    REQUIRE(project.run() == exits(0));
    // As anybody can see it while a run works.
    const auto name =
        "schemagate:" +
        database.value("SELECT left(encode(sha256(convert_to(oid || ' prisma:public', 'UTF8')), "
                       "'hex'), 16) FROM pg_namespace WHERE nspname = 'schemagate'");
    const auto wearing = [&](const std::string& role, const std::string& worn) {
      schemagate::pg::Session session{database.url_as(role)};
      session.execute("SET application_name = '" + worn + "'");
      return session;
    };
    std::vector<schemagate::pg::Session> strangers;
    for (const auto& worn :
         {name + ":0:ab", name + ":1:ab", name + ":", name + ":-1:ab", name,
          name + ":9999999999999999999:ab", std::string{"schemagate:prisma:public:0"}})
      strangers.push_back(wearing(stranger.name(), worn));
    auto left_behind = wearing(migrator.name(), name + ":0:ab");

    if (as_superuser) project.environment["DATABASE_URL"] = database.url();
    project.migration("3_c", "CREATE TABLE c(id int);");
    CHECK(project.run() == exits(0, "calls itself like an earlier runner",
                                 "ending backend " + std::to_string(left_behind.backend_pid())));
    // A superuser may end them, and nobody waits for that.
    if (!as_superuser)
      for (auto& session : strangers) CHECK(session.query("SELECT 1").size() == 1);
    CHECK_THROWS_AS(left_behind.query("SELECT 1"), schemagate::pg::ConnectionLost);

    strangers.clear();
    database.execute("ALTER DATABASE " + database.name() + " OWNER TO postgres; DROP OWNED BY " +
                     migrator.name() + " CASCADE");
  }
}
