// How much of a script is done, as the catalogue tells. The catalogues here are what scripts
// themselves would make; the real ones are in tests/integration/test_catalogue.cpp.

#include <doctest/doctest.h>

#include "schemagate/catalogue/evidence.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
using Kind = SchemaObject::Kind;
using Verdict = Evidence::Verdict;

namespace {

SchemaObject table(const std::string& name) { return {Kind::relation, "public", name, ""}; }

Shape column_type(const std::string& name, const std::string& modifier = "") {
  Shape shape;
  shape.type = TypeName{.name = name, .modifier = modifier, .is_array = false};
  shape.not_null = false;
  shape.has_default = false;
  return shape;
}

class Live {
 public:
  Live& with_table(const std::string& name) {
    catalogue.add(table(name), {});
    return *this;
  }
  Live& with_column(const std::string& of, const std::string& name, const Shape& shape) {
    catalogue.add({Kind::column, "public", of, name}, shape);
    return *this;
  }
  Live& with_type(const std::string& name, const std::vector<std::string>& labels) {
    Shape shape;
    shape.labels = labels;
    catalogue.add({Kind::type, "public", name, ""}, shape);
    for (const auto& label : labels) catalogue.add({Kind::enum_value, "public", name, label}, {});
    return *this;
  }
  Catalogue catalogue{{"public"}};
};

Evidence judged(const std::string& sql, const Live& live) {
  static Script script;
  script = script_of(sql);
  return judge(script, live.catalogue);
}

}  // namespace

TEST_CASE("a table that is there tells that it was created, one that is not that it was not") {
  const auto* sql = "CREATE TABLE t (id integer NOT NULL);";
  Shape id = column_type("int4");
  id.not_null = true;
  CHECK(judged(sql, Live{}).verdict == Verdict::none_there);
  CHECK(judged(sql, Live{}.with_table("t").with_column("t", "id", id)).verdict ==
        Verdict::all_there);
}

TEST_CASE("the statement where a half-applied script stopped is found") {
  const auto* sql = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\nCREATE TABLE c (id int);";
  const auto evidence =
      judged(sql, Live{}.with_table("a").with_column("a", "id", column_type("int4")));
  CHECK(evidence.verdict == Verdict::part_there);
  CHECK(evidence.done_at_least == 1);
  REQUIRE(evidence.next() != nullptr);
  CHECK(evidence.next()->line == 2);
  CHECK(report(evidence, 10) ==
        std::vector<std::string>{
            "line 1: done: CREATE TABLE a (id int)",
            "line 2: not done: CREATE TABLE b (id int) (relation b is missing)",
            "line 3: not done: CREATE TABLE c (id int) (relation c is missing)"});
}

TEST_CASE("a conversion that keeps the type is not taken for done, since it would not show") {
  const auto* sql = "ALTER TABLE t ALTER COLUMN price TYPE bigint USING price * 100;";
  const auto live = Live{}.with_table("t").with_column("t", "price", column_type("int8"));
  CHECK(judged(sql, live).verdict == Verdict::not_visible);
}

TEST_CASE("what a script makes and takes away again is not told to be done") {
  const auto* sql =
      "SELECT f();\nCREATE TABLE a (id int);\nDROP TABLE a;\nCREATE TABLE b (id int);";
  const auto evidence = judged(sql, Live{});
  CHECK(evidence.verdict == Verdict::not_visible);
  for (const auto& line : report(evidence, 10)) CHECK(line != contains(": done: "));
}

TEST_CASE("at no stage of a script, nothing is said of what other statements rename or drop") {
  // Stopped at the second CREATE TABLE: the first three were executed, the others were not.
  const auto* sql = "CREATE TABLE a (id int);\nALTER TABLE a RENAME TO b;\n"
                    "CREATE TABLE c (id int);\nCREATE TABLE is_there (id int);\n"
                    "CREATE TYPE kind AS ENUM ('x');\nDROP TYPE kind;\nDROP TABLE never;";
  const auto evidence = judged(sql, Live{}
                                        .with_table("b")
                                        .with_column("b", "id", column_type("int4"))
                                        .with_table("c")
                                        .with_column("c", "id", column_type("int4"))
                                        .with_table("is_there"));
  CHECK(evidence.verdict == Verdict::contradictory);
  for (const auto& line : report(evidence, 10)) {
    INFO(line);
    CHECK((line.starts_with("line 3: there") || line.starts_with("line 4: ") ||
           line == contains("cannot be seen")));
  }
}

TEST_CASE("where the first statement was not done, none was, whatever else is there") {
  const auto* sql = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);";
  const auto evidence =
      judged(sql, Live{}.with_table("b").with_column("b", "id", column_type("int4")));
  CHECK(evidence.verdict == Verdict::none_there);
}

TEST_CASE("data cannot be seen: whether an UPDATE before a missing column ran is not known") {
  const auto* sql = "UPDATE t SET x = x + 1; ALTER TABLE t ADD COLUMN y int;";
  const Live live = Live{}.with_table("t");
  CHECK(judged(sql, live).verdict == Verdict::not_visible);
  CHECK(judged("ALTER TABLE t ADD COLUMN y int; UPDATE t SET y = 1;", live).verdict ==
        Verdict::none_there);
  const Live with_y = Live{}.with_table("t").with_column("t", "y", column_type("int4"));
  CHECK(judged("ALTER TABLE t ADD COLUMN y int; UPDATE t SET y = 1;", with_y).verdict ==
        Verdict::not_visible);
  CHECK(judged(sql, with_y).verdict == Verdict::not_visible);
}

TEST_CASE("what may be repeated does not stand in the way of starting again") {
  const auto* sql = "GRANT SELECT ON t TO PUBLIC; SET lock_timeout = '1s';"
                    "CREATE TABLE IF NOT EXISTS t (id int); ALTER TABLE t ADD COLUMN y int;";
  const Live live = Live{}.with_table("t").with_column("t", "id", column_type("int4"));
  CHECK(judged(sql, live).verdict == Verdict::none_there);
}

TEST_CASE("what would succeed once more, and change more, does not repeat safely") {
  const auto repeats_safely = [](const std::string& sql) {
    INFO(sql);
    return judged(sql, Live{}).repeats_safely;
  };
  CHECK(repeats_safely("CREATE TABLE a (id int);"));
  CHECK(repeats_safely("DROP TABLE a;"));
  CHECK(repeats_safely("CREATE INDEX i ON a (id);"));
  CHECK(repeats_safely("CREATE TABLE IF NOT EXISTS a (id int); COMMENT ON TABLE a IS 'one';"));
  CHECK(repeats_safely(
      "ALTER TABLE a DROP CONSTRAINT fk; ALTER TABLE a ADD CONSTRAINT fk FOREIGN KEY (id) "
      "REFERENCES b (id) ON DELETE SET NULL;"));
  CHECK(repeats_safely("DROP INDEX i; CREATE INDEX i ON a (id);"));
  CHECK_FALSE(repeats_safely("ALTER TABLE a DROP COLUMN x; ALTER TABLE a ADD COLUMN x int;"));
  CHECK_FALSE(repeats_safely("UPDATE a SET id = id + 1;"));
  CHECK_FALSE(repeats_safely("DROP TABLE a; CREATE TABLE a (id int);"));
  CHECK_FALSE(repeats_safely("DROP TABLE IF EXISTS a;"));
  CHECK_FALSE(repeats_safely("DROP TABLE a CASCADE;"));
  CHECK_FALSE(repeats_safely("SELECT f();"));
  CHECK_FALSE(repeats_safely("ALTER TABLE a ALTER COLUMN x TYPE text;"));
  CHECK_FALSE(repeats_safely("DO $$ BEGIN PERFORM f(); END $$;"));
  CHECK_FALSE(repeats_safely("ALTER TABLE a RENAME TO c; ALTER TABLE b RENAME TO a; "
                             "ALTER TABLE c RENAME TO b;"));
}

TEST_CASE("between BEGIN and COMMIT there is no stage") {
  const auto* sql = "BEGIN; CREATE TABLE a (id int); CREATE TABLE b (id int); COMMIT;";
  CHECK(judged(sql, Live{}.with_table("a").with_column("a", "id", column_type("int4"))).verdict ==
        Verdict::none_there);
  CHECK(judged(sql, Live{}).verdict == Verdict::none_there);
}

TEST_CASE("an enum that Prisma replaces is told by its values, whatever the names in between") {
  const auto* sql =
      "BEGIN;"
      "CREATE TYPE \"Role_new\" AS ENUM ('ADMIN', 'USER');"
      "ALTER TABLE \"User\" ALTER COLUMN \"role\" TYPE \"Role_new\" USING (\"role\"::text::\"Role_new\");"
      "ALTER TYPE \"Role\" RENAME TO \"Role_old\";"
      "ALTER TYPE \"Role_new\" RENAME TO \"Role\";"
      "DROP TYPE \"Role_old\";"
      "COMMIT;";
  const auto live = [](const std::vector<std::string>& labels) {
    return Live{}
        .with_table("User")
        .with_column("User", "role", column_type("Role"))
        .with_type("Role", labels);
  };
  CHECK(judged(sql, live({"USER", "ADMIN", "GUEST"})).verdict == Verdict::none_there);
  CHECK(judged(sql, live({"ADMIN", "USER"})).verdict == Verdict::all_there);
}

TEST_CASE("a function that is not there, under any arguments, was not made") {
  const auto* sql =
      "CREATE FUNCTION f(x int) RETURNS int AS 'SELECT 1' LANGUAGE sql; SELECT 1/0; DROP TABLE a;";
  auto live = Live{}.with_table("a");
  CHECK(judged(sql, live).verdict == Verdict::none_there);
  live.catalogue.add({Kind::function, "public", "f", ""}, {});
  CHECK(judged(sql, live).verdict != Verdict::none_there);
}

TEST_CASE("a function that still has its old body was not replaced") {
  const auto* sql =
      "CREATE OR REPLACE FUNCTION f(x int) RETURNS int AS 'SELECT 2' LANGUAGE sql; SELECT 1/0;";
  Live live;
  const auto body = [](std::vector<std::string> texts) {
    Shape shape;
    shape.bodies = std::move(texts);
    return shape;
  };
  live.catalogue.add({Kind::function, "public", "f", ""}, body({"SELECT 1"}));
  CHECK(judged(sql, live).verdict == Verdict::none_there);
  live.catalogue.add({Kind::function, "public", "f", ""}, body({"SELECT 1", "SELECT 2"}));
  CHECK(judged(sql, live).verdict != Verdict::none_there);
}

TEST_CASE("the body of a compiled function tells nothing") {
  const auto* sql = "CREATE FUNCTION f() RETURNS int AS '$libdir/f' LANGUAGE C; DROP TABLE a;";
  auto live = Live{}.with_table("a");
  Shape symbol;
  symbol.bodies = {"f"};
  live.catalogue.add({Kind::function, "public", "f", ""}, symbol);
  CHECK(judged(sql, live).verdict == Verdict::not_visible);
}

TEST_CASE("a block at the end does not make statements done that presuppose what is not so") {
  // The second one failed, because its table was there: nothing was done.
  const auto* sql = "CREATE TABLE a (id int); CREATE TABLE old (id int); "
                    "DO $$ BEGIN EXECUTE 'SELECT 1'; END $$;";
  const auto evidence = judged(sql, Live{}.with_table("old"));
  CHECK(evidence.done_at_least == 0);
  CHECK(evidence.lines[0].sight != Evidence::Sight::done);
}

TEST_CASE("a type that is made anew is not taken for the new one, unless it is an enum") {
  const auto* sql = "CREATE TABLE a (id int); DROP TYPE pair; CREATE TYPE pair AS (x int, y text);";
  auto live = Live{}.with_table("a").with_column("a", "id", column_type("int4"));
  live.catalogue.add({Kind::type, "public", "pair", ""}, {});
  CHECK(judged(sql, live).verdict != Verdict::all_there);
}

TEST_CASE("a renamed table takes its columns along") {
  const auto* sql = "ALTER TABLE a RENAME TO b; ALTER TABLE b DROP COLUMN x; "
                    "ALTER TABLE b ADD COLUMN y text;";
  CHECK(judged(sql, Live{}.with_table("a").with_column("a", "x", column_type("int4"))).verdict ==
        Verdict::none_there);
  CHECK(judged(sql, Live{}.with_table("b").with_column("b", "x", column_type("int4"))).verdict ==
        Verdict::part_there);
  CHECK(judged(sql, Live{}.with_table("b").with_column("b", "y", column_type("text"))).verdict ==
        Verdict::all_there);
}

TEST_CASE("a column of another type, or default, is not what the script makes") {
  const auto* sql = "ALTER TABLE t ADD COLUMN price DECIMAL(10) NOT NULL DEFAULT 0;";
  Shape price = column_type("numeric", "10,0");
  price.not_null = true;
  price.has_default = true;
  CHECK(judged(sql, Live{}.with_table("t").with_column("t", "price", price)).verdict ==
        Verdict::all_there);
  price.type->modifier = "12,2";
  const auto evidence = judged(sql, Live{}.with_table("t").with_column("t", "price", price));
  CHECK(evidence.verdict == Verdict::contradictory);
  CHECK(report(evidence, 1).at(0) == contains("is numeric(12,2), not numeric(10,0)"));
}

TEST_CASE("of several scripts the first that are there are counted, as db push leaves them") {
  const auto first = script_of("CREATE TABLE a (id int); INSERT INTO a VALUES (1);");
  const auto second = script_of("ALTER TABLE a ADD COLUMN x text;");
  const auto third = script_of("ALTER TABLE a DROP COLUMN x;");
  const std::vector<const Script*> scripts = {&first, &second, &third};
  const auto a = [] { return Live{}.with_table("a").with_column("a", "id", column_type("int4")); };
  CHECK(judge_sequence(scripts, Live{}.catalogue).length == 0);
  CHECK(judge_sequence(scripts, a().with_column("a", "x", column_type("text")).catalogue).length ==
        2);
  CHECK(judge_sequence(scripts, a().catalogue).length == 3);
  const auto strange =
      judge_sequence({&first, &second}, a().with_column("a", "x", column_type("int4")).catalogue);
  CHECK_FALSE(strange.fits);
  CHECK(strange.differences == std::vector<std::string>{"column a.x is int4, not text"});
}

TEST_CASE("what a migration made is missed unless a later one took it away") {
  const auto first = script_of("CREATE TABLE a (id int, x int); CREATE TABLE b (id int);");
  const auto later = script_of("DROP TABLE b; ALTER TABLE a DROP COLUMN x;");
  const auto live = Live{}.with_table("a").with_column("a", "id", column_type("int4"));
  CHECK(remains_of({&first, &later}, live.catalogue).at(0).missing.empty());
  CHECK(remains_of({&first}, live.catalogue).at(0).missing ==
        std::vector<std::string>{"relation b is missing", "column a.x is missing"});
}
