// A migration of several parts failed or was killed in one of them, and its author has corrected
// the file: what is done is not done again, and nothing that is new is left out.

#include "support/deployment.hpp"

using namespace testing;

namespace {

constexpr const char* k_init = "CREATE TABLE t (x int, y int); CREATE TABLE calls (what text);"
                               "INSERT INTO t (x) VALUES (1), (1);";
constexpr const char* k_begin = "INSERT INTO calls VALUES ('first');\n"
                                "INSERT INTO calls VALUES ('second');\n";
constexpr const char* k_index = "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n";
constexpr const char* k_delete = "DELETE FROM t a USING t b WHERE a.x = b.x AND a.ctid > b.ctid;\n";
constexpr const char* k_end = "INSERT INTO calls VALUES ('last');\n";

std::string text(std::initializer_list<const char*> parts) {
  std::string all;
  for (const auto* part : parts) all += part;
  return all;
}

std::string calls(const Deployment& shop) {
  return joined(shop.database().column("SELECT what FROM calls ORDER BY ctid"));
}

// On the duplicates, after the first part.
void fail_at_the_index(const Deployment& shop) {
  shop.migration("1_init", k_init);
  shop.migration("2_parts", text({k_begin, k_index, k_end}));
  REQUIRE(shop.run() == exits(21, "2_parts/migration.sql:3:1", "put what is new between"));
  REQUIRE(calls(shop) == "first, second");
}

void check_complete(const Deployment& shop) {
  CHECK(shop.run() == exits(0));
  CHECK(shop.indexes(true) == "once");
  CHECK(shop.indexes(false).empty());
  CHECK(calls(shop) == "first, second, last");
  CHECK(shop.database().value("SELECT count(*) FROM t") == "1");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 1 finished");
  CHECK(shop.call({"gate", "--once"}) == exits(0));
}

}  // namespace

TEST_CASE("what is put before the failed statement is executed, and what is done is not") {
  const Deployment shop;
  fail_at_the_index(shop);
  SUBCASE("one statement") { shop.migration("2_parts", text({k_begin, k_delete, k_index, k_end})); }
  SUBCASE("several, with comments and blanks everywhere") {
    shop.migration("2_parts", text({"-- was:\n\n", k_begin, "/* why */ ANALYZE t;\n", k_delete,
                                    "-- then\nANALYZE t;", k_index, k_end}));
  }
  SUBCASE("in a block of its own") {
    shop.migration("2_parts", text({k_begin, "BEGIN;\n", k_delete, "COMMIT;\n", k_index, k_end}));
  }
  SUBCASE("one that stands alone, too") {
    shop.migration("2_parts", text({k_begin, k_delete, "VACUUM t;\n", k_index, k_end}));
  }
  SUBCASE("the failed statement by another one") {
    shop.migration("2_parts",
                   text({k_begin, k_delete, "CREATE UNIQUE INDEX once ON t (x);\n", k_end}));
  }
  SUBCASE("the failed statement by two") {
    shop.migration("2_parts", text({k_begin, k_delete, "DROP INDEX IF EXISTS once;\n",
                                    "CREATE UNIQUE INDEX once ON t (x);\n", k_end}));
  }
  check_complete(shop);
}

TEST_CASE("the failed statement may be taken out") {
  const Deployment shop;
  fail_at_the_index(shop);
  SUBCASE("and what stands behind it remains") {
    shop.migration("2_parts", text({k_begin, k_end}));
    CHECK(shop.run() == exits(0));
    CHECK(calls(shop) == "first, second, last");
  }
  SUBCASE("with all that stands behind it") {
    shop.migration("2_parts", k_begin);
    CHECK(shop.run() == exits(0));
    CHECK(calls(shop) == "first, second");
  }
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 1 finished");
}

TEST_CASE("a correction of what is done is refused, with the line, and changes nothing") {
  const Deployment shop;
  fail_at_the_index(shop);
  std::string told;
  SUBCASE("put before it") {
    shop.migration("2_parts", text({k_delete, k_begin, k_index, k_end}));
    told = "migration.sql:1:1: this stands before line 2, which is applied";
  }
  SUBCASE("put into it") {
    shop.migration("2_parts", text({"INSERT INTO calls VALUES ('first');\n", k_delete,
                                    "INSERT INTO calls VALUES ('second');\n", k_index, k_end}));
    told = "migration.sql:2:1: this stands before line 3, which is applied";
  }
  SUBCASE("changed") {
    shop.migration("2_parts", text({"INSERT INTO calls VALUES ('first');\n",
                                    "INSERT INTO calls VALUES ('another');\n", k_index, k_end}));
    told = "migration.sql:2:1: another statement stood here";
  }
  SUBCASE("taken out") {
    shop.migration("2_parts",
                   text({"INSERT INTO calls VALUES ('second');\n", k_delete, k_index, k_end}));
    told = "migration.sql:1:1: another statement stood here";
  }
  SUBCASE("in another order") {
    shop.migration("2_parts", text({k_delete, k_index, k_end, k_begin}));
    told = "migration.sql:1:1: this stands before line 4";
  }
  shop.database().execute("DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t)");
  CHECK(shop.run() == exits(20, told, "restore the part that was applied"));
  CHECK(shop.call({"status"}).out == contains(told));
  CHECK(calls(shop) == "first, second");
  CHECK(shop.indexes(true).empty());

  shop.migration("2_parts", text({k_begin, k_index, k_end}));
  CHECK(shop.run() == exits(0));
  CHECK(calls(shop) == "first, second, last");
}

TEST_CASE("a corrected migration fails once more, and is corrected once more") {
  const Deployment shop;
  fail_at_the_index(shop);
  shop.migration("2_parts",
                 text({k_begin, "INSERT INTO calls VALUES ('third');\n", k_index, k_end}));
  CHECK(shop.run() == exits(21, "2_parts/migration.sql:4:1", "2 of 4 parts"));
  CHECK(calls(shop) == "first, second, third");
  shop.migration("2_parts", text({k_begin, "INSERT INTO calls VALUES ('third');\n", k_delete,
                                  k_index, "SELECT 1/0;\n", k_end}));
  CHECK(shop.run() == exits(21, "2_parts/migration.sql:6:1"));
  shop.migration("2_parts", text({k_begin, "INSERT INTO calls VALUES ('third');\n", k_delete,
                                  k_index, k_end}));
  CHECK(shop.run() == exits(0));
  CHECK(calls(shop) == "first, second, third, last");
  CHECK(shop.indexes(true) == "once");
}
