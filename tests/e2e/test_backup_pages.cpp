// docs/rollback.md and docs/backup.md, executed; deploy/backup/backup.sh.

#include <doctest/doctest.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/page.hpp"

using namespace testing;
using schemagate::split;
using schemagate::trim;

namespace {

const std::filesystem::path k_top{SCHEMAGATE_SOURCE_DIR};

const Section& section(const std::string& page, const std::string& heading) {
  static std::map<std::string, std::vector<Section>> pages;
  auto& sections = pages[page];
  if (sections.empty()) sections = sections_of(page);
  const auto found = std::find_if(sections.begin(), sections.end(),
                                  [&](const Section& one) { return one.heading == heading; });
  REQUIRE_MESSAGE(found != sections.end(), heading);
  return *found;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text == contains(from));
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// Executes the commands of a section, and compares with what stands below them.
void follow(const ReadersProject& project, const std::string& heading) {
  const auto& blocks = section("docs/rollback.md", heading).blocks;
  REQUIRE(blocks.size() == 2);
  REQUIRE(blocks[0].language == "sh");
  REQUIRE(blocks[1].language == "text");
  const auto seen = project.shell("set -e\n" + blocks[0].text()).out;
  INFO(heading);
  INFO(seen);
  CHECK(missing_line(seen, blocks[1].lines) == "");
}

// With deploy/backup/backup.sh as its hook, and a server whose dumps pg_dump can make.
struct SavedShop : GateProject {
  SavedShop() {
    migration("1_users", "CREATE TABLE users (id int PRIMARY KEY, name text);");
    set("hooks.before", "[" + (k_top / "deploy/backup/backup.sh").string() + "]");
    std::filesystem::create_directory(file("dumps"));
    environment["BACKUP_DIRECTORY"] = file("dumps");
  }
  [[nodiscard]] std::vector<std::string> dumps() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{file("dumps")})
      found.push_back(entry.path().string());
    std::sort(found.begin(), found.end());
    return found;
  }
};

// As the page asks for: of the server's version, or such that it makes no difference.
bool have_tools_for(const TestDatabase& database) {
  constexpr int k_knows_transaction_timeout = 17;  // and a restore sets it
  const auto major = [](const std::string& program) {
    const auto version = run({program, "--version"}).out;
    const auto digit = version.find_first_of("0123456789");
    return digit == std::string::npos ? 0 : std::stoi(version.substr(digit));
  };
  const auto server = std::stoi(database.value("SHOW server_version_num")) / 10000;
  const auto dump = major("pg_dump");
  const auto restore = major("pg_restore");
  if (dump >= server && restore >= dump &&
      (server >= k_knows_transaction_timeout || restore < k_knows_transaction_timeout))
    return true;
  MESSAGE("SKIPPED: pg_dump " << dump << " and pg_restore " << restore
                              << " are not for a server of version " << server);
  return false;
}

}  // namespace

TEST_SUITE_BEGIN("backup pages");

TEST_CASE("the page about going back shows what happens, and both apps work in between") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  follow(project, "The older image");
  database.execute("INSERT INTO users (id, name) VALUES (1, 'Ada')");
  follow(project, "A change that can be gone back from");
  // What the old app does, and the new one.
  database.execute("INSERT INTO users (id, name) VALUES (2, 'Bob')");
  database.execute("INSERT INTO users (id, full_name) VALUES (3, 'Cleo')");
  database.execute("UPDATE users SET name = 'Ada L.' WHERE id = 1");
  database.execute("UPDATE users SET full_name = 'Bob B.' WHERE id = 2");
  const std::vector<std::string> names{"Ada L.", "Bob B.", "Cleo"};
  CHECK(database.column("SELECT name FROM users ORDER BY id") == names);
  CHECK(database.column("SELECT full_name FROM users ORDER BY id") == names);
  // Its image has not the migration; then it comes back, to be undone.
  const auto back = project.shell("mv prisma/migrations/20261202_full_name later\n"
                                  "schemagate run && schemagate gate -- echo started\n"
                                  "mv later prisma/migrations/20261202_full_name");
  CHECK(back.out == contains("\nstarted\n"));
  follow(project, "Undo it: a new migration");
  CHECK(database.column("SELECT name FROM users ORDER BY id") == names);
  CHECK(database.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND "
                       "attname = 'full_name'") == "0");
  CHECK(project.shell("schemagate verify --deep") == exits(0));
}

TEST_CASE("the page's other end of the change, the contraction, works as well") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  REQUIRE(project.shell("schemagate run") == exits(0));
  follow(project, "A change that can be gone back from");
  const auto undo = section("docs/rollback.md", "Undo it: a new migration").blocks[0].text();
  CHECK(project.shell("set -e\n" + replaced(undo, "DROP COLUMN full_name", "DROP COLUMN name")) ==
        exits(0));
  database.execute("INSERT INTO users (id, full_name) VALUES (3, 'Cleo')");
}

TEST_CASE(
    "what a bad release destroyed is in the dump, and the older release runs on it restored") {
  SavedShop shop;
  if (!have_tools_for(shop.database)) return;
  REQUIRE(shop.run() == exits(0, "| backup: "));
  shop.database.execute("INSERT INTO users VALUES (1, 'Ada')");
  shop.set("release", "r2").migration("2_bad", "ALTER TABLE users DROP COLUMN name;");
  REQUIRE(shop.run() == exits(0, "| backup: ", "applied 2_bad"));
  REQUIRE(shop.dumps().size() == 2);

  const TestDatabase restored{false};
  const auto& blocks = section("docs/backup.md", "Restore").blocks;
  REQUIRE(blocks.size() == 3);
  auto restore = replaced(blocks[0].text(), "shop_restored", restored.name());
  restore = replaced(restore, "/backup/db.example.com_shop_20261201T120000Z_before_r2.dump",
                     shop.dumps()[1]);
  const std::map<std::string, std::string> admin{
      {"PGHOST", server_host()}, {"PGPORT", server_port()}, {"PGUSER", "postgres"}};
  REQUIRE(testing::shell("set -e\n" + restore, {.environment = admin, .directory = {}}) ==
          exits(0));
  CHECK(restored.value("SELECT name FROM users") == "Ada");
  // The run that took the dump holds the lease there: as if the ttl had passed.
  CHECK(restored.value("SELECT expires_at > '-infinity' FROM schemagate.lock") == "t");
  restored.execute("UPDATE schemagate.lock SET expires_at = '-infinity'");

  std::filesystem::remove_all(shop.file("migrations/2_bad"));
  shop.set("release", "r1");
  shop.environment["DATABASE_URL"] = restored.url();
  CHECK(shop.gate({"--once"}) == exits(30, "history it was completed with is gone"));
  shop.environment["SCHEMAGATE_MANIFEST"] = shop.manifest();
  const auto seen = testing::shell(blocks[1].text(), shop.options()).out;
  INFO(seen);
  CHECK(missing_line(seen, blocks[2].lines) == "");
  CHECK(seen != contains("backup: "));  // nothing was pending
  for (const std::string command : {"status", "verify"})
    CHECK(testing::schemagate(shop.arguments(command), shop.options()) == exits(0));
  CHECK(testing::schemagate(shop.arguments("verify", {"--deep"}), shop.options()) == exits(0));
  const auto status = testing::schemagate(shop.arguments("status"), shop.options()).out;
  CHECK(status == contains("killed  prisma of release r2"));
  CHECK(status == contains("marker  r2: running"));
  CHECK(shop.run() == exits(0, "nothing to do"));

  // The bad release, corrected: its gate waits for its own run on this database.
  shop.set("release", "r2").migration("2_bad", "ALTER TABLE users ADD COLUMN nickname text;");
  CHECK(shop.look() == 30);
  CHECK(shop.run() == exits(0, "| backup: ", "applied 2_bad"));
  CHECK(shop.look() == 0);
}

TEST_CASE("a backup makes no second dump while the last one is fresh, and none where none can be") {
  SavedShop shop;
  if (!have_tools_for(shop.database)) return;
  REQUIRE(shop.run() == exits(0));
  const auto first = shop.dumps();
  REQUIRE(first.size() == 1);
  CHECK(first[0].ends_with(".dump"));
  using std::filesystem::perms;
  CHECK((std::filesystem::status(first[0]).permissions() & perms::others_all) == perms::none);
  shop.environment["BACKUP_FRESH_MINUTES"] = "600";
  shop.set("release", "r2").migration("2_carts", "CREATE TABLE carts (id int);");
  CHECK(shop.run() == exits(0, "| backup: " + first[0] + " is younger than 600 minutes"));
  CHECK(shop.dumps() == first);
  // Of another database there is none yet.
  const TestDatabase other;
  auto elsewhere = shop.options();
  elsewhere.environment["DATABASE_URL"] = other.url();
  CHECK(testing::schemagate(shop.arguments("run"), elsewhere) == exits(0));
  CHECK(shop.dumps().size() == 2);

  shop.environment["BACKUP_FRESH_MINUTES"] = "0";
  shop.environment["BACKUP_DIRECTORY"] = shop.file("no-such-volume");
  shop.set("release", "r3").migration("3_more", "CREATE TABLE more (id int);");
  CHECK(shop.run() == exits(26, "no-such-volume", "no migration was begun"));
  shop.environment.erase("BACKUP_DIRECTORY");
  CHECK(shop.run() == exits(26, "BACKUP_DIRECTORY is not set"));
  CHECK(shop.database.value("SELECT to_regclass('more') IS NULL") == "t");
}

TEST_CASE("a backup that fails half-way leaves no dump, and a password is on no command line") {
  SavedShop shop;
  // A stand-in that shows what pg_dump is given, and begins its file.
  const auto bin = std::filesystem::path{shop.file("bin")};
  const auto program = shop.files.write(
      "bin/pg_dump",
      "#!/bin/sh\necho \"$*\" > '" + shop.file("argv") +
          "'\nfor word; do case $word in --file=*) echo half > \"${word#--file=}\" ;; "
          "esac; done\n[ \"$PGPASSWORD\" = hunter2-of-the-url ] || exit 9\n"
          "echo 'no space left' >&2; exit 1\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  shop.environment["PATH"] = bin.string() + ":" + std::getenv("PATH");
  shop.environment["DATABASE_URL"] = "postgresql://postgres:hunter2-of-the-url@" + server_host() +
                                     ":" + server_port() + "/" + shop.database.name();
  CHECK(shop.run() == exits(26, "ended with exit code 1", "no space left"));
  CHECK(shop.dumps().empty());
  CHECK(read_text(shop.file("argv")) == contains("--format=custom"));
  CHECK(read_text(shop.file("argv")) != contains("hunter2"));
}

TEST_SUITE_END();
