// Hints are closed under typing: a failed row, whatever there is of its script.

#include "e2e/hinted_shop.hpp"

using namespace testing;

namespace {

struct Left {
  const char* what;
  const char* sql;  // what is there
  std::vector<std::string> by_hand = {""};
};

void check_each(const std::string& script, const std::vector<Left>& all, const std::string& row) {
  for (const auto& left : all) {
    CAPTURE(left.what);
    CAPTURE(row);
    HintedShop shop;
    shop.migration("0_first", "CREATE TABLE t (id int);");
    shop.migration("1_a", script);
    shop.migration("2_next", "CREATE TABLE next (id int);");
    shop.row("0_first", "applied");
    shop.row("1_a", row);
    shop.database().execute(std::string{"CREATE TABLE t (id int);"} + left.sql);
    shop.by_hand = left.by_hand;
    shop.check_hints();
  }
}

const std::string k_two = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n";
const std::vector<Left> k_of_two = {
    {"nothing", ""},
    {"a part", "CREATE TABLE a (id int)", {"CREATE TABLE b (id int)", "DROP TABLE a"}},
    {"the later part", "CREATE TABLE b (id int)", {"CREATE TABLE a (id int)", "DROP TABLE b"}},
    {"all", "CREATE TABLE a (id int); CREATE TABLE b (id int)"},
    {"all, and the next one",
     "CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE next (id int)"},
    {"another shape",
     "CREATE TABLE a (id text); CREATE TABLE b (id int)",
     {"ALTER TABLE a ALTER id TYPE int USING id::int", "DROP TABLE a, b"}},
};

}  // namespace

// Minutes of them: each alternative of each hint is typed on a copy of its own.
TEST_SUITE_BEGIN("sweep");

TEST_CASE("hints for a row that failed settle it, whatever is there of its script") {
  check_each(k_two, k_of_two, "failed");
}

TEST_CASE("hints for a row that a killed deploy left settle it, whatever is there of its script") {
  check_each(k_two, k_of_two, "killed");
}

TEST_CASE("hints for a row whose script had ended settle it, whatever is there of it") {
  check_each(k_two, k_of_two, "completed");
}

TEST_CASE("hints for a failed row of a script that changes data ask a person, or settle it") {
  const std::vector<Left> all = {
      {"nothing", ""},
      {"all that can be seen", "CREATE TABLE a (id int)"},
  };
  for (const std::string row : {"failed", "killed", "completed"}) {
    check_each("CREATE TABLE a (id int);\nINSERT INTO t VALUES (1);\nINSERT INTO a VALUES (1);\n",
               all, row);
    check_each("INSERT INTO t VALUES (1);\nUPDATE t SET id = 2;\n", {all.front()}, row);
  }
}

TEST_CASE("hints for a failed row of a script that drops or changes settle it") {
  for (const std::string row : {"failed", "killed"}) {
    check_each(
        "ALTER TABLE t RENAME COLUMN id TO key;\nALTER TABLE t ADD COLUMN more int;\n",
        {{"nothing", ""},
         {"a part", "ALTER TABLE t RENAME COLUMN id TO key", {"ALTER TABLE t ADD COLUMN more int"}},
         {"all", "ALTER TABLE t RENAME COLUMN id TO key; ALTER TABLE t ADD COLUMN more int"}},
        row);
    check_each("DROP TABLE t;\nCREATE TABLE a (id int);\n",
               {{"nothing", ""},
                {"a part", "DROP TABLE t", {"CREATE TABLE a (id int)", "CREATE TABLE t (id int)"}}},
               row);
  }
}

TEST_CASE("hints for a failed row whose file was changed or is gone ask a person") {
  for (const std::string there : {"", "CREATE TABLE a (id int); CREATE TABLE b (id int)"}) {
    CAPTURE(there);
    HintedShop shop;
    shop.migration("1_a", k_two);
    shop.database().execute(there.empty() ? "SELECT 1" : there);
    SUBCASE("changed") { shop.row("1_a", "failed", std::string(64, 'e')); }
    SUBCASE("its directory is gone") {
      shop.row("1_a", "failed");
      std::filesystem::remove_all(shop.folder() / "1_a");
      shop.migration("2_next", "CREATE TABLE next (id int);");
    }
    SUBCASE("its file is gone") {
      shop.row("1_a", "failed");
      std::filesystem::remove(shop.folder() / "1_a/migration.sql");
      shop.in_folder = [&] { shop.migration("1_a", k_two); };
    }
    shop.check_hints();
  }
}

TEST_CASE("hints for several failed rows settle all of them") {
  HintedShop shop;
  shop.migration("1_a", k_two);
  shop.migration("2_b", "CREATE TABLE c (id int);\nCREATE TABLE d (id int);\n");
  shop.database().execute(k_two);
  shop.row("1_a", "failed");
  shop.row("2_b", "failed");
  SUBCASE("of the second one nothing is there") {}
  SUBCASE("all is there") {
    shop.database().execute("CREATE TABLE c (id int); CREATE TABLE d (id int)");
  }
  shop.check_hints();
}

TEST_SUITE_END();
