// `schemagate run` on a history with an unfinished row: what is proven is settled, and the run goes
// on; else it stops with code 20 and the evidence.

#include <csignal>

#include "e2e/history_fixture.hpp"
#include "faults/server_fixture.hpp"

using namespace testing;

namespace {

constexpr const char* k_two = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n";

// Stops, changes nothing of history and schema, and says all of `said`.
void check_stops(const Shop& shop, const std::vector<std::string>& said) {
  const auto rows = shop.rows();
  const auto tables = shop.tables();
  const auto result = shop.run();
  CHECK(result == exits(20, "P3009"));
  for (const auto& text : said) CHECK(result.err == contains(text));
  CHECK(result.err == contains("hint: "));
  CHECK(shop.rows() == rows);
  CHECK(shop.tables() == tables);
  CHECK(shop.notes().empty());
  CHECK(shop.is_lease_free());
}

void with_failed(const Shop& shop) {
  shop.migration("1_two", k_two);
  shop.row("1_two", "failed");
}

}  // namespace

TEST_CASE("run settles a row whose script left nothing, and applies the script") {
  struct Left {
    std::vector<std::string> rows;
    std::string settled;
    std::string migrations = {};
  };
  const std::vector<Left> all = {
      {{"failed"}, "2_two 0 rolled-back logs"},
      {{"killed"}, "2_two 0 rolled-back"},
      {{"failed", "killed"}, "2_two 0 rolled-back logs, 2_two 0 rolled-back"},
      {{"failed"}, "2_two 0 rolled-back logs", "atomic: release"},
  };
  for (const auto& left : all) {
    INFO(joined(left.rows) << " " << left.migrations);
    Shop shop;
    shop.migration("1_first", "CREATE TABLE first (id int);");
    shop.migration("2_two", k_two);
    shop.migration("3_later", "CREATE TABLE later (id int);");
    shop.row("1_first", "applied");
    shop.database().execute("CREATE TABLE first (id int)");
    shop.settings.migrations = left.migrations;
    for (const auto& kind : left.rows) shop.row("2_two", kind);
    const auto untouched =
        "SELECT concat_ws('|', id, checksum, coalesce(logs, 'none'), started_at,"
        " applied_steps_count) FROM _prisma_migrations WHERE finished_at IS NULL";
    const auto before = shop.database().column(untouched);
    CHECK(shop.run() ==
          exits(0, "left unfinished, is settled as rolled back, and will be executed again: "
                   "nothing of it is there"));
    CHECK(joined(shop.history()) ==
          "1_first 1 finished, " + left.settled + ", 2_two 1 finished, 3_later 1 finished");
    CHECK(shop.database().column(untouched) == before);
    CHECK(shop.tables() == "a, b, first, later");
    CHECK(shop.notes() ==
          contains("prisma complete: 2_two settled as rolled back: nothing of it is there"));
    const auto seen = shop.status();
    CHECK(seen == exits(0));
    CHECK(seen.out == contains("2_two settled as rolled back"));
  }
}

TEST_CASE("run settles one statement that failed, though nothing can be seen of it") {
  const Shop shop;
  shop.database().execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
  shop.migration("1_data", "-- numbers\nUPDATE t SET id = id + 1;\n");
  shop.row("1_data", "failed");
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.history()) == "1_data 0 rolled-back logs, 1_data 1 finished");
  CHECK(shop.database().value("SELECT id FROM t") == "2");
}

TEST_CASE("run settles a script that failed for want of what it drops, if nothing of it is there") {
  const Shop shop;
  shop.migration("1_drop", "CREATE TABLE a (id int);\nALTER TABLE t DROP COLUMN colour;\n");
  shop.database().execute("CREATE TABLE t (id int)");
  shop.row("1_drop", "failed");
  CHECK(shop.status().evidence("failed") == contains("nothing of it is there"));
}

TEST_CASE("run settles a script that had ended as applied, and does not execute it again") {
  const Shop shop;
  shop.database().execute("CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
  SUBCASE("its objects are there") {
    shop.migration("1_done", k_two);
    shop.database().execute(k_two);
  }
  SUBCASE("data only: the count of steps is the proof") {
    shop.migration("1_done", "UPDATE t SET id = id + 1;\nUPDATE t SET id = id + 1;\n");
  }
  shop.migration("2_next", "CREATE TABLE next (id int);");
  shop.row("1_done", "completed");
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.history()) ==
        "1_done 1 rolled-back, 1_done 0 finished empty-logs, 2_next 1 finished");
  CHECK(shop.database().value("SELECT id FROM t") == "1");
  CHECK(shop.notes() == contains("1_done settled as applied"));
  CHECK(shop.status() == exits(0));
}

TEST_CASE("run stops at what is half applied or unclear, with the evidence") {
  const Shop shop;
  shop.migration("1_bad", k_two);
  shop.migration("2_next", "CREATE TABLE next (id int);");
  shop.database().execute("CREATE TABLE t (id int)");
  SUBCASE("half applied") {
    shop.database().execute("CREATE TABLE a (id int)");
    shop.row("1_bad", "failed");
    check_stops(shop, {"half applied: 1 of 2 statements done", "line 1: done: CREATE TABLE a",
                       "line 2: not done: CREATE TABLE b", "column \"colour\" does not exist",
                       "from line 2"});
  }
  SUBCASE("all there, though it failed: of whom?") {
    shop.database().execute(k_two);
    shop.row("1_bad", "failed");
    check_stops(shop, {"all of it is there", "schemagate resolve 1_bad --auto"});
  }
  SUBCASE("all there, and killed") {
    shop.database().execute(k_two);
    shop.row("1_bad", "killed");
    check_stops(shop, {"all of it is there", "no reason was recorded"});
  }
  SUBCASE("data that may have been written") {
    shop.migration("1_bad", "INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n");
    shop.row("1_bad", "failed");
    check_stops(shop, {"does not tell how far it came", "line 1: cannot be seen: INSERT INTO t"});
  }
  SUBCASE("one statement of data, killed at an unknown moment") {
    shop.migration("1_bad", "INSERT INTO t VALUES (1);\n");
    shop.row("1_bad", "killed");
    check_stops(shop, {"no reason was recorded", "--applied", "--rolled-back"});
  }
  SUBCASE("edited since") {
    shop.row("1_bad", "failed", std::string(64, 'e'));
    check_stops(shop, {"its file was changed since", "schemagate resolve 1_bad --rolled-back"});
  }
  SUBCASE("recorded as executed, but nothing is there") {
    shop.row("1_bad", "completed");
    check_stops(shop, {"recorded as executed, but nothing of it is there"});
  }
  SUBCASE("its directory is gone") {
    shop.row("0_gone", "failed");
    check_stops(shop, {"0_gone", "not in the migrations folder",
                       "schemagate resolve 0_gone --rolled-back"});
  }
}

TEST_CASE("nothing is settled for a run that stops all the same") {
  const Shop shop;
  shop.migration("1_none", k_two);
  shop.migration("2_half", "CREATE TABLE c (id int);\nCREATE TABLE d (id int);\n");
  shop.database().execute("CREATE TABLE c (id int)");
  shop.row("1_none", "failed");
  shop.row("2_half", "failed");
  CHECK(shop.run() == exits(20, "half applied: 1 of 2"));
  CHECK(joined(shop.history()) == "1_none 0 logs, 2_half 0 logs");
  CHECK(shop.tables() != contains("a, b"));
}

TEST_CASE("repair: off leaves all to people, and a wrong word for it is a mistake") {
  Shop shop;
  shop.settings.migrations = "repair: off";
  with_failed(shop);
  check_stops(shop, {"nothing of it is there", "schemagate resolve 1_two --auto"});
  shop.settings.migrations = "repair: maybe";
  CHECK(shop.run() == exits(2, "auto"));
  shop.settings.migrations = "repair: auto";
  CHECK(shop.run() == exits(0));
}

TEST_CASE("mode: check settles nothing, and is not satisfied by an unfinished row") {
  Shop shop;
  with_failed(shop);
  shop.settings.rest = "mode: check\n";
  const auto before = shop.everything();
  CHECK(shop.run() == exits(20, "1_two"));
  CHECK(shop.everything() == before);
}

TEST_CASE("a run of an external tool leaves its history alone, and status does not promise more") {
  Shop shop;
  with_failed(shop);
  shop.settings.migrations = "tool: command, command: [\"true\"], history: prisma";
  const auto before = shop.rows();
  const auto seen = shop.status();
  CHECK(seen.findings() == "failed 1_two 20");
  CHECK(seen.hint("failed") == contains("schemagate resolve 1_two --auto"));
  CHECK(shop.run() == exits(25));
  CHECK(shop.rows() == before);
  CHECK(shop.resolve("1_two", "--auto") == exits(0));
  CHECK(joined(shop.history()) == "1_two 0 rolled-back logs");
}

TEST_CASE("a run waits for whoever executes the script, and does not settle under him") {
  Shop shop;
  shop.migration("1_slow", "CREATE TABLE a (id int);\nSELECT pg_sleep(600), 'of 1_slow';\n");
  shop.row("1_slow", "killed");
  const auto somebody = shop.somebody_executes("SELECT pg_sleep(600), 'of 1_slow'");
  const auto before = shop.rows();
  const auto result = shop.run();
  INFO(result.err);
  CHECK(shop.rows() == before);
  CHECK(result.err == contains("somebody is at work: pid "));
  CHECK(result == exits(11));  // as status and resolve say, and so that it is tried again
}

TEST_CASE("a run killed between settling and applying, or before, is completed by the next one" *
          doctest::test_suite("sweep")) {
  const Shop shop;
  shop.migration("1_two", k_two);
  std::vector<std::string> points;
  {
    shop.row("1_two", "failed");
    const auto file = shop.dir().path() / "trace";
    const Exported trace{"SCHEMAGATE_FAULT_TRACE", file.string()};
    REQUIRE(shop.run() == exits(0));
    bool settling = false;
    for (const auto& line : schemagate::split(testing::read_text(file), '\n')) {
      settling =
          settling || (line.starts_with("postgres.") && line == contains("rolled_back_at ="));
      if (settling && line == contains("CREATE TABLE a")) break;
      if (settling && line.starts_with("postgres."))
        points.push_back(line.substr(0, line.find('\t')));
    }
  }
  REQUIRE(points.size() >= 4);
  for (std::size_t i = 0; i < points.size(); i += 3 * testing::each_nth()) {
    CAPTURE(points[i]);
    shop.database().execute("DROP TABLE IF EXISTS _prisma_migrations, a, b;"
                            "DROP SCHEMA IF EXISTS schemagate CASCADE");
    shop.row("1_two", "failed");
    {
      const Exported fault{"SCHEMAGATE_FAULT", points[i] + ":kill"};
      CHECK(shop.run() == exits(137));
    }
    const auto left = joined(shop.history());
    const bool settled = left == "1_two 0 rolled-back logs";
    CHECK((settled || left == "1_two 0 logs"));
    CHECK(shop.notes().empty() == !settled);
    shop.expire_lease();
    CHECK(shop.run() == exits(0));
    CHECK(joined(shop.history()) == "1_two 0 rolled-back logs, 1_two 1 finished");
    CHECK(shop.tables() == "a, b");
  }
}
