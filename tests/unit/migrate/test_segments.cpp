#include "schemagate/migrate/segments.hpp"
#include "support/text.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace schemagate;
using namespace testing;
using Kind = Statement::Kind;

namespace {

std::vector<Segment> segments(const std::string& sql) {
  return split_into_segments(parse_script(sql));
}

// "2T 1A 1T": two statements in a transaction, one alone, one in a transaction.
std::string shape(const std::string& sql) {
  std::string shape;
  for (const auto& segment : segments(sql)) {
    if (!shape.empty()) shape += ' ';
    shape += std::to_string(segment.statements.size()) + (segment.transactional ? "T" : "A");
  }
  return shape;
}

// "line:column why" of the refusal, or "accepted".
std::string refusal(const std::string& sql) {
  try {
    (void)segments(sql);
    return "accepted";
  } catch (const ScriptRefused& refused) {
    return std::to_string(refused.line) + ":" + std::to_string(refused.column) + " " +
           refused.what();
  }
}

Statement only(const std::string& sql) {
  auto statements = parse_script(sql);
  REQUIRE(statements.size() == 1);
  return statements.front();
}

Kind kind(const std::string& sql) { return only(sql).kind; }

std::string positions(const std::string& sql) {
  std::string all;
  for (const auto& statement : parse_script(sql))
    all += (all.empty() ? "" : " ") + std::to_string(statement.line) + ":" +
           std::to_string(statement.column);
  return all;
}

}  // namespace

TEST_SUITE("sql_script") {
  TEST_CASE("every kind of statement is recognised") {
    for (const auto* ordinary :
         {"CREATE TABLE a (i int)", "SAVEPOINT s", "ROLLBACK TO s", "RELEASE s",
          "CREATE INDEX ON a (i)", "REFRESH MATERIALIZED VIEW CONCURRENTLY v", "ANALYZE a",
          "REINDEX TABLE a", "CLUSTER a USING b", "COPY a FROM '/tmp/a'",
          "ALTER TYPE e RENAME VALUE 'a' TO 'b'", "ALTER TYPE e ADD VALUE 'c'",
          "SET LOCAL lock_timeout = 1"})
      CHECK_MESSAGE(kind(ordinary) == Kind::ordinary, ordinary);
    for (const auto* begin :
         {"BEGIN", "begin work", "START TRANSACTION", "BEGIN ISOLATION LEVEL SERIALIZABLE"})
      CHECK(kind(begin) == Kind::begin);
    for (const auto* commit : {"COMMIT", "END", "commit work", "END TRANSACTION"})
      CHECK(kind(commit) == Kind::commit);
    for (const auto* rollback : {"ROLLBACK", "ABORT", "rollback work"})
      CHECK(kind(rollback) == Kind::rollback);
    for (const auto* setting : {"SET search_path = a", "SET SESSION lock_timeout = 1", "RESET ALL",
                                "RESET search_path", "SET ROLE a", "SET TIME ZONE 'UTC'",
                                "SELECT pg_catalog.set_config('search_path', '', false)"})
      CHECK(kind(setting) == Kind::setting);
  }

  TEST_CASE("statements that refuse transaction blocks are alone") {
    for (const auto* alone : {"CREATE INDEX CONCURRENTLY i ON a (b)",
                              "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON a (b)",
                              "DROP INDEX CONCURRENTLY i",
                              "REINDEX INDEX CONCURRENTLY i",
                              "REINDEX (CONCURRENTLY) TABLE a",
                              "REINDEX SCHEMA s",
                              "REINDEX DATABASE d",
                              "VACUUM",
                              "VACUUM (ANALYZE) a",
                              "CLUSTER",
                              "CREATE DATABASE d",
                              "DROP DATABASE d",
                              "ALTER SYSTEM SET work_mem = '1MB'",
                              "CREATE TABLESPACE t LOCATION '/t'",
                              "DROP TABLESPACE t",
                              "ALTER DATABASE d SET TABLESPACE t",
                              "DISCARD ALL",
                              "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
                              "DROP SUBSCRIPTION s",
                              "ALTER TABLE a DETACH PARTITION b CONCURRENTLY"}) {
      CAPTURE(std::string{alone});
      const auto statement = only(alone);
      CHECK(statement.kind == Kind::alone);
      CHECK_FALSE(statement.what.empty());
    }
  }

  TEST_CASE("refreshing a subscription is alone") {
    CHECK(kind("ALTER SUBSCRIPTION s REFRESH PUBLICATION") == Kind::alone);
    CHECK(kind("ALTER SUBSCRIPTION s SET PUBLICATION p") == Kind::alone);
    for (const auto* ordinary : {"ALTER SUBSCRIPTION s DISABLE"})
      CHECK_MESSAGE(kind(ordinary) == Kind::ordinary, ordinary);
  }

  TEST_CASE("of DISCARD only ALL refuses transaction blocks") {
    CHECK(kind("DISCARD ALL") == Kind::alone);
    for (const auto* ordinary : {"DISCARD TEMP", "DISCARD PLANS"})
      CHECK_MESSAGE(kind(ordinary) == Kind::ordinary, ordinary);
  }

  TEST_CASE("the index of a CONCURRENTLY statement is known") {
    const auto created = only("CREATE INDEX CONCURRENTLY \"I\" ON app.\"Users\" (b)").index;
    REQUIRE(created.has_value());
    CHECK(created->action == Statement::Index::Action::create);
    CHECK(created->schema == "app");
    CHECK(created->name == "I");
    CHECK(created->table == "Users");
    const auto nameless = only("CREATE INDEX CONCURRENTLY ON a (b)").index;
    REQUIRE(nameless.has_value());
    CHECK(nameless->name.empty());
    CHECK(nameless->schema.empty());
    const auto dropped = only("DROP INDEX CONCURRENTLY IF EXISTS app.i").index;
    REQUIRE(dropped.has_value());
    CHECK(dropped->action == Statement::Index::Action::drop);
    CHECK(dropped->schema == "app");
    CHECK(dropped->name == "i");
    const auto rebuilt = only("REINDEX INDEX CONCURRENTLY i").index;
    REQUIRE(rebuilt.has_value());
    CHECK(rebuilt->action == Statement::Index::Action::rebuild);
    CHECK(rebuilt->name == "i");
    CHECK(only("REINDEX TABLE CONCURRENTLY t").index->table == "t");
    CHECK_FALSE(only("REINDEX SCHEMA CONCURRENTLY s").index.has_value());
  }

  TEST_CASE("a DO block with a COMMIT of its own is alone, one that only has the word is not") {
    for (const auto* ends :
         {"DO $$ BEGIN COMMIT; END $$",
          "DO $$ BEGIN FOR i IN 1..9 LOOP PERFORM 1; COMMIT; END LOOP; END $$",
          "DO LANGUAGE plpgsql 'BEGIN ROLLBACK; END'",
          "DO $$ BEGIN IF true THEN COMMIT; ELSE ROLLBACK; END IF; END $$",
          "DO $$ BEGIN <<l>> commit; END $$", "DO $$ BEGIN /* x */ COMMIT AND CHAIN; END $$",
          "DO $$ BEGIN NULL; -- x\n COMMIT; END $$"}) {
      CAPTURE(std::string{ends});
      CHECK(kind(ends) == Kind::alone);
    }
    for (const auto* harmless :
         {"DO $$ BEGIN UPDATE a SET commit = 1; END $$",
          "DO $$ BEGIN PERFORM commit, rollback FROM a; END $$",
          "DO $$ BEGIN CREATE TEMP TABLE t (i int) ON COMMIT DROP; END $$",
          "DO $$ BEGIN NULL; /* COMMIT; */ END $$", "DO $$ BEGIN RAISE NOTICE '; COMMIT;'; END $$",
          "DO $$ BEGIN NULL; -- ; COMMIT;\n END $$",
          "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"}) {
      CAPTURE(std::string{harmless});
      CHECK(kind(harmless) == Kind::ordinary);
    }
  }

  TEST_CASE("what ends at a COMMIT is marked") {
    CHECK(only("SET LOCAL lock_timeout = 1").ends_at_commit);
    CHECK(only("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE").ends_at_commit);
    CHECK(only("CREATE TEMP TABLE t (i int) ON COMMIT DROP").ends_at_commit);
    CHECK(only("CREATE TEMP TABLE t (i int) ON COMMIT DELETE ROWS").ends_at_commit);
    CHECK(only("CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1").ends_at_commit);
    CHECK(only("DECLARE c CURSOR FOR SELECT 1").ends_at_commit);
    CHECK_FALSE(only("CREATE TEMP TABLE t (i int)").ends_at_commit);
    CHECK_FALSE(only("CREATE TEMP TABLE t (i int) ON COMMIT PRESERVE ROWS").ends_at_commit);
    CHECK_FALSE(only("SET lock_timeout = 1").ends_at_commit);
  }

  TEST_CASE("SET CONSTRAINTS and a local set_config end at a COMMIT too") {
    CHECK(only("SET CONSTRAINTS ALL DEFERRED").ends_at_commit);
    CHECK(only("SELECT set_config('lock_timeout', '1', true)").ends_at_commit);
  }

  TEST_CASE("BEGIN keeps its options, without its own words") {
    CHECK(only("BEGIN").options.empty());
    CHECK(only("BEGIN WORK").options.empty());
    CHECK(only("BEGIN ISOLATION LEVEL SERIALIZABLE").options == "ISOLATION LEVEL SERIALIZABLE");
    CHECK(only("start transaction read only, deferrable").options == "read only, deferrable");
    CHECK(only("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ").options ==
          "ISOLATION LEVEL REPEATABLE READ");
  }

  TEST_CASE("a comment inside BEGIN is no part of its options") {
    CHECK(only("BEGIN /* why */ TRANSACTION READ WRITE").options == "READ WRITE");
  }

  TEST_CASE("statements know where they stand in the file") {
    CHECK(positions("SELECT 1;") == "1:1");
    CHECK(positions("\n\n  SELECT 1;SELECT 2;\nSELECT 3") == "3:3 3:12 4:1");
    CHECK(positions("-- a comment; with a semicolon\n/* and\n another /* nested */ */ SELECT 1;") ==
          "3:26");
    CHECK(positions("SELECT 1; -- same line\n\n  -- next\n  SELECT 2;") == "1:1 4:3");
    CHECK(positions("SELECT 1;\r\n\r\n  SELECT 2;\r\n") == "1:1 3:3");
    CHECK(positions("SELECT ';';\nSELECT $$;\n;$$;\nSELECT \";\";\n") == "1:1 2:1 4:1");
    CHECK(positions("SELECT 'é日本';\nSELECT 2; SELECT 3;") == "1:1 2:1 2:11");
    CHECK(positions("\xEF\xBB\xBFSELECT 1;\nSELECT 2;") == "1:1 2:1");
    CHECK(positions("SELECT 1;\f\tSELECT 2;") == "1:1 1:12");
  }

  TEST_CASE("columns count characters, not bytes") {
    CHECK(positions("SELECT 'é日本'; SELECT 2;") == "1:1 1:15");
  }

  TEST_CASE("a statement's text is without blanks, semicolons and comments in front") {
    CHECK(only("  -- c\n SELECT /* in */ 1  ;;\n").text == "SELECT /* in */ 1");
    CHECK(only("\xEF\xBB\xBF SELECT 1").text == "SELECT 1");
    CHECK(only("SELECT 'é';").text == "SELECT 'é'");
  }

  TEST_CASE("a statement's text is without comments behind it") {
    CHECK(only("SELECT 1 -- note\n").text == "SELECT 1");
    CHECK(only("SELECT 1 /* note */;").text == "SELECT 1");
    CHECK(only("SELECT 1\n-- note\n;").text == "SELECT 1");
  }

  TEST_CASE("strings and names with Unicode escapes are part of a statement to their end") {
    for (const auto* sql : {"SELECT U&'a'", "DROP TABLE U&\"a b\"", "SELECT u&'a''b'\n  'c; d'",
                            "SELECT U&'!0041' UESCAPE '!'", "TRUNCAT U&\"a\""}) {
      CAPTURE(std::string{sql});
      CHECK(only(sql).text == sql);
      CHECK(only(std::string{sql} + " /* c */ ; -- d").text == sql);
    }
  }

  TEST_CASE("what only a client can do is unsupported") {
    for (const auto* unsupported :
         {"COPY a FROM STDIN", "COPY a TO STDOUT", "PREPARE TRANSACTION 'x'", "COMMIT PREPARED 'x'",
          "ROLLBACK PREPARED 'x'", "\\connect other"})
      CHECK_MESSAGE(kind(unsupported) == Kind::unsupported, unsupported);
  }

  TEST_CASE(
      "what the PG 15 grammar does not know is left for the server, one statement at a time") {
    const auto statements =
        parse_script("CREATE TABLE a (i int);\n"
                     "ALTER TABLE a ADD COLUMN j int GENERATED ALWAYS AS (i) VIRTUAL;\n"
                     "BEGIN;\n"
                     "SELEC 1 FROM a;\n"
                     "COMMIT;\n"
                     "CREATE INDEX CONCURRENTLY i ON a (i);\n"
                     "VACUUM (SOMETHING_NEW 7 x) a;\n"
                     "CREATE INDEX CONCURRENTLY i ON a (i) SOMETHING NEW;\n");
    REQUIRE(statements.size() == 8);
    const Kind kinds[] = {Kind::ordinary, Kind::ordinary, Kind::begin, Kind::ordinary,
                          Kind::commit,   Kind::alone,    Kind::alone, Kind::alone};
    for (std::size_t i = 0; i < 8; ++i) {
      CAPTURE(i);
      CHECK(statements[i].kind == kinds[i]);
      CHECK(statements[i].line == static_cast<int>(i) + 1);
      CHECK(statements[i].column == 1);
    }
    CHECK(statements[3].text == "SELEC 1 FROM a");
  }

  TEST_CASE("numbers as PostgreSQL 16 writes them hide no statement of their script") {
    const auto statements = parse_script("INSERT INTO a VALUES (1_000, 0x1F, 1_0.5_0e-1_0);\n"
                                         "BEGIN;\n"
                                         "SELECT '0x1F 1_000', \"1_0\", 0b1, 0o17;\n"
                                         "COMMIT;\n"
                                         "CREATE INDEX CONCURRENTLY i ON a (i) WHERE i > 1_0;\n");
    REQUIRE(statements.size() == 5);
    const Kind kinds[] = {Kind::ordinary, Kind::begin, Kind::ordinary, Kind::commit, Kind::alone};
    for (std::size_t i = 0; i < 5; ++i) {
      CAPTURE(i);
      CHECK(statements[i].kind == kinds[i]);
    }
    CHECK(statements[2].text == "SELECT '0x1F 1_000', \"1_0\", 0b1, 0o17");
  }

  TEST_CASE("an expression of twenty thousand terms is read without running out of stack") {
    std::string sql = "SELECT 'a'";
    for (int i = 0; i < 20'000; ++i) sql += "||'a'";
    CHECK(parse_script(sql).size() == 1);
  }

  TEST_CASE("a statement without a single keyword is not left out") {
    CHECK(positions("SELECT 1;\nTRUNCAT a;\nSELECT 2;") == "1:1 2:1 3:1");
    CHECK(positions("typo") == "1:1");
    CHECK(positions("typo; ; SELECT (1; 2);\ntypo") == "1:1 1:9 2:1");
  }

  TEST_CASE("a text that cannot even be cut into words stays one statement") {
    for (const auto* broken : {"SELECT 'never closed; SELECT 2;", "/* never closed",
                               "SELECT $$ x; SELECT 1", "CREATE TABLE \"a (i int);\nSELECT 1;"}) {
      CAPTURE(std::string{broken});
      CHECK(parse_script(broken).size() <= 1);
    }
    CHECK(only("SELECT 'never closed; SELECT 2;").kind == Kind::ordinary);
  }

  TEST_CASE("comments are taken out of a text, strings are not") {
    CHECK(without_comments("a -- b\n /* c */ 'd -- e'") == "a 'd -- e' ");
    CHECK(without_comments("").empty());
  }
}

TEST_SUITE("segments") {
  TEST_CASE("a script that can be one transaction is one segment") {
    CHECK(shape("CREATE TABLE a (i int); CREATE INDEX ON a (i); INSERT INTO a VALUES (1);") ==
          "3T");
    CHECK(segments("SELECT 1").front().reason.empty());
  }

  TEST_CASE("a script with nothing to do is one empty transaction") {
    for (const auto* nothing :
         {"", " \n\t", "-- comment", "/* comment */", ";;;", " ; -- x\n;", "\xEF\xBB\xBF",
          "BEGIN; COMMIT;", "-- This is an empty migration."}) {
      CAPTURE(std::string{nothing});
      CHECK(shape(nothing) == "0T");
    }
  }

  TEST_CASE("settings alone are still sent") {
    CHECK(shape("SET search_path = a; SET lock_timeout = 1;") == "2T");
  }

  TEST_CASE("BEGIN and COMMIT are absorbed where that means the same") {
    CHECK(shape("BEGIN; CREATE TABLE a (i int); COMMIT;") == "1T");
    // Where a COMMIT stood, deferred constraints are checked: one statement more.
    CHECK(shape("BEGIN; SELECT 1; COMMIT; SELECT 2; BEGIN; SELECT 3; END;") == "4T");
    CHECK(shape("SELECT 1; COMMIT; SELECT 2;") == "3T");
    CHECK(shape("BEGIN; BEGIN; SELECT 1; COMMIT;") == "1T");
    CHECK(shape("BEGIN; SAVEPOINT s; SELECT 1; ROLLBACK TO s; COMMIT;") == "3T");
  }

  TEST_CASE("a COMMIT that ends something is kept") {
    CHECK(shape("BEGIN; SET LOCAL lock_timeout = 1; SELECT 1; COMMIT; SELECT 2;") == "2T 1T");
    CHECK(shape("BEGIN; CREATE TEMP TABLE t (i int) ON COMMIT DROP; COMMIT; SELECT 2;") == "1T 1T");
    CHECK(shape("BEGIN; SET LOCAL lock_timeout = 1; COMMIT;") == "1T");
    CHECK(shape("SET LOCAL lock_timeout = 1; SELECT 1;") == "2T");
    CHECK(segments("SET LOCAL a.b = 1; COMMIT; SELECT 2;").at(1).reason == contains("COMMIT"));
  }

  TEST_CASE("an isolation level gets a transaction of its own") {
    const auto parts =
        segments("SELECT 1; BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 2; COMMIT; SELECT 3;");
    REQUIRE(parts.size() == 3);
    CHECK(parts[0].transaction_options.empty());
    CHECK(parts[1].transaction_options == "ISOLATION LEVEL SERIALIZABLE");
    CHECK(parts[2].transaction_options.empty());
  }

  TEST_CASE("a statement that refuses transactions is a segment of its own") {
    CHECK(shape("CREATE INDEX CONCURRENTLY i ON a (b)") == "1A");
    CHECK(shape("-- why\nCREATE INDEX CONCURRENTLY i ON a (b);\n-- end\n") == "1A");
    CHECK(shape("SELECT 1; CREATE INDEX CONCURRENTLY i ON a (b); SELECT 2; SELECT 3;") ==
          "1T 1A 2T");
    CHECK(shape("CREATE INDEX CONCURRENTLY i ON a (b); CREATE INDEX CONCURRENTLY j ON a (c);") ==
          "1A 1A");
    CHECK(shape("BEGIN; SELECT 1; COMMIT; CREATE INDEX CONCURRENTLY i ON a (b);") == "1T 1A");
    CHECK(shape("DO $$ BEGIN COMMIT; END $$; SELECT 1;") == "1A 1T");
    const auto parts = segments("SELECT 1;\nVACUUM a;\nSELECT 2;");
    CHECK(parts.at(1).reason == contains("VACUUM"));
    CHECK(parts.at(2).reason == contains("line 2"));
  }

  TEST_CASE("settings are carried into the later segments") {
    const auto parts =
        segments("SET lock_timeout = 1; CREATE INDEX CONCURRENTLY i ON a (b); SET search_path = x; "
                 "SELECT 1; VACUUM;");
    REQUIRE(parts.size() == 3);
    CHECK_FALSE(parts[0].transactional);
    CHECK(parts[0].settings.size() == 1);
    CHECK(parts[1].settings.size() == 1);
    CHECK(parts[1].statements.size() == 2);
    CHECK(parts[2].settings.size() == 2);
    CHECK(shape("SET a.b = 1; VACUUM; SET a.b = 2;") == "1A");
  }

  TEST_CASE("a statement that needs what stands before it committed starts a segment") {
    const auto cut = [](const std::string& sql, int line) {
      std::string shape;
      for (const auto& part :
           split_into_segments(parse_script(sql), {{line, 1, Cut::Kind::before}}))
        shape += (shape.empty() ? "" : " ") + std::to_string(part.statements.size());
      return shape;
    };
    CHECK(cut("SELECT 1;\nSELECT 2;\nSELECT 3;", 2) == "1 2");
    CHECK(cut("SELECT 1;\nSELECT 2;\nSELECT 3;", 3) == "2 1");
    CHECK(cut("SELECT 1;\nSELECT 2;", 1) == "2");
    CHECK(cut("BEGIN; SELECT 1; COMMIT;\nSELECT 2;", 2) == "1 1");
    // A block of the script's own stays one transaction.
    CHECK(cut("SELECT 1; BEGIN; SELECT 2;\nSELECT 3; COMMIT;", 2) == "1 2");
    CHECK(cut("BEGIN; SELECT 1;\nSELECT 2; COMMIT;", 2) == "2");
    CHECK(cut("SET a.b = 1;\nSELECT 1;", 2) == "1");
    CHECK(split_into_segments(parse_script("SELECT 1;\nSELECT 2;"), {{2, 1, Cut::Kind::before}})
              .at(1)
              .reason == contains("line 2"));
  }

  TEST_CASE("what would lose work is refused with its position") {
    CHECK(refusal("SELECT 1;\n  ROLLBACK;").starts_with("2:3 ROLLBACK would undo"));
    CHECK(refusal("SELECT 1;\nBEGIN;\nSELECT 2;").starts_with("2:1 BEGIN without COMMIT"));
    CHECK(refusal("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2;")
              .starts_with("1:26 BEGIN without COMMIT"));
    CHECK(refusal("BEGIN;\nCREATE INDEX CONCURRENTLY i ON a (b);\nCOMMIT;") ==
          "2:1 CREATE INDEX CONCURRENTLY cannot run inside the BEGIN of line 1");
    CHECK(refusal("BEGIN;\nDO $$ BEGIN COMMIT; END $$;\nCOMMIT;").starts_with("2:1 DO block"));
    CHECK(refusal("SELECT 1;\nPREPARE TRANSACTION 'x';")
              .starts_with("2:1 a migration cannot use two-phase"));
    CHECK(refusal("SELECT 1;\n\nCOPY a (i) FROM stdin;\n1\n2\n\\.\n\nSELECT 2;")
              .starts_with("3:1 COPY FROM STDIN"));
    CHECK(refusal("SELECT 1;\n\\connect shop\nSELECT 2;")
              .starts_with("2:1 a line that starts with \\"));
    CHECK(refusal("\\set ON_ERROR_STOP on\nCREATE TABLE a (i int);")
              .starts_with("1:1 a line that starts"));
    CHECK(refusal("BEGIN; SELECT 1; ABORT;") == contains("ROLLBACK"));
    CHECK(refusal("SELEC 1 FROM a;\nROLLBACK;").starts_with("2:1 ROLLBACK"));
  }

  TEST_CASE("a BEGIN with options does not cut the block it stands in") {
    CHECK(refusal("BEGIN;\nSELECT 1;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 2;\nCOMMIT") ==
          "3:1 BEGIN ISOLATION LEVEL SERIALIZABLE inside the BEGIN of line 1 would come too late");
    CHECK(shape("BEGIN; SELECT 1; BEGIN; SELECT 2; COMMIT") == "2T");
  }

  TEST_CASE("a refusal comes with advice where there is any") {
    try {
      (void)segments("BEGIN; SELECT 1;");
      FAIL("accepted");
    } catch (const ScriptRefused& refused) {
      CHECK(refused.hint == contains("COMMIT"));
    }
  }

  TEST_CASE("wrong and newer syntax stays executable") {
    CHECK(shape("SELEC 1") == "1T");
    CHECK(shape("MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE RETURNING *;") == "1T");
    CHECK(shape("CREATE TABLE a (i int);\nSELEC 1 FROM a;\nCREATE TABLE b (i int);") == "3T");
    CHECK(shape("SELECT 'never closed") == "1T");
  }

  TEST_CASE("a statement's digest depends on its words only") {
    // A stored progress is compared with this: it must stay the same in later versions.
    CHECK(digest_of(only("SELECT 1;")) == "3d92dbd24a6ccece75724151c3655533");
    CHECK(digest_of(only("SELECT 1;")) == digest_of(only("\xEF\xBB\xBF-- c\n\n SELECT /**/ 1\n;")));
    CHECK(digest_of(only("SELECT 1;")) != digest_of(only("SELECT 2;")));
    CHECK(digest_of(only("SELECT '1'")) != digest_of(only("SELECT 1")));
    CHECK(digest_of(only("SELECT 'a  b'")) != digest_of(only("SELECT 'a b'")));
    CHECK(digest_of(only("SELECT 'never closed")) != digest_of(only("DROP 'never closed")));
  }

  TEST_CASE("a segment has the digests of all statements since the segment before") {
    const auto parts =
        segments("SET a.b = 1; VACUUM; SET a.c = 2; BEGIN; SELECT 1; COMMIT; SELECT 2;"
                 "VACUUM;");
    REQUIRE(parts.size() == 3);
    using Digests = std::vector<std::string>;
    const auto digest = [](const std::string& sql) { return digest_of(only(sql)); };
    CHECK(parts[0].digests() == Digests{digest("SET a.b = 1"), digest("VACUUM")});
    CHECK(parts[1].digests() ==
          Digests{digest("SET a.c = 2"), digest("SELECT 1"), digest("SELECT 2")});
    CHECK(parts[2].digests() == Digests{digest("VACUUM")});
  }
}
