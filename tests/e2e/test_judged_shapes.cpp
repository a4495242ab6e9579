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
