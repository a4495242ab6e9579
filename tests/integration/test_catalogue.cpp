// Whether scripts executed by the real server are recognised in its catalogue: each script is
// judged before its first statement, after each of them, and after its last.

#include <doctest/doctest.h>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/evidence.hpp"
#include "support/server.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
using Verdict = Evidence::Verdict;

namespace {

Evidence look(pg::Session& session, const Script& script) {
  return judge(script, read_catalogue(session, {"public"}, script.effects));
}

// Before, in the middle and at the end: nothing, that part, everything; and nothing else is ever
// claimed. Where a script undoes what it did before, less can be told.
enum class Told { exactly, nothing_wrong };
void check_recognised(const std::string& before, const std::string& sql,
                      Told told = Told::exactly) {
  const testing::TestDatabase database;
  auto session = database.connect();
  if (!before.empty()) session.execute(before);
  const auto script = script_of(sql);
  for (std::size_t done = 0; done <= script.statements.size(); ++done) {
    if (done > 0) session.execute(script.statements[done - 1].text);
    const auto evidence = look(session, script);
    INFO("after " << done << " statements of: " << sql);
    CAPTURE(join(report(evidence, 50), "\n"));
    const auto count = script.statements.size();
    if (told == Told::exactly)
      CHECK(evidence.verdict == (done == 0       ? Verdict::none_there
                                 : done == count ? Verdict::all_there
                                                 : Verdict::part_there));
    CHECK((evidence.verdict != Verdict::none_there || done == 0));
    CHECK((evidence.verdict != Verdict::all_there || done == count));
    CHECK(evidence.verdict != Verdict::contradictory);
    CHECK(evidence.done_at_least <= done);
    CHECK((evidence.verdict == Verdict::none_there || done <= evidence.done_at_most));
  }
}

}  // namespace

TEST_CASE("tables as Prisma writes them are recognised column by column") {
  check_recognised(
      "",
      "CREATE TYPE \"Role\" AS ENUM ('USER', 'ADMIN');"
      "CREATE TABLE \"User\" (\"id\" SERIAL NOT NULL, \"email\" TEXT NOT NULL, \"name\" VARCHAR(120),"
      "  \"role\" \"Role\" NOT NULL DEFAULT 'USER', \"tags\" TEXT[], \"price\" DECIMAL(65,30) DEFAULT 0,"
      "  \"big\" BIGINT NOT NULL DEFAULT 0, \"negative\" INTEGER DEFAULT -1, \"score\" DOUBLE PRECISION,"
      "  \"at\" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, \"tz\" TIMESTAMPTZ(6), \"c\" CHAR(2),"
      "  \"on\" BOOLEAN NOT NULL DEFAULT true, \"key\" UUID NOT NULL DEFAULT gen_random_uuid(),"
      "  \"data\" JSONB DEFAULT '{}', \"roles\" \"Role\"[], \"n\" NUMERIC(10), \"t\" TIME,"
      "  \"q\" TEXT DEFAULT 'it''s', \"made\" INTEGER GENERATED ALWAYS AS (1 + 1) STORED,"
      "  CONSTRAINT \"User_pkey\" PRIMARY KEY (\"id\"));"
      "CREATE TABLE \"Post\" (\"id\" BIGSERIAL NOT NULL, \"authorId\" INTEGER NOT NULL,"
      "  CONSTRAINT \"Post_pkey\" PRIMARY KEY (\"id\"));"
      "CREATE UNIQUE INDEX \"User_email_key\" ON \"User\"(\"email\");"
      "ALTER TABLE \"Post\" ADD CONSTRAINT \"Post_authorId_fkey\" FOREIGN KEY (\"authorId\")"
      "  REFERENCES \"User\"(\"id\") ON DELETE RESTRICT ON UPDATE CASCADE;");
}

TEST_CASE("changes to tables are recognised") {
  check_recognised("CREATE TABLE t (id int PRIMARY KEY, a int, b text); CREATE INDEX t_a ON t (a);",
                   "ALTER TABLE t ADD COLUMN c varchar(10), DROP COLUMN b;"
                   "ALTER TABLE t ALTER COLUMN a TYPE bigint;"
                   "ALTER TABLE t ALTER COLUMN a SET NOT NULL, ALTER COLUMN a SET DEFAULT 7;"
                   "ALTER TABLE t RENAME COLUMN a TO aa;"
                   "ALTER TABLE t RENAME TO tt;"
                   "ALTER TABLE tt ADD CONSTRAINT positive CHECK (aa > 0) NOT VALID;"
                   "ALTER TABLE tt VALIDATE CONSTRAINT positive;"
                   "ALTER INDEX t_a RENAME TO tt_aa;"
                   "ALTER TABLE tt ALTER COLUMN aa DROP NOT NULL;"
                   "ALTER TABLE tt ALTER COLUMN aa DROP DEFAULT;"
                   "DROP INDEX tt_aa;"
                   "ALTER TABLE tt DROP CONSTRAINT positive;"
                   "DROP TABLE tt;",
                   Told::nothing_wrong);
}

TEST_CASE("types, views, functions, triggers, policies, schemas and extensions are recognised") {
  check_recognised(
      "CREATE TABLE t (id int); CREATE TYPE e AS ENUM ('a')",
      "ALTER TYPE e ADD VALUE 'b';"
      "ALTER TYPE e RENAME VALUE 'a' TO 'aa';"
      "CREATE SCHEMA other;"
      "CREATE TABLE other.t (id int);"
      "CREATE VIEW v AS SELECT 1 AS one;"
      "CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;"
      "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;"
      "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();"
      "CREATE POLICY p ON t USING (true);"
      "CREATE SEQUENCE s;"
      "CREATE DOMAIN d AS text;"
      "CREATE TYPE pair AS (x int, y int);"
      "CREATE EXTENSION IF NOT EXISTS pg_trgm;"
      "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;"
      "DROP TRIGGER tr ON t;"
      "DROP POLICY p ON t;"
      "DROP FUNCTION f();"
      "DROP VIEW v;"
      "DROP MATERIALIZED VIEW m;"
      "DROP TYPE pair;"
      "DROP SCHEMA other CASCADE;",
      Told::nothing_wrong);
}

TEST_CASE("an INVALID index is neither there nor not there") {
  const testing::TestDatabase database;
  auto session = database.connect();
  session.execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)");
  CHECK_THROWS(session.execute("CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)"));
  const auto script = script_of("CREATE UNIQUE INDEX CONCURRENTLY i ON t (id)");
  const auto evidence = look(session, script);
  CHECK(evidence.verdict == Verdict::contradictory);
  CHECK(report(evidence, 1).front() == contains("relation i is INVALID"));
}

TEST_CASE("names with quotes, backslashes, commas and braces are found") {
  check_recognised(
      "",
      "CREATE TABLE \"a\"\"b\\c,{d}\" (\"x\"\"\\,{}\" int); CREATE TABLE \"Ünïcode\" (\"ß\" text);");
}
