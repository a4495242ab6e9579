// What `schemagate status` finds in a history, each state with its evidence, remedy and exit code.

#include "e2e/history_fixture.hpp"

using namespace testing;

TEST_CASE("status of a migrated database is healthy and up to date, with code 0") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY);");
  shop.migration("2_orders", "CREATE TABLE orders (id int);");
  REQUIRE(shop.run() == exits(0));
  const auto seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.findings().empty());
  CHECK(seen.migrations() == "1_users: applied, 2_orders: applied");
  CHECK_FALSE(seen.json.at("migrations").at(0).at("applied_at").get<std::string>().empty());
}

TEST_CASE("status on an empty database names what is pending and creates nothing") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY);");
  shop.migration("2_orders", "CREATE TABLE orders (id int);");
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "pending 1_users 20, pending 2_orders 20");
  CHECK(seen.hint("pending", "1_users") == "schemagate run");
  CHECK(seen.json.at("gate").at("open") == false);
  CHECK(shop.database().value("SELECT to_regnamespace('schemagate') IS NULL") == "t");
  CHECK(shop.history().front() == "no table");
}

TEST_CASE("status shows a failed migration with its logs, and Prisma's trace is left out") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_colour", "ALTER TABLE users ADD COLUMN name text;\n"
                             "ALTER TABLE users ADD COLUMN age int CHECK (colour > 1);\n");
  shop.database().execute("CREATE TABLE users (id int)");
  shop.row("1_users", "applied");
  shop.row("2_colour", "failed");
  const auto none = shop.status();
  CHECK(none == exits(20));
  CHECK(none.findings() == "failed 2_colour 20");
  CHECK(none.what("failed") == contains("P3009"));
  CHECK(none.what("failed") == contains("2026-01-02 03:04:01 UTC"));
  CHECK(none.evidence("failed") == contains("column \"colour\" does not exist"));
  CHECK(none.evidence("failed") == contains("42703"));
  CHECK(none.evidence("failed") != contains("sql_schema_connector"));
  CHECK(none.hint("failed") == contains("schemagate run"));
  CHECK(none.migrations() == "1_users: applied, 2_colour: failed");
}

TEST_CASE("status shows a half-applied migration statement by statement and where to go on") {
  const Shop shop;
  shop.migration("1_half", "CREATE TABLE users (id int);\n"
                           "CREATE TABLE orders (id int);\n"
                           "CREATE TABLE bills (id int);\n");
  shop.database().execute("CREATE TABLE users (id int)");
  shop.row("1_half", "failed");
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "half-applied 1_half 20");
  const auto evidence = seen.evidence("half-applied");
  CHECK(evidence == contains("1 of 3 statements done"));
  CHECK(evidence == contains("line 1: done: CREATE TABLE users"));
  CHECK(evidence == contains("line 2: not done: CREATE TABLE orders"));
  CHECK(evidence == contains("line 3: not done: CREATE TABLE bills"));
  CHECK(seen.hint("half-applied") == contains("from line 2"));
  CHECK(seen.hint("half-applied") == contains("schemagate resolve 1_half --applied"));
  CHECK(seen.hint("half-applied") == contains("schemagate resolve 1_half --rolled-back"));
}

TEST_CASE("status says what only resolve, and what the next run by itself, can settle") {
  Shop shop;
  shop.migration("1_done", "CREATE TABLE done (id int);\nCREATE TABLE more (id int);\n");
  shop.database().execute("CREATE TABLE done (id int); CREATE TABLE more (id int)");
  SUBCASE("all of it is there, but the row says that it failed") {
    shop.row("1_done", "failed");
    CHECK(shop.status().hint("failed") == contains("schemagate resolve 1_done --auto"));
  }
  SUBCASE("the script had run to its end: proven") {
    shop.row("1_done", "completed");
    CHECK(shop.status().hint("failed") == contains("schemagate run"));
    shop.settings.migrations = "repair: off";
    CHECK(shop.status().hint("failed") == contains("schemagate resolve 1_done --auto"));
  }
  SUBCASE("a script of data only tells nothing") {
    shop.migration("1_done", "INSERT INTO done VALUES (1);\nDELETE FROM done;\n");
    shop.row("1_done", "failed");
    CHECK(shop.status().hint("failed") == contains("--applied"));
    CHECK(shop.status().hint("failed") == contains("--rolled-back"));
  }
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "failed 1_done 20");
}

TEST_CASE("status shows each of several failed rows") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);");
  shop.migration("2_b", "CREATE TABLE b (id int); CREATE TABLE bb (id int);");
  shop.row("1_a", "failed");
  shop.database().execute("CREATE TABLE b (id int)");
  shop.row("2_b", "killed");
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "failed 1_a 20, half-applied 2_b 20");
  CHECK(seen.evidence("failed", "1_a") == contains("nothing of it is there"));
}

TEST_CASE("status says why the last attempt at a pending migration was rolled back") {
  const Shop shop;
  shop.migration("1_bad", "CREATE TABLE t (id int);\nSELECT nope;\n");
  REQUIRE(shop.run() == exits(21));
  const auto seen = shop.status();
  CHECK(seen.evidence("pending", "1_bad") == contains("column \"nope\" does not exist"));
  CHECK(seen == exits(20));
}

TEST_CASE("status names an edited migration, and one with other line ends is none") {
  Shop shop;
  shop.migration("1_users", "CREATE TABLE users (\n  id int\n);\n");
  REQUIRE(shop.run() == exits(0));
  shop.migration("1_users", "CREATE TABLE users (\r\n  id int\r\n);\r\n");
  auto seen = shop.status();
  CHECK(seen.migrations() == "1_users: applied");
  CHECK(seen.findings() != contains("edited"));

  shop.settings.rest = "release: fixed\n";
  shop.migration("1_users", "CREATE TABLE users (\n  id bigint\n);\n");
  seen = shop.status();
  CHECK(seen.findings() == contains("edited 1_users 20"));
  CHECK(seen.migrations() == "1_users: edited");
  CHECK(seen.hint("edited") == contains("undo the edit"));
  CHECK(seen == exits(20));
  shop.settings.migrations = "edited: warn";
  CHECK(shop.status().findings() == contains("edited 1_users 0"));
  shop.settings.migrations = "edited: allow";
  CHECK(shop.status().findings() != contains("edited"));
}

TEST_CASE("status names an applied migration that is not in the folder, as its policy says") {
  Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.database().execute("CREATE TABLE users (id int)");
  shop.row("0_gone", "applied");
  shop.row("1_users", "applied");
  auto seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.findings() == "not-in-folder 0_gone 0");
  CHECK(seen.migrations() == "1_users: applied, 0_gone: not-in-folder");
  CHECK_FALSE(seen.hint("not-in-folder").empty());
  CHECK(seen.hint("not-in-folder") != contains("DELETE"));
  shop.settings.migrations = "missing: fail";
  seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "not-in-folder 0_gone 20");
  shop.settings.migrations = "missing: allow";
  seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.findings().empty());
}

TEST_CASE("status names a pending migration that sorts before an applied one, as its policy says") {
  Shop shop;
  shop.migration("1_late", "CREATE TABLE late (id int);");
  shop.migration("2_users", "CREATE TABLE users (id int);");
  shop.database().execute("CREATE TABLE users (id int)");
  shop.row("2_users", "applied");
  CHECK(shop.status().findings() == "out-of-order 1_late 0, pending 1_late 20");
  shop.settings.migrations = "out_of_order: fail";
  const auto seen = shop.status();
  CHECK(seen.findings() == "out-of-order 1_late 20, pending 1_late 20");
  CHECK(seen.what("out-of-order") == contains("2_users"));
  // A run refuses it, so a run alone is not what settles it.
  CHECK(seen.hint("out-of-order") !=
        "a run applies it all the same (migrations.out_of_order: warn)");
  CHECK(seen.hint("out-of-order") == contains("migrations.out_of_order: warn"));
  CHECK(shop.run() == exits(20));
  shop.settings.migrations = "out_of_order: allow";
  CHECK(shop.status().findings() == "gate-closed 20, pending 1_late 20");
}

TEST_CASE("status tells duplicate rows, baselined ones and those written by hand apart") {
  const Shop shop;
  for (const std::string name : {"1_twice", "2_baselined", "3_by_hand"})
    shop.migration(name, "CREATE TABLE t" + name + " (id int);");
  shop.database().execute(
      "CREATE TABLE t1_twice (id int); CREATE TABLE t2_baselined (id int); CREATE TABLE t3_by_hand (id int)");
  shop.row("1_twice", "applied");
  shop.row("1_twice", "applied");
  shop.row("2_baselined", "baselined");
  shop.row("3_by_hand", "by hand");
  const auto seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.findings() == "duplicate 1_twice 0, written-by-hand 3_by_hand 0");
  CHECK(seen.what("duplicate") == contains("2 times"));
  CHECK(seen.migrations() == contains("2_baselined: applied (baselined)"));
  CHECK(seen.migrations() == contains("3_by_hand: applied (written by hand)"));
  for (const auto& one : seen.json.at("findings")) CHECK(one.dump() != contains("DELETE"));
}

TEST_CASE("status names what is recorded as applied but is not there, all of it or a part") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int); CREATE TABLE orders (id int);");
  shop.migration("2_gone", "CREATE TABLE gone (id int); ALTER TABLE users ADD COLUMN age int;");
  shop.migration("3_part", "CREATE TABLE part (id int); CREATE INDEX part_id ON part (id);");
  shop.migration("4_executed", "CREATE TABLE executed (id int);");
  shop.database().execute("CREATE TABLE users (id int); CREATE TABLE orders (id int);"
                          "CREATE TABLE part (id int)");
  shop.row("1_users", "baselined");
  shop.row("2_gone", "baselined");
  shop.row("3_part", "by hand");
  shop.row("4_executed", "applied");  // dropped since by whoever
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "not-there 2_gone 20, not-there 3_part 20, not-there 4_executed 20");
  CHECK(seen.what("not-there", "2_gone") == contains("nothing of it is there"));
  CHECK(seen.evidence("not-there", "2_gone") == contains("gone"));
  CHECK(seen.evidence("not-there", "2_gone") == contains("age"));
  CHECK(seen.hint("not-there", "2_gone") == contains("schemagate resolve 2_gone --auto"));
  CHECK(seen.what("not-there", "3_part") == contains("not all of it is there"));
  CHECK(seen.evidence("not-there", "3_part") == contains("part_id"));
  CHECK(seen.hint("not-there", "3_part") != contains("--auto"));
}

TEST_CASE("a pending migration whose objects are there already is told from an ordinary one") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_pushed", "ALTER TABLE users ADD COLUMN name text;");
  shop.migration("3_next", "CREATE TABLE next (id int);");
  shop.database().execute("CREATE TABLE users (id int, name text)");
  shop.row("1_users", "applied");
  const auto seen = shop.status();
  CHECK(seen.findings() == "pending 2_pushed 20, pending 3_next 20");
  CHECK(seen.what("pending", "2_pushed") == contains("there already"));
  CHECK(seen.hint("pending", "2_pushed") == contains("schemagate baseline 2_pushed"));
  CHECK(seen.hint("pending", "3_next") == "schemagate run");
}

TEST_CASE("status names a directory without migration.sql, P3015, unless it is applied") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_applied", "CREATE TABLE two (id int);");
  shop.database().execute("CREATE TABLE users (id int)");
  shop.row("1_users", "applied");
  shop.row("2_applied", "applied");
  std::filesystem::remove(shop.folder() / "2_applied/migration.sql");
  std::filesystem::create_directory(shop.folder() / "3_empty");
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "no-script 3_empty 20");
  CHECK(seen.what("no-script") == contains("P3015"));
  CHECK(seen.migrations() == contains("3_empty: no-script"));
}

TEST_CASE("a folder for another database, P3019, is a finding beside what the history says") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.row("1_users", "failed");
  shop.dir().write("migrations/migration_lock.toml", "provider = \"mysql\"\n");
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.what("folder") == contains("P3019"));
  CHECK(seen.what("folder") == contains("mysql"));
  CHECK(seen.hint("folder") == contains("provider = \"postgresql\""));
  CHECK(seen.findings() == contains("failed 1_users 20"));
  CHECK(seen.evidence("failed") == contains("column \"colour\" does not exist"));
}

TEST_CASE("a missing or empty folder is a finding beside what the history says") {
  Shop shop;
  shop.row("1_users", "applied");
  SUBCASE("missing") { std::filesystem::remove_all(shop.folder()); }
  SUBCASE("empty") {}
  const auto seen = shop.status();
  CHECK(seen == exits(2));
  CHECK(seen.findings() == contains("folder 2"));
  CHECK(seen.hint("folder") == contains("COPY"));
  CHECK(seen.migrations() == "1_users: applied");
  CHECK(seen.findings() != contains("not-in-folder"));
}

TEST_CASE("tables without a history, P3005, come with the command that records what is there") {
  const Shop shop;
  shop.migration("1_users", "CREATE TABLE users (id int);");
  shop.migration("2_orders", "CREATE TABLE orders (id int);");
  shop.migration("3_new", "CREATE TABLE new (id int);");
  std::string hint;
  SUBCASE("made by the first migrations") {
    shop.database().execute("CREATE TABLE users (id int); CREATE TABLE orders (id int)");
    hint = "schemagate baseline --through 2_orders";
  }
  SUBCASE("made by the first one") {
    shop.database().execute("CREATE TABLE users (id int)");
    hint = "schemagate baseline 1_users";
  }
  SUBCASE("of another app") {
    shop.database().execute("CREATE TABLE other (id int)");
    hint = "a schema of its own";
  }
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == contains("not-baselined 20"));
  CHECK(seen.what("not-baselined") == contains("P3005"));
  CHECK(seen.hint("not-baselined") == contains(hint));
}

TEST_CASE("status names an INVALID index and a constraint that is NOT VALID, with their remedies") {
  const Shop shop;
  shop.migration("1_t", "CREATE TABLE \"T t\" (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.database().execute("INSERT INTO \"T t\" VALUES (1), (1);"
                          "ALTER TABLE \"T t\" ADD CONSTRAINT \"Big\" CHECK (x > 1) NOT VALID");
  auto session = shop.database().connect();
  CHECK_THROWS(session.execute("CREATE UNIQUE INDEX CONCURRENTLY \"I i\" ON \"T t\" (x)"));
  const auto seen = shop.status();
  CHECK(seen == exits(20));
  CHECK(seen.findings() == "drift 0, invalid-index I i 20, not-validated Big 0");
  CHECK(seen.hint("invalid-index") == contains("REINDEX INDEX CONCURRENTLY \"public\".\"I i\""));
  CHECK(seen.hint("not-validated") ==
        contains("ALTER TABLE \"public\".\"T t\" VALIDATE CONSTRAINT \"Big\""));
  // The remedies are what they say.
  shop.database().execute("UPDATE \"T t\" SET x = 2");
  shop.database().execute(seen.hint("not-validated"));
  shop.database().connect().execute("DROP INDEX CONCURRENTLY public.\"I i\"");
  CHECK(shop.status() == exits(0));
}

TEST_CASE("names with spaces and quotes are shown as they are, and quoted in commands") {
  const Shop shop;
  const std::string name = "1_it's a \"test\"";
  shop.migration(name, "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n");
  shop.database().execute("CREATE TABLE a (id int); CREATE TABLE b (id int)");
  shop.row(name, "failed");
  const auto seen = shop.status();
  CHECK(seen.findings() == "failed " + name + " 20");
  const auto hint = seen.hint("failed");
  // A shell takes the hint's command as it stands.
  const auto command = hint.substr(0, hint.find(" && "));
  REQUIRE(command.starts_with("schemagate "));
  const auto result = testing::run(
      {"sh", "-c", testing::tested_program() + command.substr(std::string{"schemagate"}.size())},
      {.environment = {}, .directory = shop.dir().path()});
  INFO(hint << "\n" << result.err);
  CHECK(result == exits(0));
  CHECK(shop.history().back() == name + " 0 finished empty-logs");
}

TEST_CASE("status of an external tool without a history tells runs and gate alone") {
  Shop shop;
  shop.migration("1_x", "SELECT 1;");
  shop.settings.migrations = "tool: command, command: [\"true\"]";
  REQUIRE(shop.run() == exits(0));
  const auto seen = shop.status();
  CHECK(seen == exits(0));
  CHECK(seen.findings().empty());
  CHECK(seen.json.at("gate").at("open") == true);
}
