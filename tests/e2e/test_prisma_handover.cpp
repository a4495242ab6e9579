// One deploys, the other goes on: schemagate and Prisma's real engine hand a database over to each
// other after everything that can happen to a deploy.

#include <doctest/doctest.h>

#include <csignal>

#include "schemagate/base/text.hpp"
#include "support/lease.hpp"
#include "support/text.hpp"
#include "support/two_tools.hpp"

using namespace testing;

namespace {

constexpr const char* k_users = "CREATE TABLE users (id int PRIMARY KEY, name text);\n";
constexpr const char* k_nick = "ALTER TABLE users ADD COLUMN nick text;\n";
constexpr const char* k_posts = "CREATE TABLE posts (id int PRIMARY KEY, by int);\n"
                                "CREATE INDEX posts_by ON posts (by);\n";

// `users` and `posts`, and `nick` between them.
struct Handover {
  SharedFolder folder;
  TestDatabase database;

  explicit Handover(const std::string& nick = k_nick, const std::string& manifest = {})
      : folder{manifest} {
    folder.migration("1_users", k_users);
    folder.migration("2_nick", nick);
  }
  void add_posts() const { folder.migration("3_posts", k_posts); }

  [[nodiscard]] int run() const { return ours({"run"}); }
  [[nodiscard]] int ours(const std::vector<std::string>& arguments) const {
    const auto result = folder.ours(database, arguments);
    INFO(result.err);
    return result.exit_code;
  }
  [[nodiscard]] std::string deploy(Sends sends = Sends::scripts) const {
    return folder.deploy(database, sends).outcome;
  }
  // "NAME STEPS, ..." of what both take as applied
  [[nodiscard]] std::string applied() const {
    return database.value("SELECT string_agg(migration_name || ' ' || applied_steps_count, ', '"
                          "         ORDER BY migration_name) FROM _prisma_migrations"
                          " WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL");
  }
  [[nodiscard]] bool has(const std::string& table) const {
    return database.value("SELECT to_regclass('" + table + "') IS NOT NULL") == "t";
  }
};

// Prisma finds nothing wrong, and nothing to do.
void check_that_prisma_is_content(const Handover& shop) {
  const auto diagnosis = PrismaEngine::diagnose(shop.folder.path(), shop.database);
  INFO(diagnosis.message);
  CHECK(diagnosis.outcome == "ok");
  CHECK(diagnosis.result == Json::parse(R"({"editedMigrationNames": [], "failedMigrationNames": [],
                                            "hasMigrationsTable": true, "history": null})"));
  const auto before = history_rows(shop.database);
  const auto deployed = shop.folder.deploy(shop.database);
  CHECK(deployed.outcome == "ok");
  CHECK(deployed.result == Json::parse(R"({"appliedMigrationNames": []})"));
  CHECK(history_rows(shop.database) == before);
}

// And neither do we. All three migrations are there.
void check_that_both_are_content(const Handover& shop, const std::string& applied) {
  check_that_prisma_is_content(shop);
  const auto before = history_rows(shop.database);
  CHECK(shop.run() == 0);
  CHECK(history_rows(shop.database) == before);
  const auto status = shop.folder.status(shop.database);
  INFO(status.dump(1));
  CHECK(status.at("exit_code") == 0);
  CHECK(shop.applied() == applied);
  CHECK(shop.has("posts_by"));
}

constexpr const char* k_check = "CREATE TABLE checked AS SELECT aside.check() AS said;\n";
constexpr const char* k_all = "1_users 1, 2_nick 1, 3_posts 1";

}  // namespace

TEST_SUITE_BEGIN("prisma handover");

TEST_CASE("what Prisma began a run continues, and the other way round") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop;
  CHECK(shop.deploy() == "ok");
  shop.add_posts();
  CHECK(shop.run() == 0);
  check_that_both_are_content(shop, k_all);

  const Handover other;
  CHECK(other.run() == 0);
  other.add_posts();
  CHECK(other.deploy() == "ok");
  check_that_both_are_content(other, k_all);

  // But for ids and times nobody can tell who did what.
  CHECK(history_rows(shop.database) == history_rows(other.database));
  CHECK(difference(contents_of(shop.database), contents_of(other.database)).empty());
}

TEST_CASE("a script that failed under Prisma and was rolled back is settled and retried by a run") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop{std::string{k_nick} + k_check};
  prepare_fault(shop.database);
  shop.add_posts();
  CHECK(shop.deploy() == contains("not yet"));
  CHECK(shop.deploy() == "P3009");
  CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "failed (20)");
  CHECK(shop.run() == 21);  // tried again: the cause is still there
  mend_fault(shop.database);
  CHECK(shop.run() == 0);
  check_that_both_are_content(shop, k_all);
}

TEST_CASE("a script that failed under us is retried by Prisma without anything to be resolved") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop{std::string{k_nick} + k_check};
  prepare_fault(shop.database);
  shop.add_posts();
  CHECK(shop.run() == 21);
  CHECK(PrismaEngine::status(shop.folder.path(), shop.database).says ==
        "not yet applied: 2_nick, 3_posts");
  mend_fault(shop.database);
  CHECK(shop.deploy() == "ok");
  check_that_both_are_content(shop, k_all);
}

TEST_CASE("what Prisma left half applied stops a run, which tells the line to go on from") {
  if (!PrismaEngine::is_there()) return;
  const std::string rest = "ALTER TABLE users ADD COLUMN age int;\n";
  const Handover shop{std::string{k_nick} + k_check + rest};
  prepare_fault(shop.database);
  shop.add_posts();
  CHECK(shop.deploy(Sends::statements) == contains("not yet"));
  CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "half-applied (20)");
  const auto rows = history_rows(shop.database);
  CHECK(shop.folder.run(shop.database) ==
        exits(20, "line 1: done: ALTER TABLE users ADD COLUMN nick text",
              "line 3: not done: ALTER TABLE users ADD COLUMN age int"));
  CHECK(shop.ours({"resolve", "2_nick", "--auto"}) == 20);
  CHECK(history_rows(shop.database) == rows);

  SUBCASE("finished by hand, marked by us, continued by Prisma") {
    shop.database.execute("CREATE TABLE checked AS SELECT 'by hand' AS said;" + rest);
    CHECK(shop.ours({"resolve", "2_nick", "--applied"}) == 0);
    CHECK(shop.deploy() == "ok");
    check_that_both_are_content(shop, "1_users 1, 2_nick 0, 3_posts 1");
  }
  SUBCASE("finished by hand, marked by Prisma, continued by us") {
    shop.database.execute("CREATE TABLE checked AS SELECT 'by hand' AS said;" + rest);
    CHECK(shop.folder.mark_applied(shop.database, "2_nick").outcome == "ok");
    CHECK(shop.run() == 0);
    check_that_both_are_content(shop, "1_users 1, 2_nick 0, 3_posts 1");
  }
  SUBCASE("undone by hand, marked by us, continued by Prisma") {
    shop.database.execute("ALTER TABLE users DROP COLUMN nick");
    CHECK(shop.ours({"resolve", "2_nick", "--rolled-back"}) == 0);
    mend_fault(shop.database);
    CHECK(shop.deploy(Sends::statements) == "ok");
    check_that_both_are_content(shop, k_all);
  }
  SUBCASE("undone by hand, marked by Prisma, continued by us") {
    shop.database.execute("ALTER TABLE users DROP COLUMN nick");
    CHECK(shop.folder.mark_rolled_back(shop.database, "2_nick").outcome == "ok");
    mend_fault(shop.database);
    CHECK(shop.run() == 0);
    check_that_both_are_content(shop, k_all);
  }
  SUBCASE("undone by hand: a run settles the rest by itself") {
    shop.database.execute("ALTER TABLE users DROP COLUMN nick");
    mend_fault(shop.database);
    CHECK(shop.run() == 0);
    check_that_both_are_content(shop, k_all);
  }
}

TEST_CASE("a script of which Prisma executed no statement is settled and retried by a run") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop{"ALTER TABLE missing ADD COLUMN x int;\n" + std::string{k_nick}};
  shop.add_posts();
  CHECK(shop.deploy(Sends::statements) == contains("missing"));
  CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "failed (20)");
  shop.database.execute("CREATE TABLE missing ()");
  CHECK(shop.run() == 0);
  check_that_both_are_content(shop, k_all);
}

TEST_CASE("a script that was edited after it had failed is not retried without a person's word") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop{std::string{k_nick} + "SELECT 1/0;\n"};
  shop.add_posts();
  CHECK(shop.deploy() == contains("division by zero"));
  shop.folder.migration("2_nick", k_nick);
  CHECK(shop.folder.run(shop.database) == exits(20, "its file was changed since"));
  CHECK(shop.ours({"resolve", "2_nick", "--auto"}) == 20);
  CHECK(shop.ours({"resolve", "2_nick", "--rolled-back"}) == 0);
  SUBCASE("we go on") { CHECK(shop.run() == 0); }
  SUBCASE("Prisma goes on") { CHECK(shop.deploy() == "ok"); }
  check_that_both_are_content(shop, k_all);
}

// A deploy whose process was killed while a statement of its script ran.
class KilledDeploy {
 public:
  explicit KilledDeploy(Sends sends)
      : shop{std::string{k_nick} + k_nap + k_age,
             "lease: {wait: 2s}\nmigrations: {directory: migrations}"} {
    shop.database.execute("CREATE SCHEMA aside; CREATE SEQUENCE aside.door;"
                          "CREATE FUNCTION aside.wait() RETURNS text LANGUAGE plpgsql AS $$"
                          "BEGIN WHILE NOT (SELECT is_called FROM aside.door) LOOP "
                          "PERFORM pg_sleep(0.02); END LOOP; RETURN 'open'; END $$");
    shop.add_posts();
    auto node = PrismaEngine::start_deploy(shop.folder.path(), shop.database, sends);
    REQUIRE(eventually([&] { return backends() == 1; }));
    node.signal(SIGKILL);
    REQUIRE(node.wait() == exits(128 + SIGKILL));
  }
  [[nodiscard]] std::size_t backends() const { return shop.database.column(k_backends).size(); }
  // The server has noticed nothing yet.
  void end_backend() const {
    REQUIRE(backends() == 1);
    shop.database.execute("SELECT pg_terminate_backend(" + shop.database.value(k_backends) + ")");
    REQUIRE(eventually([&] { return backends() == 0; }));
  }
  void let_backend_finish() const {
    shop.database.execute("SELECT nextval('aside.door')");
    REQUIRE(eventually([&] { return backends() == 0; }));
  }
  void open_door() const { shop.database.execute("SELECT nextval('aside.door')"); }

  Handover shop;

 private:
  static constexpr const char* k_nap = "CREATE TABLE waited AS SELECT aside.wait() AS said;\n";
  static constexpr const char* k_age = "ALTER TABLE users ADD COLUMN age int;\n";
  static constexpr const char* k_backends =
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
      "   AND query LIKE '%SELECT aside.wait()%' AND query NOT LIKE '%pg_stat_activity%'";
};

TEST_CASE("a killed Prisma whose backend is gone, too, is settled and retried by a run") {
  if (!PrismaEngine::is_there()) return;
  const KilledDeploy killed{Sends::scripts};
  const auto& shop = killed.shop;
  CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "running (11)");
  killed.end_backend();
  CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "failed (20)");
  killed.open_door();
  CHECK(shop.run() == 0);
  check_that_both_are_content(shop, k_all);
}

TEST_CASE("a killed Prisma whose script the server finished nevertheless is found to be applied") {
  if (!PrismaEngine::is_there()) return;
  const KilledDeploy killed{Sends::scripts};
  const auto& shop = killed.shop;
  CHECK(shop.ours({"resolve", "2_nick", "--rolled-back"}) == 11);  // somebody is at work
  killed.let_backend_finish();
  CHECK(shop.deploy() == "P3009");
  CHECK(shop.run() == 20);
  CHECK(shop.ours({"resolve", "2_nick", "--auto"}) == 0);
  SUBCASE("we go on") { CHECK(shop.run() == 0); }
  SUBCASE("Prisma goes on") { CHECK(shop.deploy() == "ok"); }
  check_that_both_are_content(shop, "1_users 1, 2_nick 0, 3_posts 1");
}

TEST_CASE("a Prisma killed between two statements leaves them half applied, and a run says so") {
  if (!PrismaEngine::is_there()) return;
  const KilledDeploy killed{Sends::statements};
  const auto& shop = killed.shop;
  killed.end_backend();
  CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "half-applied (20)");
  CHECK(shop.run() == 20);
  shop.database.execute("CREATE TABLE waited AS SELECT 'by hand' AS said;"
                        "ALTER TABLE users ADD COLUMN age int");
  CHECK(shop.ours({"resolve", "2_nick", "--auto"}) == 0);
  CHECK(shop.deploy() == "ok");
  check_that_both_are_content(shop, "1_users 1, 2_nick 0, 3_posts 1");
}

TEST_CASE("a killed run of ours blocks Prisma in no way when nothing stands alone in its script") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop{std::string{k_nick} + "SELECT pg_sleep(600);\n"};
  auto run = start_schemagate({"run"}, {.environment = {{"DATABASE_URL", shop.database.url()}},
                                        .directory = shop.folder.dir().path().string()});
  const auto sleepers = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                        "   AND query LIKE 'SELECT pg_sleep%'";
  REQUIRE(eventually([&] { return shop.database.column(sleepers).size() == 1; }));
  run.signal(SIGKILL);
  REQUIRE(run.wait() == exits(128 + SIGKILL));
  // By itself the server sees within 2 s that its client has gone; perhaps it has already.
  shop.database.execute("SELECT pg_terminate_backend(pid) FROM (" + std::string{sleepers} +
                        ") AS left_behind");
  REQUIRE(eventually([&] { return shop.database.column(sleepers).empty(); }));
  shop.folder.migration("2_nick", k_nick);
  shop.add_posts();
  CHECK(shop.deploy() == "ok");
  check_that_prisma_is_content(shop);
  expire_lease(shop.database);
  CHECK(shop.run() == 0);
  check_that_both_are_content(shop, k_all);
}

TEST_CASE("what one baselined the other continues") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop;
  shop.database.execute(std::string{k_users} + k_nick);
  shop.add_posts();
  CHECK(shop.deploy() == "P3005");
  CHECK(shop.run() == 20);
  SUBCASE("we baseline, Prisma deploys") {
    CHECK(shop.ours({"baseline", "--through", "2_nick"}) == 0);
    CHECK(shop.deploy() == "ok");
  }
  SUBCASE("we baseline what Prisma began to") {
    CHECK(shop.folder.mark_applied(shop.database, "1_users").outcome == "ok");
    CHECK(shop.ours({"baseline", "1_users", "2_nick"}) == 0);
    CHECK(shop.deploy() == "ok");
  }
  SUBCASE("Prisma baselines, we run") {
    CHECK(shop.folder.mark_applied(shop.database, "1_users").outcome == "ok");
    CHECK(shop.folder.mark_applied(shop.database, "2_nick").outcome == "ok");
    CHECK(shop.run() == 0);
  }
  check_that_both_are_content(shop, "1_users 0, 2_nick 0, 3_posts 1");
}

TEST_CASE("a squashed history is taken over by whoever did not squash it") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop;
  CHECK(shop.deploy() == "ok");
  shop.folder.remove("1_users");
  shop.folder.remove("2_nick");
  shop.folder.migration("2_squashed", std::string{k_users} + k_nick);
  SUBCASE("we mark the new one") {
    CHECK(shop.ours({"baseline", "2_squashed"}) == 0);
    shop.add_posts();
    CHECK(shop.deploy() == "ok");
  }
  SUBCASE("Prisma marks the new one") {
    CHECK(shop.folder.mark_applied(shop.database, "2_squashed").outcome == "ok");
    shop.add_posts();
    CHECK(shop.run() == 0);
  }
  CHECK(shop.deploy() == "ok");
  CHECK(shop.run() == 0);
  CHECK(shop.applied() == "1_users 1, 2_nick 1, 2_squashed 0, 3_posts 1");
  const auto status = PrismaEngine::status(shop.folder.path(), shop.database);
  CHECK(status.says == "up to date");
  CHECK(states_of(shop.folder.status(shop.database), "1_users") == "not-in-folder");
  CHECK(shop.folder.status(shop.database).at("exit_code") == 0);
}

TEST_CASE("a failed migration whose directory is gone can be settled as applied by us only") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop{std::string{k_nick} + "SELECT 1/0;\n"};
  CHECK(shop.deploy() == contains("division by zero"));
  shop.folder.remove("2_nick");
  shop.add_posts();
  CHECK(shop.deploy() == "P3009");
  CHECK(shop.folder.mark_applied(shop.database, "2_nick").outcome == "P3017");
  CHECK(shop.folder.run(shop.database) == exits(20, "not in the migrations folder"));
  SUBCASE("applied") {
    CHECK(shop.ours({"resolve", "2_nick", "--applied"}) == 0);
    CHECK(shop.deploy() == "ok");
    CHECK(shop.run() == 0);
    CHECK(shop.applied() == "1_users 1, 2_nick 0, 3_posts 1");
    // As with every directory that was deleted: told, and nobody minds.
    CHECK(PrismaEngine::status(shop.folder.path(), shop.database).says == "up to date");
    CHECK(states_of(shop.folder.status(shop.database), "2_nick") == "not-in-folder");
  }
  SUBCASE("rolled back") {
    CHECK(shop.ours({"resolve", "2_nick", "--rolled-back"}) == 0);
    CHECK(shop.deploy() == "ok");
    CHECK(shop.run() == 0);
    CHECK(shop.applied() == "1_users 1, 3_posts 1");
    check_that_prisma_is_content(shop);
  }
}

TEST_CASE("an edited file stops a run and not Prisma, and neither minds other line endings") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop;
  CHECK(shop.run() == 0);
  shop.folder.migration("1_users", "CREATE TABLE users (id int PRIMARY KEY, name text);\r\n");
  check_that_prisma_is_content(shop);
  CHECK(shop.run() == 0);
  shop.folder.migration("1_users", "-- edited\n" + std::string{k_users});
  shop.add_posts();
  CHECK(
      PrismaEngine::diagnose(shop.folder.path(), shop.database).result.at("editedMigrationNames") ==
      Json::array({"1_users"}));
  CHECK(shop.run() == 20);
  CHECK(shop.deploy() == "ok");
  CHECK(shop.run() == 20);
  shop.folder.migration("1_users", k_users);
  check_that_both_are_content(shop, k_all);
}

TEST_CASE("a directory out of order is applied by either and noticed by us only") {
  if (!PrismaEngine::is_there()) return;
  const Handover shop;
  shop.add_posts();
  CHECK(shop.deploy() == "ok");
  shop.folder.migration("2_late", "CREATE TABLE late ();");
  SUBCASE("we apply it") {
    CHECK(shop.folder.run(shop.database) ==
          exits(0, "2_late is pending, but 3_posts, which sorts after it"));
  }
  SUBCASE("Prisma applies it") {
    CHECK(states_of(shop.folder.status(shop.database), "2_late") == "out-of-order, pending (20)");
    CHECK(shop.deploy() == "ok");
  }
  check_that_both_are_content(shop, "1_users 1, 2_late 1, 2_nick 1, 3_posts 1");
}

TEST_SUITE_END();
