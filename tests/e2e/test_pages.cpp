// docs/json.md, executed; and what README, docs/manifest.md and docs/exit-codes.md promise beyond
// what other tests show.

#include <doctest/doctest.h>

#include <algorithm>
#include <regex>
#include <set>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/page.hpp"

using namespace testing;
using schemagate::split;
using schemagate::trim;

namespace {

std::string page(const std::string& name) {
  return read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/" + name);
}

// What stands in `...` in the first column of a section's tables.
std::vector<std::string> first_column(const std::string& page_name, const std::string& heading) {
  auto text = page(page_name);
  text = text.substr(text.find("\n## " + heading + "\n") + 1);
  text = text.substr(0, text.find("\n## ", 1));
  std::vector<std::string> found;
  const std::regex quoted{"`([^`]+)`"};
  for (const auto& line : split(text, '\n')) {
    if (!line.starts_with("| `")) continue;
    const auto cell = split(line, '|').at(1);
    for (std::sregex_iterator it{cell.begin(), cell.end(), quoted}, end; it != end; ++it)
      found.push_back((*it)[1].str());
  }
  return found;
}

struct ShopOfThePage : GateProject {
  ShopOfThePage() {
    migration("20261101_users", "CREATE TABLE users (id int); CREATE TABLE carts (id int);");
  }
};

}  // namespace

TEST_SUITE_BEGIN("pages");

TEST_CASE("the page of the JSON documents shows exactly what the commands print") {
  const TestDatabase database;
  const ReadersProject project{database.url()};
  std::vector<std::string> headings;
  for (const auto& one : sections_of("docs/json.md")) {
    headings.push_back(one.heading);
    REQUIRE(one.blocks.size() == 2);
    CHECK(one.blocks[0].language == "sh");
    CHECK(one.blocks[1].language == "json");
    const auto seen = project.shell("{ " + one.blocks[0].text() + "} 2>/dev/null");
    INFO(seen.out);
    CHECK(missing_line(seen.out, one.blocks[1].lines) == "");
    CHECK(split(trim(seen.out), '\n').size() == one.blocks[1].lines.size());
  }
  CHECK(headings == std::vector<std::string>{"run", "gate", "status", "plan", "rehearse",
                                             "resolve and baseline", "diff"});
}

TEST_CASE("the page of the JSON documents names every state of a finding, and no other") {
  const auto source = page("src/commands/status.cpp") + page("src/commands/history_inspector.cpp") +
                      page("src/commands/schema_inspector.cpp");
  std::set<std::string> states;
  // The first word of a finding, and what state_of returns.
  const std::regex word{
      R"re((?:add\(\{\s*|Finding finding\{|push_back\(\s*\{|return )"([a-z]+(?:-[a-z]+)*)"[,;])re"};
  for (std::sregex_iterator it{source.begin(), source.end(), word}, end; it != end; ++it)
    states.insert((*it)[1].str());
  const auto listed = first_column("docs/json.md", "status");
  std::set<std::string> in_page{listed.begin(), listed.end()};
  for (const std::string of_runs : {"complete", "killed"}) CHECK(in_page.erase(of_runs) == 1);
  CHECK(in_page == states);
}

TEST_CASE("with -- CMD, or with a mistake in the command line, there is no JSON document") {
  const ShopOfThePage project;
  CHECK(project.run({"--json", "--", "echo", "mine"}).out == "mine\n");
  CHECK(project.gate({"--json", "--", "echo", "mine"}).out == "mine\n");
  const auto mistake = project.run({"--json", "--no-such-option"});
  CHECK(mistake == exits(2));
  CHECK(mistake.out.empty());
}

TEST_CASE(
    "the gate of a shared volume needs no database in its manifest, all else says that it does") {
  ShopOfThePage project;
  const auto marker = project.file("marker.json");
  project.set("marker.file", marker);
  REQUIRE(project.run() == exits(0));
  project.environment.erase("DATABASE_URL");
  const auto gate = [&] { return project.gate({"--once", "--marker-file", marker}).exit_code; };
  // As in the quick start: the variable is not set there.
  CHECK(gate() == 2);
  for (const std::string url : {"", "\"${DATABASE_URL:-}\""}) {
    INFO(url);
    project.set("database.url", url).set("database.wait", "");
    CHECK(gate() == 0);
    for (const auto& arguments :
         {project.arguments("run"), project.arguments("gate", {"--once"}),
          project.arguments("status"), project.arguments("resolve", {"20261101_users", "--auto"}),
          project.arguments("baseline", {"20261101_users"})}) {
      const auto result = testing::schemagate(arguments, project.options());
      INFO(arguments.front());
      CHECK(result == exits(2, "database.url is missing or empty"));
    }
  }
}

TEST_CASE("the manifest's page names each variable that a migration command is given") {
  GateProject project;
  project.command("env >env; pwd >pwd; readlink /proc/self/fd/0 >stdin\n");
  project.set("migrations.env", "{SCHEMAGATE_APP: mine}");
  REQUIRE(project.run() == exits(0));
  const auto before = split(run({"env"}, project.options()).out, '\n');
  const std::set<std::string> of_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"};
  std::set<std::string> given;
  for (const auto& line : split(trim(read_text(project.file("env"))), '\n')) {
    const auto name = line.substr(0, line.find('='));
    const bool is_new = std::find(before.begin(), before.end(), line) == before.end();
    if (is_new && !of_the_shell.contains(name)) given.insert(name);
  }
  const auto named = first_column("docs/manifest.md", "What a command is given");
  CHECK(given == std::set<std::string>{named.begin(), named.end()});
  CHECK(read_text(project.file("env")) == contains("SCHEMAGATE_APP=mine\n"));  // added last
  CHECK(trim(read_text(project.file("pwd"))) == project.files.path().string());
  CHECK(trim(read_text(project.file("stdin"))) == "/dev/null");
}

TEST_CASE("the manifest's page names each environment variable that the sources read") {
  std::string all;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator{std::string{SCHEMAGATE_SOURCE_DIR} + "/src"})
    if (entry.is_regular_file()) all += read_text(entry.path());
  std::set<std::string> read;
  const std::regex variable{
      R"re((?:getenv\(|or_variable\(|process_environment\(\)\(|choice\(\s*key, )"([A-Z_]+)"[),])re"};
  for (std::sregex_iterator it{all.begin(), all.end(), variable}, end; it != end; ++it)
    read.insert((*it)[1].str());
  read.erase("PATH");  // as anybody does
  const auto named = first_column("docs/manifest.md", "Environment");
  CHECK(read == std::set<std::string>{named.begin(), named.end()});
}

TEST_CASE("mode off and check write no marker, start CMD, and are nothing to the gate") {
  for (const std::string mode : {"off", "check"}) {
    INFO(mode);
    ShopOfThePage project;
    project.environment["SCHEMAGATE_MODE"] = mode;
    const auto pending = project.run({"--", "echo", "started"});
    CHECK(pending.exit_code == (mode == "off" ? 0 : 20));
    CHECK(pending.out == (mode == "off" ? "started\n" : ""));
    CHECK(project.is_untouched());
    project.environment.erase("SCHEMAGATE_MODE");
    REQUIRE(project.run() == exits(0));
    project.database.execute("DELETE FROM schemagate.marker");
    project.environment["SCHEMAGATE_MODE"] = mode;
    CHECK(project.run({"--", "echo", "started"}).out == "started\n");
    CHECK(project.look() == 30);
  }
}

TEST_CASE("what is refused before the lease is taken writes no marker, and gates wait") {
  const auto refused = [](const GateProject& project, int code) {
    CHECK(project.run() == exits(code));
    CHECK(project.is_untouched());
  };
  const auto waits = [](const GateProject& project) {
    CHECK(project.gate({"--once"}) == exits(30, "no run has happened on this database yet"));
  };
  ShopOfThePage check_only;
  refused(check_only.set("mode", "check"), 20);
  waits(check_only);
  GateProject forbidden;
  refused(forbidden.command("true\n").set("migrations.command", "[npx, prisma, db, push]"), 24);
  waits(forbidden);
  ShopOfThePage elsewhere;
  refused(elsewhere.set("database.expect", "{name: another}"), 24);
  CHECK(elsewhere.look() == 24);
  waits(elsewhere.set("database.expect", ""));
  ShopOfThePage of_mysql;
  of_mysql.files.write("migrations/migration_lock.toml", "provider = \"mysql\"\n");
  refused(of_mysql, 20);
  CHECK(of_mysql.look() == 20);
  std::filesystem::remove(of_mysql.file("migrations/migration_lock.toml"));
  waits(of_mysql);
}

TEST_CASE("the JSON document of a run says what its mode did") {
  ShopOfThePage project;
  const auto status = [&](const std::string& mode) {
    project.environment["SCHEMAGATE_MODE"] = mode;
    const auto out = project.run({"--json"}).out;
    for (const std::string word : {"complete", "failed", "checked", "skipped"})
      if (out == contains("\"status\": \"" + word + "\"")) return word;
    return out;
  };
  CHECK(status("off") == "skipped");
  CHECK(status("check") == "failed");
  CHECK(status("apply") == "complete");
  CHECK(status("check") == "checked");
}

TEST_CASE("a marker that is complete for the same content is not made failed") {
  const ShopOfThePage project;
  REQUIRE(project.run() == exits(0));
  // Somebody breaks the history of the release that was complete.
  project.database.execute("UPDATE _prisma_migrations SET finished_at = NULL, "
                           "applied_steps_count = 0, logs = 'boo'; DROP TABLE carts");
  CHECK(project.run() == exits(20));
  CHECK(project.marker("status") == "complete");
}

TEST_CASE("a marker file that cannot be written is code 2 though the database is complete") {
  ShopOfThePage project;
  REQUIRE(project.run() == exits(0));
  project.set("marker.file", project.file("nowhere/marker.json"));
  CHECK(project.run() == exits(2, "cannot write marker.file"));
  CHECK(project.look() == 0);
}

TEST_SUITE_END();
