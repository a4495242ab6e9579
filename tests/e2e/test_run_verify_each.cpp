// IF NOT EXISTS that left something of another shape: told before the COMMIT, where that is asked
// for, instead of being hidden for ever.

#include "e2e/history_fixture.hpp"

using namespace testing;

namespace {

constexpr const char* k_tolerant =
    "CREATE TABLE IF NOT EXISTS tokens (id int PRIMARY KEY, token text, expires_at timestamp);\n"
    "CREATE TABLE next (id int);\n";

void check_refused(const Shop& shop) {
  CHECK(shop.run() == exits(23, "2_tokens: column tokens.expires_at is missing", "hint: "));
  CHECK(shop.tables() == "tokens, users");
  CHECK(joined(shop.history()) == "1_users 1 finished");
  CHECK(shop.is_lease_free());
  // As the hint says: corrected by hand, it goes through.
  shop.database().execute("ALTER TABLE tokens ADD COLUMN expires_at timestamp");
  CHECK(shop.run() == exits(0));
}

}  // namespace

TEST_CASE("what IF NOT EXISTS left in another shape ends the migration before its COMMIT") {
  Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_tokens", k_tolerant);
  shop.database().execute("CREATE TABLE tokens (id int PRIMARY KEY, token text)");
  SUBCASE("with verify_each") {
    shop.settings.migrations = "verify_each: true";
    check_refused(shop);
  }
  SUBCASE("with atomic: release") {
    shop.settings.migrations = "atomic: release";
    shop.migration("3_more", "CREATE TABLE IF NOT EXISTS more (id int);");
    check_refused(shop);
    CHECK(shop.tables() == "more, next, tokens, users");
  }
  SUBCASE("not where nobody asks") { CHECK(shop.run() == exits(0)); }
}

TEST_CASE("what IF NOT EXISTS left in the right shape, or has made, is committed") {
  Shop shop;
  shop.settings.migrations = "verify_each: true";
  shop.migration("1_users", "CREATE TABLE IF NOT EXISTS users (id int);");
  shop.migration("2_tokens", k_tolerant);
  SUBCASE("it was there") {
    shop.migration("0_tokens",
                   "CREATE TABLE tokens (id int PRIMARY KEY, token text, expires_at timestamp);");
  }
  SUBCASE("it was not") {}
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "next, tokens, users");
}
