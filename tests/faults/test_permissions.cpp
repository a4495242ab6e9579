// A role that lacks one right after the other.

#include "faults/server_fixture.hpp"
#include "support/gate_project.hpp"
#include "support/lease.hpp"

using namespace testing;

namespace {

// A database that a superuser has migrated, and a role that has been given what a run needs.
struct Granted {
  explicit Granted(const std::string& suffix) : role{suffix} {
    shop.migration("1_init", "CREATE TABLE t (x int);\n");
    REQUIRE(shop.run() == exits(0));
    execute(
        "GRANT USAGE, CREATE ON SCHEMA public TO $role; GRANT USAGE ON SCHEMA schemagate TO $role;"
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA schemagate TO $role;"
        "GRANT SELECT, INSERT, UPDATE ON _prisma_migrations TO $role;"
        "ALTER TABLE t OWNER TO $role");
    shop.settings.url = shop.database().url_as(role.name() + ":" + testing::k_password);
    // Its first part is committed before the second one is tried.
    shop.migration("2_next", "ALTER TABLE t ADD y int;\nCREATE INDEX CONCURRENTLY i ON t (y);\n");
  }
  void execute(std::string sql) const {
    for (auto at = sql.find("$role"); at != std::string::npos; at = sql.find("$role"))
      sql.replace(at, 5, role.name());
    shop.database().execute(sql);
  }
  [[nodiscard]] std::string now() const { return state(shop.database().url()); }
  void check_completes() const {
    CHECK(shop.run() == exits(0));
    CHECK(now() == "1_init, 2_next | t | complete");
    CHECK(shop.indexes(true) == "i");
  }

  TestRole role;
  Deployment shop;
};

void check_told(const Result& result, int code, const std::string& cause, const std::string& hint) {
  CHECK(result == exits(code));
  CHECK(tells(result, cause, hint));
  CHECK(keeps_secret(result));
}

constexpr const char* k_refused =
    "exit 24, the table and the GRANT are named, nothing was applied; after the GRANT a run completes";

}  // namespace

TEST_CASE(
    "a run that lacks any right on any table of the bookkeeping is refused before it applies anything, with the GRANT") {
  int times = 0;
  for (const std::string table :
       {"schemagate.lock", "schemagate.run", "schemagate.step", "schemagate.marker",
        "schemagate.snapshot", "public._prisma_migrations"}) {
    const Granted case_{"table"};
    for (const std::string right : {"SELECT", "INSERT", "UPDATE"}) {
      CAPTURE(table);
      CAPTURE(right);
      case_.execute("REVOKE " + right + " ON " + table + " FROM $role");
      const auto result = case_.shop.run();
      check_told(result, 24, table.substr(table.find('.') + 1), right);
      CHECK(tells(result, "", "GRANT"));
      CHECK(case_.now() == "1_init | t | complete");
      CHECK(case_.shop.database().value("SELECT count(*) FROM pg_attribute WHERE attrelid ="
                                        " 't'::regclass AND attname = 'y'") == "0");
      case_.execute("GRANT " + right + " ON " + table + " TO $role");
      ++times;
    }
    case_.check_completes();
  }
  record({.fault = "SELECT, INSERT or UPDATE missing on one table of schema schemagate, or on "
                   "_prisma_migrations",
          .where = "a run with a pending migration",
          .seen = k_refused},
         times);
}

TEST_CASE(
    "a run that lacks a right on a schema, on the version or on the database is refused with the GRANT") {
  struct Right {
    std::string revoke;
    std::string grant;
    std::string cause;
    std::string hint;
    int code;
    std::string name;
  };
  const std::vector<Right> rights = {
      {"REVOKE USAGE ON SCHEMA schemagate FROM $role", "GRANT USAGE ON SCHEMA schemagate TO $role",
       "permission denied for schema schemagate", "GRANT USAGE ON SCHEMA schemagate", 24,
       "USAGE on schema schemagate"},
      {"REVOKE SELECT ON schemagate.version FROM $role",
       "GRANT SELECT ON schemagate.version TO $role", "permission denied for table version",
       "GRANT SELECT", 24, "SELECT on schemagate.version"},
      {"REVOKE CONNECT ON DATABASE $database FROM public",
       "GRANT CONNECT ON DATABASE $database TO $role", "permission denied for database",
       "GRANT CONNECT ON DATABASE", 10, "CONNECT on the database"},
  };
  for (const auto& right : rights) {
    CAPTURE(right.name);
    const Granted case_{"schema"};
    const auto put = [&](std::string sql) {
      if (const auto at = sql.find("$database"); at != std::string::npos)
        sql.replace(at, 9, case_.shop.database().name());
      case_.execute(sql);
    };
    put(right.revoke);
    check_told(case_.shop.run(), right.code, right.cause, right.hint);
    CHECK(case_.now() == "1_init | t | complete");
    put(right.grant);
    case_.check_completes();
    record({.fault = right.name + " missing",
            .where = "a run with a pending migration",
            .seen = "exit " + std::to_string(right.code) +
                    ", the GRANT is named, nothing was applied; after the GRANT a run completes"});
  }
}

TEST_CASE(
    "the first run of a role that may not make our schema, or not the history, is refused with the GRANT") {
  const TestRole role{"first"};
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int);\n");
  shop.settings.url = shop.database().url_as(role.name() + ":" + testing::k_password);
  shop.database().execute("GRANT USAGE, CREATE ON SCHEMA public TO " + role.name());
  check_told(shop.run(), 24, "permission denied for database", "GRANT CREATE ON DATABASE");
  CHECK(state(shop.database().url()) == "none | none | none");
  shop.database().execute("CREATE SCHEMA schemagate");
  check_told(shop.run(), 24, "permission denied for schema schemagate", "schemagate");
  shop.database().execute("ALTER SCHEMA schemagate OWNER TO " + role.name() +
                          "; REVOKE CREATE ON SCHEMA public FROM public, " + role.name());
  check_told(shop.run(), 24, "may not create tables in schema public",
             "GRANT USAGE, CREATE ON SCHEMA public TO " + role.name());
  CHECK(state(shop.database().url()) == "none | none | none");
  shop.database().execute("GRANT CREATE ON SCHEMA public TO " + role.name());
  CHECK(shop.run() == exits(0));
  CHECK(state(shop.database().url()) == "1_init | t | complete");
  record(
      {.fault = "CREATE missing on the database or on a schema",
       .where = "the first run",
       .seen = "exit 24, the GRANT is named, nothing was applied; after the GRANT a run completes"},
      3);
}

TEST_CASE(
    "a script that lacks a right fails with 21, and the hint is about the right, not the script") {
  Granted case_{"script"};
  std::string cause;
  std::string hint;
  std::string repair;
  std::string name;
  SUBCASE("ownership") {
    hint = "superuser: ALTER TABLE t OWNER TO";
    case_.execute("ALTER TABLE t OWNER TO postgres");
    cause = "must be owner of table t";
    repair = "ALTER TABLE t OWNER TO $role";
    name = "ownership of a table that a migration alters missing";
  }
  SUBCASE("CREATE") {
    hint = "superuser: GRANT USAGE, CREATE ON SCHEMA public TO";
    case_.execute("REVOKE CREATE ON SCHEMA public FROM public, $role");
    cause = "permission denied for schema public";
    repair = "GRANT CREATE ON SCHEMA public TO $role";
    name = "CREATE missing on the schema that a migration creates in";
  }
  SUBCASE("USAGE") {
    hint = "superuser: GRANT USAGE ON SCHEMA other TO";
    case_.execute("CREATE SCHEMA other; CREATE TABLE other.z (x int)");
    case_.shop.migration("2_next", "ALTER TABLE t ADD y int;\nSELECT * FROM other.z;\nCOMMIT;\n"
                                   "CREATE INDEX CONCURRENTLY i ON t (y);\n");
    cause = "permission denied for schema other";
    repair = "GRANT USAGE ON SCHEMA other TO $role; GRANT SELECT ON other.z TO $role";
    name = "USAGE missing on a schema that a migration reads";
  }
  const auto result = case_.shop.run();
  check_told(result, 21, "ERROR 42501: " + cause, hint);
  CHECK(result.err == contains("migrations/2_next/migration.sql:"));
  CHECK(result.err != contains("hint: fix"));
  CHECK(case_.now() == contains("failed"));
  case_.execute(repair);
  case_.check_completes();
  record({.fault = name,
          .where = "a statement of a script",
          .seen =
              "exit 21 with the statement and the missing right; after the GRANT a run completes"});
}

TEST_CASE(
    "a role that may not end what another role's runner left behind says which backend with 11") {
  const TestRole other{"earlier"};
  Granted case_{"successor"};
  auto left =
      schemagate::pg::Session{case_.shop.database().url_as(other.name()) + "?application_name=" +
                              runner_name(case_.shop.database(), "prisma:public", 1, "ab")};
  case_.shop.database().execute("UPDATE schemagate.lock SET role = '" + other.name() + "'");
  case_.shop.settings.lease = "ttl: 10s";  // no shorter than it tries to end that backend
  const auto result = case_.shop.run();
  const auto pid = std::to_string(left.backend_pid());
  check_told(result, 11, "do not end: pid " + pid, "pg_terminate_backend");
  CHECK(result.err == contains("backend " + pid + " of role " + other.name() + " cannot be ended"));
  CHECK(case_.now() == "1_init | t | complete");
  case_.execute("GRANT pg_signal_backend TO $role");
  case_.check_completes();
  record(
      {.fault = "pg_signal_backend missing",
       .where = "another role's runner left a backend behind",
       .seen =
           "exit 11, the backend is named, nothing was applied; after the GRANT a run completes"});
}

TEST_CASE("a gate that lacks a right stays closed, says which, and opens once it is granted") {
  const TestRole role{"gate"};
  testing::GateProject app;
  app.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(app.run() == exits(0));
  app.environment["DATABASE_URL"] = app.database.url_as(role.name() + ":" + testing::k_password);
  app.set("gate.poll", "300ms").set("gate.timeout", "10m");
  auto gate = app.start_gate();
  CHECK(gate.says("permission denied for schema schemagate (grant it"));
  app.database.execute("GRANT USAGE ON SCHEMA schemagate TO " + role.name());
  CHECK(gate.says("permission denied for table marker (grant it"));
  CHECK(gate.is_running());
  const auto once = app.gate({"--once"});
  check_told(once, 30, "permission denied for table marker (grant it: deploy/sql/gate-role.sql)",
             "");
  app.database.execute("GRANT SELECT ON schemagate.marker TO " + role.name());
  const auto opened = gate.wait();
  CHECK(opened == exits(0));
  CHECK(keeps_secret(opened));
  app.set("gate.match", "migrations");
  check_told(app.gate({"--once"}), 30, "permission denied for table _prisma_migrations (grant it",
             "");
  app.database.execute("GRANT SELECT ON _prisma_migrations TO " + role.name());
  CHECK(app.gate({"--once"}) == exits(0));
  record({.fault = "USAGE on schema schemagate or SELECT on its marker or the history missing",
          .where = "a gate",
          .seen = "stays closed and says what to grant; opens once it is granted"},
         3);
}
