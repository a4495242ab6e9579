// `schemagate diff A B`: what differs between two databases, said of which.

#include <doctest/doctest.h>

#include "history_fixture.hpp"

using namespace testing;

namespace {

struct Two {
  Shop a;
  Shop b;

  Two() {
    for (auto* one : {&a, &b}) {
      one->migration("1_users", "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);");
      CHECK(one->run() == exits(0));
    }
  }
  [[nodiscard]] Result diff(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"diff", a.settings.url, b.settings.url};
    words.insert(words.end(), more.begin(), more.end());
    const auto result = a.call(words);
    CHECK(result.out + result.err != contains(k_url_password));
    return result;
  }
};

Result without_manifest(const std::vector<std::string>& words,
                        const std::map<std::string, std::string>& environment = {}) {
  const TempDir empty;
  return testing::schemagate(words, {.environment = environment, .directory = empty.path()});
}

}  // namespace

TEST_CASE("two databases that the same migrations made are equal") {
  const Two two;
  auto result = two.diff();
  CHECK(result == exits(0));
  CHECK(result.out == contains("\nequal\n"));
  result = two.diff({"--json"});
  CHECK(Json::parse(result.out).at("equal") == true);
  CHECK(without_manifest({"diff", two.a.settings.url, two.b.settings.url}) == exits(0));
}

TEST_CASE("what only one has, and what is otherwise, is said of which") {
  Two two;
  two.a.migration("2_orders", "CREATE TABLE orders (id int PRIMARY KEY, total numeric);");
  two.a.migration("3_more", "ALTER TABLE users ADD age int;");
  CHECK(two.a.run() == exits(0));
  two.b.database().execute("CREATE TABLE own (x int, y int); ALTER TABLE users ALTER name DROP NOT "
                           "NULL, ALTER name TYPE varchar(9)");
  auto result = two.diff();
  CHECK(result == exits(22));
  CHECK(result.out == contains("migrations that only A has applied:\n  2_orders\n  3_more\n"));
  CHECK(result.out == contains("A has it, B does not:\n"
                               "  column public.users.age is missing (integer)\n"
                               "  column public.users.name may be NULL, and should not\n"
                               "  table public.orders is missing\n\n"));
  CHECK(result.out == contains("B has it, A does not:\n  table public.own is missing\n\n"));
  CHECK(result.out == contains("in both (should be: in A, is: in B):\n  column public.users.name "
                               "should be text, is character varying(9)\n"));
  CHECK(result.out != contains("only B has applied"));
  CHECK(result.out != contains("total"));
  result = two.diff({"--json"});
  CHECK(result == exits(22));
  const auto json = Json::parse(result.out);
  CHECK(json.at("equal") == false);
  CHECK(json.at("applied_in_a_only") == Json::parse(R"(["2_orders", "3_more"])"));
  CHECK(json.at("missing_in_a") == Json::parse(R"(["table public.own is missing"])"));
  CHECK(json.at("missing_in_b").size() == 3);
  CHECK(json.at("different").size() == 1);
}

TEST_CASE("connection strings may be kept away from the command line") {
  const Two two;
  TempDir dir;
  dir.write("url", two.b.settings.url + "\n");
  const auto file = "file:" + (dir.path() / "url").string();
  auto result = without_manifest({"diff", "env:ONE", file}, {{"ONE", two.a.settings.url}});
  CHECK(result == exits(0));
  CHECK(result.out + result.err != contains(k_url_password));
  CHECK(without_manifest({"diff", "env:NOT_SET", file}) == exits(2, "env:NOT_SET is not there"));
  CHECK(without_manifest({"diff", "file:/nowhere", file}) ==
        exits(2, "file:/nowhere is not there"));
  result = without_manifest({"diff", two.a.settings.url, two.b.settings.url, two.b.settings.url});
  CHECK(result == exits(2, "unexpected"));
  CHECK(result.err != contains(k_url_password));
  CHECK(without_manifest({"diff", two.a.settings.url}) ==
        exits(2, "one of URL_B, --against must be given"));
  CHECK(without_manifest({"diff", "nonsense", file}) == exits(2));
}

TEST_CASE("a manifest says which schemas are the app's; without one all are compared") {
  const Two two;
  two.b.database().execute("CREATE SCHEMA monitoring CREATE TABLE probe (id int)");
  CHECK(two.diff() == exits(0));
  const auto all = without_manifest({"diff", two.a.settings.url, two.b.settings.url});
  CHECK(all == exits(22));
  CHECK(all.out == contains("schema monitoring is missing"));
}

TEST_CASE("a database that schemagate has never seen can be compared, and is left as it was") {
  const Two two;
  const TestDatabase strange;
  strange.execute("CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)");
  const auto result = without_manifest({"diff", two.a.settings.url, strange.url()});
  CHECK(result == exits(22));
  CHECK(result.out == contains("migrations that only A has applied:\n  1_users\n"));
  CHECK(result.out != contains("A has it"));
  CHECK(strange.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'schemagate'") == "0");
}

TEST_CASE("a database that cannot be reached is named without its password") {
  const Two two;
  const auto result =
      without_manifest({"diff", two.a.settings.url, "postgresql://u:geheim-27182@127.0.0.1:1/d"});
  CHECK(result == exits(10));
  CHECK(result.out + result.err != contains(k_url_password));
}

TEST_CASE("a database is compared with what a folder's migrations make") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);"
                            "CREATE SCHEMA \"Odd.one\"; CREATE TABLE \"Odd.one\".t (id int);"
                            "GRANT SELECT ON users TO pg_monitor;");
  REQUIRE(shop.run() == exits(0));
  const auto against = [&] {
    return shop.call({"diff", shop.settings.url, "--against", "migrations"});
  };
  CHECK(against() == exits(0));
  CHECK(against().out == contains("\nequal\n"));
  shop.migration("2_more", "CREATE TABLE more (id int); ALTER TABLE of_a_person ADD x int;");
  shop.database().execute("ALTER TABLE users ALTER name DROP NOT NULL; CREATE TABLE own (id int)");
  const auto result = against();
  CHECK(result == exits(22));
  CHECK(result.out == contains("migrations that only A has applied:\n  2_more\n"));
  CHECK(result.out == contains("column public.users.name may be NULL, and should not"));
  CHECK(result.out == contains("table public.more is missing"));
  CHECK(result.out == contains("B has it, A does not:\n  table public.own is missing\n"));
  CHECK(result.out == contains("2_more: statement 2 fails in an empty database"));
  CHECK(shop.call({"diff", shop.settings.url}) ==
        exits(2, "one of URL_B, --against must be given"));
  CHECK(without_manifest({"diff", shop.settings.url, "--against", shop.folder().string()}) ==
        exits(22));
}
