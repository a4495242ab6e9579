// What `run` must never do by itself: execute a change of data once more. Each script is executed
// statement by statement, as Prisma 7.4 and later do, until its last statement fails; then its
// cause is mended, and the next deployment comes. Found by a review.

#include "e2e/history_fixture.hpp"

using namespace testing;

namespace {

constexpr const char* k_setup =
    "CREATE TABLE accounts (id int PRIMARY KEY, balance int, note text); INSERT INTO accounts "
    "VALUES (1, 100, 'A'); CREATE TABLE other (id int PRIMARY KEY);";
constexpr const char* k_update = "UPDATE public.accounts SET balance = balance + 10;\n";
constexpr const char* k_fails =
    "ALTER TABLE public.accounts ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES public.other (id);\n";

struct Script {
  std::string setup;
  std::string before_update;
  std::string behind_update;
  std::string before_next_run;  // executed by hand, after the failure
};

// `expected`: what `value` tells after the script, and must still tell after the run.
void check_not_repeated(const Script& one, const std::string& sql, const std::string& value,
                        const std::string& expected) {
  INFO(sql);
  Shop shop;
  const auto& database = shop.database();
  database.execute(k_setup);
  if (!one.setup.empty()) database.execute(one.setup);
  shop.migration("1_init", sql);
  const auto file = (shop.folder() / "1_init/migration.sql").string();
  const auto failed =
      testing::run({"psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", database.url(), "-f", file});
  REQUIRE(failed == exits(3, "fk"));
  REQUIRE(database.value(value) == expected);
  shop.row("1_init", "failed");
  database.execute("INSERT INTO other VALUES (1)");
  if (!one.before_next_run.empty()) database.execute(one.before_next_run);
  CHECK(shop.run() == exits(20));
  CHECK(database.value(value) == expected);
  CHECK(shop.call({"resolve", "1_init", "--auto"}) == exits(20));
}

}  // namespace

TEST_CASE("run never repeats an UPDATE by itself, whatever the catalogue seems to say") {
  const std::vector<Script> scripts = {
      {"", "CREATE TABLE helper (id int);\n", "DROP TABLE helper;\n", ""},
      {"", "CREATE TABLE audit (id int);\n", "", "DROP TABLE audit"},  // undone by hand
      {"", "ALTER TABLE accounts ADD COLUMN tmp int;\n",
       "ALTER TABLE IF EXISTS accounts DROP COLUMN tmp;\n", ""},
      {"CREATE SCHEMA billing",
       "SET SCHEMA 'billing';\nCREATE TABLE IF NOT EXISTS invoice (id int);\n", "", ""},
      {"ALTER TABLE accounts ADD region text; CREATE TABLE regions (code text PRIMARY KEY)",
       "ALTER TABLE accounts ADD COLUMN IF NOT EXISTS region text CONSTRAINT region_fk REFERENCES "
       "regions (code);\n",
       "", ""},
      {"ALTER TABLE accounts ADD x int", "ALTER TABLE accounts ADD COLUMN x int, DROP COLUMN x;\n",
       "", ""},
      {"CREATE TYPE mood AS ENUM ('a', 'b')",
       "CREATE TYPE mood_new AS ENUM ('a', 'c');\nALTER TYPE mood RENAME TO mood_old;\n"
       "ALTER TYPE mood_new RENAME TO mood;\nDROP TYPE mood_old;\n",
       "", "ALTER TYPE mood ADD VALUE 'd'"},
      {"",
       "CREATE TABLE hp (id int) PARTITION BY LIST (id);\nCREATE TABLE hp_1 PARTITION OF hp FOR "
       "VALUES IN (1);\n",
       "DROP TABLE hp;\n", ""},
      {"", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1';\n", "",
       "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'"},
  };
  for (const auto& one : scripts)
    check_not_repeated(one, one.before_update + k_update + one.behind_update + k_fails,
                       "SELECT balance FROM accounts", "110");
}

TEST_CASE("run never repeats by itself what converts values") {
  check_not_repeated({"ALTER TABLE accounts ADD b text; UPDATE accounts SET b = 'B'", "", "", ""},
                     std::string{"ALTER TABLE accounts ALTER COLUMN note TYPE text USING b, ALTER "
                                 "COLUMN b TYPE text USING note;\n"} +
                         k_fails,
                     "SELECT note || b FROM accounts", "BA");
  check_not_repeated(
      {"ALTER TABLE accounts ADD ts timestamp; UPDATE accounts SET ts = '2026-01-01 12:00'", "", "",
       ""},
      std::string{"SET TIME ZONE 'UTC';\nALTER TABLE accounts ALTER COLUMN ts TYPE timestamptz;\n"
                  "SET TIME ZONE 'Asia/Tokyo';\nALTER TABLE accounts ALTER COLUMN ts TYPE "
                  "timestamp;\n"} +
          k_fails,
      "SELECT ts FROM accounts", "2026-01-01 21:00:00");
}

TEST_CASE("a type change whose result cannot be compared is not taken for done") {
  Shop shop;
  shop.database().execute(
      "CREATE TABLE w (i interval); CREATE VIEW vv AS SELECT i FROM w; ALTER TABLE w ADD z int");
  shop.migration("1_init", "ALTER TABLE w ADD COLUMN z int;\n"
                           "ALTER TABLE w ALTER COLUMN i TYPE interval(0);\n");
  shop.row("1_init", "failed");
  CHECK(shop.call({"resolve", "1_init", "--auto"}) == exits(20));
}
