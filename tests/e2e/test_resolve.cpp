// `schemagate resolve NAME --applied` and `--rolled-back`: the rows before and after, for every
// state that a migration can be in, as Prisma's own resolve would leave them.

#include "e2e/history_fixture.hpp"

using namespace testing;

namespace {

// A half-applied one, so that the evidence decides nothing.
Shop& with_half(Shop& shop) {
  shop.migration("1_a", "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n");
  shop.database().execute("CREATE TABLE a (id int)");
  return shop;
}

// Each kind of unfinished row, and what the history says of it once it is rolled back.
const std::vector<std::pair<std::string, std::string>> k_unfinished = {
    {"failed", "1_a 0 rolled-back logs"},
    {"killed", "1_a 0 rolled-back"},
    {"completed", "1_a 1 rolled-back"},
};

// Prisma: steps 0, logs '', both times the same, the file's checksum.
void check_written_by_resolve(const Shop& shop, const std::string& name) {
  CHECK(shop.database().column(
            "SELECT checksum || ' ' || applied_steps_count || ' ' || (started_at = finished_at) || "
            "' ' || (logs = '') || ' ' || (started_at > now() - interval '10 min')"
            "  FROM _prisma_migrations WHERE finished_at IS NOT NULL AND migration_name = " +
            schemagate::pg::quote_literal(name)) ==
        std::vector<std::string>{shop.checksum(name) + " 0 true true true"});
}

}  // namespace

TEST_CASE(
    "--applied settles an unfinished row as Prisma does: rolled back, and a new one applied") {
  for (const auto& [kind, before] : k_unfinished) {
    CAPTURE(kind);
    Shop shop;
    with_half(shop);
    shop.row("1_a", kind);
    const auto logs = shop.database().value("SELECT logs FROM _prisma_migrations");
    CHECK(shop.resolve("1_a", "--applied") == exits(0));
    CHECK(joined(shop.history()) == before + ", 1_a 0 finished empty-logs");
    CHECK(shop.database().value("SELECT logs FROM _prisma_migrations ORDER BY started_at") == logs);
    check_written_by_resolve(shop, "1_a");
    CHECK(shop.notes() == contains("resolve complete: 1_a marked as applied by "));
    CHECK(shop.notes() == contains("(role postgres): a person said so (--applied)"));
    CHECK(shop.is_lease_free());
    CHECK(shop.tables() == "a");  // bookkeeping only
  }
}

TEST_CASE("--rolled-back sets rolled_back_at of an unfinished row and touches nothing else") {
  for (const auto& [kind, after] : k_unfinished) {
    CAPTURE(kind);
    Shop shop;
    with_half(shop);
    shop.row("1_a", kind);
    const auto rest =
        "SELECT concat_ws('|', id, checksum, coalesce(logs, 'none'), started_at) FROM "
        "_prisma_migrations";
    const auto before = shop.database().column(rest);
    CHECK(shop.resolve("1_a", "--rolled-back") == exits(0));
    CHECK(joined(shop.history()) == after);
    CHECK(shop.database().column(rest) == before);
    CHECK(shop.notes() == contains("1_a marked as rolled back by "));
    CHECK(shop.notes() == contains("a person said so (--rolled-back)"));
  }
}

TEST_CASE("the evidence is told before a person's word is taken, with a warning where it differs") {
  Shop shop;
  with_half(shop);
  shop.row("1_a", "failed");
  std::string decision;
  std::string warning;
  SUBCASE("--applied") {
    decision = "--applied";
    warning = "recorded as applied because you say so";
  }
  SUBCASE("--rolled-back") {
    decision = "--rolled-back";
    warning = "recorded as rolled back because you say so";
  }
  const auto result = shop.resolve("1_a", decision);
  CHECK(result == exits(0, "column \"colour\" does not exist", "line 1: done: CREATE TABLE a",
                        "line 2: not done: CREATE TABLE b", warning));
  CHECK(result.err.find("line 1: done") < result.err.find(warning));
}

TEST_CASE("--applied records a pending migration, also where there is no history table yet") {
  Shop shop;
  with_half(shop);
  SUBCASE("no table") { REQUIRE(shop.history().front() == "no table"); }
  SUBCASE("a table without its row") { shop.database().execute(testing::k_history_table); }
  SUBCASE("only rolled-back rows") { shop.row("1_a", "rolled back"); }
  const auto rows = shop.rows();
  CHECK(shop.resolve("1_a", "--applied") == exits(0));
  CHECK(shop.history().back() == "1_a 0 finished empty-logs");
  CHECK(shop.rows().size() == rows.size() + 1);
  if (!rows.empty()) CHECK(shop.rows().front() == rows.front());
  check_written_by_resolve(shop, "1_a");
}

TEST_CASE("what is settled already stays as it is, with code 0") {
  Shop shop;
  with_half(shop);
  std::string decision = "--applied";
  std::string said = "P3008";
  SUBCASE("--applied of an applied one") { shop.row("1_a", "applied"); }
  SUBCASE("--applied of a baselined one") { shop.row("1_a", "baselined"); }
  SUBCASE("--rolled-back of a rolled-back one") {
    shop.row("1_a", "rolled back");
    decision = "--rolled-back";
    said = "already rolled back";
  }
  const auto before = shop.rows();
  CHECK(shop.resolve("1_a", decision) == exits(0, said));
  CHECK(shop.rows() == before);
  CHECK(shop.notes().empty());
}

TEST_CASE("what did not fail cannot be rolled back, with code 20 and Prisma's own code") {
  Shop shop;
  with_half(shop);
  std::string said;
  SUBCASE("applied by executing it") {
    shop.row("1_a", "applied");
    said = "P3012";
  }
  SUBCASE("never applied") { said = "P3011"; }
  const auto before = shop.rows();
  CHECK(shop.resolve("1_a", "--rolled-back") == exits(20, said, "hint: "));
  CHECK(shop.rows() == before);
  CHECK(shop.is_lease_free());
}

TEST_CASE("--rolled-back takes a recorded row back only where nothing of it is there") {
  Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n");
  shop.row("1_a", "baselined");
  const auto before = shop.rows();
  SUBCASE("nothing") {
    CHECK(shop.resolve("1_a", "--rolled-back") == exits(0));
    CHECK(joined(shop.history()) == "1_a 0 finished rolled-back empty-logs");
    CHECK(shop.run() == exits(0));
    CHECK(shop.tables() == "a, b");
  }
  SUBCASE("a part") {
    shop.database().execute("CREATE TABLE b (id int)");
    CHECK(shop.resolve("1_a", "--rolled-back") == exits(20, "table a is missing"));
    CHECK(shop.rows() == before);
  }
  SUBCASE("all") {
    shop.database().execute("CREATE TABLE a (id int); CREATE TABLE b (id int)");
    const auto result = shop.resolve("1_a", "--rolled-back");
    INFO(result.err);
    CHECK(shop.rows() == before);
    // It was not rolled back, and whoever asked for that must not think so.
    CHECK(result == exits(20));
  }
}

TEST_CASE("a failed row whose directory is gone can still be settled, either way") {
  const Shop shop;
  shop.migration("2_b", "CREATE TABLE b (id int);");
  shop.row("1_gone", "failed");
  SUBCASE("--rolled-back") {
    CHECK(shop.resolve("1_gone", "--rolled-back") == exits(0));
    CHECK(joined(shop.history()) == "1_gone 0 rolled-back logs");
  }
  SUBCASE("--applied") {
    CHECK(shop.resolve("1_gone", "--applied") == exits(0));
    CHECK(joined(shop.history()) == "1_gone 0 rolled-back logs, 1_gone 0 finished empty-logs");
    CHECK(shop.database().value("SELECT count(DISTINCT checksum) FROM _prisma_migrations") == "1");
  }
  SUBCASE("--auto: nothing to compare with") {
    const auto before = shop.rows();
    CHECK(shop.resolve("1_gone", "--auto") == exits(20, "not in the migrations folder"));
    CHECK(shop.rows() == before);
  }
}

TEST_CASE("a directory without migration.sql is no migration, P3017, and not what was meant") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);");
  std::filesystem::create_directory(shop.folder() / "2_empty");
  for (const std::string decision : {"--applied", "--rolled-back", "--auto"}) {
    CAPTURE(decision);
    const auto result = shop.resolve("2_empty", decision);
    CHECK(result == exits(20, "P3017", "2_empty/migration.sql"));
    CHECK(result.err != contains("did you mean 2_empty"));
  }
}

TEST_CASE("an unknown name is a mistake, code 2, and the name that was meant is shown") {
  const Shop shop;
  shop.migration("20240101000000_users", "CREATE TABLE users (id int);");
  shop.migration("20240102000000_orders", "CREATE TABLE orders (id int);");
  shop.row("20230101000000_older", "failed");
  const auto before = shop.rows();
  const auto meant = [&](const std::string& name) {
    const auto result = shop.resolve(name, "--applied");
    CHECK(result == exits(2));
    const auto at = result.err.find("did you mean ");
    return at == std::string::npos ? "" : result.err.substr(at + 13, 21);
  };
  CHECK(meant("20240101000000_user") == contains("20240101000000_users?"));
  CHECK(meant("20240102000000_ordres") == contains("20240102000000_orders"));
  CHECK(meant("20230101000000_oldest") == contains("20230101000000_older?"));
  CHECK(meant("something_else_entirely").empty());
  CHECK(shop.rows() == before);
}

TEST_CASE("several unfinished rows of one name are settled together") {
  Shop shop;
  with_half(shop);
  shop.row("1_a", "failed");
  shop.row("1_a", "rolled back");
  shop.row("1_a", "killed");
  shop.row("2_other", "failed");
  SUBCASE("--rolled-back") {
    CHECK(shop.resolve("1_a", "--rolled-back") == exits(0));
    CHECK(joined(shop.history()) == "1_a 0 rolled-back logs, 1_a 0 rolled-back logs, "
                                    "1_a 0 rolled-back, 2_other 0 logs");
  }
  SUBCASE("--applied") {
    CHECK(shop.resolve("1_a", "--applied") == exits(0));
    CHECK(joined(shop.history()) ==
          "1_a 0 rolled-back logs, 1_a 0 rolled-back logs, 1_a 0 rolled-back, 2_other 0 logs, "
          "1_a 0 finished empty-logs");
  }
}

TEST_CASE("a name with spaces and quotes is one name") {
  const Shop shop;
  const std::string name = "1_it's a \"te;st\" --x";
  shop.migration(name, "CREATE TABLE a (id int);");
  shop.row(name, "failed");
  CHECK(shop.resolve(name, "--rolled-back") == exits(0));
  CHECK(joined(shop.history()) == name + " 0 rolled-back logs");
  CHECK(shop.resolve(name, "--applied") == exits(0));
  CHECK(shop.history().back() == name + " 0 finished empty-logs");
  CHECK(shop.notes() == contains(name + " marked as applied"));
}

TEST_CASE("resolve --json tells what was settled and why, and what could not be") {
  Shop shop;
  with_half(shop);
  shop.row("1_a", "failed");
  const auto call = [&](const std::string& decision) {
    const auto result = shop.call({"resolve", "1_a", decision, "--json"});
    INFO(result.out);
    REQUIRE(Json::accept(result.out));
    const auto json = Json::parse(result.out);
    CHECK(json.at("exit_code") == result.exit_code);
    return json;
  };
  const auto refused = call("--auto");
  CHECK(refused.at("exit_code") == 20);
  CHECK(refused.at("settled").empty());
  CHECK(refused.at("error").get<std::string>() == contains("line 2: not done"));
  CHECK(refused.at("hint").get<std::string>() == contains("--applied"));
  const auto settled = call("--applied");
  CHECK(settled.at("exit_code") == 0);
  CHECK(settled.at("settled").at(0).at("name") == "1_a");
  CHECK(settled.at("settled").at(0).at("marked") == "applied");
  CHECK(settled.at("settled").at(0).at("because").get<std::string>() ==
        contains("a person said so"));
  CHECK(call("--applied").at("settled").empty());
}

TEST_CASE("mistakes in the command line of resolve and baseline end with code 2, untouched") {
  Shop shop;
  with_half(shop);
  shop.row("1_a", "failed");
  const auto before = shop.everything();
  const std::vector<std::vector<std::string>> wrong = {
      {"resolve"},
      {"resolve", "1_a"},
      {"resolve", "--applied"},
      {"resolve", "1_a", "--applied", "--rolled-back"},
      {"resolve", "1_a", "--auto", "--applied"},
      {"resolve", "1_a", "2_b", "--auto"},
      {"resolve", "1_a", "--auto", "--", "true"},
      {"baseline"},
      {"baseline", "1_a", "--through", "1_a"},
      {"baseline", "--through"},
      {"status", "1_a"},
      {"status", "--", "true"},
  };
  for (const auto& arguments : wrong) {
    CAPTURE(joined(arguments));
    const auto result = shop.call(arguments);
    CHECK(result == exits(2));
    CHECK_FALSE(result.err.empty());
  }
  CHECK(shop.everything() == before);
}

TEST_CASE("an empty name, as an unset variable leaves it, is a mistake and not nothing to do") {
  Shop shop;
  with_half(shop);
  shop.row("1_a", "failed");
  const auto before = shop.rows();
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"resolve", "", "--auto"},
        {"baseline", ""},
        {"baseline", "--through", ""}}) {
    CAPTURE(joined(arguments));
    CHECK(shop.call(arguments) == exits(2));
    CHECK(shop.rows() == before);
  }
}

TEST_CASE("resolve without a history to settle is a mistake, code 2") {
  Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);");
  shop.settings.migrations = "tool: command, command: [\"true\"]";
  CHECK(shop.resolve("1_a", "--applied") == exits(2, "history: prisma"));
  CHECK(shop.history().front() == "no table");
}
