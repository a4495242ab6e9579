// A migration that failed in one of its parts and was corrected, whose next run is killed at each
// message to the server: the run after that ends it, each statement executed once.

#include "support/deployment.hpp"

using namespace testing;

namespace {

constexpr const char* k_init = "CREATE TABLE t (x int); CREATE TABLE calls (what text);"
                               "INSERT INTO t VALUES (1), (1);";
constexpr const char* k_failing = "INSERT INTO calls VALUES ('first');\n"
                                  "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n"
                                  "INSERT INTO calls VALUES ('last');\n";
constexpr const char* k_corrected = "INSERT INTO calls VALUES ('first');\n"
                                    "INSERT INTO calls VALUES ('new');\n"
                                    "DELETE FROM t;\n"
                                    "CREATE UNIQUE INDEX CONCURRENTLY once ON t (x);\n"
                                    "INSERT INTO calls VALUES ('last');\n";
constexpr const char* k_replaced = "INSERT INTO calls VALUES ('first');\n"
                                   "INSERT INTO calls VALUES ('new');\n"
                                   "CREATE INDEX once ON t (x);\n"
                                   "INSERT INTO calls VALUES ('last');\n";

// False where the run ended before its message number `number`.
bool kill_and_run_again(Deployment& shop, const char* corrected, int number) {
  shop.settings.environment.clear();
  shop.database().execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
                          "DROP SCHEMA IF EXISTS schemagate CASCADE");
  shop.migration("2_parts", k_failing);
  REQUIRE(shop.run() == exits(21));
  shop.migration("2_parts", corrected);
  shop.settings.environment = {
      {"SCHEMAGATE_FAULT", "postgres.send:" + std::to_string(number) + ":kill"}};
  if (shop.run().exit_code == 0) return false;
  shop.settings.environment.clear();
  shop.expire_lease();
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.database().column("SELECT what FROM calls ORDER BY ctid")) ==
        "first, new, last");
  CHECK(shop.indexes(true) == "once");
  CHECK(shop.indexes(false).empty());
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 1 finished");
  return true;
}

}  // namespace

TEST_SUITE_BEGIN("sweep");

TEST_CASE("crash sweep: a corrected migration of several parts") {
  Deployment shop;
  shop.migration("1_init", k_init);
  const auto* corrected = k_corrected;
  SUBCASE("with statements put before the one that failed") {}
  SUBCASE("with other statements in its place") { corrected = k_replaced; }
  int number = 1;
  while (kill_and_run_again(shop, corrected, number)) {
    CAPTURE(number);
    ++number;
  }
  CHECK(number > 10);
}

TEST_SUITE_END();
