// What a database, a role or a copy brings along: settings, names, lost defaults and keys.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"

using namespace testing;

namespace {

void two_migrations(GateProject& project) {
  project.migration(
      "1_item", "CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE item(id int PRIMARY KEY, m mood);");
  project.migration("2_index", "CREATE INDEX CONCURRENTLY item_m ON item(m);");
}

// Where the history is, and what the migrations made.
std::string places(const GateProject& project) {
  return project.database.value(
      "SELECT string_agg(DISTINCT nspname, ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
      "WHERE relname IN ('_prisma_migrations', 'item', 'item_m')");
}

void check_a_release(GateProject& project) {
  CHECK(project.gate({"--once"}) == exits(30));
  REQUIRE(project.run() == exits(0));
  CHECK(project.run() == exits(0, "nothing to do"));
  CHECK(project.gate({"--once"}) == exits(0));
  CHECK(testing::schemagate(project.arguments("status"), project.options()) == exits(0));
}

}  // namespace

TEST_CASE(
    "history and tables are in the same schema, whatever search_path a database or role sets") {
  const struct {
    const char* search_path;
    const char* schema;
  } k_paths[] = {
      {"public, pg_catalog", "public"},
      {"pg_catalog, public", "public"},
      {"pg_temp, public", "public"},
      {"never", "public"},
      {"''", "public"},
      {"nowhere, shop, public", "shop"},
      {"\"$user\", shop", "shop"},
      {"pg_catalog, shop", "shop"},
  };
  for (const bool by_role : {false, true}) {
    for (const auto& [search_path, schema] : k_paths) {
      CAPTURE(by_role);
      CAPTURE(search_path);
      const TestRole role{"path"};
      GateProject project;
      two_migrations(project);
      const auto& name = project.database.name();
      project.database.execute("CREATE SCHEMA shop; GRANT ALL ON SCHEMA public, shop TO " +
                               role.name() + "; GRANT CREATE ON DATABASE " + name + " TO " +
                               role.name());
      project.database.execute(
          (by_role ? "ALTER ROLE " + role.name() + " IN" : std::string{"ALTER"}) + " DATABASE " +
          name + " SET search_path = " + search_path);
      project.environment["DATABASE_URL"] = project.database.url_as(role.name());
      check_a_release(project);
      CHECK(places(project) == schema);
      // A schema of an earlier name comes later: nothing moves.
      project.database.execute(
          "CREATE SCHEMA IF NOT EXISTS nowhere; GRANT ALL ON SCHEMA nowhere TO " + role.name() +
          "; CREATE SCHEMA " + role.name() + " AUTHORIZATION " + role.name());
      project.migration("3_more",
                        "ALTER TABLE item ADD COLUMN x int; CREATE TABLE item_more(id int);");
      project.set("release", "r2");
      check_a_release(project);
      CHECK(places(project) == schema);
      CHECK(project.database.value(
                "SELECT schemaname FROM pg_tables WHERE tablename = 'item_more'") == schema);
      project.database.execute("DROP OWNED BY " + role.name());
    }
  }
}

TEST_CASE("settings of a database change nothing of what a run and a gate see") {
  for (const auto* setting :
       {"default_transaction_isolation = serializable", "default_transaction_deferrable = on",
        "standard_conforming_strings = off", "client_encoding = LATIN1",
        "datestyle = 'German, DMY'", "timezone = 'Asia/Kathmandu'", "intervalstyle = iso_8601",
        "bytea_output = escape", "extra_float_digits = -15", "quote_all_identifiers = on",
        "transform_null_equals = on", "array_nulls = off",
        "idle_in_transaction_session_timeout = 300", "row_security = off",
        "application_name = 'schemagate:0'", "session_replication_role = replica",
        "client_min_messages = error", "plan_cache_mode = force_generic_plan"}) {
    CAPTURE(setting);
    GateProject project;
    two_migrations(project);
    project.database.execute("ALTER DATABASE " + project.database.name() + " SET " + setting);
    check_a_release(project);
    CHECK(places(project) == "public");
  }
}

TEST_CASE("a schema may have any name, ours and the app's") {
  for (const auto* name : {"a$1b", "cash$99", "$2$1", "we\"ird", "o'hara", "back\\slash", "sp ace",
                           "%s{}", "Ünï", "schemagate.x", "x-1", "select"}) {
    for (const auto* key : {"migrations.schema", "database.bookkeeping_schema"}) {
      CAPTURE(name);
      CAPTURE(key);
      GateProject project;
      two_migrations(project);
      std::string quoted;
      for (const char c : std::string{name}) quoted.append(c == '\'' ? 2 : 1, c);
      project.set(key, "'" + quoted + "'");
      check_a_release(project);
      CHECK(project.database.value(
                "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relkind = "
                "'r' AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '" +
                quoted + "')") ==
            (key[0] == 'm' ? "_prisma_migrations item" : "lock marker run snapshot step version"));
    }
  }
}

TEST_CASE("a copy of a database that lost something else than its rows is worked on") {
  for (
      const auto* loss :
      {// the state of sequences, by replication or a dump of the data alone
       "SELECT setval(pg_get_serial_sequence('schemagate.run', 'id'), 1, false)",
       // identities and defaults, by tools that copy columns and keys only
       "ALTER TABLE schemagate.run ALTER id DROP IDENTITY, ALTER started_at DROP DEFAULT, ALTER status DROP "
       "DEFAULT, ALTER applied DROP DEFAULT; ALTER TABLE schemagate.step ALTER started_at DROP DEFAULT, ALTER "
       "evidence DROP DEFAULT; ALTER TABLE schemagate.marker ALTER changed_at DROP DEFAULT",
       "ALTER TABLE _prisma_migrations ALTER started_at DROP DEFAULT, ALTER applied_steps_count DROP DEFAULT",
       // all of our rows, by replication of the app's tables alone
       "TRUNCATE schemagate.version, schemagate.lock, schemagate.run, schemagate.step, schemagate.marker, schemagate.snapshot",
       "DROP SCHEMA schemagate CASCADE",
       // some of our tables
       "DROP TABLE schemagate.lock", "DROP TABLE schemagate.run", "DROP TABLE schemagate.step",
       "DROP TABLE schemagate.marker", "DROP TABLE schemagate.version",
       "DROP TABLE schemagate.version, schemagate.lock, schemagate.run, schemagate.step",
       // the table's oid
       "CREATE TABLE copy (LIKE _prisma_migrations INCLUDING ALL); INSERT INTO copy TABLE _prisma_migrations; "
       "DROP TABLE _prisma_migrations; ALTER TABLE copy RENAME TO _prisma_migrations"}) {
    CAPTURE(loss);
    GateProject project;
    two_migrations(project);
    check_a_release(project);
    project.set("release", "r2");
    check_a_release(project);
    project.database.execute(loss);
    CHECK(project.run() == exits(0));
    CHECK(project.gate({"--once"}) == exits(0));
    project.migration(
        "3_more",
        "ALTER TABLE item ADD COLUMN x int;\nCREATE INDEX CONCURRENTLY item_x ON item(x);");
    project.set("release", "r3");
    check_a_release(project);
    CHECK(project.database.value("SELECT count(*) FROM _prisma_migrations") == "3");
  }
}

TEST_CASE("a table of ours that somebody drops is made again by a run, and until then told of") {
  for (const std::string table : {"lock", "run", "step", "marker", "version"}) {
    CAPTURE(table);
    GateProject project;
    two_migrations(project);
    check_a_release(project);
    project.database.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;"
                             "DROP TABLE schemagate." +
                             table);
    const auto status = testing::schemagate(project.arguments("status"), project.options());
    if (table == "marker") {
      CHECK(project.gate({"--once"}) == exits(30, "not all there any more"));
      CHECK(status == exits(30));
      CHECK(status.out == contains("not all there any more"));
    } else {
      CHECK(project.gate({"--once"}) == exits(0));
      CHECK(status == exits(0));
      project.set("release", "r2");
    }
    CHECK(project.run() == exits(0, "somebody had dropped " + table + ": made again"));
    CHECK(project.gate({"--once"}) == exits(0));
    CHECK(project.database.value("SELECT string_agg(DISTINCT privilege_type, ' ') FROM pg_class, "
                                 "aclexplode(relacl) WHERE grantee = 0 AND relname = '" +
                                 table + "'") == "SELECT");
    project.set("release", "r3").migration("3_more", "CREATE TABLE more(id int);");
    check_a_release(project);
  }
}

TEST_CASE("a column that somebody takes from a table is no error of ours, and the hint helps") {
  const std::pair<std::string, std::string> k_columns[] = {
      {"lock", "app"}, {"run", "digest"}, {"marker", "digest"}};
  for (const auto& [table, column] : k_columns) {
    CAPTURE(table);
    GateProject project;
    two_migrations(project);
    check_a_release(project);
    project.database.execute("ALTER TABLE schemagate." + table + " DROP COLUMN " + column);
    project.set("release", "r2");
    CHECK(project.run() == exits(24, "\"" + column + "\"", "may be dropped by its owner"));
    CHECK(testing::schemagate(project.arguments("status"), project.options()).exit_code != 1);
    CHECK(project.look() == 30);
    project.database.execute("DROP TABLE schemagate." + table);
    check_a_release(project);
  }
}

TEST_CASE("what stands in the way of our tables is told with a statement that takes it away") {
  const struct {
    const char* obstacle;
    int code;
    const char* words;
    const char* remedy;  // where the hint has it as it is to be typed: its beginning
  } k_obstacles[] = {
      {"ALTER TABLE schemagate.lock DROP CONSTRAINT lock_pkey", 24, "no primary key",
       "ALTER TABLE"},
      {"ALTER TABLE schemagate.marker DROP CONSTRAINT marker_pkey", 24, "no primary key",
       "ALTER TABLE"},
      {"ALTER TABLE schemagate.step DROP CONSTRAINT step_pkey", 24, "no primary key",
       "ALTER TABLE"},
      {"ALTER TABLE schemagate.run DROP CONSTRAINT run_pkey", 24, "no primary key", "ALTER TABLE"},
      {"CREATE RULE r AS ON UPDATE TO schemagate.lock DO INSTEAD NOTHING", 24, "a rule",
       "DROP RULE"},
      {"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER \"T 1\" "
       "BEFORE UPDATE ON schemagate.run FOR EACH ROW EXECUTE FUNCTION f()",
       24, "a trigger", "DROP TRIGGER"},
      {"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t "
       "BEFORE INSERT ON _prisma_migrations FOR EACH ROW EXECUTE FUNCTION f()",
       24, "a trigger", "DROP TRIGGER"},
      {"ALTER TABLE schemagate.lock REPLICA IDENTITY NOTHING; CREATE PUBLICATION p FOR ALL TABLES",
       24, "replica identity", nullptr},
  };
  for (const auto& [obstacle, code, words, remedy] : k_obstacles) {
    CAPTURE(obstacle);
    GateProject project;
    two_migrations(project);
    check_a_release(project);
    project.database.execute(obstacle);
    project.migration("3_more", "CREATE TABLE more(id int);");
    const auto result = project.run();
    CHECK(result == exits(code, words));
    CHECK(result.err != contains("please report"));
    if (remedy == nullptr) continue;
    const auto start = result.err.find(remedy);
    REQUIRE(start != std::string::npos);
    project.database.execute(result.err.substr(start, result.err.find('\n', start) - start));
    check_a_release(project);
  }
}

TEST_CASE(
    "an event trigger of somebody's is named with its words, whatever they are, or is obeyed") {
  constexpr const char* k_each_table =
      "FOR made IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP EXECUTE "
      "'ALTER TABLE ' || made.object_identity || ' ENABLE ROW LEVEL SECURITY'; END LOOP;";
  const struct {
    const char* event;
    std::string body;
    int code;
    const char* words;
  } k_triggers[] = {
      {"ddl_command_start", "RAISE EXCEPTION 'frozen';", 24, "frozen"},
      {"ddl_command_end", "RAISE EXCEPTION 'frozen' USING ERRCODE = '42501';", 24, "frozen"},
      {"ddl_command_end", "RAISE EXCEPTION 'frozen' USING ERRCODE = '42P07';", 24, "frozen"},
      {"ddl_command_end", "RAISE EXCEPTION 'frozen' USING ERRCODE = '55P03';", 24, "frozen"},
      {"ddl_command_end", "RAISE EXCEPTION 'frozen' USING ERRCODE = 'query_canceled';", 24,
       "frozen"},
      {"ddl_command_end", "INSERT INTO audit.log VALUES (tg_tag);", 24,
       "permission denied for table log"},
      {"ddl_command_end", "INSERT INTO audit.gone VALUES (tg_tag);", 24, "audit.gone"},
      {"ddl_command_end", "PERFORM 1/0;", 24, "division by zero"},
      {"ddl_command_end", k_each_table, 0, ""},
      {"ddl_command_end", "PERFORM pg_sleep(0.01);", 0, ""},
  };
  for (const auto& [event, body, code, words] : k_triggers) {
    CAPTURE(event);
    CAPTURE(body);
    const TestRole role{"watched"};
    GateProject project;
    project.migration("1_item", "CREATE TABLE item(id int);");
    const auto& database = project.database;
    database.execute(
        "GRANT CREATE ON DATABASE " + database.name() + " TO " + role.name() +
        "; GRANT ALL ON SCHEMA public TO " + role.name() +
        "; CREATE SCHEMA audit; GRANT USAGE ON "
        "SCHEMA audit TO " +
        role.name() +
        "; CREATE TABLE audit.log(tag text);"
        "CREATE FUNCTION audit.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE made "
        "record; BEGIN " +
        body + " END $$; CREATE EVENT TRIGGER watch ON " + event +
        " EXECUTE FUNCTION audit.watch()");
    project.environment["DATABASE_URL"] = database.url_as(role.name());
    const auto result = project.run();
    CHECK(result == exits(code, words));
    if (code != 0) CHECK(result == exits(code, "audit.watch()"));
    CHECK(result.err != contains("please report"));
    CHECK(result.err != contains("GRANT CREATE"));
    CHECK(project.look() == (code == 0 ? 0 : 30));
    database.execute("DROP EVENT TRIGGER watch; DROP OWNED BY " + role.name());
  }
}
