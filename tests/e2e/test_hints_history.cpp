// Hints are closed under typing: a history that claims too much or too little, and a folder that
// is not as it was.

#include "e2e/hinted_shop.hpp"
#include "support/gate_project.hpp"
#include "support/pgbouncer.hpp"

using namespace testing;

namespace {

constexpr const char* k_a = "CREATE TABLE a (id int);";
constexpr const char* k_b = "CREATE TABLE b (id int);\nCREATE INDEX b_id ON b (id);\n";
constexpr const char* k_c = "ALTER TABLE a ADD COLUMN c text;";
constexpr const char* k_new = "CREATE TABLE new (id int);";

void fill(const HintedShop& shop) {
  shop.migration("1_a", k_a);
  shop.migration("2_b", k_b);
  shop.migration("3_c", k_c);
  shop.migration("4_new", k_new);
}

void make(const HintedShop& shop, std::initializer_list<const char*> scripts) {
  for (const auto* script : scripts) shop.database().execute(script);
}

}  // namespace

// Minutes of them: each alternative of each hint is typed on a copy of its own.
TEST_SUITE_BEGIN("sweep");

TEST_CASE("hints for migrations that are recorded, but not there, settle that") {
  for (const std::string row : {"applied", "by hand", "baselined"}) {
    CAPTURE(row);
    HintedShop shop;
    fill(shop);
    shop.row("1_a", "applied");
    shop.row("2_b", row);
    make(shop, {k_a});
    SUBCASE("nothing") {}
    SUBCASE("nothing of two") { shop.row("3_c", row); }
    SUBCASE("a part") {
      make(shop, {"CREATE TABLE b (id int)"});
      shop.by_hand = {"CREATE INDEX b_id ON b (id)"};
    }
    SUBCASE("another shape") {
      make(shop, {"CREATE TABLE b (id text)", "CREATE INDEX b_id ON b (id)"});
      shop.by_hand = {"ALTER TABLE b ALTER id TYPE int USING id::int"};
    }
    SUBCASE("nothing, and data") {
      shop.migration("2_b", "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1);\n");
      shop.database().execute("UPDATE _prisma_migrations SET checksum = '" + shop.checksum("2_b") +
                              "' WHERE migration_name = '2_b'");
    }
    SUBCASE("the first one") {
      shop.database().execute("DROP TABLE a");
      make(shop, {k_b});
    }
    shop.check_hints();
  }
}

TEST_CASE("hints for tables without a history settle that, or ask whether the database is right") {
  HintedShop shop;
  fill(shop);
  SUBCASE("a prefix") { make(shop, {k_a, k_b}); }
  SUBCASE("all") { make(shop, {k_a, k_b, k_c, k_new}); }
  SUBCASE("a gap") { make(shop, {k_a, k_c}); }
  SUBCASE("a gap at the start") { make(shop, {k_b, k_new}); }
  SUBCASE("a part of the first one that is there") {
    make(shop, {"CREATE TABLE b (id int)"});
    shop.by_hand = {"CREATE TABLE a (id int); CREATE INDEX b_id ON b (id)", "DROP TABLE b"};
  }
  SUBCASE("a part of the second one") {
    make(shop, {k_a, "CREATE TABLE b (id int)"});
    shop.by_hand = {"CREATE INDEX b_id ON b (id)", "DROP TABLE b"};
  }
  SUBCASE("another shape") {
    make(shop, {"CREATE TABLE a (id text)"});
    shop.by_hand = {"ALTER TABLE a ALTER id TYPE int USING id::int", "DROP TABLE a"};
  }
  SUBCASE("foreign tables") { make(shop, {"CREATE TABLE other (id int)"}); }
  SUBCASE("all and foreign tables") {
    make(shop, {k_a, k_b, k_c, k_new, "CREATE TABLE other (id int)"});
  }
  SUBCASE("a script that changes data") {
    shop.migration("2_b", "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1);\n");
    make(shop, {k_a, "CREATE TABLE b (id int)"});
  }
  SUBCASE("only scripts that leave no trace") {
    shop.migration("0_nothing", "SELECT 1;");
    make(shop, {k_a});
  }
  shop.check_hints();
}

TEST_CASE(
    "hints for migrations that were pushed past the history record them, and apply the others") {
  HintedShop shop;
  fill(shop);
  shop.row("1_a", "applied");
  make(shop, {k_a});
  SUBCASE("one") { make(shop, {k_b}); }
  SUBCASE("a later one") { make(shop, {k_c}); }
  SUBCASE("several, then one that is new") { make(shop, {k_b, k_c}); }
  SUBCASE("all") { make(shop, {k_b, k_c, k_new}); }
  SUBCASE("a part") {
    make(shop, {"CREATE TABLE b (id int)"});
    shop.by_hand = {"CREATE INDEX b_id ON b (id)", "DROP TABLE b"};
  }
  SUBCASE("another shape") {
    make(shop, {"CREATE TABLE b (id text)", "CREATE INDEX b_id ON b (id)"});
    shop.by_hand = {"ALTER TABLE b ALTER id TYPE int USING id::int", "DROP TABLE b"};
  }
  SUBCASE("with data") {
    shop.migration("2_b", "CREATE TABLE b (id int);\nINSERT INTO b VALUES (1);\n");
    make(shop, {"CREATE TABLE b (id int)"});
    shop.by_hand = {"", "DROP TABLE b"};
  }
  SUBCASE("nothing") {}
  shop.check_hints();
}

TEST_CASE("hints for a file that was edited accept it where the database is as it says") {
  HintedShop shop;
  fill(shop);
  REQUIRE(shop.run() == exits(0));
  shop.settings.rest = "release: next\n";
  SUBCASE("a comment") { shop.migration("2_b", std::string{"-- better\n"} + k_b); }
  SUBCASE("the database is as the file says") {
    shop.migration("2_b", "CREATE TABLE b (id int, more text);\nCREATE INDEX b_id ON b (id);\n");
    shop.database().execute("ALTER TABLE b ADD COLUMN more text");
  }
  SUBCASE("the database is not as the file says") {
    shop.migration("2_b", "CREATE TABLE b (id int, more text);\nCREATE INDEX b_id ON b (id);\n");
    shop.in_folder = [&] { shop.migration("2_b", k_b); };
  }
  SUBCASE("two, and a new one") {
    shop.migration("2_b", std::string{"-- better\n"} + k_b);
    shop.migration("3_c", std::string{"-- better\n"} + k_c);
    shop.migration("5_more", "CREATE TABLE more (id int);");
  }
  SUBCASE("data was edited") {
    shop.migration("2_b", std::string{k_b} + "INSERT INTO b VALUES (1);\n");
    shop.in_folder = [&] { shop.migration("2_b", k_b); };
  }
  shop.check_hints();
}

TEST_CASE("hints for a directory or a file that is not where it was settle that") {
  HintedShop shop;
  fill(shop);
  REQUIRE(shop.run() == exits(0));
  const auto rename = [&](const std::string& from, const std::string& to) {
    std::filesystem::rename(shop.folder() / from, shop.folder() / to);
  };
  SUBCASE("renamed") { rename("2_b", "2_better"); }
  SUBCASE("two renamed") {
    rename("2_b", "2_better");
    rename("3_c", "3_better");
  }
  SUBCASE("renamed to the end, and a new one") {
    rename("2_b", "5_better");
    shop.migration("6_more", "CREATE TABLE more (id int);");
  }
  SUBCASE("missing, which must not be") {
    std::filesystem::remove_all(shop.folder() / "2_b");
    shop.migration("5_more", "CREATE TABLE more (id int);");
    shop.settings.migrations = "missing: fail";
    shop.in_folder = [&] { shop.migration("2_b", k_b); };
  }
  SUBCASE("a pending one without its file") {
    std::filesystem::create_directories(shop.folder() / "5_more");
    shop.in_folder = [&] { shop.migration("5_more", "CREATE TABLE more (id int);"); };
  }
  SUBCASE("one that sorts before, which must not be") {
    shop.migration("2_a", "CREATE TABLE more (id int);");
    shop.settings.migrations = "out_of_order: fail";
    shop.in_folder = [&] { rename("2_a", "5_a"); };
  }
  shop.check_hints();
}

TEST_CASE("hints for a history that was emptied, or is behind the database, settle that") {
  HintedShop shop;
  fill(shop);
  REQUIRE(shop.run() == exits(0));
  SUBCASE("emptied") { shop.database().execute("DELETE FROM _prisma_migrations"); }
  SUBCASE("dropped") { shop.database().execute("DROP TABLE _prisma_migrations"); }
  SUBCASE("emptied, and the folder has a new one") {
    shop.database().execute("DELETE FROM _prisma_migrations");
    shop.migration("5_more", "CREATE TABLE more (id int);");
  }
  SUBCASE("the first one failed on a database that is further along") {
    shop.database().execute("DELETE FROM _prisma_migrations");
    shop.row("1_a", "failed");
  }
  SUBCASE("all but the last one are gone") {
    shop.database().execute("DELETE FROM _prisma_migrations WHERE migration_name <> '4_new'");
  }
  shop.check_hints();
}

namespace {

struct Doubt {
  const char* what;
  std::function<void(const HintedShop&)> make;
};

// Each of them would be settled by a replay.
const std::vector<Doubt> k_doubts = {
    {"pushed",
     [](const HintedShop& shop) {
       shop.row("1_a", "applied");
       make(shop, {k_a, k_b});
     }},
    {"failed, nothing there",
     [](const HintedShop& shop) {
       shop.row("1_a", "applied");
       shop.row("2_b", "failed");
       make(shop, {k_a});
     }},
    {"failed, all there",
     [](const HintedShop& shop) {
       shop.row("1_a", "applied");
       shop.row("2_b", "failed");
       make(shop, {k_a, k_b});
     }},
    {"without a history", [](const HintedShop& shop) { make(shop, {k_a, k_b}); }},
    {"recorded by hand, and there",
     [](const HintedShop& shop) {
       shop.row("1_a", "applied");
       shop.row("2_b", "by hand");
       make(shop, {k_a, k_b});
     }},
    {"edited",
     [](const HintedShop& shop) {
       shop.row("1_a", "applied");
       shop.row("2_b", "applied", std::string(64, 'e'));
       make(shop, {k_a, k_b});
     }},
};

void check_doubts(const std::function<void(HintedShop&)>& without_scratch) {
  for (const auto& doubt : k_doubts) {
    CAPTURE(doubt.what);
    HintedShop shop;
    fill(shop);
    doubt.make(shop);
    shop.names = "1_a 2_b";
    without_scratch(shop);
    shop.check_hints();
  }
}

}  // namespace

TEST_CASE("hints where the manifest forbids a scratch database say so, or ask a person") {
  check_doubts([](auto& shop) { shop.settings.rest = "scratch: {off: true}\n"; });
}

TEST_CASE("hints for a role that may not create databases say so, or ask a person") {
  const TestRole role{"typist"};
  check_doubts([&](auto& shop) {
    shop.database().execute(
        "DO $$ DECLARE one regclass; BEGIN FOR one IN SELECT oid FROM pg_class WHERE "
        "relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP EXECUTE "
        "format('ALTER TABLE %s OWNER TO " +
        role.name() + "', one); END LOOP; END $$");
    shop.url = [&](const auto& one) {
      one.execute("ALTER DATABASE " + one.name() + " OWNER TO " + role.name());
      return one.url_as(role.name());
    };
  });
}

TEST_CASE("hints through a pooler say what gives a scratch database, or ask a person") {
  if (!PgBouncer::is_there()) return;
  const PgBouncer pooler;
  check_doubts([&](auto& shop) { shop.url = [&](const auto& one) { return pooler.url(one); }; });
}

TEST_SUITE_END();
