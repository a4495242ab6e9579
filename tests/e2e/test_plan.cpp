// `schemagate plan`: told beforehand, refused where a run would be, and nothing is changed.

#include <doctest/doctest.h>

#include "history_fixture.hpp"
#include "support/gate_project.hpp"
#include "support/own_server.hpp"

using namespace testing;

namespace {

struct PlannedShop : Shop {
  PlannedShop() {
    migration("1_orders", "CREATE TABLE orders (id int PRIMARY KEY, total int, note text);\n");
  }

  [[nodiscard]] Result plan(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"plan"};
    if (!contains_word(more, "--offline") && !contains_word(more, "--since"))
      words.insert(words.end(), {"--watch", "0s"});
    words.insert(words.end(), more.begin(), more.end());
    const auto result = call(words);
    CHECK(result.out + result.err != contains(k_url_password));
    return result;
  }
  [[nodiscard]] Json document(std::vector<std::string> more = {}) const {
    more.emplace_back("--json");
    const auto result = plan(more);
    INFO(result);
    REQUIRE(Json::accept(result.out));
    auto json = Json::parse(result.out);
    CHECK(json.at("exit_code") == result.exit_code);
    return json;
  }
  [[nodiscard]] static std::string names(const Json& document) {
    std::vector<std::string> all;
    for (const auto& one : document.at("migrations"))
      all.push_back(one.at("name").get<std::string>());
    return joined(all);
  }
  void release(const std::string& name) {
    settings.rest = "release: \"" + name + "\"\n";
    REQUIRE(run() == exits(0));
  }

 private:
  static bool contains_word(const std::vector<std::string>& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  }
};

}  // namespace

TEST_SUITE_BEGIN("plan");

TEST_CASE("plan tells the pending migrations, of an empty database and of one with a history") {
  const PlannedShop shop;
  CHECK(shop.plan() == exits(0));
  CHECK(shop.names(shop.document()) == "1_orders");
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_total", "CREATE TABLE more (id int);\nALTER TABLE orders ADD tax int;\n");
  const auto seen = shop.plan();
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("migrations: 2 migrations, 1 pending\n"));
  CHECK(seen.out == contains("\nmigrations/2_total/migration.sql"));
  const auto document = shop.document();
  CHECK(shop.names(document) == "2_total");
  const auto& statements = document.at("migrations").at(0).at("segments").at(0).at("statements");
  REQUIRE(statements.size() == 2);
  CHECK(statements.at(1).at("line") == 2);
  CHECK(statements.at(1).at("text") == "ALTER TABLE orders ADD tax int");
}

TEST_CASE("plan tells locks, sizes, what is lost, what breaks and what is safer") {
  const PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute("INSERT INTO orders SELECT n, n, repeat('x', 500) FROM "
                          "generate_series(1, 50000) n; ANALYZE orders");
  shop.migration("2_change", "CREATE INDEX by_total ON orders (total);\n"
                             "ALTER TABLE orders DROP note;\n"
                             "DO $$ BEGIN NULL; END $$;\n");
  const auto seen = shop.plan();
  CHECK(seen.out == contains("- lost: drops column public.orders."));
  CHECK(seen.out == contains("- breaks: "));
  CHECK(seen.out == contains("- not known: what 1 statement would do\n"));
  CHECK(seen.out == contains("  public.orders: 2"));
  CHECK(seen.out == contains("public.orders: writes wait (SHARE); an index is built"));
  CHECK(seen.out ==
        contains("            CREATE INDEX CONCURRENTLY by_total ON orders (total);\n"));
  CHECK(seen.out == contains("public.orders: writes wait from line 1 to COMMIT"));
  const auto document = shop.document();
  const auto& orders = document.at("relations").at(0);
  CHECK(orders.at("name") == "public.orders");
  CHECK(orders.at("rows") == 50000);
  CHECK(orders.at("heap_bytes").get<int>() > 50000 * 500);
  CHECK_FALSE(orders.contains("reads_per_s"));
  const auto watched = Json::parse(shop.call({"plan", "--watch", "10ms", "--json"}).out);
  CHECK(watched.at("relations").at(0).contains("reads_per_s"));
}

TEST_CASE("plan tells all of it, and then what the policies refuse, as a run is refused") {
  PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute("INSERT INTO orders VALUES (1, 2, 'x')");
  shop.migration("2_drop", "DROP TABLE orders;");
  shop.settings.rest = "policy: {destructive: fail}\n";
  for (const auto& where : {std::vector<std::string>{}, {"--offline", "--after", "1_orders"}}) {
    const auto seen = shop.plan(where);
    CHECK(seen == exits(24));
    CHECK(seen.out == contains("- lost: drops table "));
    CHECK(seen.out == contains("- refused: migrations/2_drop/migration.sql:1:1: drop_table: "));
    CHECK(seen.out == contains("hint: "));
  }
  const auto document = shop.document();
  CHECK(document.at("exit_code") == 24);
  CHECK(document.at("policies").at(0).at("level") == "fail");
  const auto run = Json::parse(shop.run({"--json"}).out);
  for (const char* key : {"exit_code", "error", "hint"}) CHECK(document.at(key) == run.at(key));
  shop.settings.rest =
      "policy: {destructive: fail, allow: [{migration: 2_drop, rule: drop_table, because: moved}]}\n";
  const auto seen = shop.plan();
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("- allowed: migrations/2_drop/migration.sql:1:1: drop_table: "));
  CHECK(seen.out == contains("because: moved"));
}

TEST_CASE("plan says that nothing is pending, and that is no failure") {
  const PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  const auto seen = shop.plan();
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("migrations: 1 migration, none pending\n"));
  CHECK(shop.document().at("migrations").empty());
}

TEST_CASE("plan changes nothing, on whatever database") {
  const PlannedShop shop;
  SUBCASE("an empty one") {}
  SUBCASE("one with a history of somebody else and none of our tables") {
    shop.row("1_orders", "applied");
    shop.database().execute("CREATE TABLE orders (id int PRIMARY KEY, total int, note text)");
    shop.migration("2_total", "ALTER TABLE orders ALTER total TYPE bigint;");
  }
  SUBCASE("one that schemagate keeps") {
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_total", "ALTER TABLE orders ALTER total TYPE bigint; DROP TABLE orders;");
  }
  const auto before = shop.everything();
  CHECK(shop.plan() == exits(0));
  CHECK(shop.everything() == before);
}

TEST_CASE("plan holds no lock that anybody waits for, and waits for no migration at work") {
  const PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_total", "ALTER TABLE orders ALTER total TYPE bigint;");
  auto migration = shop.database().connect();
  const schemagate::pg::Transaction open{migration, "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE;"};
  CHECK(shop.plan() == exits(0));
}

TEST_CASE("plan works for a role that may read the history and nothing else") {
  const TestRole role{"planner"};
  PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_total", "ALTER TABLE orders ALTER total TYPE bigint;");
  shop.settings.url = shop.database().url_as(role.name() + ":" + k_url_password);
  CHECK(shop.plan() == exits(24, "GRANT SELECT"));
  shop.database().execute("GRANT SELECT ON _prisma_migrations TO " + role.name());
  CHECK(shop.plan() == exits(0));
  CHECK(shop.names(shop.document()) == "2_total");
}

TEST_CASE("plan works on a standby") {
  PlannedShop shop;
  const OwnServer primary;
  shop.settings.url = primary.url();
  REQUIRE(shop.run() == exits(0));
  const auto standby = OwnServer::standby_of(primary);
  shop.migration("2_total", "ALTER TABLE orders ALTER total TYPE bigint;");
  shop.settings.url = standby->url();
  CHECK(shop.names(shop.document()) == "2_total");
}

TEST_CASE("where a run would be refused so is plan, in the same words") {
  PlannedShop shop;
  int code = 20;
  SUBCASE("a failed migration") {
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_half",
                   "ALTER TABLE orders ADD a int DEFAULT 7;\nALTER TABLE orders ADD b int;");
    shop.row("2_half", "failed");
    shop.database().execute("ALTER TABLE orders ADD COLUMN a int DEFAULT 7");
  }
  SUBCASE("an edited migration") {
    REQUIRE(shop.run() == exits(0));
    shop.migration("1_orders", "CREATE TABLE orders (id bigint);");
  }
  SUBCASE("tables without a history") { shop.database().execute("CREATE TABLE users (id int)"); }
  SUBCASE("a script that cannot be executed") {
    shop.migration("2_begin", "BEGIN; CREATE TABLE a (id int);");
    code = 21;
  }
  SUBCASE("drift, by policy") {
    shop.settings.rest = "policy: {drift: fail}\n";
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_more", "CREATE TABLE more (id int);");
    shop.database().execute("ALTER TABLE orders ADD of_somebody int");
    code = 22;
  }
  CHECK(shop.plan() == exits(code));
  const auto planned = shop.document();
  const auto run = Json::parse(shop.run({"--json"}).out);
  CHECK(planned.at("exit_code") == code);
  for (const char* key : {"exit_code", "error", "hint"}) CHECK(planned.at(key) == run.at(key));
}

TEST_CASE("what a run would settle by itself does not stop plan") {
  const PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_total", "ALTER TABLE orders ADD tax int;");
  shop.row("2_total", "failed");  // one transaction: it was rolled back
  CHECK(shop.names(shop.document()) == "2_total");
}

TEST_CASE("plan says that a run is at work") {
  const PlannedShop shop;
  auto run = shop.start_napping("2_nap");
  const auto seen = shop.plan();
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("remark: a run is at work"));
  (void)run.terminate();
}

TEST_CASE("names and literals of scripts and tables are shown escaped, and passwords not at all") {
  const PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute("CREATE TABLE \"a\x1b[31m\nlost: all\" (id int)");
  shop.migration("2_odd", "CREATE ROLE nobody_else PASSWORD 'hidden-4711';\n"
                          "ALTER TABLE \"a\x1b[31m\nlost: all\" ADD x int;\n");
  const auto seen = shop.plan();
  CHECK(seen == exits(0));
  CHECK(seen.out != contains("\x1b"));
  CHECK(seen.out != contains("\nlost: all"));
  const auto json = shop.plan({"--json"}).out;
  CHECK(json != contains("\x1b"));
  CHECK(seen.out + seen.err + json != contains("hidden-4711"));
}

TEST_CASE("without a database all migrations of the folder are planned, or those behind one") {
  PlannedShop shop;
  shop.migration("2_total", "ALTER TABLE orders ALTER total TYPE bigint;");
  shop.migration("3_note", "ALTER TABLE orders DROP note;");
  shop.settings.url = "${NOT_SET_ANYWHERE}";
  CHECK(shop.plan() == exits(2, "NOT_SET_ANYWHERE"));
  const auto seen = shop.plan({"--offline"});
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("without a database"));
  CHECK(seen.out == contains("migrations: 3 migrations, 3 pending\n"));
  CHECK(shop.names(shop.document({"--offline", "--after", "1_orders"})) == "2_total, 3_note");
  CHECK(shop.names(shop.document({"--offline", "--after", "3_note"})).empty());
  CHECK(shop.document({"--offline", "--server-version", "15"}).at("server_version") == 15);
  CHECK(shop.plan({"--offline", "--after", "2_totl"}) ==
        exits(2, "holds no migration \"2_totl\"; did you mean \"2_total\"?"));
  CHECK(shop.plan({"--offline", "--since", "a"}) == exits(2, "only one of"));
  CHECK(shop.call({"plan", "--after", "1_orders"}) == exits(2, "go with --offline"));
  CHECK(shop.plan({"--offline", "--server-version", "12"}) == exits(2, "must be one of 13, 14"));
}

TEST_CASE("since a release are the migrations that were applied after its run was complete") {
  PlannedShop shop;
  CHECK(shop.plan({"--since", "one"}) == exits(2, "no run has happened on this database yet"));
  shop.release("one");
  auto seen = shop.plan({"--since", "one"});
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("nothing applied since\n"));
  shop.migration("2_total", "ALTER TABLE orders RENAME total TO sum;");
  shop.release("two");
  shop.migration("3_note", "ALTER TABLE orders DROP note;");
  shop.release("three");
  CHECK(shop.names(shop.document({"--since", "one"})) == "2_total, 3_note");
  CHECK(shop.names(shop.document({"--since", "two"})) == "3_note");
  CHECK(shop.names(shop.document({"--since", "three"})).empty());
  seen = shop.plan({"--since", "one"});
  CHECK(seen.out == contains("2 migrations applied since\n\n- lost: drops column "));
  CHECK(seen.out == contains("migrations/2_total/migration.sql:1\n"));
  CHECK(seen.out == contains("breaks: "));
  CHECK(shop.plan({"--since", "four"}) ==
        exits(2, "no run of release four was ever complete here", "schemagate status"));
  // The old image does not hold what came later.
  std::filesystem::remove_all(shop.folder() / "3_note");
  seen = shop.plan({"--since", "one"});
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("remark: 3_note was applied at "));
  CHECK(shop.names(shop.document({"--since", "one"})) == "2_total");
}

TEST_CASE("a run of an old release that found its work done does not hide what came after it") {
  PlannedShop shop;
  shop.release("one");
  shop.migration("2_total", "ALTER TABLE orders ADD tax int;");
  shop.release("two");
  std::filesystem::remove_all(shop.folder() / "2_total");
  shop.release("one");
  shop.migration("2_total", "ALTER TABLE orders ADD tax int;");
  CHECK(shop.names(shop.document({"--since", "one"})) == "2_total");
}

TEST_CASE("plan says that atomic: release keeps all locks to its end") {
  PlannedShop shop;
  shop.settings.migrations = "atomic: release";
  CHECK(shop.plan().out != contains("one transaction"));
  shop.migration("2_total", "ALTER TABLE orders ADD tax int;");
  for (const auto& where : {std::vector<std::string>{}, {"--offline"}})
    CHECK(shop.plan(where).out == contains("remark: atomic: release makes all of it one"));
}

TEST_CASE("of a migration command plan says what it cannot tell") {
  PlannedShop shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_total", "ALTER TABLE orders ADD tax int;");
  SUBCASE("without a history") {
    shop.settings.migrations = "tool: command, command: [\"true\"]";
    const auto seen = shop.plan();
    CHECK(seen == exits(0));
    CHECK(seen.out == contains("remark: the migration command keeps no history"));
  }
  SUBCASE("with a history of SQL scripts") {
    shop.settings.migrations = "tool: command, command: [\"true\"], history: prisma";
    const auto seen = shop.plan();
    CHECK(seen == exits(0));
    CHECK(seen.out == contains("remark: a migration command executes the scripts"));
    CHECK(shop.names(shop.document()) == "2_total");
  }
  SUBCASE("with a history of other scripts") {
    shop.settings.migrations = "tool: command, command: [\"true\"], history: knex";
    shop.database().execute("CREATE TABLE knex_migrations (id int, name text);"
                            "INSERT INTO knex_migrations VALUES (1, '1_a.js')");
    shop.dir().write("migrations/1_a.js", "a");
    shop.dir().write("migrations/2_b.js", "b");
    for (const auto& where : {std::vector<std::string>{}, {"--offline", "--after", "1_a.js"}}) {
      const auto seen = shop.plan(where);
      CHECK(seen == exits(0));
      CHECK(seen.out == contains("\nmigrations/2_b.js\n"));
      CHECK(seen.out == contains("remark: the scripts are the migration command's own"));
      CHECK(shop.names(shop.document(where)) == "2_b.js");
    }
  }
}

TEST_SUITE_END();
