// What differs between PostgreSQL 13 and 18: statements that only newer servers know, and that the
// grammar which schemagate is built with may not know, and settings that older ones lack.

#include "e2e/history_fixture.hpp"
#include "support/server_version.hpp"

using namespace testing;

namespace {

void check_applied(const Shop& shop) {
  CHECK(shop.run() == exits(0));
  CHECK(shop.run() == exits(0));
  CHECK(shop.status() == exits(0));
}

}  // namespace

TEST_CASE("what PostgreSQL 14 and 15 brought is applied") {
  const Shop shop;
  if (!server_is_at_least(15, shop.database())) return;
  shop.migration("1_init", "CREATE TABLE t (a int, b int UNIQUE NULLS NOT DISTINCT);");
  shop.migration("2_merge", "MERGE INTO t USING (VALUES (1, 2)) AS s (a, b) ON t.a = s.a "
                            "WHEN NOT MATCHED THEN INSERT VALUES (s.a, s.b);");
  shop.migration("3_body",
                 "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT a FROM t; END;"
                 "CREATE VIEW v WITH (security_invoker) AS SELECT f() AS a;");
  shop.migration("4_range", "CREATE TABLE r (m int4multirange COMPRESSION pglz);");
  check_applied(shop);
  CHECK(shop.database().value("SELECT a FROM v") == "1");
}

TEST_CASE("numbers as PostgreSQL 16 writes them are applied, whatever else the script holds") {
  const Shop shop;
  if (!server_is_at_least(16, shop.database())) return;
  shop.migration("1_init",
                 "CREATE TABLE t (x int DEFAULT 1_000);\nINSERT INTO t VALUES (0x1F), (0b11);\n");
  shop.migration("2_own", "BEGIN;\nINSERT INTO t VALUES (0o17);\nCOMMIT;\n");
  shop.migration("3_index", "INSERT INTO t VALUES (2_000);\nCREATE INDEX CONCURRENTLY i ON t (x);");
  check_applied(shop);
  CHECK(shop.database().value("SELECT string_agg(x::text, ' ' ORDER BY x) FROM t") ==
        "3 15 31 2000");
  CHECK(shop.indexes(true) == "i");
}

TEST_CASE("a script with its own COMMIT and numbers of PostgreSQL 16 fails as a whole") {
  const Shop shop;
  if (!server_is_at_least(16, shop.database())) return;
  shop.migration("1_own",
                 "BEGIN;\nCREATE TABLE t AS SELECT 1_000 AS x;\nCOMMIT;\nSELECT 0x1F / 0;\n");
  CHECK(shop.run() == exits(21));
  CHECK(shop.tables().empty());
}

TEST_CASE("what PostgreSQL 16 and 17 brought is applied") {
  const Shop shop;
  if (!server_is_at_least(17, shop.database())) return;
  shop.migration("1_init",
                 "CREATE TABLE t (a int PRIMARY KEY, b int); CREATE TABLE done (what text);"
                 "INSERT INTO t VALUES (7, 7);");
  shop.migration("2_merge", R"sql(
WITH merged AS (
  MERGE INTO t USING (VALUES (1, 2)) AS s (a, b) ON t.a = s.a
   WHEN NOT MATCHED BY SOURCE THEN DELETE
   WHEN NOT MATCHED BY TARGET THEN INSERT VALUES (s.a, s.b)
  RETURNING merge_action() AS what)
INSERT INTO done SELECT what FROM merged;)sql");
  shop.migration("3_json", R"sql(
CREATE TABLE j AS SELECT a FROM JSON_TABLE('[{"a": 3}]'::jsonb, '$[*]' COLUMNS (a int PATH '$.a'));
ALTER TABLE j ADD CHECK (JSON_EXISTS('{}'::jsonb, '$') AND '{}' IS JSON OBJECT);)sql");
  shop.migration("4_expression", "CREATE TABLE g (x int, y int GENERATED ALWAYS AS (x * 2) STORED);"
                                 "ALTER TABLE g ALTER COLUMN y SET EXPRESSION AS (x * 3);");
  check_applied(shop);
  CHECK(shop.database().value("SELECT string_agg(what, ' ' ORDER BY what) FROM done") ==
        "DELETE INSERT");
  CHECK(shop.database().value("SELECT a FROM j") == "3");
}

TEST_CASE("what PostgreSQL 18 brought is applied, also where a part of the script stands alone") {
  const Shop shop;
  if (!server_is_at_least(18, shop.database())) return;
  shop.migration("1_virtual", "CREATE TABLE t (id uuid DEFAULT uuidv7() PRIMARY KEY, a int,\n"
                              "  b int GENERATED ALWAYS AS (a * 2) VIRTUAL);\n"
                              "INSERT INTO t (a) VALUES (1);\n"
                              "CREATE INDEX CONCURRENTLY i ON t (a);\n");
  shop.migration(
      "2_returning",
      "CREATE TABLE log (was int, became int);\n"
      "BEGIN;\n"
      "WITH changed AS (UPDATE t SET a = a + 1 RETURNING old.a AS was, new.a AS became)\n"
      "INSERT INTO log SELECT * FROM changed;\n"
      "COMMIT;\n");
  shop.migration("3_periods",
                 "CREATE TABLE prices (item int4range, valid daterange,\n"
                 "  PRIMARY KEY (item, valid WITHOUT OVERLAPS));\n"
                 "CREATE TABLE orders (item int4range, valid daterange,\n"
                 "  FOREIGN KEY (item, PERIOD valid) REFERENCES prices (item, PERIOD valid));\n");
  check_applied(shop);
  CHECK(shop.database().value("SELECT concat_ws(' ', b, was, became) FROM t, log") == "4 1 2");
  CHECK(shop.indexes(true) == "i");
}

TEST_CASE("status asks to validate what can be validated, and not what is NOT ENFORCED") {
  const Shop shop;
  if (!server_is_at_least(18, shop.database())) return;
  shop.migration("1_init", "CREATE TABLE t (a int, CONSTRAINT told CHECK (a > 0) NOT ENFORCED);\n"
                           "ALTER TABLE t ADD CONSTRAINT filled NOT NULL a NOT VALID;\n");
  CHECK(shop.run() == exits(0));
  const auto seen = shop.status();
  CHECK(seen.findings() == "not-validated filled 0");
  shop.database().execute(seen.hint("not-validated"));
  CHECK(shop.status().findings().empty());
}

TEST_CASE("of a statement that only a newer server knows, no evidence is claimed") {
  const Shop shop;
  if (!server_is_at_least(18, shop.database())) return;
  shop.migration("1_t", "CREATE TABLE t (a int);\n"
                        "ALTER TABLE t ADD COLUMN b int GENERATED ALWAYS AS (a) VIRTUAL;\n");
  shop.database().execute("CREATE TABLE t (a int)");
  shop.row("1_t", "failed");
  CHECK(shop.call({"resolve", "1_t", "--auto"}) == exits(20));
}

TEST_CASE(
    "a script's session has each limit that its server knows, and none of the database's own") {
  const Shop shop;
  const auto version = shop.database().connect().server_major_version();
  struct Setting {
    std::string name;
    int since;
    std::string wanted;
  };
  const std::vector<Setting> settings = {{"idle_in_transaction_session_timeout", 13, "0"},
                                         {"client_connection_check_interval", 14, "2s"},
                                         {"idle_session_timeout", 14, "0"},
                                         {"transaction_timeout", 17, "0"}};
  std::string seen = "CREATE TABLE seen AS SELECT ''::text AS name, ''::text AS value LIMIT 0;\n";
  for (const auto& [name, since, wanted] : settings) {
    seen += "INSERT INTO seen VALUES ('" + name + "', current_setting('" + name + "', true));\n";
    if (version >= since)
      shop.database().execute("ALTER DATABASE " + shop.database().name() + " SET " + name +
                              " = '3min'");
  }
  shop.migration("1_seen", seen);
  check_applied(shop);
  for (const auto& [name, since, wanted] : settings) {
    CAPTURE(name);
    CHECK(shop.database().value("SELECT value FROM seen WHERE name = '" + name + "'") ==
          (version >= since ? wanted : "NULL"));
  }
}
