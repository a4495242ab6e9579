// What is to be done about a migration that PostgreSQL refused: its own words, real causes.

#include "support/deployment.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

std::string hint_in(const testing::Result& result) {
  return result.err.substr(std::min(result.err.find("hint: "), result.err.size()));
}

struct Example {
  std::string before;  // what is there
  std::string script;
  std::string hint;
};

void check(const std::vector<Example>& examples, int code = 21) {
  for (const auto& [before, script, hint] : examples) {
    CAPTURE(script);
    const Deployment shop;
    if (!before.empty()) {
      shop.migration("1_before", before);
      REQUIRE(shop.run() == exits(0));
    }
    shop.migration("2_next", script);
    const auto result = shop.run();
    CHECK(result == exits(code));
    CHECK(hint_in(result) == contains(hint));
  }
}

// What stands in the hint to be typed.
std::string query_in(const std::string& hint) {
  const auto start = hint.find("SELECT ");
  return start == std::string::npos ? ""
                                    : hint.substr(start, hint.find_first_of(";\n", start) - start);
}

}  // namespace

TEST_SUITE_BEGIN("advice");

TEST_CASE("a script that is right where the server lacks something is not to be fixed") {
  check({{"", "CREATE EXTENSION vector_of_nobody", "install its package"},
         {"", "CREATE TABLE t (m citext)", "CREATE EXTENSION IF NOT EXISTS citext"},
         {"", "CREATE TABLE t (m public.vector)", "CREATE EXTENSION IF NOT EXISTS vector"},
         {"", "SELECT uuid_generate_v4()", "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\""},
         {"", "CREATE TABLE t (x text); CREATE INDEX ON t USING gin (x gin_trgm_ops)", "pg_trgm"},
         {"", "CREATE TABLE t (x int); GRANT SELECT ON t TO reporting_of_nobody",
          "CREATE ROLE \"reporting_of_nobody\""},
         {"", "ALTER DEFAULT PRIVILEGES FOR ROLE \"No Body\" GRANT SELECT ON TABLES TO public",
          "CREATE ROLE \"No Body\""}});
}

TEST_CASE("what others depend on is dropped after them, and the hint says how") {
  check({{"CREATE TABLE t (c int); CREATE VIEW v AS SELECT c FROM t", "ALTER TABLE t DROP COLUMN c",
          "CASCADE"},
         {"CREATE TYPE m AS ENUM ('a'); CREATE TABLE t (m m)", "DROP TYPE m", "CASCADE"},
         {"CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int REFERENCES p)",
          "DROP TABLE p", "CASCADE"},
         {"CREATE TABLE t (c int); CREATE VIEW v AS SELECT c FROM t",
          "ALTER TABLE t ALTER c TYPE bigint", "drop the view"}});
}

TEST_CASE("what the server needs told in the script is told by its words") {
  check({{"CREATE TABLE t (c text)", "ALTER TABLE t ALTER c TYPE int", "USING"},
         {"CREATE TABLE t (c text DEFAULT 'x')", "ALTER TABLE t ALTER c TYPE int USING 1",
          "DROP DEFAULT"},
         {"CREATE TABLE p (id int)", "CREATE TABLE c (p int REFERENCES p (id))",
          "primary key or UNIQUE"},
         {"CREATE TABLE t (x int)", "INSERT INTO t VALUES ('y')", "a value does not fit"}});
}

TEST_CASE(
    "rows that a new index or constraint finds in its way are shown by the query of the hint") {
  struct Rows {
    std::string before;
    std::string script;
    std::string count;  // of the rows that the query returns, or what it counts
  };
  for (
      const auto& [before, script, count] : std::vector<Rows>{
          {"CREATE TABLE \"User\" (id int, \"eMail\" text); INSERT INTO \"User\" VALUES (1, 'a'), (2, 'a'), (3, NULL), "
           "(4, NULL)",
           "CREATE UNIQUE INDEX u ON \"User\" (\"eMail\")", "2"},
          {"CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (1, 'X'), (2, 'x')",
           "CREATE UNIQUE INDEX CONCURRENTLY u ON t (a, lower(b)) WHERE a > 0", "2"},
          {"CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1)", "ALTER TABLE t ADD UNIQUE (a)",
           "2"},
          {"CREATE TABLE t (a int); INSERT INTO t VALUES (1), (NULL), (NULL)",
           "ALTER TABLE t ALTER a SET NOT NULL", "2"},
          {"CREATE TABLE t (a int); INSERT INTO t VALUES (1), (-1)",
           "ALTER TABLE t ADD CONSTRAINT ok CHECK (a < 9), ADD CONSTRAINT c CHECK (a > 0)", "1"},
          {"CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (p int); INSERT INTO c VALUES (7), (8), (NULL)",
           "ALTER TABLE public.\"c\" ADD CONSTRAINT \"fk\" FOREIGN KEY (\"p\") REFERENCES \"p\"(\"id\") ON DELETE CASCADE",
           "2"}}) {
    CAPTURE(script);
    const Deployment shop;
    shop.migration("1_before", before);
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_next", script);
    const auto result = shop.run();
    REQUIRE(result == exits(21));
    const auto query = query_in(hint_in(result));
    REQUIRE(!query.empty());
    const auto total = query.starts_with("SELECT count(*)")
                           ? query
                           : "SELECT sum(count) FROM (" + query + ") AS groups";
    CHECK(shop.database().value(total) == count);
  }
}

TEST_CASE("a right that a script's role lacks is told with the GRANT that gives it") {
  const TestRole role{"advice"};
  const Deployment plain;
  const auto& database = plain.database();
  database.execute(
      "CREATE TABLE foreign_one (x int); CREATE SCHEMA stock; CREATE TABLE stock.item (id int); "
      "GRANT USAGE ON SCHEMA stock TO " +
      role.name() + "; GRANT CREATE ON DATABASE " + database.name() + " TO " + role.name() +
      "; CREATE SCHEMA own AUTHORIZATION " + role.name());
  for (const auto& [script, grant] : std::vector<std::pair<std::string, std::string>>{
           {"SELECT * FROM stock.item", "GRANT SELECT ON stock.item TO " + role.name()},
           {"INSERT INTO stock.item VALUES (1)",
            "GRANT SELECT, INSERT ON stock.item TO " + role.name()},
           {"ALTER TABLE stock.item ADD y int", "ALTER TABLE stock.item OWNER TO " + role.name()},
           {"CREATE TABLE stock.other (x int)",
            "GRANT USAGE, CREATE ON SCHEMA stock TO " + role.name()},
           {"CREATE ROLE nobody_at_all", "ALTER ROLE " + role.name() + " CREATEROLE"}}) {
    CAPTURE(script);
    Deployment shop{{.database = {},
                     .lease = {},
                     .migrations = "schema: own",
                     .rest = {},
                     .url = database.url_as(role.name())}};
    shop.migration("1_init", script);
    const auto result = shop.run();
    CHECK(result == exits(21, "42501"));
    CHECK(hint_in(result) == contains("in database " + database.name() + ", as "));
    CHECK(hint_in(result) == contains(grant));
  }
}

TEST_CASE(
    "a trigger of somebody else's that refuses our bookkeeping is told with its words, with 24") {
  for (const std::string code : {"", " USING ERRCODE = '42704'"}) {
    const Deployment shop;
    shop.database().execute(
        "CREATE FUNCTION no_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
        "EXCEPTION 'DDL is frozen by the data team'" +
        code +
        "; END $$; CREATE EVENT TRIGGER frozen "
        "ON ddl_command_start EXECUTE FUNCTION no_ddl()");
    shop.migration("1_init", "CREATE TABLE t (x int);");
    const auto result = shop.run();
    CHECK(result == exits(24, "frozen by the data team"));
    CHECK(hint_in(result) == contains("no_ddl()"));
    CHECK(result.err != contains("please report"));
  }
}

TEST_CASE("a command's failure is explained by its output") {
  for (const auto& [line, hint] : std::vector<std::pair<std::string, std::string>>{
           {"ERROR:  42501: must be owner of table item", "ownership"},
           {"ERROR:  canceling statement due to statement timeout", "statement_timeout"},
           {"Error: P3009", "stands in the history"},
           {"all is lost", "whole output is in the log"}}) {
    CAPTURE(line);
    GateProject project;
    project.command("echo '" + line + "'; for i in 1 2 3 4 5 6 7; do echo more; done; exit 3\n");
    const auto result = project.run();
    CHECK(result == exits(25));
    CHECK(hint_in(result) == contains(hint));
  }
}

TEST_SUITE_END();
