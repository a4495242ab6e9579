// A history that says what is not so: a gate that believes it until a run has found out, and
// directories that were renamed after they were applied.

#include "e2e/history_fixture.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

constexpr const char* k_tokens = "CREATE TABLE tokens (id int);";

// Of release r1 all is applied, and by r2 a person has recorded what is gone since.
void lose_tokens(GateProject& image) {
  image.set("gate.match", "migrations").migration("1_users", "CREATE TABLE users (id int);");
  image.migration("2_tokens", k_tokens);
  REQUIRE(image.run() == exits(0));
  image.database.execute("DROP TABLE tokens; UPDATE _prisma_migrations SET applied_steps_count = 0 "
                         "WHERE migration_name = '2_tokens'");
}

GateProject& next_release(GateProject& image) {
  return image.set("release", "r2").migration("3_more", "CREATE TABLE more (id int);");
}

GateProject& first_release(GateProject& image) {
  std::filesystem::remove_all(image.files.path() / "migrations/3_more");
  return image.set("release", "r1");
}

void rename_directory(const Shop& shop, const std::string& from, const std::string& to) {
  std::filesystem::rename(shop.folder() / from, shop.folder() / to);
}

}  // namespace

TEST_CASE(
    "match migrations: what a run has found to be claimed only keeps every gate closed that needs it") {
  GateProject image;
  lose_tokens(image);
  CHECK(image.look() == 0);  // the history is believed until a run has looked
  CHECK(next_release(image).run() ==
        exits(20, "recorded as applied, but nothing of it is there: 2_tokens",
              "hint: schemagate resolve ", " 2_tokens --auto && schemagate run"));
  CHECK(image.look() == 31);
  CHECK(
      first_release(image).gate({"--once"}) ==
      exits(
          30,
          "migration 2_tokens is recorded as applied, but nothing of it is there, as the run for release r2",
          "hint: schemagate resolve ", " 2_tokens --auto && schemagate run"));
  image.set("gate.match", "release");
  CHECK(image.look() == 0);
  image.set("gate.match", "migrations");
  std::filesystem::remove_all(image.files.path() / "migrations/2_tokens");
  CHECK(image.look() == 0);  // an image that does without it
  image.migration("2_tokens", k_tokens);

  SUBCASE("the hint, typed") {
    CHECK(testing::schemagate(image.arguments("resolve", {"2_tokens", "--auto"}),
                              image.options()) == exits(0));
    CHECK(image.look() == 30);
    CHECK(image.run() == exits(0));
  }
  SUBCASE("mended by hand, and a run that looked again") {
    image.database.execute(k_tokens);
    CHECK(image.look() == 30);
    CHECK(image.run() == exits(0));
  }
  CHECK(image.look() == 0);
  CHECK(image.run() == exits(0, "nothing to do"));
}

TEST_CASE(
    "a directory that was renamed after it was applied is recognised, and not executed again") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_tokens", "CREATE TABLE tokens (id int);\nINSERT INTO tokens VALUES (1);\n");
  shop.migration("3_uses", "ALTER TABLE tokens ADD COLUMN more text;");
  REQUIRE(shop.run() == exits(0));
  rename_directory(shop, "2_tokens", "2_access_tokens");
  const auto before = shop.rows();
  const std::string hint = "schemagate baseline 2_access_tokens && schemagate run";
  CHECK(
      shop.run() ==
      exits(
          20,
          "migration 2_tokens was renamed to 2_access_tokens after it was applied; it is not executed again",
          "hint: " + hint));
  CHECK(shop.rows() == before);
  auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "gate-closed 20, not-in-folder 2_tokens 0, renamed 2_access_tokens 20");
  CHECK(seen.hint("renamed") == hint);
  CHECK(seen.migrations() == contains("2_access_tokens: renamed"));

  CHECK(shop.call({"baseline", "2_access_tokens"}) == exits(0));
  CHECK(shop.run() == exits(0, "migration 2_tokens is applied, but not in"));
  seen = shop.status();
  CHECK(seen.findings() == "not-in-folder 2_tokens 0");  // its row is left alone
  CHECK(seen == exits(0));
  CHECK(shop.rows().size() == 4);
  CHECK(shop.database().value("SELECT count(*) FROM tokens") == "1");
}

TEST_CASE("resolve --auto records a renamed directory, too, and several are one command") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_tokens", k_tokens);
  REQUIRE(shop.run() == exits(0));
  rename_directory(shop, "1_users", "1_people");
  rename_directory(shop, "2_tokens", "2_access");
  CHECK(shop.run() == exits(20, "hint: schemagate baseline 1_people 2_access && schemagate run"));
  CHECK(shop.resolve("1_people", "--auto") == exits(0));
  CHECK(shop.run() == exits(0));
  CHECK(shop.status() == exits(0));
}

TEST_CASE(
    "one command takes back all that is claimed only, and settles all failed rows that are proven") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\nCREATE TABLE aa (id int);\n");
  shop.migration("2_b", "CREATE TABLE b (id int);\nCREATE TABLE bb (id int);\n");
  std::string kind;
  SUBCASE("claimed") { kind = "by hand"; }
  SUBCASE("failed") {
    kind = "failed";
    shop.database().execute("CREATE TABLE a (id int); CREATE TABLE aa (id int);"
                            "CREATE TABLE b (id int); CREATE TABLE bb (id int)");
  }
  shop.row("1_a", kind);
  shop.row("2_b", kind);
  CHECK(shop.resolve("2_b", "--auto") == exits(0));
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "a, aa, b, bb");
  CHECK(shop.status() == exits(0));
}

TEST_CASE("what a pushed migration has changed of those before it is no fault of theirs") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);");
  shop.row("1_a", "by hand");
  shop.migration("2_b", "ALTER TABLE a RENAME TO b;");
  shop.database().execute("CREATE TABLE b (id int)");
  const auto seen = shop.status();
  CHECK(seen.findings() != contains("not-there"));
  CHECK(seen.hint("pending") == "schemagate baseline 2_b && schemagate run");
  CHECK(shop.run() != exits(0, "nothing of it is there"));
  CHECK(shop.resolve("2_b", "--auto") == exits(0));
  CHECK(shop.run() == exits(0));
  CHECK(shop.status() == exits(0));
}

TEST_CASE("an edit that cannot be seen is accepted by name only") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);");
  REQUIRE(shop.run() == exits(0));
  shop.migration("1_a", "CREATE TABLE a (id int);\nUPDATE a SET id = 1;\n");
  CHECK(shop.run() == exits(20, "edited after it was applied", "schemagate resolve 1_a --auto"));
  CHECK(shop.resolve("1_a", "--auto") == exits(20, "cannot all be seen", "hint: "));
  CHECK(shop.resolve("1_a", "--applied") == exits(0));
  CHECK(shop.run() == exits(0));
  CHECK(shop.status() == exits(0));
}
