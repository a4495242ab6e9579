// Others in the same database: what they own is neither executed nor believed, and what they may
// write is told.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"

using namespace testing;

namespace {

constexpr const char* k_sprung = "the trap was sprung";

// A project that a migrator works on, in a database where a stranger may create things.
struct Neighbourhood {
  TestRole migrator{"migrator"};
  TestRole stranger{"stranger"};
  GateProject project;

  Neighbourhood() {
    project.migration("1_item", "CREATE TABLE item(id int PRIMARY KEY);");
    project.database.execute("GRANT CREATE ON DATABASE " + project.database.name() + " TO " +
                             migrator.name() + "; GRANT CREATE, USAGE ON SCHEMA public TO " +
                             migrator.name() + ", " + stranger.name());
    log_in_as(migrator.name());
  }
  ~Neighbourhood() {
    project.database.execute("DROP OWNED BY " + migrator.name() + ", " + stranger.name() +
                             " CASCADE");
  }
  Neighbourhood(const Neighbourhood&) = delete;
  Neighbourhood& operator=(const Neighbourhood&) = delete;

  void log_in_as(const std::string& role) {
    project.environment["DATABASE_URL"] = project.database.url_as(role);
  }
  void log_in_as_superuser() { project.environment["DATABASE_URL"] = project.database.url(); }
  // As the stranger, with a function that says who has called it.
  void plant(const std::string& sql) const {
    project.database.execute(
        "SET ROLE " + stranger.name() +
        ";CREATE FUNCTION public.trap() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION "
        "'" +
        std::string{k_sprung} + " by %', current_user; END $$;" + sql);
  }
  [[nodiscard]] Result call(const std::string& command, const std::vector<std::string>& more = {}) {
    return testing::schemagate(project.arguments(command, more), project.options());
  }
  // Each command, and each way in which run and gate look.
  [[nodiscard]] std::vector<Result> all_commands() {
    std::vector<Result> results;
    results.push_back(call("status"));
    results.push_back(call("gate", {"--once"}));
    results.push_back(call("run"));
    results.push_back(call("resolve", {"1_item", "--auto"}));
    results.push_back(call("baseline", {"1_item"}));
    project.set("mode", "check").set("gate.match", "migrations");
    results.push_back(call("run"));
    results.push_back(call("gate", {"--once"}));
    project.set("mode", "apply").set("gate.match", "release");
    return results;
  }
};

constexpr const char* k_history_of =
    "CREATE TABLE public._prisma_migrations ("
    "id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL,"
    "finished_at timestamptz, migration_name varchar(255) NOT NULL,"
    "logs text, rolled_back_at timestamptz,"
    "started_at timestamptz NOT NULL DEFAULT now(),"
    "applied_steps_count int NOT NULL DEFAULT 0);"
    "GRANT ALL ON public._prisma_migrations TO PUBLIC;";

}  // namespace

TEST_CASE("no command executes what a stranger put in the place of the history, or believes it") {
  const struct {
    const char* what;
    std::string sql;
  } k_traps[] = {
      {"a view that calls a function",
       "CREATE VIEW public._prisma_migrations AS SELECT 'x'::text AS id, ''::text AS checksum, now() AS "
       "finished_at, trap() AS migration_name, trap() AS logs, NULL::timestamptz AS rolled_back_at, now() "
       "AS started_at, 1 AS applied_steps_count; GRANT ALL ON public._prisma_migrations TO PUBLIC"},
      {"a type with a cast that calls a function",
       "CREATE TYPE public.moment AS (at timestamptz);"
       "CREATE FUNCTION public.moment_is(public.moment) RETURNS timestamptz LANGUAGE sql AS "
       "'SELECT public.trap()::timestamptz';"
       "CREATE CAST (public.moment AS timestamptz) WITH FUNCTION public.moment_is AS IMPLICIT;" +
           std::string{k_history_of} +
           "ALTER TABLE public._prisma_migrations ALTER started_at DROP DEFAULT, ALTER started_at TYPE "
           "public.moment USING NULL; INSERT INTO public._prisma_migrations VALUES ('x', '', NULL, "
           "'1_item', '', NULL, ROW(now()), 0)"},
      {"a table with a default and a constraint that call a function",
       k_history_of +
           std::string{"ALTER TABLE public._prisma_migrations ALTER logs SET DEFAULT trap(), "
                       "ADD CHECK (checksum IS NULL OR trap() IS NULL)"}},
      {"a table with a trigger",
       k_history_of +
           std::string{
               "CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
               "PERFORM public.trap(); END $$; CREATE TRIGGER t BEFORE INSERT OR UPDATE ON "
               "public._prisma_migrations FOR EACH STATEMENT EXECUTE FUNCTION public.fire()"}},
      {"a table with a rule",
       k_history_of + std::string{"CREATE RULE r AS ON INSERT TO public._prisma_migrations DO ALSO "
                                  "SELECT public.trap()"}},
      {"a partitioned table",
       "CREATE TABLE public._prisma_migrations (id text, checksum text, finished_at timestamptz, "
       "migration_name text, logs text, rolled_back_at timestamptz, started_at timestamptz, "
       "applied_steps_count int) PARTITION BY LIST (id)"},
      {"a type of the same name", "CREATE TYPE public._prisma_migrations AS (id text)"},
      {"a sequence of the same name", "CREATE SEQUENCE public._prisma_migrations"},
  };
  for (const auto& [what, sql] : k_traps) {
    for (const bool as_superuser : {false, true}) {
      CAPTURE(what);
      CAPTURE(as_superuser);
      Neighbourhood here;
      here.plant(sql);
      if (as_superuser) here.log_in_as_superuser();
      for (const auto& result : here.all_commands()) {
        CHECK(result.err + result.out != contains(k_sprung));
        CHECK(result.exit_code != 0);
        CHECK(result.exit_code != 1);
      }
      CHECK(here.call("run") == exits(24, "_prisma_migrations"));
      CHECK(here.project.database.value("SELECT to_regclass('public.item') IS NULL") == "t");
    }
  }
}

TEST_CASE("no command executes what a stranger put in the place of our tables, or believes it") {
  const struct {
    const char* what;
    std::string sql;
  } k_traps[] = {
      {"an empty schema", ""},
      {"a view of our version", "CREATE VIEW schemagate.version AS SELECT trap()::int AS version"},
      {"a table of our version with a type of his own",
       "CREATE TYPE public.v AS (x int); CREATE TABLE schemagate.version (version public.v)"},
      {"a view of our markers",
       "CREATE TABLE schemagate.version AS SELECT 3 AS version; CREATE VIEW schemagate.marker AS SELECT "
       "'shop'::text AS app, 'r1'::text AS release, trap() AS scope, 'complete'::text AS status, ''::text "
       "AS digest, 0 AS error_code, ''::text AS error, 0::oid AS history_oid, now() AS changed_at, now() "
       "AS completed_at, 1 AS run_id"},
      {"a table of our locks with a default that calls a function",
       "CREATE TABLE schemagate.lock (name text PRIMARY KEY DEFAULT trap())"},
  };
  for (const auto& [what, sql] : k_traps) {
    for (const bool as_superuser : {false, true}) {
      CAPTURE(what);
      CAPTURE(as_superuser);
      Neighbourhood here;
      const auto& migrator = here.migrator.name();
      here.project.database.execute("CREATE SCHEMA schemagate AUTHORIZATION " +
                                    here.stranger.name());
      here.plant(sql + ";GRANT ALL ON SCHEMA schemagate TO " + migrator +
                 ";GRANT ALL ON ALL TABLES IN SCHEMA schemagate TO " + migrator);
      const auto before = here.project.database.value(
          "SELECT count(*) FROM pg_class WHERE relnamespace = 'schemagate'::regnamespace");
      if (as_superuser) here.log_in_as_superuser();
      for (const auto& result : here.all_commands()) {
        CHECK(result.err + result.out != contains(k_sprung));
        CHECK(result.exit_code != 0);
        CHECK(result.exit_code != 1);
      }
      CHECK(here.call("run") == exits(24, "schemagate", "bookkeeping_schema"));
      CHECK(here.project.database.value("SELECT to_regclass('public.item') IS NULL") == "t");
      CHECK(here.project.database.value("SELECT count(*) FROM pg_class WHERE relnamespace = "
                                        "'schemagate'::regnamespace") == before);
    }
  }
}

TEST_CASE("a schema that was made for the migrator, or by the database's owner, is no stranger's") {
  for (const auto* owner :
       {"the migrator", "a role of his", "the database's owner", "a superuser"}) {
    CAPTURE(owner);
    Neighbourhood here;
    const auto& database = here.project.database;
    const auto& migrator = here.migrator.name();
    const auto& other = here.stranger.name();
    const std::string who{owner};
    database.execute("CREATE SCHEMA schemagate; GRANT ALL ON SCHEMA schemagate TO " + migrator);
    if (who == "the migrator") database.execute("ALTER SCHEMA schemagate OWNER TO " + migrator);
    if (who == "a role of his") database.execute("GRANT " + other + " TO " + migrator);
    if (who == "the database's owner")
      database.execute("ALTER DATABASE " + database.name() + " OWNER TO " + other);
    if (who == "a role of his" || who == "the database's owner")
      database.execute("ALTER SCHEMA schemagate OWNER TO " + other);
    CHECK(here.call("run") == exits(0));
    CHECK(here.call("gate", {"--once"}) == exits(0));
    database.execute("ALTER DATABASE " + database.name() + " OWNER TO postgres");
  }
}

TEST_CASE("whoever may write the history or our tables is told, with a REVOKE that takes it away") {
  const std::string history = "public._prisma_migrations";
  const struct {
    const char* what;
    std::string grant;  // {} is the role
    std::string table;
  } k_ways[] = {
      {"by name", "GRANT INSERT ON public._prisma_migrations TO {}", history},
      {"by TRUNCATE alone", "GRANT TRUNCATE ON public._prisma_migrations TO {}", history},
      {"by a column", "GRANT UPDATE (finished_at) ON public._prisma_migrations TO {}", history},
      {"by PUBLIC", "GRANT DELETE ON public._prisma_migrations TO PUBLIC", history},
      {"by a group",
       "CREATE ROLE {}_group; GRANT UPDATE ON public._prisma_migrations TO {}_group; GRANT {}_group TO {}",
       history},
      {"the marker",
       "GRANT USAGE ON SCHEMA schemagate TO {}; GRANT INSERT ON schemagate.marker TO {}",
       "schemagate.marker"},
      {"the lock", "GRANT ALL ON schemagate.lock TO {}", "schemagate.lock"},
  };
  for (const auto& [what, grant, table] : k_ways) {
    CAPTURE(what);
    Neighbourhood here;
    REQUIRE(here.call("run") == exits(0));
    const auto& app = here.stranger.name();
    std::string sql = grant;
    for (auto at = sql.find("{}"); at != std::string::npos; at = sql.find("{}"))
      sql.replace(at, 2, app);
    here.project.database.execute(sql);
    const std::string who = std::string{what} == "by PUBLIC" ? "PUBLIC" : app;

    const auto status = here.call("status");
    CHECK(status.out == contains(who));
    CHECK(status.out == contains(" may write " + table));
    here.project.migration("2_more", "SELECT 1;");
    CHECK(here.call("run") == exits(0, who, " may write " + table));

    // Typed as it stands, by the owner.
    const auto start = status.out.find("REVOKE ");
    REQUIRE(start != std::string::npos);
    schemagate::pg::Session owner{here.project.database.url_as(here.migrator.name())};
    owner.execute(status.out.substr(start, status.out.find('\n', start) - start));
    CHECK(here.call("status").out != contains(" may write "));
    here.project.database.execute("DROP ROLE IF EXISTS " + app + "_group");
  }
}

TEST_CASE("default privileges give nobody the right to write the history or our tables") {
  for (const auto* where : {"", " IN SCHEMA public, schemagate"}) {
    CAPTURE(where);
    Neighbourhood here;
    const auto& migrator = here.migrator.name();
    const auto& app = here.stranger.name();
    here.project.database.execute("CREATE SCHEMA schemagate AUTHORIZATION " + migrator +
                                  "; GRANT USAGE ON SCHEMA schemagate TO " + app +
                                  "; ALTER DEFAULT PRIVILEGES FOR ROLE " + migrator + where +
                                  " GRANT ALL ON TABLES TO " + app + ", PUBLIC");
    CHECK(here.call("run") == exits(0));
    CHECK(here.project.database.column(
              "SELECT DISTINCT privilege_type FROM pg_class, aclexplode(relacl) WHERE grantee IN "
              "(0, '" +
              app +
              "'::regrole) AND (relnamespace = 'schemagate'::regnamespace OR "
              "relname = '_prisma_migrations')") == std::vector<std::string>{"SELECT"});
    CHECK(here.project.database.value("SELECT has_table_privilege('" + app +
                                      "', 'public.item', 'INSERT')") == "t");
    CHECK(here.call("status").out != contains(" may write "));
    // It may still look.
    here.log_in_as(app);
    CHECK(here.call("gate", {"--once"}) == exits(0));
  }
}
