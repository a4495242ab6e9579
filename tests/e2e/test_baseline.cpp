// `schemagate baseline`: migrations recorded as applied on a database that has what they make.

#include "e2e/history_fixture.hpp"

using namespace testing;

namespace {

void make_folder(const Shop& shop) {
  shop.migration("1_users", "CREATE TABLE users (id int, name text);");
  shop.migration("2_orders", "CREATE TABLE orders (id int);");
  shop.migration("3_bills", "CREATE TABLE bills (id int);\nALTER TABLE users DROP COLUMN name;\n");
  shop.migration("4_next", "CREATE TABLE next (id int);");
}
constexpr const char* k_what_three_make =
    "CREATE TABLE users (id int); CREATE TABLE orders (id int);"
    "CREATE TABLE bills (id int)";

constexpr const char* k_three = "1_users 0 finished empty-logs, 2_orders 0 finished empty-logs, "
                                "3_bills 0 finished empty-logs";

Result baseline(const Shop& shop, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "baseline");
  const auto result = shop.call(arguments);
  CHECK(result.out + result.err != contains(testing::k_url_password));
  return result;
}

}  // namespace

TEST_CASE(
    "baseline records what is there, by names in any order or all up to one, and run does the rest") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  std::vector<std::string> arguments;
  SUBCASE("names") { arguments = {"3_bills", "1_users", "2_orders"}; }
  SUBCASE("a name twice") { arguments = {"3_bills", "1_users", "2_orders", "1_users"}; }
  SUBCASE("through") { arguments = {"--through", "3_bills"}; }
  CHECK(baseline(shop, arguments) == exits(0));
  CHECK(joined(shop.history()) == k_three);
  CHECK(shop.database().value("SELECT count(*) FROM _prisma_migrations WHERE started_at <> "
                              "finished_at OR logs <> '' OR applied_steps_count <> 0") == "0");
  CHECK(shop.database().value("SELECT checksum FROM _prisma_migrations WHERE migration_name = "
                              "'2_orders'") == shop.checksum("2_orders"));
  CHECK(shop.notes() == contains("baseline complete: 1_users marked as applied by "));
  CHECK(shop.notes() == contains("3_bills marked as applied by "));
  CHECK(shop.is_lease_free());
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "bills, next, orders, users");
  CHECK(shop.status() == exits(0));
}

TEST_CASE("the command that a refused run suggests for P3005 makes the next run succeed") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  CHECK(shop.run() == exits(20, "hint: schemagate baseline --through 3_bills && schemagate run"));
  CHECK(baseline(shop, {"--through", "3_bills"}) == exits(0));
  CHECK(shop.run() == exits(0));
}

TEST_CASE(
    "baseline refuses what is demonstrably not there, with the evidence, and records nothing") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute("CREATE TABLE users (id int, name text); CREATE TABLE bills (id int)");
  const auto before = shop.history();
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--through", "3_bills"}, {"1_users", "2_orders"}}) {
    CHECK(baseline(shop, arguments) ==
          exits(20, "2_orders: table orders is missing", "nothing was recorded", "hint: "));
    CHECK(shop.history() == before);
    CHECK(shop.notes().empty());
    CHECK(shop.is_lease_free());
  }
  CHECK(baseline(shop, {"1_users"}) == exits(0));
  CHECK(joined(shop.history()) == "1_users 0 finished empty-logs");
}

TEST_CASE("a column that a later migration drops is missed only while that one is not recorded") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute("CREATE TABLE users (id int)");
  CHECK(baseline(shop, {"1_users"}) == exits(20, "column users.name"));
}

TEST_CASE("baseline leaves what is recorded already, and adds the rest") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  shop.row("1_users", "applied");
  shop.row("2_orders", "baselined");
  const auto before = shop.rows();
  CHECK(baseline(shop, {"--through", "3_bills"}) ==
        exits(0, "1_users is already recorded as applied"));
  CHECK(joined(shop.history()) ==
        "1_users 1 finished, 2_orders 0 finished empty-logs, 3_bills 0 finished empty-logs");
  CHECK(shop.rows().at(0) == before.at(0));
  CHECK(shop.rows().at(1) == before.at(1));
  CHECK(baseline(shop, {"--through", "3_bills"}) == exits(0));
  CHECK(shop.rows().size() == 3);
}

TEST_CASE("baseline refuses a migration that has failed, and records none of the others") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  shop.row("2_orders", "failed");
  const auto before = shop.rows();
  CHECK(baseline(shop, {"--through", "3_bills"}) ==
        exits(20, "2_orders has failed", "schemagate resolve 2_orders --auto"));
  CHECK(shop.rows() == before);
}

TEST_CASE("baseline does not record a directory without a script") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  std::filesystem::remove(shop.folder() / "2_orders/migration.sql");
  CHECK(baseline(shop, {"--through", "3_bills"}) == exits(20, "P3017"));
  CHECK(shop.history().front() == "no table");
}

TEST_CASE("an unknown name among others is a mistake, code 2, and nothing is recorded") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"1_users", "2_order"}, {"--through", "2_order"}}) {
    CHECK(baseline(shop, arguments) == exits(2, "did you mean 2_orders?"));
    CHECK(shop.history().front() == "no table");
  }
}

TEST_CASE("baseline --json tells each migration that was recorded") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute(k_what_three_make);
  const auto result = baseline(shop, {"--through", "2_orders", "--json"});
  REQUIRE(Json::accept(result.out));
  const auto json = Json::parse(result.out);
  CHECK(json.at("exit_code") == result.exit_code);
  // users.name is missing: only the third migration drops it.
  CHECK(result == exits(20));
  CHECK(json.at("settled").empty());
  const auto good = baseline(shop, {"--through", "3_bills", "--json"});
  const auto settled = Json::parse(good.out).at("settled");
  REQUIRE(settled.size() == 3);
  CHECK(settled.at(2).at("name") == "3_bills");
  CHECK(settled.at(2).at("marked") == "applied");
}

TEST_CASE("baseline --force --because records against the evidence, and the note says so") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute("CREATE TABLE users (id int, name text)");
  CHECK(baseline(shop, {"--through", "2_orders", "--force"}) == exits(2));
  CHECK(baseline(shop, {"--through", "2_orders", "--force", "--because", "orders is a view now"}) ==
        exits(0, "recorded against the evidence", "table orders is missing"));
  CHECK(shop.notes() == contains("table orders is missing"));
  CHECK(shop.notes() == contains("because: orders is a view now"));
}

TEST_CASE("baseline --none begins a history beside another app's tables, and a run applies all") {
  const Shop shop;
  make_folder(shop);
  shop.database().execute("CREATE TABLE other (id int)");
  CHECK(shop.run() == exits(20, "hint: is this the right database?", "schemagate baseline --none"));
  CHECK(baseline(shop, {"--none"}) == exits(0));
  CHECK(shop.history().empty());
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "bills, next, orders, other, users");
}
