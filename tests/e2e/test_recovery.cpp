// docs/recovery.md, executed: each recipe on the failure it is for. A section of the page is its
// heading, the message it is found by (> ...), and the commands (sh); a section without a case
// here, or a case without a section, fails.

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "support/deployment.hpp"
#include "support/open_transaction.hpp"
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
class StuckShop {
 public:
  explicit StuckShop(const std::string& nickname = k_nickname) {
    deployment.migration("20261101_users", k_users);
    REQUIRE(deployment.run() == exits(0));
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
    return testing::shell(command, {.environment = {{"DATABASE_URL", deployment.database().url()}},
                                    .directory = deployment.dir().path()});
  }

  Deployment deployment;
  std::map<std::string, std::string> here;  // what the page's example is in this case
};

std::string as_here(std::string script, const std::map<std::string, std::string>& here) {
  for (const auto& [example, text] : here) {
    REQUIRE(script == contains(example));
    script = std::regex_replace(script, std::regex{example}, text);
  }
  return script;
}

struct Following {
  std::function<void()> by_hand{};  // after the message, before the commands
  std::set<std::size_t> blocks{};   // only these, where the page lets one choose
};

// The message is what a person sees; then each command of the page ends well, and all is well.
void follow(const StuckShop& shop, const std::string& heading, const std::string& seen,
            const Following& following = {}) {
  const auto section = sections_of_page()[heading];
  INFO(heading);
  INFO(seen);
  REQUIRE_FALSE(section.commands().empty());
  CHECK(seen == contains(section.symptom));
  if (following.by_hand) following.by_hand();
  std::string script = "set -ex\n";
  for (std::size_t i = 0; i < section.blocks.size(); ++i)
    if (following.blocks.empty() || following.blocks.contains(i))
      script += section.blocks[i].text();
  CHECK(shop.shell(as_here(script, shop.here)) == exits(0));
  CHECK(shop.shell("schemagate status") == exits(0));
}

const std::vector<std::string> k_cases = {
    "P3009: migrate found failed migrations in the target database",
    "P3009, and half of the migration is there",
    "P3018: a migration failed to apply",
    "relation already exists, column already exists",
    "column or table does not exist, P2022, P2021",
    "P3005: the database schema is not empty",
    "The failed migration's directory was deleted",
    "Migrations were squashed",
    "A directory was renamed",
    "The file was edited after it was applied",
    "INVALID index",
    "P1002: timed out trying to acquire an advisory lock",
    "The schema was changed outside of migrations",
};

// Words of PostgreSQL and Prisma; and what ours are put together of.
const std::set<std::string> k_words_of_others = {
    "Connection refused",
    "Can't reach database server",
    "database \"…\" does not exist",
    "permission denied for schema public",
    "must be owner of table …",
    "permission denied for table …",
    "too many clients already",
    "remaining connection slots are reserved",
    "canceling statement due to lock timeout",
    "could not obtain lock on relation",
    "deadlock detected",
    "blocked by pid …",
    "canceling statement due to statement timeout",
    "prepared statement \"s0\" already exists",
    "failed to apply cleanly to the shadow database",
    "could not create the shadow database",
};

// All of src/, each text in one piece.
std::string sources() {
  std::string all;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator{std::string{SCHEMAGATE_SOURCE_DIR} + "/src"})
    all += read_text(entry.path());
  return std::regex_replace(all, std::regex{"\"\\s+\""}, "");
}

// What stands in `...` in the first column of the page's table.
std::vector<std::string> messages_of_page() {
  std::vector<std::string> messages;
  const std::regex quoted{"`([^`]+)`"};
  const std::regex example{"[0-9]+ min|\\b[NR]\\b|\"mysql\""};
  std::ifstream page{std::string{SCHEMAGATE_SOURCE_DIR} + "/docs/recovery.md"};
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("- `")) continue;
    for (std::sregex_iterator it{line.begin(), line.end(), quoted}, end; it != end; ++it)
      messages.push_back(std::regex_replace((*it)[1].str(), example, "…"));
  }
  return messages;
}

std::vector<std::string> pieces_of(std::string message) {
  std::vector<std::string> pieces;
  const std::string gap = "…";
  for (auto at = message.find(gap); at != std::string::npos; at = message.find(gap)) {
    pieces.push_back(schemagate::trim(message.substr(0, at)));
    message.erase(0, at + gap.size());
  }
  pieces.push_back(schemagate::trim(message));
  return pieces;
}

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
    const StuckShop shop;
    if (was_done) shop.deployment.database().execute(k_nickname);
    shop.prisma_left(k_nickname, "NULL");
    // What is proven needs no recipe: the run itself settles it.
    if (!was_done) {
      CHECK(shop.deployment.run() == exits(0));
      continue;
    }
    follow(shop, k_cases[0], shop.symptom("schemagate run"));
  }
}

TEST_CASE("P3009: a half-applied migration is finished by hand where the report says so") {
  const std::string script = "ALTER TABLE users ADD COLUMN age int;\n"
                             "ALTER TABLE users ADD COLUMN nickname text;\n";
  const StuckShop shop{script};
  shop.deployment.database().execute("ALTER TABLE users ADD COLUMN age int");
  shop.prisma_left(script, "'ERROR: canceling statement due to lock timeout'");
  const auto seen = shop.symptom("schemagate run");
  CHECK(seen == contains("line 1: done"));
  CHECK(seen == contains("line 2: not done"));
  CHECK(seen == contains("from line 2 of migration.sql on"));
  follow(shop, k_cases[1], seen);
}

TEST_CASE("P3018: a script that failed runs once it is corrected") {
  const StuckShop shop{"ALTER TABLE user ADD COLUMN nickname text;"};
  follow(shop, k_cases[2], shop.symptom("schemagate run"),
         {.by_hand = [&] { shop.deployment.migration("20261120_nickname", k_nickname); }});
}

TEST_CASE("P3018: a script that is applied elsewhere runs once the data is corrected") {
  const StuckShop shop{"ALTER TABLE users ALTER COLUMN name SET NOT NULL;"};
  shop.deployment.database().execute("INSERT INTO users VALUES (1, NULL)");
  follow(shop, k_cases[2], shop.symptom("schemagate run"),
         {.by_hand = [&] { shop.deployment.database().execute("UPDATE users SET name = ''"); }});
}

TEST_CASE("already exists: what db push made is recorded as applied") {
  const StuckShop shop;
  shop.deployment.database().execute(k_nickname);
  follow(shop, k_cases[3], shop.symptom("schemagate run"));
}

TEST_CASE("P2022: a migration that the history claims, and the database lacks, is run after all") {
  const StuckShop shop;
  shop.deployment.database().execute(
      "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at) VALUES "
      "('1', '" +
      schemagate::sha256_hex(k_nickname) + "', '20261120_nickname', now(), now())");
  CHECK(shop.deployment.run() == exits(20, "nothing of it is there: 20261120_nickname"));
  follow(shop, k_cases[4], shop.symptom("schemagate status"));
  CHECK(shop.deployment.database().value("SELECT count(nickname) FROM users") == "0");
}

TEST_CASE("P3005: what the first migrations make is recorded, the others are applied") {
  StuckShop shop;
  shop.deployment.database().execute(
      "DROP SCHEMA schemagate CASCADE; DROP TABLE _prisma_migrations");
  const auto seen = shop.symptom("schemagate run");
  CHECK(seen == contains("hint: schemagate baseline 20261101_users"));
  follow(shop, k_cases[5], seen);
  CHECK(joined(shop.deployment.history()) ==
        "20261101_users 0 finished empty-logs, 20261120_nickname 1 finished");
}

TEST_CASE("a failed migration whose directory is gone is settled as applied, or as rolled back") {
  for (const bool is_done : {true, false}) {
    StuckShop shop;
    shop.prisma_left(k_nickname, "'ERROR: boo'");
    std::filesystem::remove_all(shop.deployment.folder() / "20261120_nickname");
    shop.deployment.migration("20261121_later", "CREATE TABLE later (id int);");
    follow(shop, k_cases[6], shop.symptom("schemagate run"), {.blocks = {is_done ? 0U : 1U}});
    const auto status = shop.shell("schemagate status");
    INFO(status.out);
    CHECK((status.out == contains("20261120_nickname  not-in-folder")) == is_done);
    shop.deployment.migration("20261122_more", "CREATE TABLE more (id int);");
    const auto next = shop.shell("schemagate run");
    INFO(next.out);
    CHECK((next.out == contains("migration 20261120_nickname is applied, but not in")) == is_done);
    shop.deployment.migration("20261123_most", "CREATE TABLE most (id int);");
    shop.deployment.settings.migrations = "missing: fail";
    CHECK(shop.deployment.run() == exits(is_done ? 20 : 0));
  }
}

TEST_CASE("a squashed migration is recorded where the ones it replaces have run") {
  const StuckShop shop;
  REQUIRE(shop.deployment.run() == exits(0));
  std::filesystem::remove_all(shop.deployment.folder() / "20261120_nickname");
  std::filesystem::remove_all(shop.deployment.folder() / "20261101_users");
  shop.deployment.migration("20261130_squashed",
                            "CREATE TABLE users (id int PRIMARY KEY, name text, nickname text);");
  follow(shop, k_cases[7], shop.symptom("schemagate run"));
}

TEST_CASE("an edited file is put back, however long ago it was edited") {
  StuckShop shop;
  REQUIRE(shop.deployment.run() == exits(0));
  const std::string commit = "git -c user.name=t -c user.email=t@t commit -qm c -a";
  REQUIRE(shop.shell("git init -q && git add . && " + commit) == exits(0));
  shop.deployment.migration("20261101_users", std::string{k_users} + "-- better\n");
  REQUIRE(shop.shell(commit) == exits(0));
  shop.deployment.dir().write("app.js", "");
  REQUIRE(shop.shell("git add . && " + commit) == exits(0));
  const std::string log = "git log --format=%h -- migrations/20261101_users/migration.sql";
  const auto commits = schemagate::split(schemagate::trim(shop.shell(log).out), '\n');
  REQUIRE(commits.size() == 2);
  shop.here = {{"prisma/migrations", "migrations"}, {"1a2b3c4", commits.back()}};
  follow(shop, k_cases[9], shop.symptom("schemagate run"), {.blocks = {0, 1}});
}

TEST_CASE("an edited file is accepted where the database is as it says") {
  const StuckShop shop;
  REQUIRE(shop.deployment.run() == exits(0));
  const auto edit = [&](const std::string& more) {
    shop.deployment.migration(
        "20261101_users", "CREATE TABLE users (id int PRIMARY KEY, name text, " + more + ");\n");
  };
  edit("age int");
  const auto seen = shop.symptom("schemagate run");
  CHECK(shop.deployment.call({"resolve", "20261101_users", "--auto"}) ==
        exits(20, "column users.age is missing"));
  shop.deployment.database().execute("ALTER TABLE users ADD COLUMN age int");
  follow(shop, k_cases[9], seen, {.blocks = {2}});
  CHECK(shop.deployment.database().value(
            "SELECT note FROM schemagate.run WHERE mode = 'resolve' AND note IS NOT NULL") ==
        contains("20261101_users accepted as its file is now by "));
}

TEST_CASE(
    "a renamed directory is recorded under its new name, and its script is not executed again") {
  const StuckShop shop;
  REQUIRE(shop.deployment.run() == exits(0));
  std::filesystem::rename(shop.deployment.folder() / "20261120_nickname",
                          shop.deployment.folder() / "20261121_nickname");
  follow(shop, k_cases[8], shop.symptom("schemagate run"));
}

TEST_CASE("what was changed outside of migrations is undone, or accepted") {
  for (const std::size_t way : {0U, 1U}) {
    const StuckShop shop;
    REQUIRE(shop.deployment.run() == exits(0));
    shop.deployment.database().execute("ALTER TABLE users ADD COLUMN by_hand text");
    CHECK(shop.shell("schemagate verify") == exits(22));
    follow(shop, k_cases[12], shop.symptom("schemagate run 2>&1"), {.blocks = {way}});
    CHECK(shop.shell("schemagate verify") == exits(0));
  }
}

TEST_CASE("an INVALID index is built again, and is there and valid afterwards") {
  const StuckShop shop;
  const auto& database = shop.deployment.database();
  REQUIRE(shop.deployment.run() == exits(0));
  database.execute("INSERT INTO users VALUES (1, 'x'), (2, 'x')");
  CHECK_THROWS(database.execute("CREATE UNIQUE INDEX CONCURRENTLY users_name ON users (name)"));
  CHECK(shop.deployment.indexes(false) == "users_name");
  const auto unique_again = [&] { database.execute("DELETE FROM users WHERE id = 2"); };
  follow(shop, k_cases[10], shop.symptom("schemagate status"),
         {.by_hand = unique_again, .blocks = {0}});
  CHECK(shop.deployment.indexes(false).empty());
  CHECK(shop.deployment.indexes(true) == "users_name");

  // A REINDEX that is cancelled leaves its own, and the index as it was.
  OpenTransaction writer{database, "INSERT INTO users VALUES (3, 'y')"};
  Process reindex{{"psql", "-qX", database.url(), "-c", "REINDEX INDEX CONCURRENTLY users_name"}};
  REQUIRE(eventually([&] { return shop.deployment.indexes(false) == "users_name_ccnew"; }));
  database.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname ="
                   " current_database() AND query LIKE 'REINDEX%'");
  CHECK(reindex.wait() == exits(1));
  writer.commit();
  CHECK(shop.deployment.indexes(false) == "users_name_ccnew");
  follow(shop, k_cases[10], shop.symptom("schemagate status"), {.blocks = {1}});
  CHECK(shop.deployment.indexes(false).empty());
  CHECK(shop.deployment.indexes(true) == "users_name");
}

TEST_CASE("P1002: a Prisma backend that was left behind is ended") {
  StuckShop shop;
  const OpenTransaction left_behind{shop.deployment.database(), k_take_prismas_lock};
  auto waiting = shop.deployment.start();
  REQUIRE(waiting.says("waiting for Prisma's migration lock"));
  const auto seen = waiting.output_so_far();
  (void)waiting.terminate();
  shop.here = {{"12345", left_behind.pid()}};
  follow(shop, k_cases[11], seen);
}

TEST_CASE("psql does not know Prisma's parameters, and the page says what to type instead") {
  const StuckShop shop;
  const auto with = [&](const std::string& parameters, const std::string& arguments) {
    return shop.shell("export DATABASE_URL=\"$DATABASE_URL?" + parameters + "\"; psql " +
                      arguments);
  };
  const auto page = read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/docs/recovery.md");
  const auto other_page = read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/docs/verification.md");
  for (const std::string parameter :
       {"schema=public", "pgbouncer=true", "connection_limit=1", "sslmode=prefer"}) {
    INFO(parameter);
    const auto result = with(parameter, "\"$DATABASE_URL\" -c 'SELECT 1'");
    const bool is_known = parameter.starts_with("sslmode");
    CHECK((result.exit_code == 0) == is_known);
    CHECK((result.out == contains("invalid URI query parameter")) == !is_known);
    const auto name = "`" + parameter.substr(0, parameter.find('=')) + "`";
    CHECK(page == contains(name));
    CHECK(other_page == contains(name));
  }
  const std::string without = R"("${DATABASE_URL%%\?*}")";
  CHECK(page == contains("`psql " + without + "`"));
  CHECK(with("schema=shop", without + " -c 'SELECT 1'") == exits(0));
  shop.deployment.database().execute("CREATE SCHEMA shop");
  const std::string search_path = "-c 'SET search_path TO shop'";
  CHECK(page == contains(search_path));
  CHECK(with("schema=shop", without + " " + search_path + " -c 'CREATE TABLE cart (id int)'") ==
        exits(0));
  CHECK(shop.deployment.tables() == "shop.cart, users");
}

TEST_CASE("recovery: every message that the page quotes is one that schemagate prints") {
  const auto all = sources();
  auto others = k_words_of_others;
  const auto messages = messages_of_page();
  CHECK(messages.size() > 30);
  for (const auto& message : messages) {
    if (others.erase(message) > 0) continue;
    INFO(message);
    for (const auto& piece : pieces_of(message)) CHECK(all == contains(piece));
  }
  for (const auto& message : others) FAIL_CHECK("not in the page: " << message);
}

TEST_SUITE_END();
