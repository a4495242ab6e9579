// Findings of a review: what the evidence must not claim. Each script is executed statement by
// statement on a real server, as Prisma 7.4 and later do, and then judged.

#include <doctest/doctest.h>

#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/evidence.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/recovery/diagnosis.hpp"
#include "support/leased.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
using Verdict = Evidence::Verdict;

namespace {

constexpr const char* k_data =
    "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1);";

// A session of its own executes the first `done` statements and ends, as a killed Prisma's does.
Verdict verdict_after(const std::string& before, const std::string& sql, std::size_t done) {
  const testing::TestDatabase database;
  if (!before.empty()) database.execute(before);
  const auto script = script_of(sql);
  REQUIRE(done <= script.statements.size());
  {
    auto session = database.connect();
    for (std::size_t i = 0; i < done; ++i) session.execute(script.statements[i].text);
  }
  auto session = database.connect();
  const auto evidence = judge(script, read_catalogue(session, {"public"}, script.effects));
  INFO(join(report(evidence, 50), "\n"));
  return evidence.verdict;
}

void check_not_none_there(const std::string& before, const std::string& first) {
  INFO("after the first two of: " << first
                                  << "; UPDATE t SET x = x + 1; CREATE TABLE last (id int)");
  CHECK(verdict_after(k_data + before,
                      first + "; UPDATE t SET x = x + 1; CREATE TABLE last (id int);",
                      2) != Verdict::none_there);
}

void check_not_all_there(const std::string& before, const std::string& sql) {
  INFO("nothing done of: " << sql);
  CHECK(verdict_after(before, sql, 0) != Verdict::all_there);
}

// Executed completely, on top of `before`: nothing of it may be missed.
void check_nothing_missed(const std::string& before, const std::vector<std::string>& migrations) {
  const testing::TestDatabase database;
  if (!before.empty()) database.execute(before);
  std::vector<Script> scripts;
  for (const auto& sql : migrations) scripts.push_back(script_of(sql));
  {
    auto session = database.connect();
    for (const auto& script : scripts)
      for (const auto& statement : script.statements) session.execute(statement.text);
  }
  std::vector<const Script*> pointers;
  std::vector<Effects> effects;
  for (const auto& script : scripts) {
    pointers.push_back(&script);
    effects.insert(effects.end(), script.effects.begin(), script.effects.end());
  }
  auto session = database.connect();
  const auto remains = remains_of(pointers, read_catalogue(session, {"public"}, effects));
  for (std::size_t i = 0; i < remains.size(); ++i) {
    INFO(migrations[i] << ": " << join(remains[i].missing, "; "));
    CHECK((!remains[i].is_certain || remains[i].missing.empty()));
  }
}

// A failed row with a reason, as Prisma leaves it.
Settlement examined(const testing::TestDatabase& database, const std::string& sql) {
  const testing::TempDir dir;
  dir.write("m/migration_lock.toml", "provider = \"postgresql\"\n");
  dir.write("m/20240101000000_a/migration.sql", sql);
  const auto file =
      dir.write("schemagate.yaml", "version: 1\napp: a\nrelease: r\ndatabase: {url: \"" +
                                       database.url() + "\"}\nmigrations: {directory: m}\n");
  const auto manifest = read_manifest(file, process_environment());
  Target target{manifest, folder_of(manifest)};
  testing::Leased leased{database};
  auto& session = leased.session;
  target.find_history(session);
  leased.write([&](Fenced& transaction) {
    const auto& table = *target.writable_history();
    table.create_if_missing(transaction);
    table.insert_started(transaction, "1", "20240101000000_a",
                         target.folder.migrations.front().checksum);
    table.set_failed(transaction, "1", "ERROR: something");
  });
  const auto history = target.history()->read(session);
  auto settlement = examine_failed(session, target, history).at(0);
  settlement.row = nullptr;
  settlement.migration = nullptr;
  return settlement;
}

}  // namespace

TEST_CASE("a data statement that was executed is not taken for one that was not") {
  SUBCASE("identity") {
    check_not_none_there(
        "", "CREATE TABLE IF NOT EXISTS a (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)");
  }
  SUBCASE("DEFAULT NULL") {
    check_not_none_there("", "ALTER TABLE t ADD COLUMN IF NOT EXISTS y int DEFAULT NULL");
  }
  SUBCASE("a default that PostgreSQL prints otherwise") {
    check_not_none_there("", "CREATE TABLE IF NOT EXISTS a (j jsonb DEFAULT '{\"a\":1}')");
    check_not_none_there("ALTER TABLE t ADD COLUMN at timestamp",
                         "ALTER TABLE t ALTER COLUMN at SET DEFAULT '2020-01-01'");
  }
  SUBCASE("a type whose modifier is printed otherwise") {
    check_not_none_there("ALTER TABLE t ADD COLUMN d interval",
                         "ALTER TABLE t ALTER COLUMN d TYPE interval(3)");
  }
  SUBCASE("IF NOT EXISTS that left what was there") {
    check_not_none_there("", "ALTER TABLE t ADD COLUMN IF NOT EXISTS x bigint");
    check_not_none_there("CREATE TABLE a (id int)", "CREATE TABLE IF NOT EXISTS a (id int, b int)");
  }
  SUBCASE("temporary things are gone with their session") {
    check_not_none_there("", "CREATE TEMP TABLE tmp AS SELECT 1 AS one");
    check_not_none_there("", "CREATE TEMP VIEW v AS SELECT 1 AS one");
    check_not_none_there("", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
  }
  SUBCASE("overloads") {
    check_not_none_there(
        "CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 2'");
    check_not_none_there("CREATE FUNCTION f(text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                         "DROP FUNCTION IF EXISTS f(int)");
  }
  SUBCASE("a schema without a name of its own") {
    check_not_none_there("", "CREATE SCHEMA IF NOT EXISTS AUTHORIZATION CURRENT_USER");
  }
  SUBCASE("another search_path") {
    CHECK(verdict_after(std::string{k_data} + "CREATE SCHEMA app",
                        "SET search_path TO app; CREATE TABLE IF NOT EXISTS a (id int);"
                        "UPDATE public.t SET x = x + 1; CREATE TABLE last (id int);",
                        3) != Verdict::none_there);
  }
}

TEST_CASE("statements that may be repeated one by one are not always repeatable in a row") {
  CHECK(verdict_after("CREATE TABLE orders (id int)",
                      "DROP TABLE IF EXISTS old; ALTER TABLE IF EXISTS orders RENAME TO old;"
                      "CREATE TABLE last (id int);",
                      2) != Verdict::none_there);
  CHECK(verdict_after("",
                      "DROP TABLE IF EXISTS a; CREATE TABLE IF NOT EXISTS a (id int);"
                      "CREATE TABLE last (id int);",
                      2) != Verdict::none_there);
}

TEST_CASE("a script that replaces something is not there just because the old one is") {
  SUBCASE("a foreign key, as Prisma changes onDelete") {
    check_not_all_there(
        "CREATE TABLE u (id int PRIMARY KEY);"
        "CREATE TABLE p (uid int CONSTRAINT fk REFERENCES u (id) ON DELETE RESTRICT)",
        "ALTER TABLE p DROP CONSTRAINT fk; ALTER TABLE p ADD CONSTRAINT fk FOREIGN "
        "KEY (uid) REFERENCES u (id) ON DELETE CASCADE;");
  }
  SUBCASE("a primary key, as Prisma changes @@id") {
    check_not_all_there(
        "CREATE TABLE q (a int, b int, CONSTRAINT q_pkey PRIMARY KEY (a))",
        "ALTER TABLE q DROP CONSTRAINT q_pkey, ADD CONSTRAINT q_pkey PRIMARY KEY (a, b);");
  }
  SUBCASE("an index") {
    check_not_all_there("CREATE TABLE q (a int); CREATE INDEX i ON q (a)",
                        "DROP INDEX i; CREATE UNIQUE INDEX i ON q (a);");
    check_not_all_there("CREATE TABLE q (a int, b int); CREATE INDEX i ON q (a)",
                        "CREATE UNIQUE INDEX i ON q (a, b);");
  }
  SUBCASE("a view, a policy") {
    check_not_all_there("CREATE VIEW v AS SELECT 1 AS a",
                        "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 2 AS a;");
    check_not_all_there(
        "CREATE VIEW v AS SELECT 1 AS a; CREATE VIEW w AS SELECT a FROM v",
        "DROP VIEW v CASCADE; CREATE VIEW v AS SELECT 2 AS a; CREATE VIEW w AS SELECT a FROM v;");
    check_not_all_there("CREATE TABLE q (a int); CREATE POLICY p ON q USING (true)",
                        "DROP POLICY IF EXISTS p ON q; CREATE POLICY p ON q USING (false);");
  }
  SUBCASE("a column made empty") {
    check_not_all_there("CREATE TABLE q (a text)",
                        "ALTER TABLE q DROP COLUMN a; ALTER TABLE q ADD COLUMN a text;");
  }
  SUBCASE("tables that swap their names") {
    check_not_all_there(
        "CREATE TABLE a (id int); CREATE TABLE b (id int)",
        "ALTER TABLE a RENAME TO c; ALTER TABLE b RENAME TO a; ALTER TABLE c RENAME TO b;");
  }
  SUBCASE("a table that is set aside in a way that is not seen") {
    check_not_all_there("CREATE TABLE ev (id int)",
                        "ALTER TABLE IF EXISTS ev RENAME TO ev_old; CREATE TABLE ev (id int);");
    check_not_all_there("CREATE SCHEMA arch; CREATE TABLE ev (id int)",
                        "ALTER TABLE ev SET SCHEMA arch; CREATE TABLE ev (id int);");
  }
}

TEST_CASE("comments that were not made are not there") {
  check_not_all_there("CREATE TABLE q (a int)", "COMMENT ON TABLE q IS 'x';");
}

TEST_CASE("nothing is missed of migrations that were executed completely") {
  SUBCASE("identity") {
    check_nothing_missed("", {"CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY);"});
  }
  SUBCASE("defaults") {
    check_nothing_missed(
        "", {"CREATE TABLE a (n int DEFAULT NULL, b boolean DEFAULT 't', c numeric DEFAULT 1e3,"
             " d timestamp DEFAULT '2020-01-01', e time DEFAULT '00:00', f interval(3));"});
    check_nothing_missed("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                         {"CREATE TABLE a (id int DEFAULT public.f());"});
  }
  SUBCASE("what goes with a column") {
    check_nothing_missed("", {"CREATE TABLE a (id int, b text);", "CREATE INDEX i ON a (lower(b));",
                              "ALTER TABLE a DROP COLUMN b;"});
    check_nothing_missed("",
                         {"CREATE TABLE a (id int, b int);",
                          "CREATE INDEX i ON a (id) WHERE b > 0;", "ALTER TABLE a DROP COLUMN b;"});
    check_nothing_missed("", {"CREATE TABLE a (id int, b int);",
                              "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);",
                              "ALTER TABLE a DROP COLUMN b;"});
  }
  SUBCASE("what goes with a table") {
    check_nothing_missed("", {"CREATE SEQUENCE s; CREATE TABLE a (id int DEFAULT nextval('s'));"
                              "ALTER SEQUENCE s OWNED BY a.id;",
                              "DROP TABLE a;"});
    check_nothing_missed("", {"CREATE TABLE a (id int);", "CREATE VIEW v AS SELECT * FROM a;",
                              "DROP TABLE a CASCADE;"});
  }
  SUBCASE("enum values") {
    check_nothing_missed("",
                         {"CREATE TYPE e AS ENUM ('a');", "ALTER TYPE e RENAME VALUE 'a' TO 'b';"});
    check_nothing_missed(
        "", {"CREATE TYPE e AS ENUM ('a');", "ALTER TYPE e ADD VALUE IF NOT EXISTS 'a';"});
  }
  SUBCASE("an index renamed renames its constraint") {
    check_nothing_missed("", {"CREATE TABLE a (id int, CONSTRAINT k PRIMARY KEY (id));",
                              "ALTER INDEX k RENAME TO k2;"});
  }
  SUBCASE("attributes") {
    check_nothing_missed("", {"CREATE TYPE p AS (x int);", "ALTER TYPE p ADD ATTRIBUTE z int;"});
  }
  SUBCASE("what the same migration took away unseen") {
    check_nothing_missed("", {"CREATE TABLE a (id int); DO $$BEGIN DROP TABLE a; END$$;"});
    check_nothing_missed("CREATE SCHEMA arch",
                         {"CREATE TABLE a (id int); ALTER TABLE a SET SCHEMA arch;"});
  }
  SUBCASE("temporary tables") {
    check_nothing_missed("", {"CREATE TEMP TABLE a AS SELECT 1 AS one;"});
  }
}

TEST_CASE("a procedure that commits on its way was not rolled back as a whole") {
  for (const auto* sql : {"CALL p();", "DO $$BEGIN CALL p(); END$$;"}) {
    const testing::TestDatabase database;
    database.execute(std::string{k_data} +
                     "CREATE PROCEDURE p() LANGUAGE plpgsql AS "
                     "$$BEGIN UPDATE t SET x = x + 1; COMMIT; PERFORM 1/0; END$$");
    CHECK_THROWS(database.execute(sql));
    REQUIRE(database.value("SELECT x FROM t") == "2");
    CAPTURE(sql);
    CHECK_FALSE(examined(database, sql).proven);
  }
}

TEST_CASE("a data statement beside one of no account is not the only one that can have failed") {
  const testing::TestDatabase database;
  database.execute(std::string{k_data} + "UPDATE t SET x = x + 1");
  CHECK_FALSE(examined(database, "UPDATE t SET x = x + 1; COMMENT ON VIEW missing IS 'x';").proven);
}

TEST_CASE("evidence does not repeat a password of the script") {
  const testing::TestDatabase database;
  database.execute(k_data);
  const auto settlement = examined(
      database, "CREATE ROLE r PASSWORD 'hunter2'; UPDATE t SET x = 1; CREATE TABLE a (id int);");
  CHECK(join(settlement.report, "\n") != contains("hunter2"));
}

TEST_CASE("what comes next begins with the first statement that may not have been executed") {
  const testing::TestDatabase database;
  database.execute(std::string{k_data} + "CREATE TABLE a (id int)");
  const auto settlement = examined(database, "CREATE TABLE a (id int);\nUPDATE t SET x = x / 0;\n"
                                             "CREATE TABLE b (id int);");
  INFO(settlement.hint.text());
  CHECK(settlement.hint.text() != contains("from line 3"));
}

TEST_CASE("the evidence waits for nobody") {
  const testing::TestDatabase database;
  database.execute("CREATE TABLE a (id int DEFAULT 5)");
  auto locker = database.connect();
  locker.execute("BEGIN; LOCK TABLE a IN ACCESS EXCLUSIVE MODE");
  auto session = database.connect();
  session.execute("SET statement_timeout = '60s'");
  const auto script = script_of("CREATE TABLE a (id int DEFAULT 5);");
  CHECK_NOTHROW((void)read_catalogue(session, {"public"}, script.effects));
}
