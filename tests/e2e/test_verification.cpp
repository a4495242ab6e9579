// docs/verification.md, executed: each block of commands, and what the page says that it shows.

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <regex>

#include "schemagate/base/text.hpp"
#include "support/deployment.hpp"
#include "support/own_server.hpp"
#include "support/page.hpp"

using namespace testing;

namespace {

constexpr const char* k_page = "docs/verification.md";

const std::vector<std::string> k_headings = {
    "The migrations are applied",
    "A good deployment's log",
    "The app waits for its migrations",
    "It fails safely: a migration that fails",
    "It fails safely: a check that fails",
    "It fails safely: a wrong password",
    "Two runners at once apply once",
    "A killed run leaves nothing half done",
    "All of it in one table",
};

const Section& section(const std::string& heading) {
  static const auto sections = sections_of(k_page);
  const auto found = std::find_if(sections.begin(), sections.end(),
                                  [&](const Section& one) { return one.heading == heading; });
  REQUIRE_MESSAGE(found != sections.end(), heading);
  return *found;
}

// Executes the blocks in their order, compares each with what stands below it, and returns all that
// was seen. `before_last`: what happens before the last commands.
std::string follow(const ReadersProject& project, const std::string& heading,
                   const std::function<void()>& before_last = {}) {
  std::string all;
  std::string last;
  const auto& blocks = section(heading).blocks;
  for (const auto& block : blocks) {
    if (before_last && &block == &blocks.back() - 1) before_last();
    INFO(heading);
    INFO(block.text());
    if (block.language == "sh") {
      last = project.shell(block.text()).out;
      all += last;
      continue;
    }
    REQUIRE(block.language == "text");
    INFO(last);
    CHECK(missing_line(last, block.lines) == "");
  }
  return all;
}

// The row of the table that begins like this: the codes of run, gate and status.
std::vector<std::string> row(const std::string& name) {
  std::ifstream page{std::string{SCHEMAGATE_SOURCE_DIR} + "/" + k_page};
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| " + name + " |")) continue;
    const auto cells = schemagate::split(line, '|');
    return {schemagate::trim(cells.at(2)), schemagate::trim(cells.at(3)),
            schemagate::trim(cells.at(4))};
  }
  return {};
}

std::vector<std::string> codes(const std::string& seen) {
  std::vector<std::string> all;
  for (const std::string name : {"run", "gate", "status"}) {
    std::smatch match;
    const bool found = std::regex_search(seen, match, std::regex{"\n" + name + ": ([0-9]+)\n"});
    all.push_back(found ? match[1].str() : "none");
  }
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("verification");

TEST_CASE("every section of the page has a case here, and shows what its commands show") {
  std::vector<std::string> headings;
  for (const auto& one : sections_of(k_page)) {
    headings.push_back(one.heading);
    for (std::size_t i = 0; i < one.blocks.size(); ++i)
      CHECK_MESSAGE(one.blocks[i].language == (i % 2 == 0 ? "sh" : "text"), one.heading);
  }
  CHECK(headings == k_headings);
}

TEST_CASE("verification: the migrations are applied, and the app waits for them") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  follow(project, k_headings[2]);
  CHECK_FALSE(std::filesystem::exists(project.files.path() / "app-has-started"));
  std::filesystem::remove_all(project.files.path() / "prisma/migrations/29990101_later");
  follow(project, k_headings[0]);
}

TEST_CASE("verification: a good deployment's log") {
  const TestDatabase database;
  follow(ReadersProject{database.url()}, k_headings[1]);
}

TEST_CASE("verification: a migration that fails") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  REQUIRE(project.shell("schemagate run") == exits(0));
  CHECK(codes(follow(project, k_headings[3])) == row("a migration that fails"));
}

TEST_CASE("verification: a check that fails") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  REQUIRE(project.shell("schemagate run") == exits(0));
  CHECK(codes(follow(project, k_headings[4])) == row("a check that fails"));
  // As the page says of a check that comes later.
  const auto later = project.shell(
      "printf 'verify:\n  - table: nowhere\n' >>schemagate.yaml; schemagate run; echo \"run: $?\"; "
      "schemagate gate --once");
  CHECK(later == exits(0));
  CHECK(later.out == contains("run: 23"));
}

TEST_CASE("verification: a wrong password") {
  const OwnServer server;
  // PostgreSQL 13 would keep it as MD5.
  server.execute("SET password_encryption = 'scram-sha-256'; CREATE ROLE shop LOGIN PASSWORD '" +
                 std::string{k_password} + "'");
  server.execute("ALTER DATABASE shop OWNER TO shop");
  server.execute("GRANT CREATE ON SCHEMA public TO shop");
  const auto rules = server.data() / "pg_hba.conf";
  const auto before = read_text(rules);
  std::ofstream{rules} << "host all shop 127.0.0.1/32 scram-sha-256\n" << before;
  REQUIRE(server.control({"reload"}) == exits(0));
  REQUIRE(eventually([&] {  // it reads them some time after it was told to
    const auto wrong = std::regex_replace(server.url("shop"), std::regex{k_password}, "wrong");
    return run({"psql", "-qXc", "SELECT 1", wrong}) != exits(0);
  }));

  const ReadersProject project{server.url("shop")};
  const auto seen = follow(project, k_headings[5]);
  CHECK(codes(seen) == row("a wrong password"));
  CHECK(seen != contains(k_password));
  CHECK(seen != contains(":wrong@"));
  REQUIRE(project.shell("schemagate run") == exits(0));
}

TEST_CASE("verification: two runners at once") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  follow(project, k_headings[6]);
}

TEST_CASE("verification: a run that is killed") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  REQUIRE(project.shell("schemagate run") == exits(0));
  // Most of the ttl is skipped, and its end is not.
  follow(project, k_headings[7], [&] {
    database.execute("UPDATE schemagate.lock SET expires_at = clock_timestamp() + interval '2 s'");
  });
}

TEST_CASE("verification: the codes of a killed run are those of the table") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  REQUIRE(project.shell("schemagate run") == exits(0));
  project.files.write("prisma/migrations/29990104_slow/migration.sql", "SELECT pg_sleep(600);");
  auto running = start_schemagate({"run"}, {.environment = {{"DATABASE_URL", database.url()}},
                                            .directory = project.files.path()});
  REQUIRE(running.says("1 of 3 migrations to apply"));
  running.signal(SIGKILL);
  const auto killed = std::to_string(running.wait().exit_code);
  const auto code = [&](const char* command) {
    return std::to_string(project.shell(command).exit_code);
  };
  CHECK(std::vector{killed, code("schemagate gate --once"), code("schemagate status")} ==
        row("a run that is killed"));
  // Until lease.ttl is over.
  database.execute("UPDATE schemagate.lock SET expires_at = clock_timestamp() + interval '1 s'");
  CHECK(eventually([&] { return code("schemagate status") == "20"; }));
  CHECK(project.shell("schemagate status").out == contains("  killed  "));
}

TEST_SUITE_END();
