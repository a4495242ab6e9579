// What the judge says of things that have the right name: of which shape they should be, and whose
// work it is that they are of another one.

#include "e2e/history_fixture.hpp"

using namespace testing;

TEST_CASE("a column that was made without NOT NULL or default is another one with it") {
  for (const std::string more : {"NOT NULL", "DEFAULT 'x'"}) {
    CAPTURE(more);
    const Shop shop;
    shop.migration("1_a", "CREATE TABLE a (id int, name text);\n");
    shop.database().execute("CREATE TABLE a (id int, name text " + more + ")");
    const auto baselined = shop.call({"baseline", "1_a"});
    CHECK(baselined == exits(20));
    CHECK(baselined.err == contains("column a.name"));
    shop.row("1_a", "killed");
    const auto resolved = shop.resolve("1_a", "--auto");
    CHECK(resolved == exits(20));
    CHECK(resolved.err == contains("column a.name"));
  }
}

TEST_CASE("what is in the way of a statement that failed is told beside the proof that it failed") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\n");
  shop.database().execute("CREATE TABLE a (id text)");
  shop.row("1_a", "failed");
  const auto result = shop.resolve("1_a", "--auto");
  CHECK(result == exits(0));
  CHECK(result.err == contains("its one statement failed"));
  CHECK(result.err == contains("column a.id should be integer, is text"));
}

TEST_CASE("what a failed migration has done makes none of those before it a ghost") {
  const Shop shop;
  shop.migration("1_mood",
                 "CREATE TYPE mood AS ENUM ('good');\nCREATE TABLE a (id int, name text);\n");
  shop.row("1_mood", "applied");
  shop.migration("2_more", "ALTER TYPE mood ADD VALUE 'bad';\nALTER TABLE a DROP COLUMN name;\n"
                           "CREATE TABLE b (id int);\n");
  shop.row("2_more", "killed");
  shop.database().execute("CREATE TYPE mood AS ENUM ('good')");
  shop.database().execute("CREATE TABLE a (id int, name text)");
  SUBCASE("nothing") {}
  SUBCASE("a part") { shop.database().execute("ALTER TYPE mood ADD VALUE 'bad'"); }
  SUBCASE("all") {
    shop.database().execute("ALTER TYPE mood ADD VALUE 'bad'");
    shop.database().execute("ALTER TABLE a DROP COLUMN name; CREATE TABLE b (id int)");
  }
  const auto seen = shop.status();
  CHECK(seen.findings() != contains("not-there"));
}

TEST_CASE("what a pushed migration has done makes none of those before it a ghost") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int, name text);\n");
  shop.row("1_a", "applied");
  shop.migration("2_more", "ALTER TABLE a ALTER name TYPE varchar(9);\n");
  shop.database().execute("CREATE TABLE a (id int, name varchar(9))");
  const auto seen = shop.status();
  CHECK(seen.findings() == "pending 2_more 20");
  CHECK(seen.hint("pending") == "schemagate baseline 2_more && schemagate run");
}

TEST_CASE("a claimed migration whose work has another shape is told by what it claims") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\n");
  shop.row("1_a", "applied");
  shop.migration("2_default", "ALTER TABLE a ALTER id SET DEFAULT 1;\n");
  shop.row("2_default", "applied");
  shop.database().execute("CREATE TABLE a (id int DEFAULT 2)");
  CHECK(shop.status().evidence("not-there", "2_default") ==
        "the default of column a.id should be 1, is 2\n");
}

TEST_CASE(
    "without a history, what does nothing is recorded with the rest, and data is a person's") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\n");
  shop.migration("3_b", "CREATE TABLE b (id int);\n");
  shop.migration("4_c", "CREATE TABLE c (id int);\n");
  SUBCASE("nothing") {
    shop.migration("2_nothing", "ALTER TABLE a ALTER id DROP NOT NULL;\n");
    shop.database().execute("CREATE TABLE a (id int); CREATE TABLE b (id int)");
    CHECK(shop.status().hint("not-baselined") ==
          "schemagate baseline --through 3_b && schemagate run");
  }
  SUBCASE("data") {
    shop.migration("2_nothing", "UPDATE a SET id = 1;\n");
    shop.database().execute("CREATE TABLE a (id int); CREATE TABLE b (id int)");
    const auto seen = shop.status();
    CHECK(seen.hint("not-baselined") == "schemagate baseline 1_a 3_b && schemagate run");
    CHECK(seen.what("not-baselined") == contains("if you know that these were executed"));
    CHECK(seen.what("not-baselined") == contains(": 2_nothing"));
  }
}
