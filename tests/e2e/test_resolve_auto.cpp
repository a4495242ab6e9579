// `schemagate resolve NAME --auto`: what the live catalogue proves is settled, nothing else; and
// resolve beside others: runs, other resolves, Prisma, death.

#include <csignal>

#include "e2e/history_fixture.hpp"
#include "faults/server_fixture.hpp"
#include "support/pgbouncer.hpp"

using namespace testing;

namespace {

constexpr const char* k_two = "CREATE TABLE a (id int);\nCREATE TABLE b (id int);\n";

void check_untouched(const Shop& shop, const std::vector<std::string>& before) {
  CHECK(shop.rows() == before);
  CHECK(shop.notes().empty());
  CHECK(shop.is_lease_free());
}

// Either nothing happened or all of it, with its note.
void check_all_or_nothing(const Shop& shop, const std::vector<std::string>& before) {
  if (shop.notes().empty()) {
    CHECK(shop.rows() == before);
  } else {
    CHECK(joined(shop.history()) == "1_a 0 rolled-back logs, 1_a 0 finished empty-logs");
  }
}

}  // namespace

TEST_CASE("--auto records as applied what is all there, and as rolled back what is not there") {
  for (const std::string left : {"failed", "killed"}) {
    CAPTURE(left);
    const std::string logs = left == "failed" ? " logs" : "";
    const Shop all;
    all.migration("1_a", k_two);
    all.row("1_a", left);
    all.database().execute(k_two);
    const auto applied = all.resolve("1_a", "--auto");
    CHECK(applied == exits(0));
    CHECK(joined(all.history()) == "1_a 0 rolled-back" + logs + ", 1_a 0 finished empty-logs");
    CHECK(applied.err == contains("all of it is there"));
    CHECK(all.notes() == contains("all of it is there"));
    CHECK(all.run() == exits(0));

    const Shop none;
    none.migration("1_a", k_two);
    none.row("1_a", left);
    const auto rolled_back = none.resolve("1_a", "--auto");
    CHECK(rolled_back == exits(0));
    CHECK(joined(none.history()) == "1_a 0 rolled-back" + logs);
    CHECK(rolled_back.err == contains("nothing of it is there"));
    CHECK(none.notes() == contains("nothing of it is there"));
    CHECK(none.run() == exits(0));
    CHECK(none.tables() == "a, b");
  }
}

TEST_CASE("--auto decides nothing that the catalogue does not show: code 20, nothing changed") {
  const Shop shop;
  shop.database().execute("CREATE TABLE t (id int)");
  std::vector<std::string> said;
  SUBCASE("a part") {
    shop.migration("1_a", k_two);
    shop.database().execute("CREATE TABLE a (id int)");
    said = {"half applied: 1 of 2", "line 1: done", "line 2: not done", "from line 2"};
  }
  SUBCASE("a table of the same name, but another shape") {
    shop.migration("1_a", k_two);
    shop.database().execute("CREATE TABLE a (id text); CREATE TABLE b (id int)");
    said = {"a"};
  }
  SUBCASE("data only") {
    shop.migration("1_a", "INSERT INTO t VALUES (1);\nUPDATE t SET id = 2;\n");
    said = {"does not tell how far it came"};
  }
  SUBCASE("a structure, then data") {
    shop.migration("1_a", "CREATE TABLE a (id int);\nINSERT INTO t VALUES (1);\n"
                          "INSERT INTO t VALUES (2);\n");
    shop.database().execute("CREATE TABLE a (id int)");
    said = {"line 1: done: CREATE TABLE a", "line 2: cannot be seen: INSERT INTO t"};
  }
  SUBCASE("a statement that only the server may understand") {
    shop.migration("1_a", "CREATE TABLE a (id int);\nSELEKT 1;\n");
    shop.database().execute("CREATE TABLE a (id int)");
    said = {"1_a"};
  }
  shop.row("1_a", "failed");
  const auto before = shop.rows();
  const auto result = shop.resolve("1_a", "--auto");
  CHECK(result == exits(20));
  for (const auto& text : said) CHECK(result.err == contains(text));
  CHECK(result.err == contains("hint: "));
  CHECK(result.err == contains("schemagate resolve 1_a --applied"));
  CHECK(result.err == contains("schemagate resolve 1_a --rolled-back"));
  check_untouched(shop, before);
}

TEST_CASE("one statement that failed was rolled back, data or not, which is proof for --auto") {
  const Shop shop;
  shop.database().execute("CREATE TABLE t (id int)");
  shop.migration("1_a", "UPDATE t SET id = 2;\n");
  shop.row("1_a", "failed");
  CHECK(shop.resolve("1_a", "--auto") == exits(0));
  CHECK(joined(shop.history()) == "1_a 0 rolled-back logs");
}

TEST_CASE("--auto of a script where only what a later statement makes is there is rolled back") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.database().execute("CREATE TABLE b (id int)");
  shop.row("1_a", "failed");
  CHECK(shop.resolve("1_a", "--auto") == exits(0));
  CHECK(joined(shop.history()) == "1_a 0 rolled-back logs");
}

TEST_CASE("--auto leaves a script that was edited since to a person") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.row("1_a", "failed", std::string(64, 'e'));
  const auto before = shop.rows();
  CHECK(shop.resolve("1_a", "--auto") == exits(20, "its file was changed since"));
  check_untouched(shop, before);
  CHECK(shop.resolve("1_a", "--rolled-back") == exits(0));
  CHECK(joined(shop.history()) == "1_a 0 rolled-back logs");
}

TEST_CASE("--auto of pending, applied and baselined migrations changes only what is not true") {
  const Shop shop;
  shop.migration("1_a", k_two);
  std::string after;
  int exit_code = 0;
  SUBCASE("pending, nothing there") { after = "no table"; }
  SUBCASE("pending, all there: prisma db push") {
    shop.database().execute(testing::k_history_table);
    shop.database().execute(k_two);
    after = "1_a 0 finished empty-logs";
  }
  SUBCASE("pending, a part there") {
    shop.database().execute("CREATE TABLE a (id int)");
    after = "no table";
    exit_code = 20;
  }
  SUBCASE("applied, and true") {
    shop.row("1_a", "applied");
    shop.database().execute(k_two);
    after = "1_a 1 finished";
  }
  SUBCASE("applied, but nothing is there any more") {
    shop.row("1_a", "applied");
    after = "1_a 1 finished rolled-back";
  }
  SUBCASE("baselined, and true") {
    shop.row("1_a", "baselined");
    shop.database().execute(k_two);
    after = "1_a 0 finished empty-logs";
  }
  SUBCASE("baselined, but nothing is there") {
    shop.row("1_a", "baselined");
    after = "1_a 0 finished rolled-back empty-logs";
  }
  SUBCASE("baselined, but a part is missing") {
    shop.row("1_a", "baselined");
    shop.database().execute("CREATE TABLE b (id int)");
    after = "1_a 0 finished empty-logs";
    exit_code = 20;
  }
  SUBCASE("rolled back") {
    shop.row("1_a", "rolled back");
    after = "1_a 0 rolled-back logs";
  }
  CHECK(shop.resolve("1_a", "--auto") == exits(exit_code));
  CHECK(joined(shop.history()) == after);
}

TEST_CASE("a recorded migration of which nothing is there runs after --auto took the record back") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.row("1_a", "baselined");
  REQUIRE(shop.resolve("1_a", "--auto") == exits(0));
  CHECK(shop.notes() == contains("1_a marked as rolled back by "));
  CHECK(shop.notes() == contains("nothing of it is there"));
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "a, b");
}

TEST_CASE("while somebody executes the migration nothing is settled: code 11") {
  const Shop shop;
  shop.migration("1_a", "CREATE TABLE a (id int);\nSELECT pg_sleep(600), 'of 1_a';\n");
  shop.row("1_a", "killed");
  const auto somebody = shop.somebody_executes("SELECT pg_sleep(600), 'of 1_a'");
  const auto before = shop.rows();
  for (const std::string decision : {"--auto", "--applied", "--rolled-back"}) {
    CAPTURE(decision);
    CHECK(shop.resolve("1_a", decision) == exits(11, "somebody is at work: pid ", "hint: wait"));
    check_untouched(shop, before);
  }
}

TEST_CASE("resolve waits for Prisma's own lock, and gives up with 11 after lease.wait") {
  Shop shop;
  shop.settings.lease = "wait: 3s";  // the lease itself must be had within it, too
  shop.migration("1_a", k_two);
  shop.row("1_a", "failed");
  const auto before = shop.rows();
  OpenTransaction prisma{shop.database(), k_take_prismas_lock};
  CHECK(shop.resolve("1_a", "--auto") == exits(11, "Prisma's migration lock"));
  check_untouched(shop, before);
  shop.settings.lease = "";
  auto waiting = shop.start_call({"resolve", "1_a", "--auto"});
  CHECK(waiting.says("waiting for Prisma's migration lock"));
  prisma.commit();
  CHECK(waiting.wait() == exits(0));
  CHECK(joined(shop.history()) == "1_a 0 rolled-back logs");
}

TEST_CASE("resolve waits for the lease of a run, and sees what that run did") {
  const Shop shop;
  auto run = shop.start_napping("1_a", "CREATE TABLE a (id int);\nSELECT aside.nap();\n");
  auto resolve = shop.start_call({"resolve", "1_a", "--applied"});
  CHECK(resolve.says("waiting for the lease prisma:public: held by app default"));
  CHECK(run.terminate() == exits(143));
  CHECK(resolve.wait() == exits(0));
  CHECK(shop.history().back() == "1_a 0 finished empty-logs");
}

TEST_CASE("a run that does not end in time leaves resolve with code 11") {
  Shop shop;
  auto run = shop.start_napping("1_a", "CREATE TABLE a (id int);\nSELECT aside.nap();\n");
  shop.settings.lease = "wait: 1s";
  CHECK(shop.resolve("1_a", "--applied") == exits(11));
  CHECK(run.is_running());
  CHECK(shop.rows().empty());
}

TEST_CASE("of two resolves at once one settles, and the other one finds it settled") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.row("1_a", "failed");
  shop.database().execute(k_two);
  auto one = shop.start_call({"resolve", "1_a", "--auto"});
  auto other = shop.start_call({"resolve", "1_a", "--auto"});
  CHECK(one.wait() == exits(0));
  CHECK(other.wait() == exits(0));
  CHECK(joined(shop.history()) == "1_a 0 rolled-back logs, 1_a 0 finished empty-logs");
  CHECK(shop.database().value("SELECT count(*) FROM schemagate.run WHERE mode = 'resolve'") == "1");
}

TEST_CASE("a resolve that is killed or loses its connection anywhere has settled all or nothing" *
          doctest::test_suite("sweep")) {
  std::vector<std::string> points;
  {
    const Shop shop;
    shop.migration("1_a", k_two);
    shop.row("1_a", "failed");
    shop.database().execute(k_two);
    const auto file = shop.dir().path() / "trace";
    const Exported trace{"SCHEMAGATE_FAULT_TRACE", file.string()};
    REQUIRE(shop.resolve("1_a", "--auto") == exits(0));
    // From the first row of the run table on; what comes before writes nothing of the history.
    bool writing = false;
    for (const auto& line : schemagate::split(testing::read_text(file), '\n')) {
      writing = writing || line == contains("INTO \"schemagate\".run");
      if (writing && line.starts_with("postgres."))
        points.push_back(line.substr(0, line.find('\t')));
    }
  }
  REQUIRE(points.size() >= 10);
  bool settled_before_death = false;
  bool died_unsettled = false;
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.database().execute(k_two);
  std::vector<std::size_t> tried;  // the last point, after the COMMIT, always
  for (std::size_t i = 0; i + 1 < points.size(); i += 3 * testing::each_nth()) tried.push_back(i);
  tried.push_back(points.size() - 1);
  for (const auto i : tried) {
    const std::string action = i % 2 == 0 ? "kill" : "cut";
    CAPTURE(points[i] + action);
    shop.database().execute("DROP TABLE IF EXISTS _prisma_migrations;"
                            "DROP SCHEMA IF EXISTS schemagate CASCADE");
    shop.row("1_a", "failed");
    const auto before = shop.rows();
    {
      const Exported fault{"SCHEMAGATE_FAULT", points[i] + ":" + action};
      const auto result = shop.resolve("1_a", "--auto");
      INFO(result.err);
      if (action == "kill") CHECK(result == exits(137));
    }
    REQUIRE(eventually([&] {
      return shop.database().value("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                                   "current_database() AND application_name LIKE 'schemagate%'") ==
             "0";
    }));
    check_all_or_nothing(shop, before);
    (shop.notes().empty() ? died_unsettled : settled_before_death) = true;
    shop.expire_lease();
    CHECK(shop.resolve("1_a", "--auto") == exits(0));
    CHECK(joined(shop.history()) == "1_a 0 rolled-back logs, 1_a 0 finished empty-logs");
  }
  CHECK(died_unsettled);
  CHECK(settled_before_death);
}

TEST_CASE("SIGTERM in the middle of a resolve leaves nothing half done, and ends it with 143") {
  const Shop shop;
  shop.migration("1_a", k_two);
  shop.row("1_a", "failed");
  shop.database().execute(k_two);
  REQUIRE(shop.run() == exits(20));  // makes our own tables
  const auto before = shop.rows();
  auto reader = shop.database().connect();
  {
    const schemagate::pg::Transaction holds_it_up{reader,
                                                  "LOCK TABLE _prisma_migrations IN SHARE MODE;"};
    auto process = shop.start_call({"resolve", "1_a", "--applied"});
    REQUIRE(eventually([&] {
      return shop.database().value("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = "
                                   "'_prisma_migrations'::regclass") == "1";
    }));
    const auto result = process.terminate();
    CHECK(result == exits(143));
    // Not when the platform's patience ends.
    CHECK(result.err != contains(k_last_resort));
  }
  check_untouched(shop, before);
}

TEST_CASE(
    "resolve works through PgBouncer in transaction mode, with a warning about Prisma's lock") {
  if (!testing::PgBouncer::is_there()) return;
  Shop shop;
  shop.migration("1_a", k_two);
  shop.row("1_a", "failed");
  shop.database().execute(k_two);
  const testing::PgBouncer pooler;
  shop.settings.url = pooler.url(shop.database());
  CHECK(shop.resolve("1_a", "--auto") ==
        exits(20, "a scratch database cannot be reached through a pooler"));
  shop.settings.rest = "scratch: {url: \"" + shop.database().url() + "\"}\n";
  CHECK(shop.resolve("1_a", "--auto") == exits(0, "do not run prisma migrate at the same time"));
  CHECK(joined(shop.history()) == "1_a 0 rolled-back logs, 1_a 0 finished empty-logs");
  CHECK(shop.is_lease_free());
}
