#include "schemagate/migrate/advice.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

namespace {

pg::Error error_of(const std::string& sqlstate, const std::string& text) {
  auto error = pg::parse_error("ERROR:  " + text + "\n", sqlstate, "");
  error.role = "deploy";
  error.database = "shop";
  return error;
}

std::string hint_of(const std::string& sqlstate, const std::string& text,
                    const std::string& sql = "SELECT 1") {
  Migration migration;
  migration.name = "2_b";
  migration.file = "migrations/2_b/migration.sql";
  Statement statement;
  statement.text = sql;
  return advice(migration, {error_of(sqlstate, text), &statement}).text();
}

std::string rows_of(const std::string& sqlstate, const std::string& text, const std::string& sql) {
  Statement statement;
  statement.text = sql;
  return offending_rows(statement, error_of(sqlstate, text));
}

}  // namespace

TEST_SUITE("advice") {
  TEST_CASE("what a server lacks now is told from what its configuration never lets through") {
    CHECK(lacks_resource(error_of("53100", "could not extend file")));
    CHECK(lacks_resource(error_of("53200", "out of memory")));
    CHECK(lacks_resource(error_of("53300", "too many connections")));
    for (const std::string name : {"max_locks_per_transaction", "\"max_locks_per_transaction\""})
      CHECK_FALSE(lacks_resource(error_of(
          "53200", "out of shared memory\nHINT:  You might need to increase " + name + ".")));
    CHECK_FALSE(
        lacks_resource(error_of("53400", "temporary file size exceeds temp_file_limit (1kB)")));
    CHECK_FALSE(lacks_resource(error_of("42601", "syntax error")));
  }

  TEST_CASE("causes that a test's server cannot stage are told by their words") {
    struct Example {
      std::string sqlstate;
      std::string text;
      std::string hint;
    };
    for (
        const auto& [sqlstate, text, hint] : std::vector<Example>{
            {"0A000",
             "extension \"vector\" is not available\nDETAIL:  Could not open extension control file",
             "install its package"},
            {"58P01", "could not open extension control file \"/x/vector.control\": No such file",
             "install"},
            {"22023", "extension \"vector\" is not allow-listed for \"azure_pg_admin\" users",
             "allow the extension vector"},
            {"XX000", "pg_cron can only be loaded via shared_preload_libraries",
             "restart the server"},
            {"53100", "could not extend file: No space left on device", "disk is full"},
            {"53400", "temporary file size exceeds temp_file_limit (1kB)", "temp_file_limit"},
            {"57014", "canceling statement due to statement timeout",
             "raise migrations.statement_timeout"},
            {"57014", "canceling statement due to user request", "run again"},
            {"25006", "cannot execute CREATE TABLE in a read-only transaction", "read-only"},
            {"42704", "type \"citext\" does not exist", "CREATE EXTENSION IF NOT EXISTS citext"},
            {"42704", "type \"public.vector\" does not exist", "search_path"},
            {"42704", "access method \"hnsw\" does not exist",
             "CREATE EXTENSION IF NOT EXISTS vector"},
            {"42704", "operator class \"gin_trgm_ops\" does not exist for access method \"gin\"",
             "pg_trgm"},
            {"42883", "function uuid_generate_v4() does not exist",
             "CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\""},
            {"42883", "function public.crypt(text, text) does not exist", "pgcrypto"},
            {"42704", "type \"mood\" does not exist", "schemagate status"},
            {"42704", "role \"reader\" does not exist", "CREATE ROLE \"reader\""},
            {"42710", "role \"reader\" already exists", "roles belong to the server"},
            {"42710", "type \"mood\" already exists", "schemagate resolve 2_b --auto"},
            {"42P01", "relation \"x\" does not exist", "schemagate status"},
            {"42601", "syntax error at or near \"x\"", "fix migrations/2_b/migration.sql"}}) {
      CAPTURE(text);
      CHECK(hint_of(sqlstate, text) == contains(hint));
    }
  }

  TEST_CASE(
      "the query for the rows in the way uses the names of the statement, as they are written") {
    CHECK(
        rows_of("23505",
                "could not create unique index \"u\"\nDETAIL:  Key (email)=(a@b) is duplicated.",
                "CREATE UNIQUE INDEX CONCURRENTLY u ON \"public\".\"User\" (email)") ==
        "SELECT email, count(*) FROM \"public\".\"User\" WHERE (email) IS NOT NULL GROUP BY email HAVING "
        "count(*) > 1");
    CHECK(
        rows_of(
            "23505",
            "konnte Index »u« nicht erstellen\nDETAIL:  Schlüssel (lower(m), b)=(x, 1) ist doppelt.",
            "CREATE UNIQUE INDEX u ON ONLY t (lower(m), b) WHERE b > 0") ==
        "SELECT lower(m), b, count(*) FROM t WHERE (lower(m), b) IS NOT NULL AND (b > 0) GROUP BY lower(m), b "
        "HAVING count(*) > 1");
    CHECK(rows_of("23502", "column \"n\" of relation \"t\" contains null values",
                  "ALTER TABLE IF EXISTS ONLY s.t ALTER COLUMN n SET NOT NULL") ==
          "SELECT count(*) FROM s.t WHERE \"n\" IS NULL");
    CHECK(
        rows_of(
            "23514", "check constraint \"b\" of relation \"t\" is violated by some row",
            "ALTER TABLE t ADD CONSTRAINT a CHECK (x > 0), ADD CONSTRAINT b CHECK ((y) < f(1))") ==
        "SELECT count(*) FROM t WHERE NOT ((y) < f(1))");
    CHECK(
        rows_of(
            "23503", "insert or update on table \"o\" violates foreign key constraint \"fk\"",
            "ALTER TABLE o ADD CONSTRAINT \"fk\" FOREIGN KEY (\"a\", b) REFERENCES s.\"P\" (x, y)") ==
        "SELECT count(*) FROM o child WHERE child.\"a\" IS NOT NULL AND child.b IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM s.\"P\" parent WHERE parent.x = child.\"a\" AND parent.y = child.b)");
  }

  TEST_CASE("where the statement does not show it, there is no query, and nothing goes wrong") {
    for (const std::string sql :
         {"", "INSERT INTO t VALUES (1)", "ALTER TABLE", "ALTER TABLE t", "CREATE INDEX",
          "CREATE UNIQUE INDEX ON", "ALTER TABLE t ADD CHECK (", "ALTER TABLE t ADD CHECK",
          "ALTER TABLE o ADD FOREIGN KEY (a) REFERENCES", "ALTER TABLE t ADD FOREIGN KEY",
          "ALTER TABLE o ADD FOREIGN KEY (a) REFERENCES p", "ALTER TABLE t VALIDATE CONSTRAINT c",
          "'unterminated", "ALTER TABLE t ADD n int NOT NULL"})
      for (const std::string sqlstate : {"23502", "23503", "23505", "23514", "42601"}) {
        CAPTURE(sql);
        CHECK(rows_of(sqlstate, "no \"quoted\"", sql).empty());
      }
  }

  TEST_CASE("a tool's output is understood by codes and words, and not quoted") {
    struct Example {
      std::string line;
      std::string hint;
    };
    for (const auto& [line, hint] : std::vector<Example>{
             {"ERROR:  42501: must be owner of table item", "role deploy"},
             {"  code: '42501',", "role deploy"},
             {"django.db.utils.ProgrammingError: permission denied for schema public",
              "database shop"},
             {"ERROR:  canceling statement due to statement timeout", "statement_timeout"},
             {"canceling statement due to lock timeout", "pg_stat_activity"},
             {"Error: P3009", "stands in the history"},
             {"Error: P3018", "rolled back"},
             {"Error: P3005", "baseline"},
             {"P1002: timed out", "pg_stat_activity"},
             {"connect ECONNREFUSED 127.0.0.1:5432", "DATABASE_URL"},
             {"FATAL:  password authentication failed for user \"x\"", "DATABASE_URL"},
             {"could not extend file: No space left on device", "disk is full"},
             {"HINT: You might need to increase \"max_locks_per_transaction\".",
              "split the migration"},
             {"sqlstate: 42P07", "there already"}}) {
      CAPTURE(line);
      CHECK(advice_on_output(line, "deploy", "shop") == contains(hint));
    }
    for (const std::string line : {"", "applied 142501 rows", "42501x", "all well", "xp3009"})
      CHECK(advice_on_output(line, "deploy", "shop").empty());
    CHECK(advice_on_output("permission denied for hunter2", "deploy", "shop") !=
          contains("hunter2"));
  }
}
