// docs/security.md: what the roles that it names can and cannot do to a run and to a gate.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"
#include "support/lease.hpp"
#include "support/open_transaction.hpp"

using namespace testing;

namespace {

// A database with a role that migrates and one that the app has, made by the files of deploy/sql.
class SharedDatabase {
 public:
  SharedDatabase() : migrator{"migrator"}, other{"other"} {
    give("run-role.sql", migrator);
    project.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY);");
    as(migrator);
  }
  void give(const std::string& file, const TestRole& role) const {
    const auto path = std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/sql/" + file;
    REQUIRE(testing::run({"psql", "-qX", project.database.url(), "-v", "role=" + role.name(), "-f",
                          path}) == exits(0));
  }
  void as(const TestRole& role) {
    project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  }
  // $migrator and $other are the roles' names; as the superuser.
  [[nodiscard]] std::string named(std::string sql) const {
    for (const auto& [word, role] : {std::pair{"$migrator", &migrator}, {"$other", &other}})
      for (auto at = sql.find(word); at != std::string::npos; at = sql.find(word))
        sql.replace(at, std::string{word}.size(), role->name());
    return sql;
  }
  void execute(const std::string& sql) const { project.database.execute(named(sql)); }
  // The server's answer to `role`, or nothing where it did as it was told.
  [[nodiscard]] std::string refusal_of(const TestRole& role, const std::string& sql) const {
    try {
      schemagate::pg::Session{project.database.url_as(role.name())}.execute(named(sql));
    } catch (const schemagate::pg::Error& e) {
      return e.sqlstate;
    }
    return "";
  }

  TestRole migrator;
  TestRole other;
  GateProject project;
};

}  // namespace

TEST_SUITE_BEGIN("security");

TEST_CASE("an app with the gate's rights can change nothing that a run or a gate believes") {
  SharedDatabase shared;
  REQUIRE(shared.project.run() == exits(0));
  shared.give("gate-role.sql", shared.other);
  CHECK(shared.refusal_of(shared.other, "SELECT * FROM schemagate.marker") == "");
  CHECK(shared.refusal_of(shared.other, "SELECT name, expires_at FROM schemagate.lock") == "");
  for (const std::string sql :
       {"UPDATE schemagate.marker SET status = 'complete'", "DELETE FROM schemagate.marker",
        "INSERT INTO schemagate.marker SELECT * FROM schemagate.marker",
        "SELECT * FROM schemagate.lock", "SELECT nonce FROM schemagate.lock",
        "SELECT name FROM schemagate.lock FOR UPDATE",
        "UPDATE schemagate.lock SET fence = fence + 1", "SELECT * FROM schemagate.run",
        "SELECT * FROM schemagate.step", "CREATE TABLE schemagate.mine ()",
        "CREATE TRIGGER mine BEFORE INSERT ON schemagate.marker FOR EACH ROW EXECUTE FUNCTION "
        "suppress_redundant_updates_trigger()",
        "INSERT INTO _prisma_migrations SELECT * FROM _prisma_migrations"}) {
    CAPTURE(sql);
    CHECK(shared.refusal_of(shared.other, sql) == "42501");
  }
  // A gate that is woken looks again, and no more.
  shared.project.set("release", "r2");
  REQUIRE(shared.refusal_of(shared.other, "NOTIFY schemagate_marker") == "");
  CHECK(shared.project.look() == 30);
}

TEST_CASE("a role that may only connect does not stop a run by calling itself like a runner") {
  SharedDatabase shared;
  REQUIRE(shared.project.run() == exits(0));
  std::vector<schemagate::pg::Session> strangers;
  for (const int fence : {0, 1, 2, 3}) {
    strangers.emplace_back(
        shared.project.database.url_as(shared.other.name()) +
        "?application_name=" + runner_name(shared.project.database, "prisma:public", fence, "ab"));
  }
  shared.project.set("release", "r2").migration("2_more", "CREATE TABLE more (id int);");
  const auto result = shared.project.run();
  CHECK(result == exits(0, "calls itself like an earlier runner"));
  CHECK(result.err == contains("of role " + shared.other.name()));
  for (auto& stranger : strangers) CHECK_NOTHROW(stranger.query("SELECT 1"));
}

TEST_CASE("who holds Prisma's lock is named, and the run ends with 11") {
  SharedDatabase shared;
  shared.project.set("lease.wait", "2s");
  schemagate::pg::Session stranger{shared.project.database.url_as(shared.other.name())};
  stranger.query("SELECT pg_advisory_lock(72707369)");
  const auto result = shared.project.run();
  CHECK(result == exits(11, "pid " + std::to_string(stranger.backend_pid())));
  CHECK(result.err == contains(shared.other.name()));
  CHECK(shared.project.look() == 30);
}

TEST_CASE("what others put into public is not called by what schemagate asks") {
  SharedDatabase shared;
  shared.execute("GRANT CREATE ON SCHEMA public TO $other");
  const std::vector<std::pair<std::string, std::string>> planted = {
      {"unnest(name[])", "SETOF name"},
      {"unnest(text[])", "SETOF text"},
      {"unnest(smallint[])", "SETOF smallint"},
      {"to_regclass(text)", "regclass"},
      {"starts_with(name, text)", "boolean"},
      {"quote_ident(name)", "text"},
      {"format(text, name, name)", "text"},
      {"pg_notify(text, text)", "void"},
      {"hashtextextended(text, integer)", "bigint"}};
  for (const auto& [signature, type] : planted)
    REQUIRE(shared.refusal_of(shared.other, "CREATE FUNCTION public." + signature + " RETURNS " +
                                                type +
                                                " LANGUAGE plpgsql AS "
                                                "$$BEGIN RAISE EXCEPTION 'planted'; END$$") == "");
  for (const std::string types : {"oid, integer", "name, text", "oid, bigint"}) {
    const auto comma = types.find(',');
    REQUIRE(shared.refusal_of(shared.other, "CREATE FUNCTION public.is_same(" + types +
                                                ") RETURNS boolean LANGUAGE plpgsql AS "
                                                "$$BEGIN RAISE EXCEPTION 'planted'; END$$;"
                                                "CREATE OPERATOR public.= (LEFTARG = " +
                                                types.substr(0, comma) +
                                                ", RIGHTARG = " + types.substr(comma + 1) +
                                                ", FUNCTION = public.is_same)") == "");
  }
  REQUIRE(shared.refusal_of(shared.migrator, "SELECT quote_ident('x'::name)") == "P0001");
  auto& project = shared.project;
  project.migration("2_index", "CREATE INDEX CONCURRENTLY users_id ON users (id);");
  // Also where the role's own settings put public first.
  for (const std::string path : {"public", "public, pg_catalog"}) {
    CAPTURE(path);
    shared.execute("ALTER ROLE $migrator SET search_path = " + path);
    std::string told;
    for (const auto& arguments : {project.arguments("run"), project.arguments("status"),
                                  project.arguments("gate", {"--once"}),
                                  project.arguments("resolve", {"1_users", "--auto"}),
                                  project.arguments("baseline", {"1_users"})}) {
      const auto result = testing::schemagate(arguments, project.options());
      told += result.out + result.err;
    }
    CHECK(told != contains("planted"));
    CHECK(project.look() == 0);
    project.set("release", "r2").migration("3_more", "CREATE TABLE more (id int);");
  }
}

TEST_CASE("what was done to our tables or the history since is told, and closes the gate") {
  const std::vector<std::pair<std::string, std::string>> changes = {
      {"ALTER TABLE schemagate.marker OWNER TO $other", "schemagate.marker belongs to $other"},
      {"CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;"
       "CREATE TRIGGER mine BEFORE INSERT ON schemagate.marker FOR EACH ROW EXECUTE FUNCTION mine()",
       "schemagate.marker has a trigger, mine"},
      {"CREATE RULE mine AS ON INSERT TO schemagate.run DO INSTEAD NOTHING",
       "schemagate.run has a rule, mine"},
      {"ALTER TABLE _prisma_migrations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
       "public._prisma_migrations: rows are hidden from role $migrator"},
      {"ALTER TABLE schemagate.marker ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY",
       "schemagate.marker: rows are hidden from role $migrator"}};
  for (const auto& [change, told] : changes) {
    CAPTURE(change);
    SharedDatabase shared;
    REQUIRE(shared.project.run() == exits(0));
    REQUIRE(shared.project.look() == 0);
    shared.execute(change + "; GRANT ALL ON _prisma_migrations, schemagate.marker TO $migrator");
    CHECK(shared.project.run() == exits(24, shared.named(told), "hint: "));
    CHECK(shared.project.gate({"--once"}) == exits(30, shared.named(told)));
  }
}

TEST_CASE("one hint switches off row-level security wherever it hides rows") {
  SharedDatabase shared;
  REQUIRE(shared.project.run() == exits(0));
  for (const std::string table : {"schemagate.lock", "schemagate.run", "public._prisma_migrations"})
    shared.execute("ALTER TABLE " + table + " ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
  const auto result = shared.project.run();
  REQUIRE(result ==
          exits(24, "public._prisma_migrations, schemagate.lock, schemagate.run: rows are hidden"));
  const auto start = result.err.find("ALTER TABLE");
  const auto hint = result.err.substr(start, result.err.find("; or as a superuser", start) - start);
  REQUIRE(shared.refusal_of(shared.migrator, hint) == "");
  CHECK(shared.project.run() == exits(0));
}

TEST_CASE("a run in one schema opens no gate of another, whatever the release is called") {
  SharedDatabase shared;
  shared.execute("GRANT CREATE ON DATABASE " + shared.project.database.name() + " TO $migrator");
  const auto url = shared.project.environment["DATABASE_URL"];
  const auto in = [&](const std::string& schema) {
    shared.project.environment["DATABASE_URL"] = url + "?schema=" + schema;
  };
  in("tenant_a");
  REQUIRE(shared.project.run() == exits(0));
  in("tenant_b");
  CHECK(shared.project.gate({"--once"}) ==
        exits(30, "it is complete for prisma:tenant_a, but this gate is for prisma:tenant_b"));
  REQUIRE(shared.project.run() == exits(0));
  CHECK(shared.project.look() == 0);
  // Emptied, and made again: complete is another history than the one that is there.
  shared.project.database.execute("DROP SCHEMA tenant_b CASCADE; CREATE SCHEMA tenant_b");
  shared.execute("GRANT ALL ON SCHEMA tenant_b TO $migrator");
  CHECK(shared.project.gate({"--once"}) == exits(30, "is gone: the schema was emptied"));
  in("tenant_a");
  CHECK(shared.project.look() == 0);
}

TEST_CASE("who may write the history is believed, also by a gate that was open") {
  SharedDatabase shared;
  REQUIRE(shared.project.run() == exits(0));
  REQUIRE(shared.project.look() == 0);
  shared.execute("GRANT SELECT, DELETE ON _prisma_migrations TO $other");
  REQUIRE(shared.refusal_of(shared.other, "DELETE FROM _prisma_migrations") == "");
  CHECK(shared.project.gate({"--once"}) ==
        exits(30, "was completed, but by now migration 1_users is not applied"));
}

TEST_SUITE_END();

TEST_CASE("an app with the gate's rights passes the gate of a command that keeps no history") {
  SharedDatabase shared;
  shared.project.command("true");
  shared.as(shared.migrator);
  REQUIRE(shared.project.run() == exits(0));
  shared.give("gate-role.sql", shared.other);
  shared.as(shared.other);
  CHECK(shared.project.gate({"--once"}) == exits(0));
  // Whoever might have planted the tables is another matter.
  shared.execute("ALTER TABLE schemagate.marker OWNER TO $other");
  const TestRole app{"app"};
  shared.give("gate-role.sql", app);
  shared.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC, $other");
  shared.as(app);
  CHECK(shared.project.gate({"--once"}) == exits(30, "has no reason to trust"));
}
