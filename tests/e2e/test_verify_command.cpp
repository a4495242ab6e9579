// `schemagate verify`: 0 only where all was looked at and is good.

#include <doctest/doctest.h>

#include "history_fixture.hpp"

using namespace testing;

namespace {

void apply(Shop& shop) {
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY, email text);");
  CHECK(shop.run() == exits(0));
}

Seen verify(const Shop& shop) {
  Seen seen{shop.call({"verify"})};
  const auto json = shop.call({"verify", "--json"});
  REQUIRE(Json::accept(json.out));
  seen.json = Json::parse(json.out);
  if (seen.json.contains("findings")) check_agreement(seen);
  return seen;
}

}  // namespace

TEST_CASE("verify is content with a good release, and changes nothing") {
  Shop shop;
  apply(shop);
  const auto before = shop.everything();
  const auto seen = verify(shop);
  CHECK(seen == exits(0));
  CHECK(seen.findings() == "");
  CHECK(shop.everything() == before);
}

TEST_CASE("verify fails where a migration is pending, by the code of the history") {
  Shop shop;
  apply(shop);
  shop.migration("2_more", "CREATE TABLE more ();");
  CHECK(verify(shop).findings() == "gate-closed 30, pending 2_more 20");
  CHECK(verify(shop) == exits(20));
}

TEST_CASE("verify fails where nobody has run yet, and where the marker is gone") {
  Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY, email text);");
  CHECK(verify(shop) == exits(20));
  CHECK(shop.run() == exits(0));
  shop.database().execute("DELETE FROM schemagate.marker");
  CHECK(verify(shop) == exits(30));
}

TEST_CASE("verify fails by drift, whatever the policy but off") {
  for (const auto& [rest, code] : {std::pair{"", 22},
                                   {"policy: {drift: warn}", 22},
                                   {"policy: {drift: fail}", 22},
                                   {"policy: {drift: off}", 0}}) {
    CAPTURE(rest);
    Shop shop;
    shop.settings.rest = rest;
    apply(shop);
    CHECK(verify(shop) == exits(0));
    shop.database().execute("ALTER TABLE users ADD nickname text");
    CHECK(verify(shop) == exits(code));
  }
}

TEST_CASE("verify fails where drift cannot be told, with the commands that settle it") {
  Shop shop;
  apply(shop);
  shop.database().execute("DELETE FROM schemagate.snapshot");
  const auto seen = verify(shop);
  CHECK(seen.findings() == "drift-unknown 22");
  CHECK(seen.hint("drift-unknown") == contains("schemagate verify --accept"));
  CHECK(shop.run() == exits(0));
  CHECK(verify(shop) == exits(0));
}

TEST_CASE("what verify --accept accepts is no drift any more, and noted with who did it") {
  Shop shop;
  apply(shop);
  shop.database().execute("ALTER TABLE users ADD nickname text");
  CHECK(shop.run() == exits(0, "nickname"));
  const auto accepted = shop.call({"verify", "--accept"});
  CHECK(accepted == exits(0, "accepted: column users.nickname"));
  CHECK(accepted.out == contains("healthy and up to date"));
  CHECK(shop.notes() == contains("verify complete: what is there was accepted by "));
  CHECK(shop.notes() == contains("column users.nickname is there"));
  CHECK(shop.run().err != contains("nickname"));
  CHECK(verify(shop) == exits(0));
  shop.settings.rest = "policy: {drift: off}";
  CHECK(shop.call({"verify", "--accept"}) == exits(2, "policy.drift is off"));
}

TEST_CASE("verify asks the manifest's checks, which can write nothing and spoil nothing") {
  Shop shop;
  apply(shop);
  shop.database().execute(
      "CREATE FUNCTION public.sneak() RETURNS bool LANGUAGE sql AS 'INSERT INTO users VALUES (9, "
      "NULL); SELECT true'");
  CHECK(shop.call({"verify", "--accept"}) == exits(0));
  shop.settings.rest =
      "verify:\n  - table: nowhere\n  - sql: select 1/0 = 1\n  - sql: select sneak()\n"
      "  - column: users.email\n  - sql: select count(*) = 0 from users\n  - column: users.age";
  const auto seen = verify(shop);
  CHECK(seen == exits(23));
  CHECK(seen.findings() == "check 23, check 23, check 23, check 23");
  CHECK(seen.out == contains("table nowhere does not exist"));
  CHECK(seen.out == contains("check fails with 22012"));
  CHECK(seen.out == contains("check fails with 25006"));
  CHECK(seen.out == contains("column users.age does not exist"));
  CHECK(shop.database().value("SELECT count(*) FROM users") == "0");
}

TEST_CASE("checks hold for a complete release, too: a run with nothing to do asks them") {
  Shop shop;
  apply(shop);
  shop.settings.rest = "verify:\n  - sql: select count(*) = 0 from users where email is null";
  CHECK(shop.run() == exits(0, "nothing to do"));
  shop.database().execute("INSERT INTO users VALUES (1, NULL)");
  CHECK(shop.run() == exits(23, "check returned f"));
  CHECK(verify(shop) == exits(23));
  shop.settings.environment["SCHEMAGATE_MODE"] = "check";
  CHECK(shop.run() == exits(23, "check returned f"));
}

TEST_CASE("verify tells INVALID indexes and constraints that are NOT VALID") {
  Shop shop;
  apply(shop);
  shop.migration("2_later", "ALTER TABLE users ADD CONSTRAINT c CHECK (email <> '') NOT VALID;");
  CHECK(shop.run() == exits(0));
  CHECK(verify(shop).findings() == "not-validated c 0");
  shop.database().execute("INSERT INTO users VALUES (1, 'a'), (2, 'a')");
  CHECK_THROWS(shop.database().execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON users (email)"));
  const auto seen = verify(shop);
  CHECK(seen.findings() == "drift 22, invalid-index broken 20, not-validated c 0");
  CHECK(seen == exits(20));
}

TEST_CASE("verify --deep replays what the history claims, whether there is a doubt or not") {
  Shop shop;
  apply(shop);
  CHECK(shop.call({"verify", "--deep"}) == exits(0));
  // Accepted, so that nothing is left to doubt.
  shop.database().execute("ALTER TABLE users DROP email");
  CHECK(shop.call({"verify", "--accept"}) == exits(0));
  CHECK(shop.call({"verify"}) == exits(0));
  const auto seen = shop.call({"verify", "--deep"});
  CHECK(seen == exits(20));
  CHECK(seen.out == contains("column users.email is missing"));
  shop.settings.rest = "scratch: off\n";
  const auto untold = shop.call({"verify", "--deep"});
  CHECK(untold == exits(24));
  CHECK(untold.out == contains("what is there cannot be told"));
}
