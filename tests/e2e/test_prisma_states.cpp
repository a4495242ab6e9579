// docs/prisma.md, "What each says about a history": each state is made for real, by Prisma's engine
// where it can, else by hand; the page holds what both then say, word for word.

#include <doctest/doctest.h>

#include <functional>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "support/text.hpp"
#include "support/two_tools.hpp"

using namespace testing;

namespace {

constexpr const char* k_users = "CREATE TABLE users (id int PRIMARY KEY, name text);\n";
constexpr const char* k_nick = "ALTER TABLE users ADD COLUMN nick text;\n";
constexpr const char* k_posts = "CREATE TABLE posts (id int PRIMARY KEY);\n";

struct PrismaShop {
  SharedFolder folder;
  TestDatabase database;

  void script(const std::string& name, const std::string& sql) const {
    folder.migration(name, sql);
  }
  void deploy() const { REQUIRE(folder.deploy(database).outcome == "ok"); }
  void fail(Sends sends = Sends::scripts) const {
    REQUIRE(folder.deploy(database, sends).outcome != "ok");
  }
};

// A row of the table.
struct Row {
  std::string history;
  std::function<void(const PrismaShop&)> make;  // after base and nick were deployed
  std::string prisma;                           // exit code and words
  std::string ours;                             // exit code, states and what they are about
};

const std::vector<Row> k_rows = {
    {"all is well", [](const PrismaShop&) {}, "0: up to date", "0: no finding"},
    {"a migration is pending", [](const PrismaShop& shop) { shop.script("posts", k_posts); },
     "1: not yet applied: posts", "20: posts pending"},
    {"a migration failed",
     [](const PrismaShop& shop) {
       shop.script("posts", std::string{k_posts} + "SELECT 1/0;");
       shop.fail();
     },
     "1: failed: posts", "20: posts failed"},
    {"one failed, and another one is pending",
     [](const PrismaShop& shop) {
       shop.script("posts", std::string{k_posts} + "SELECT 1/0;");
       shop.script("tags", "CREATE TABLE tags ();");
       shop.fail();
     },
     "1: not yet applied: tags", "20: posts failed, tags pending"},
    {"Prisma ≥ 7.4 stopped half-way",
     [](const PrismaShop& shop) {
       shop.script("posts", std::string{k_posts} + "SELECT 1/0; CREATE TABLE tags ();");
       shop.fail(Sends::statements);
     },
     "1: failed: posts", "20: posts half-applied"},
    {"one was rolled back",
     [](const PrismaShop& shop) {
       shop.script("posts", std::string{k_posts} + "SELECT 1/0;");
       shop.fail();
       REQUIRE(shop.folder.mark_rolled_back(shop.database, "posts").outcome == "ok");
     },
     "1: not yet applied: posts", "20: posts pending"},
    {"a file was edited after it was applied",
     [](const PrismaShop& shop) { shop.script("nick", std::string{k_nick} + "-- edited"); },
     "0: up to date", "20: nick edited"},
    {"a directory was deleted after it was applied",
     [](const PrismaShop& shop) { shop.folder.remove("nick"); }, "0: up to date",
     "0: nick not-in-folder"},
    {"one gone, one pending",
     [](const PrismaShop& shop) {
       shop.folder.remove("nick");
       shop.script("posts", k_posts);
     },
     "1: not yet applied: posts; not found locally: nick", "20: nick not-in-folder, posts pending"},
    {"a pending one sorts before an applied one",
     [](const PrismaShop& shop) { shop.script("avatars", "CREATE TABLE avatars ();"); },
     "1: not yet applied: avatars", "20: avatars out-of-order, avatars pending"},
    {"baselined: marked as applied, and it is there",
     [](const PrismaShop& shop) {
       shop.script("posts", k_posts);
       shop.database.execute(k_posts);
       REQUIRE(shop.folder.mark_applied(shop.database, "posts").outcome == "ok");
     },
     "0: up to date", "0: no finding"},
    {"marked as applied, but it is not there",
     [](const PrismaShop& shop) {
       shop.script("posts", k_posts);
       REQUIRE(shop.folder.mark_applied(shop.database, "posts").outcome == "ok");
     },
     "0: up to date", "20: posts not-there"},
    {"a row written by hand, and it is not there",
     [](const PrismaShop& shop) {
       shop.script("posts", k_posts);
       shop.database.execute("INSERT INTO _prisma_migrations (id, checksum, migration_name,"
                             " finished_at) VALUES ('by-hand', '" +
                             schemagate::sha256_hex(k_posts) + "', 'posts', now())");
     },
     "0: up to date", "20: posts not-there"},
    {"a pending directory without `migration.sql`",
     [](const PrismaShop& shop) {
       std::filesystem::create_directory(shop.folder.path() / "posts");
     },
     "1: not yet applied: posts", "20: posts no-script"},
    {"an applied directory without `migration.sql`",
     [](const PrismaShop& shop) {
       std::filesystem::remove(shop.folder.path() / "nick" / "migration.sql");
     },
     "1: P3015", "0: no finding"},
    {"`migration_lock.toml` is of another database",
     [](const PrismaShop& shop) {
       shop.folder.dir().write("migrations/migration_lock.toml", "provider = \"mysql\"\n");
     },
     "1: P3019", "20: folder"},
    {"tables, but no history",
     [](const PrismaShop& shop) { shop.database.execute("DROP TABLE _prisma_migrations"); },
     "1: not yet applied: base, nick", "20: not-baselined, base pending, nick pending"},
};

// "20: posts failed, tags pending"
std::string said_by_us(const Json& status) {
  std::string all;
  for (const auto& finding : status.at("findings")) {
    const auto subject = finding.at("subject").get<std::string>();
    all += (all.empty() ? "" : ", ") + subject + (subject.empty() ? "" : " ") +
           finding.at("state").get<std::string>();
  }
  return std::to_string(status.at("exit_code").get<int>()) + ": " +
         (all.empty() ? "no finding" : all);
}

std::string section_of_page() {
  const auto page = read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/docs/prisma.md");
  const std::string heading = "## What each says about a history\n";
  const auto start = page.find(heading);
  REQUIRE(start != std::string::npos);
  return page.substr(start, page.find("\n## ", start + 1) - start);
}

}  // namespace

TEST_SUITE_BEGIN("prisma states");

TEST_CASE("the page tells what `prisma migrate status` and `schemagate status` say of a history") {
  if (!PrismaEngine::is_there()) return;
  const auto page = section_of_page();
  std::size_t lines = 0;
  for (const auto& row : k_rows) {
    INFO(row.history);
    const PrismaShop shop;
    shop.script("base", k_users);
    shop.script("nick", k_nick);
    shop.deploy();
    row.make(shop);
    const auto before = history_rows(shop.database);
    const auto theirs = PrismaEngine::status(shop.folder.path(), shop.database);
    const auto status = shop.folder.status(shop.database);
    INFO(status.dump(1));
    CHECK(std::to_string(theirs.exit_code) + ": " + theirs.says == row.prisma);
    CHECK(said_by_us(status) == row.ours);
    CHECK(history_rows(shop.database) == before);
    const auto line = "| " + row.history + " | " + row.prisma + " | " + row.ours + " |\n";
    CHECK(page == contains(line));
    ++lines;
  }
  std::size_t rows_of_page = 0;
  for (const auto& line : schemagate::split(page, '\n'))
    if (line.starts_with("| ")) ++rows_of_page;
  CHECK(rows_of_page == lines + 1);  // and the head
}

TEST_SUITE_END();
