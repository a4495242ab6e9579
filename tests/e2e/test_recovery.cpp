// docs/recovery.md, executed: each recipe on the failure it is for. A section of the page is its
// heading, the message it is found by (> ...), and the commands (sh); a section without a case
// here, or a case without a section, fails.

#include <algorithm>
#include <csignal>
#include <functional>
#include <map>

#include "e2e/deployment.hpp"
#include "schemagate/text.hpp"
#include "support/page.hpp"

using namespace testing;

namespace {

std::map<std::string, Section> sections_of_page() {
  std::map<std::string, Section> sections;
  for (auto& section : sections_of("docs/recovery.md")) sections[section.heading] = section;
  return sections;
}

constexpr const char* k_users = "CREATE TABLE users (id int PRIMARY KEY, name text);\n";
constexpr const char* k_nickname = "ALTER TABLE users ADD COLUMN nickname text;\n";

// `users` is applied, `nickname` is not yet.
class Shop {
 public:
  explicit Shop(const std::string& nickname = k_nickname) {
    deployment.migration("20261101_users", k_users);
    REQUIRE(deployment.run().exit_code == 0);
    deployment.migration("20261120_nickname", nickname);
  }

  // As Prisma leaves it when the script failed, or (logs NULL) its process was killed.
  void prisma_left(const std::string& script, const std::string& logs) const {
    deployment.database().execute(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, logs) VALUES "
        "('7d9e4a0c', '" +
        schemagate::sha256_hex(script) + "', '20261120_nickname', now(), " + logs + ")");
  }
  [[nodiscard]] std::string symptom(const std::string& command) const { return shell(command).out; }
  [[nodiscard]] Result shell(const std::string& command) const {
    auto environment = more_environment;
    environment["DATABASE_URL"] = deployment.database().url();
    return testing::shell(command,
                          {.environment = environment, .directory = deployment.dir().path()});
  }

  Deployment deployment;
  std::map<std::string, std::string> more_environment;
};

// The message is what a person sees; then each command of the page ends well, and all is well.
void follow(const Shop& shop, const std::string& heading, const std::string& seen,
            const std::function<void()>& by_hand = {}) {
  const auto section = sections_of_page()[heading];
  INFO(heading);
  INFO(seen);
  REQUIRE_FALSE(section.commands().empty());
  CHECK(holds(seen, section.symptom));
  if (by_hand) by_hand();
  for (const auto& command : section.commands()) {
    INFO(command);
    const auto result = shop.shell(command);
    INFO(result.out);
    CHECK(result.exit_code == 0);
  }
  const auto status = shop.shell("schemagate status");
  INFO(status.out);
  CHECK(status.exit_code == 0);
}

const std::vector<std::string> k_cases = {
    "P3009: migrate found failed migrations in the target database",
    "P3009, and half of the migration is there",
    "P3018: a migration failed to apply",
    "relation already exists, column already exists",
    "column does not exist, P2022",
    "P3005: the database schema is not empty",
    "The failed migration's directory was deleted",
    "Migrations were squashed",
    "The file was edited after it was applied",
    "INVALID index",
    "P1002: timed out trying to acquire an advisory lock",
};

}  // namespace

TEST_SUITE_BEGIN("recovery");

TEST_CASE("every recipe of the page has a case here") {
  auto sections = sections_of_page();
  sections.erase("Other messages");
  std::vector<std::string> headings;
  for (const auto& [heading, section] : sections) {
    headings.push_back(heading);
    CHECK_MESSAGE(!section.symptom.empty(), heading);
    CHECK_MESSAGE(!section.commands().empty(), heading);
  }
  auto cases = k_cases;
  std::sort(cases.begin(), cases.end());
  CHECK(headings == cases);
}

TEST_CASE("P3009: the evidence settles a killed deploy, whatever it was able to do") {
  for (const bool was_done : {false, true}) {
    const Shop shop;
    if (was_done) shop.deployment.database().execute(k_nickname);
    shop.prisma_left(k_nickname, "NULL");
    // What is proven needs no recipe: the run itself settles it.
    if (!was_done) {
      CHECK(shop.deployment.run().exit_code == 0);
      continue;
    }
    follow(shop, k_cases[0], shop.symptom("schemagate run"));
  }
}

TEST_CASE("P3009: a half-applied migration is finished by hand where the report says so") {
  const std::string script = "ALTER TABLE users ADD COLUMN age int;\n"
                             "ALTER TABLE users ADD COLUMN nickname text;\n";
  const Shop shop{script};
  shop.deployment.database().execute("ALTER TABLE users ADD COLUMN age int");
  shop.prisma_left(script, "'ERROR: canceling statement due to lock timeout'");
  const auto seen = shop.symptom("schemagate run");
  CHECK(holds(seen, "line 1: done"));
  CHECK(holds(seen, "line 2: not done"));
  CHECK(holds(seen, "from line 2 of migration.sql on"));
  follow(shop, k_cases[1], seen);
}

TEST_CASE("P3018: a script that failed runs once it is mended") {
  const Shop shop{"ALTER TABLE user ADD COLUMN nickname text;"};
  follow(shop, k_cases[2], shop.symptom("schemagate run"),
         [&] { shop.deployment.migration("20261120_nickname", k_nickname); });
}

TEST_CASE("already exists: what db push made is recorded as applied") {
  const Shop shop;
  shop.deployment.database().execute(k_nickname);
  follow(shop, k_cases[3], shop.symptom("schemagate run"));
}

TEST_CASE("P2022: a migration that the history claims, and the database lacks, is run after all") {
  const Shop shop;
  shop.deployment.database().execute(
      "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at) VALUES "
      "('1', '" +
      schemagate::sha256_hex(k_nickname) + "', '20261120_nickname', now(), now())");
  REQUIRE(shop.deployment.run().exit_code == 0);
  follow(shop, k_cases[4], shop.symptom("schemagate status"));
  CHECK(shop.deployment.database().value("SELECT count(nickname) FROM users") == "0");
}

TEST_CASE("P3005: what the first migrations make is recorded, the others are applied") {
  Shop shop;
  shop.deployment.database().execute(
      "DROP SCHEMA schemagate CASCADE; DROP TABLE _prisma_migrations");
  const auto seen = shop.symptom("schemagate run");
  CHECK(holds(seen, "hint: schemagate baseline 20261101_users"));
  follow(shop, k_cases[5], seen);
  CHECK(joined(shop.deployment.history()) ==
        "20261101_users 0 finished empty-logs, 20261120_nickname 1 finished");
}

TEST_CASE("a failed migration whose directory is gone is settled as applied") {
  const Shop shop;
  shop.prisma_left(k_nickname, "'ERROR: boo'");
  std::filesystem::remove_all(shop.deployment.folder() / "20261120_nickname");
  shop.deployment.migration("20261121_later", "CREATE TABLE later (id int);");
  follow(shop, k_cases[6], shop.symptom("schemagate run"));
}

TEST_CASE("a squashed migration is recorded where the ones it replaces have run") {
  const Shop shop;
  REQUIRE(shop.deployment.run().exit_code == 0);
  std::filesystem::remove_all(shop.deployment.folder() / "20261120_nickname");
  std::filesystem::remove_all(shop.deployment.folder() / "20261101_users");
  shop.deployment.migration("20261130_squashed",
                            "CREATE TABLE users (id int PRIMARY KEY, name text, nickname text);");
  follow(shop, k_cases[7], shop.symptom("schemagate run"));
}

TEST_CASE("an edited file is put back") {
  const Shop shop;
  REQUIRE(shop.deployment.run().exit_code == 0);
  const std::string commit = "git -c user.name=t -c user.email=t@t commit -qm c -a";
  REQUIRE(shop.shell("git init -q && git add . && " + commit).exit_code == 0);
  shop.deployment.migration("20261101_users", std::string{k_users} + "-- better\n");
  REQUIRE(shop.shell(commit).exit_code == 0);
  follow(shop, k_cases[8], shop.symptom("schemagate run"));
}

TEST_CASE("an INVALID index is dropped") {
  const Shop shop;
  REQUIRE(shop.deployment.run().exit_code == 0);
  shop.deployment.database().execute("INSERT INTO users VALUES (1, 'x'), (2, 'x')");
  CHECK_THROWS(shop.deployment.database().execute(
      "CREATE UNIQUE INDEX CONCURRENTLY users_name ON users (name)"));
  follow(shop, k_cases[9], shop.symptom("schemagate status"));
}

TEST_CASE("P1002: a Prisma backend that was left behind is ended") {
  Shop shop;
  auto left_behind = shop.deployment.database().connect();
  left_behind.execute("SELECT pg_advisory_lock(72707369)");
  auto waiting = shop.deployment.start();
  REQUIRE(waiting.says("waiting for Prisma's migration lock"));
  const auto seen = waiting.output_so_far();
  waiting.signal(SIGTERM);
  (void)waiting.wait();
  shop.more_environment["PID"] = std::to_string(left_behind.backend_pid());
  follow(shop, k_cases[10], seen);
}

TEST_SUITE_END();
