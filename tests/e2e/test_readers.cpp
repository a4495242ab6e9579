// Roles that only look: what they believe, and that looking executes nothing of anybody's.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"

using namespace testing;

namespace {

// A database of a migrator's, with an app whose role may do what deploy/sql/gate-role.sql gives it.
struct Readers {
  TestRole migrator{"migrator"};
  TestRole app{"app"};
  TestRole other{"other"};
  GateProject project;

  Readers() {
    project.migration("1_item", "CREATE TABLE item(id int PRIMARY KEY);");
    project.database.execute("CREATE SCHEMA schemagate AUTHORIZATION " + migrator.name() +
                             "; GRANT CREATE, USAGE ON SCHEMA public TO " + migrator.name() + ", " +
                             other.name());
    log_in_as(migrator.name());
  }
  ~Readers() {
    project.database.execute("DROP OWNED BY " + migrator.name() + ", " + app.name() + ", " +
                             other.name() + " CASCADE");
  }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void log_in_as(const std::string& role) {
    project.environment["DATABASE_URL"] = project.database.url_as(role);
  }
  // The app's own rights are no business of its gate.
  void grant_to_app() const {
    project.database.execute("GRANT USAGE ON SCHEMA schemagate TO " + app.name() +
                             "; GRANT SELECT ON schemagate.marker TO " + app.name() +
                             "; GRANT SELECT (name, expires_at) ON schemagate.lock TO " +
                             app.name());
  }
  [[nodiscard]] Result call(const std::string& command, const std::vector<std::string>& more = {}) {
    return testing::schemagate(project.arguments(command, more), project.options());
  }
};

constexpr const char* k_empty_history =
    "CREATE TABLE public._prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, "
    "finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz, "
    "started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0);";

}  // namespace

TEST_CASE("a complete release opens its gate for the app's role, whoever owns the history") {
  const struct {
    std::string whose;
    std::string prepared;  // with OTHER and MIGRATOR as the roles
  } k_owners[] = {
      {"the migrator's", ""},
      {"a group's that the migrator is in",
       std::string{k_empty_history} +
           "ALTER TABLE _prisma_migrations OWNER TO OTHER; GRANT OTHER TO MIGRATOR"},
      {"the administrator's, who lets the migrator write it",
       std::string{k_empty_history} +
           "GRANT SELECT, INSERT, UPDATE ON _prisma_migrations TO MIGRATOR"},
  };
  for (const auto& [whose, prepared] : k_owners) {
    CAPTURE(whose);
    Readers readers;
    auto sql = prepared;
    for (const auto& [word, role] :
         {std::pair{"OTHER", readers.other.name()}, {"MIGRATOR", readers.migrator.name()}})
      for (auto at = sql.find(word); at != std::string::npos; at = sql.find(word))
        sql.replace(at, std::string{word}.size(), role);
    if (!sql.empty()) readers.project.database.execute(sql);
    REQUIRE(readers.project.run() == exits(0));
    readers.grant_to_app();
    readers.log_in_as(readers.app.name());
    CHECK(readers.project.gate({"--once"}) == exits(0));
    readers.project.set("release", "r2");
    CHECK(readers.project.gate({"--once"}) == exits(30, "no run for release r2"));
  }
}

TEST_CASE("a first run that failed before it made a history tells the app's gate why") {
  for (const auto* match : {"release", "migrations"}) {
    CAPTURE(match);
    Readers readers;
    auto& project = readers.project.set("gate.match", match);
    project.database.execute("CREATE TABLE legacy (id int)");
    REQUIRE(project.run() == exits(20, "P3005"));
    readers.grant_to_app();
    readers.log_in_as(readers.app.name());
    CHECK(project.gate({"--once"}) == exits(31, "failed with code 20", "P3005"));
    // Neither read nor believed is what somebody might have planted.
    const auto planted = "CREATE INDEX planted ON schemagate.marker ((lower(error)))";
    project.database.execute(planted);
    CHECK(project.gate({"--once"}) == exits(30, "may execute code"));
    project.database.execute("DROP INDEX schemagate.planted");
    project.database.execute("REVOKE CREATE ON SCHEMA public FROM " + readers.migrator.name());
    CHECK(project.gate({"--once"}) == exits(30, "no reason to trust"));
  }
}

TEST_CASE("status refuses the history that a run refuses, whoever asks") {
  Readers readers;
  auto& project = readers.project.set("gate.match", "migrations");
  const auto& database = project.database;
  const auto& migrator = readers.migrator.name();
  REQUIRE(project.run() == exits(0));
  REQUIRE(readers.call("status") == exits(0));
  // A copy of a stranger's stands in front of the history.
  database.execute("CREATE SCHEMA mine AUTHORIZATION " + readers.other.name() +
                   "; GRANT ALL ON _prisma_migrations TO " + readers.other.name() +
                   "; ALTER DATABASE " + database.name() + " SET search_path = mine, public");
  database.execute(
      "SET ROLE " + readers.other.name() +
      "; CREATE TABLE mine._prisma_migrations (LIKE public._prisma_migrations INCLUDING ALL);"
      "INSERT INTO mine._prisma_migrations TABLE public._prisma_migrations; GRANT ALL ON SCHEMA mine TO "
      "PUBLIC; GRANT ALL ON mine._prisma_migrations TO PUBLIC");
  database.execute("GRANT USAGE ON SCHEMA schemagate TO " + readers.app.name() +
                   "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate TO " + readers.app.name());
  const auto told = "mine._prisma_migrations belongs to " + readers.other.name() + ", whom role " +
                    migrator + " has no reason to trust";
  CHECK(project.run() == exits(24, told));
  for (const auto& role : {migrator, readers.app.name(), std::string{"postgres"}}) {
    CAPTURE(role);
    readers.log_in_as(role);
    CHECK(readers.call("status") == exits(24, told));
  }
  // Whose it is decides, not who asks.
  database.execute("ALTER TABLE mine._prisma_migrations OWNER TO " + migrator);
  for (const auto& role : {migrator, readers.app.name(), std::string{"postgres"}}) {
    CAPTURE(role);
    readers.log_in_as(role);
    CHECK(readers.call("status") != exits(24));
  }
}

// PostgreSQL computes what is constant in an index or in statistics when it plans a query.
TEST_CASE("looking at a history executes nothing of a stranger's") {
  for (const std::string trap :
       {"CREATE INDEX ON _prisma_migrations ((trap()))",
        "CREATE INDEX ON _prisma_migrations (id) WHERE trap() = 1",
        "ALTER TABLE _prisma_migrations ADD EXCLUDE ((trap()) WITH =)",
        "CREATE STATISTICS told ON (trap()), id FROM _prisma_migrations",
        "CREATE TABLE child () INHERITS (_prisma_migrations); CREATE INDEX ON child ((trap()))",
        "ALTER TABLE _prisma_migrations ADD CHECK (trap() = 1)"}) {
    Readers readers;
    const auto& database = readers.project.database;
    if (trap.find("STATISTICS") != std::string::npos &&
        database.value("SELECT current_setting('server_version_num')::int < 140000") == "t")
      continue;  // statistics know no expressions there
    CAPTURE(trap);
    database.execute("SET ROLE " + readers.other.name() + ";" + k_empty_history +
                     "GRANT ALL ON _prisma_migrations TO PUBLIC;"
                     "CREATE FUNCTION trap() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
                     "IF current_user <> '" +
                     readers.other.name() +
                     "' THEN RAISE EXCEPTION 'sprung'; END IF; "
                     "RETURN 1; END $$;" +
                     trap);
    for (const auto& role :
         {std::string{"postgres"}, readers.migrator.name(), readers.app.name()}) {
      CAPTURE(role);
      readers.log_in_as(role);
      for (const auto* match : {"release", "migrations"}) {
        readers.project.set("gate.match", match);
        const auto gate = readers.project.gate({"--once"});
        CHECK(gate.exit_code == 30);
        CHECK(gate.err != contains("sprung"));
      }
      readers.project.set("mode", "apply");
      for (const auto& result :
           {readers.call("status"), readers.call("status", {"--json"}), readers.call("run"),
            readers.call("resolve", {"1_item", "--auto"}), readers.call("baseline", {"1_item"})}) {
        CHECK(result.exit_code != 0);
        CHECK(result.out + result.err != contains("sprung"));
      }
      readers.project.set("mode", "check");
      CHECK(readers.project.run() == exits(24, "no reason to trust"));
    }
  }
}

TEST_CASE(
    "a schema that was emptied or made anew closes the gate, whatever the marker knows of it") {
  const struct {
    std::string what;
    std::string sql;
  } k_resets[] = {
      {"dropped", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"},
      {"history dropped", "DROP TABLE _prisma_migrations"},
      {"history emptied", "TRUNCATE _prisma_migrations"},
      {"history renamed", "ALTER TABLE _prisma_migrations RENAME TO old"},
      {"history moved", "CREATE SCHEMA attic; ALTER TABLE _prisma_migrations SET SCHEMA attic"},
      {"dropped, and another empty history made",
       "DROP TABLE _prisma_migrations, item; CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum "
       "varchar(64) NOT NULL, finished_at timestamptz, migration_name varchar(255) NOT NULL, logs text, rolled_back_at "
       "timestamptz, started_at timestamptz NOT NULL DEFAULT now(), applied_steps_count int NOT NULL DEFAULT 0)"},
      {"all of it marked as rolled back", "UPDATE _prisma_migrations SET rolled_back_at = now()"},
  };
  // An older version's markers do not say which table it was.
  for (const std::string marker : {"", ";UPDATE schemagate.marker SET history_oid = NULL"}) {
    for (const auto& [what, sql] : k_resets) {
      for (const bool has_folder : {true, false}) {
        CAPTURE(marker);
        CAPTURE(what);
        CAPTURE(has_folder);
        GateProject project;
        project.migration("1_item", "CREATE TABLE IF NOT EXISTS item(id int PRIMARY KEY);");
        REQUIRE(project.run() == exits(0));
        REQUIRE(project.look() == 0);
        project.database.execute(sql + marker);
        const bool is_gone = what != "history emptied" &&
                             what != "all of it marked as rolled back" &&
                             !(!marker.empty() && what.find("another") != std::string::npos);
        if (!has_folder) std::filesystem::remove_all(project.files.path() / "migrations");
        // Without the folder nobody can tell what a history of the same name should hold.
        CHECK(project.look() == (has_folder || is_gone ? 30 : 0));
      }
    }
  }
}
