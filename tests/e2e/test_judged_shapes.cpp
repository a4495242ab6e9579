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
