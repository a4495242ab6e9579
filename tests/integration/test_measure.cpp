// Locks and work of a statement, as a server shows them: known from the manual and from its source,
// the same on each version but where it is said.

#include <doctest/doctest.h>

#include "schemagate/base/text.hpp"
#include "schemagate/impact/measure.hpp"
#include "support/server.hpp"

using namespace schemagate;

namespace {

constexpr const char* k_shop = R"sql(
CREATE DOMAIN plain AS int; CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE parent (id int PRIMARY KEY, code text UNIQUE);
CREATE TABLE t (id int PRIMARY KEY, a int, b int NOT NULL, c text, d varchar(20), n numeric(10, 2), ts timestamp,
                dm plain, pid int);
CREATE INDEX t_a ON t (a); CREATE INDEX t_c ON t (c); CREATE INDEX t_d ON t (d); CREATE UNIQUE INDEX t_b ON t (b);
CREATE TABLE child (id int PRIMARY KEY, pid int CONSTRAINT child_fk REFERENCES parent);
CREATE TABLE checked (id int PRIMARY KEY, a int CONSTRAINT checked_a CHECK (a IS NOT NULL));
CREATE TABLE waits (id int PRIMARY KEY, a int, pid int);
ALTER TABLE waits ADD CONSTRAINT waits_ck CHECK (a > 0) NOT VALID;
ALTER TABLE waits ADD CONSTRAINT waits_fk FOREIGN KEY (pid) REFERENCES parent NOT VALID;
CREATE TABLE p (id int NOT NULL, k int NOT NULL, v int) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
CREATE TABLE pd PARTITION OF p DEFAULT;
CREATE TABLE cand (id int NOT NULL, k int NOT NULL, v int);
CREATE TABLE q (id int NOT NULL, k int NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (1000);
CREATE VIEW v AS SELECT id, a FROM checked;
CREATE MATERIALIZED VIEW mv AS SELECT id, a FROM checked; CREATE UNIQUE INDEX mv_id ON mv (id);
CREATE SEQUENCE sq;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE SCHEMA "Odd.one"; CREATE TABLE "Odd.one"."a ""b""" (id int);
CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER trg BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf();
)sql";

constexpr const char* k_rows = R"sql(
INSERT INTO parent SELECT g, 'c' || g FROM generate_series(1, 300) g;
INSERT INTO t SELECT g, g, g, 'c' || g, 'd' || g, g, now(), g, g FROM generate_series(1, 300) g;
INSERT INTO child SELECT g, g FROM generate_series(1, 300) g;
INSERT INTO checked SELECT g, g FROM generate_series(1, 300) g;
INSERT INTO waits SELECT g, g, g FROM generate_series(1, 300) g;
INSERT INTO p SELECT g, g * 5, g FROM generate_series(1, 300) g;
INSERT INTO cand SELECT g, 2000 + g, g FROM generate_series(1, 300) g;
REFRESH MATERIALIZED VIEW mv; ANALYZE;
)sql";

std::string told(const std::vector<Impact>& impacts) {
  std::vector<std::string> lines;
  for (const auto& one : impacts) {
    auto name = one.relation;
    if (name.starts_with("public.")) name.erase(0, 7);
    lines.push_back(name + " " + std::string{name_of(one.lock)} +
                    (one.work == Work::catalogue ? "" : " + " + std::string{name_of(one.work)}));
  }
  return join(lines, "; ");
}

struct Case {
  const char* sql;
  const char* impacts;
  const char* on_13 = nullptr;  // where that is otherwise
};

// In a transaction; their work shows without a single row.
constexpr Case k_cases[] = {
    {"ALTER TABLE t ADD z int", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ADD z int NOT NULL DEFAULT 7", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ADD z timestamptz DEFAULT clock_timestamp()", "t ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE t ADD z serial", "t ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE t ADD z int CHECK (z > 0)", "t ACCESS EXCLUSIVE + scan"},
    {"ALTER TABLE t ADD z int REFERENCES parent", "parent SHARE ROW EXCLUSIVE; t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ADD z int UNIQUE", "t ACCESS EXCLUSIVE + index build"},
    {"ALTER TABLE t ADD z positive DEFAULT 5", "t ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE t DROP a", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ALTER d TYPE varchar(50)", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ALTER d TYPE text", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ALTER d TYPE varchar(10)", "t ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE t ALTER c TYPE text COLLATE \"C\"", "t ACCESS EXCLUSIVE + index build"},
    {"ALTER TABLE t ALTER a TYPE bigint", "t ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE t ALTER n TYPE numeric(12, 2)", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ALTER dm TYPE int", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE p ALTER v TYPE bigint", "p ACCESS EXCLUSIVE; p1 ACCESS EXCLUSIVE + rewrite; "
                                          "pd ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE t ALTER a SET DEFAULT 1", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ALTER a SET NOT NULL", "t ACCESS EXCLUSIVE + scan"},
    {"ALTER TABLE checked ALTER a SET NOT NULL", "checked ACCESS EXCLUSIVE"},
    {"ALTER TABLE t ALTER a SET STATISTICS 500", "t SHARE UPDATE EXCLUSIVE"},
    {"ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)", "t ACCESS EXCLUSIVE + scan"},
    {"ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE waits VALIDATE CONSTRAINT waits_ck", "waits SHARE UPDATE EXCLUSIVE + scan"},
    {"ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (pid) REFERENCES parent NOT VALID",
     "parent SHARE ROW EXCLUSIVE; t SHARE ROW EXCLUSIVE"},
    {"ALTER TABLE t ADD CONSTRAINT k UNIQUE (a)", "t ACCESS EXCLUSIVE + index build"},
    {"ALTER TABLE t ADD CONSTRAINT k UNIQUE USING INDEX t_b", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE cand ADD PRIMARY KEY (id)", "cand ACCESS EXCLUSIVE + index build"},
    {"ALTER TABLE child DROP CONSTRAINT child_fk",
     "child ACCESS EXCLUSIVE; parent ACCESS EXCLUSIVE"},
    {"ALTER TABLE t RENAME TO t2", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t RENAME COLUMN c TO c2", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t DISABLE TRIGGER trg", "t SHARE ROW EXCLUSIVE"},
    {"ALTER TABLE t ENABLE ROW LEVEL SECURITY", "t ACCESS EXCLUSIVE"},
    {"ALTER TABLE t SET (fillfactor = 70)", "t SHARE UPDATE EXCLUSIVE"},
    {"ALTER TABLE t SET UNLOGGED", "t ACCESS EXCLUSIVE + rewrite"},
    {"ALTER TABLE IF EXISTS nowhere ADD z int", ""},
    {"CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (2000) TO (3000)",
     "p ACCESS EXCLUSIVE; pd ACCESS EXCLUSIVE + scan"},
    {"ALTER TABLE p ATTACH PARTITION cand FOR VALUES FROM (2000) TO (3000)",
     "cand ACCESS EXCLUSIVE + scan; p SHARE UPDATE EXCLUSIVE; pd ACCESS EXCLUSIVE + scan"},
    {"ALTER TABLE q DETACH PARTITION q1", "q ACCESS EXCLUSIVE; q1 ACCESS EXCLUSIVE",
     "q ACCESS EXCLUSIVE; q1 SHARE UPDATE EXCLUSIVE"},
    {"CREATE INDEX ON p (v)", "p SHARE; p1 SHARE + index build; pd SHARE + index build"},
    {"CREATE INDEX ON ONLY p (v)", "p SHARE"},
    {"CREATE INDEX k ON t (a, c)", "t SHARE + index build"},
    {"DROP INDEX t_a", "t ACCESS EXCLUSIVE"},
    {"REINDEX INDEX t_a", "t ACCESS EXCLUSIVE + index build"},
    {"ALTER INDEX t_a RENAME TO t_a2", ""},
    {"CREATE TABLE n1 (id int PRIMARY KEY, pid int REFERENCES parent)",
     "parent SHARE ROW EXCLUSIVE"},
    {"CREATE TABLE n1 (LIKE t INCLUDING ALL)", "t ACCESS SHARE"},
    {"CREATE TABLE n1 AS SELECT * FROM t", "t ACCESS SHARE + scan"},
    {"CREATE TEMPORARY TABLE n1 (id int PRIMARY KEY)", ""},
    {"DROP TABLE child", "child ACCESS EXCLUSIVE; parent ACCESS EXCLUSIVE"},
    {"TRUNCATE t", "t ACCESS EXCLUSIVE"},
    {"TRUNCATE parent CASCADE",
     "child ACCESS EXCLUSIVE; parent ACCESS EXCLUSIVE; waits ACCESS EXCLUSIVE"},
    {"CREATE OR REPLACE VIEW v AS SELECT id, a, 1 AS z FROM checked",
     "checked ACCESS SHARE; v ACCESS EXCLUSIVE"},
    {"DROP VIEW v", "v ACCESS EXCLUSIVE"},
    {"REFRESH MATERIALIZED VIEW mv", "checked ACCESS SHARE + scan; mv ACCESS EXCLUSIVE + rewrite"},
    {"CREATE TRIGGER k BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf()",
     "t SHARE ROW EXCLUSIVE"},
    {"DROP TRIGGER trg ON t", "t ACCESS EXCLUSIVE"},
    {"CREATE POLICY k ON t USING (true)", "t ACCESS EXCLUSIVE"},
    {"ALTER TYPE mood ADD VALUE 'odd'", ""},
    {"ALTER DOMAIN plain ADD CONSTRAINT k CHECK (VALUE > 0)", "t SHARE + scan"},
    {"ALTER SEQUENCE sq AS smallint RESTART 10", "sq SHARE ROW EXCLUSIVE"},
    {"COMMENT ON TABLE t IS 'x'", "t SHARE UPDATE EXCLUSIVE"},
    {"CLUSTER t USING t_a", "t ACCESS EXCLUSIVE + rewrite"},
    {"UPDATE t SET a = a", "t ROW EXCLUSIVE + rows"},
    {"DELETE FROM t WHERE id < 10", "t ROW EXCLUSIVE + rows"},
    {"INSERT INTO cand VALUES (1, 2, 3)", "cand ROW EXCLUSIVE + rows"},
    {"ALTER TABLE \"Odd.one\".\"a \"\"b\"\"\" ADD z int",
     "\"Odd.one\".\"a \"\"b\"\"\" ACCESS EXCLUSIVE"},
    {"DO $$ BEGIN EXECUTE 'ALTER TABLE t ALTER a TYPE bigint'; END $$",
     "t ACCESS EXCLUSIVE + rewrite"},
};

Statement parsed(const std::string& sql) { return parse_script(sql).at(0); }

void check_all(const testing::TestDatabase& database) {
  auto session = database.connect();
  Measure measure{session};
  for (const auto& one : k_cases) {
    CAPTURE(std::string{one.sql});
    const pg::Transaction transaction{session};
    measure.before();
    session.execute(one.sql);
    const bool is_13 = session.server_major_version() == 13 && one.on_13 != nullptr;
    CHECK(told(measure.after(parsed(one.sql))) == std::string{is_13 ? one.on_13 : one.impacts});
  }
}

}  // namespace

TEST_CASE("each statement's locks and work are as the manual and the source say, without a row") {
  const testing::TestDatabase database;
  database.execute(k_shop);
  check_all(database);
}

TEST_CASE("they are the same with rows") {
  const testing::TestDatabase database;
  database.execute(k_shop);
  database.execute(k_rows);
  check_all(database);
}

TEST_CASE("what a foreign key reads is read of both tables") {
  const testing::TestDatabase database;
  database.execute(k_shop);
  database.execute(k_rows);
  auto session = database.connect();
  Measure measure{session};
  const pg::Transaction transaction{session};
  const std::string sql = "ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (pid) REFERENCES parent";
  measure.before();
  session.execute(sql);
  const auto impacts = measure.after(parsed(sql));
  REQUIRE(impacts.size() == 2);
  CHECK(impacts[1] == Impact{"public.t", LockMode::share_row_exclusive, Work::scan});
  CHECK(impacts[0].lock == LockMode::share_row_exclusive);
}

TEST_CASE("of a statement that refuses transactions the usual locks are told, and its work") {
  constexpr Case k_alone[] = {
      {"CREATE INDEX CONCURRENTLY k ON t (a, c)", "t SHARE UPDATE EXCLUSIVE + index build"},
      {"REINDEX INDEX CONCURRENTLY k", "t SHARE UPDATE EXCLUSIVE + index build"},
      {"DROP INDEX CONCURRENTLY k", "t SHARE UPDATE EXCLUSIVE"},
      {"REINDEX TABLE q", ""},
      {"VACUUM FULL t", "t ACCESS EXCLUSIVE + rewrite"},
      {"VACUUM t", ""},
      {"DO $$ BEGIN ALTER TABLE t ALTER a TYPE bigint; COMMIT; END $$",
       "t ACCESS EXCLUSIVE + rewrite"},
  };
  const testing::TestDatabase database;
  database.execute(k_shop);
  auto session = database.connect();
  Measure measure{session};
  const auto check = [&](const Case& one) {
    CAPTURE(std::string{one.sql});
    measure.before();
    session.execute(one.sql);
    CHECK(told(measure.after_alone(parsed(one.sql))) == std::string{one.impacts});
  };
  for (const auto& one : k_alone) check(one);
  if (session.server_major_version() >= 14)
    check({"ALTER TABLE q DETACH PARTITION q1 CONCURRENTLY",
           "q SHARE UPDATE EXCLUSIVE; q1 ACCESS EXCLUSIVE"});
}

TEST_CASE("what was made after the first look does not count, what a transaction holds already "
          "neither") {
  const testing::TestDatabase database;
  database.execute(k_shop);
  auto session = database.connect();
  Measure measure{session};
  const auto impacts_of = [&](const std::string& sql) {
    measure.before();
    session.execute(sql);
    return told(measure.after(parsed(sql)));
  };
  {
    pg::Transaction transaction{session};
    CHECK(impacts_of("CREATE TABLE made (id int PRIMARY KEY)") == "");
    CHECK(impacts_of("ALTER TABLE made ADD x int") == "");
    CHECK(impacts_of("CREATE INDEX t_made ON t (a, b)") == "t SHARE + index build");
    CHECK(impacts_of("CREATE INDEX t_more ON t (b, a)") == "t  + index build");
    CHECK(impacts_of("ALTER TABLE t ADD z int") == "t ACCESS EXCLUSIVE");
    CHECK(impacts_of("ALTER TABLE t ADD y int") == "");
    CHECK(impacts_of("ALTER TABLE t ADD x serial") == "t  + rewrite");
    CHECK(impacts_of("ALTER TABLE t RENAME TO renamed") == "");
    transaction.commit();
  }
  const pg::Transaction transaction{session};
  CHECK(impacts_of("ALTER TABLE made ADD y int") == "");
  CHECK(impacts_of("DROP INDEX t_made") == "renamed ACCESS EXCLUSIVE");
}

TEST_CASE("a look disturbs nothing that a script has set") {
  const testing::TestDatabase database;
  database.execute(k_shop);
  database.execute("CREATE SCHEMA trap; CREATE TABLE trap.pg_class (oid oid);"
                   "CREATE FUNCTION trap.format(text, name, name) RETURNS text LANGUAGE plpgsql AS "
                   "'BEGIN RAISE EXCEPTION ''trapped''; END'");
  auto session = database.connect();
  Measure measure{session};
  const pg::Transaction transaction{session};
  session.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;"
                  "SET search_path = trap, pg_catalog, public; SET row_security = on;"
                  "SET LOCAL statement_timeout = 77; SET ROLE pg_monitor;");
  measure.before();
  const std::string sql = "SELECT 1";
  session.execute(sql);
  CHECK(measure.after(parsed(sql)).empty());
  const auto row = session.row(
      "SELECT current_setting('search_path'), current_setting('statement_timeout'), "
      "current_setting('transaction_isolation'), current_user, current_setting('row_security')");
  CHECK(row.text(0) == "trap, pg_catalog, public");
  CHECK(row.text(1) == "77ms");
  CHECK(row.text(2) == "serializable");
  CHECK(row.text(3) == "pg_monitor");
  CHECK(row.text(4) == "on");
}
