#include <doctest/doctest.h>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

// A tool that a company has written itself: files sql/vMAJOR/MINOR_NAME.sql, rows in audit."Done".
constexpr const char* k_own_history =
    "{table: audit.Done, key: \"major || '.' || minor\", files: 'v([0-9]+)/([0-9]+)_[^/]*\\.sql'}";
constexpr const char* k_own_table =
    "CREATE SCHEMA IF NOT EXISTS audit;"
    "CREATE TABLE IF NOT EXISTS audit.\"Done\" (major int, minor int);";

class OwnTool : public GateProject {
 public:
  OwnTool() {
    writes("");
    set("migrations.directory", "sql").set("migrations.history", k_own_history);
    set("gate.match", "migrations");
    add("v1/1_first.sql").add("v1/2_second.sql");
  }
  OwnTool& add(const std::string& name) {
    files.write("sql/" + name, "SELECT 1;\n");
    return *this;
  }
  // What its command does.
  OwnTool& writes(const std::string& sql) {
    const auto script = files.write("do.sql", sql);
    command("psql -qX -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f " + script.string() + "\n");
    set("migrations.directory", "sql");
    return *this;
  }
};

void check_mistake(const std::string& key, const std::string& value, const std::string& what) {
  OwnTool project;
  project.set(key, value);
  const auto manifest = read_text(project.manifest());
  for (const auto& result : {project.run(), project.gate({"--once"})}) {
    INFO(result.err << "\n" << manifest);
    CHECK(result.exit_code == 2);
    CHECK(result.err == contains("schemagate.yaml:"));
    CHECK(result.err == contains(what));
  }
  CHECK(project.is_untouched());
}

}  // namespace

TEST_SUITE_BEGIN("own history");

TEST_CASE("a history of one's own: the gate is open when every key of the folder is a row") {
  OwnTool project;
  const auto closed = project.gate({"--once"});
  INFO(closed.err);
  CHECK(closed.exit_code == 30);
  CHECK(closed.err == contains("1.1"));

  project.writes(std::string{k_own_table} +
                 "INSERT INTO audit.\"Done\" VALUES (1, 1), (1, 2), (0, 9)");
  const auto result = project.run();
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(project.look() == 0);
  CHECK(project.run().err == contains("nothing to do"));

  project.add("v2/1_third.sql");
  const auto behind = project.gate({"--once"});
  INFO(behind.err);
  CHECK(behind.exit_code == 30);
  CHECK(behind.err == contains("2.1"));
  CHECK_FALSE(behind.err == contains("1.2"));
}

TEST_CASE(
    "a command that ends well but writes only a part of the history is 25, and the rest is named") {
  OwnTool project;
  project.writes(std::string{k_own_table} + "INSERT INTO audit.\"Done\" VALUES (1, 1), (NULL, 2)");
  const auto result = project.run();
  INFO(result.err);
  CHECK(result.exit_code == 25);
  CHECK(result.err == contains("1.2"));
  CHECK_FALSE(result.err == contains("migration 1.1"));
  CHECK(project.marker("error") == contains("1.2"));
  CHECK(project.look() == 31);
}

TEST_CASE("whoever wrote the rows: they open the gate without any run") {
  OwnTool project;
  project.database.execute(std::string{k_own_table} +
                           "INSERT INTO audit.\"Done\" VALUES (1, 1), (1, 2)");
  CHECK(project.look() == 0);
}

TEST_CASE("mode: check tells with 20 what a command has still to apply, and starts none") {
  OwnTool project;
  project.database.execute(std::string{k_own_table} + "INSERT INTO audit.\"Done\" VALUES (1, 1)");
  project.writes("CREATE TABLE started ()").set("mode", "check");
  const auto result = project.run();
  INFO(result.err);
  CHECK(result.exit_code == 20);
  CHECK(result.err == contains("1.2"));
  CHECK(project.database.value("SELECT to_regclass('started') IS NULL") == "t");
}

TEST_CASE("without a group in files the key is the path, all of which must match") {
  OwnTool project;
  project.add("a.sql").add("sub/b.sql").add("c.sql.orig");
  project.set("migrations.history", "{table: done, key: name, files: '[^/]*\\.sql'}");
  project.database.execute("CREATE TABLE done (name text)");
  const auto closed = project.gate({"--once"});
  CHECK(closed.err == contains("a.sql"));
  CHECK_FALSE(closed.err == contains("b.sql"));
  CHECK_FALSE(closed.err == contains("c.sql"));
  project.database.execute("INSERT INTO done VALUES ('a.sql')");
  CHECK(project.look() == 0);
}

TEST_CASE("keys may hold what text may hold") {
  OwnTool project;
  project.add("it's \"Übung\" {x,y}\\.sql");
  project.set("migrations.history", "{table: done, key: name, files: '[^/]*\\.sql'}");
  project.database.execute("CREATE TABLE done (name text)");
  CHECK(project.look() == 30);
  project.database.execute("INSERT INTO done VALUES ('it''s \"Übung\" {x,y}\\.sql')");
  const auto gate = project.gate({"--once"});
  INFO(gate.err);
  CHECK(gate.exit_code == 0);
}

TEST_CASE("hidden folders and those of package managers are not looked into") {
  OwnTool project;
  project.set("migrations.history", "{table: done, key: name, files: '(?:.*/)?([^/]*)\\.sql'}");
  project.database.execute(
      "CREATE TABLE done (name text); INSERT INTO done VALUES ('1_first'), ('2_second')");
  for (const auto* folder : {".git", "node_modules", "site-packages", "vendor", "__pycache__"})
    project.add(std::string{"deep/"} + folder + "/theirs.sql");
  const auto gate = project.gate({"--once"});
  INFO(gate.err);
  CHECK(gate.exit_code == 0);
}

TEST_CASE("a table without a schema is found along the search_path") {
  OwnTool project;
  project.set(
      "migrations.history",
      "{table: Done, key: \"major || '.' || minor\", files: 'v([0-9]+)/([0-9]+)_[^/]*\\.sql'}");
  project.database.execute(std::string{k_own_table} +
                           "INSERT INTO audit.\"Done\" VALUES (1, 1), (1, 2)");
  CHECK(project.look() == 30);
  project.database.execute("ALTER DATABASE " + project.database.name() +
                           " SET search_path = audit");
  CHECK(project.look() == 0);
}

TEST_CASE("a folder in which no file matches opens no gate: that is a mistake") {
  OwnTool project;
  project.set("migrations.history", "{table: done, key: name, files: '[^/]*\\.txt'}");
  project.database.execute("CREATE TABLE done (name text)");
  for (const auto& result : {project.run(), project.gate({"--once"})}) {
    INFO(result.err);
    CHECK(result.exit_code == 2);
  }
  project.set("migrations.directory", "no-such-folder");
  for (const auto& result : {project.run(), project.gate({"--once"})}) {
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.err == contains("no-such-folder"));
  }
}

TEST_CASE("mistakes in a history are told with their place, before anything is connected to") {
  const std::string key = "migrations.history";
  check_mistake(key, "djangoo", "django");
  check_mistake(key, "{table: done, key: name}", "files");
  check_mistake(key, "{table: done, files: '.*'}", "key");
  check_mistake(key, "{key: name, files: '.*'}", "table");
  check_mistake(key, "{table: done, key: name, files: '.*', colour: blue}", "table, key and files");
  check_mistake(key, "{table: done, key: name, files: '([0-9]+'}", "files");
  check_mistake(key, "{table: '', key: name, files: '.*'}", "table");
  check_mistake(key, "[django]", "history");
  check_mistake("migrations.directory", "", "directory");
}

TEST_CASE(
    "a key that the server refuses is a mistake in the manifest, told in the server's words: at once "
    "where the table is there, else after the command") {
  OwnTool project;
  project.set("migrations.history", "{table: done, key: colour, files: '.*\\.sql'}");
  project.writes("CREATE TABLE done (name text)");  // till then nobody can know
  const auto words = R"("done": ERROR 42703: column "colour" does not exist)";
  CHECK(project.run() == exits(25, words));
  CHECK(project.marker("status") == "failed");
  CHECK(project.run() == exits(2, words));
  CHECK(project.gate({"--once"}) == exits(2, words));
}

TEST_CASE("a gate that may not read the history is told so") {
  const TestRole role{"reader"};
  OwnTool project;
  project.database.execute(std::string{k_own_table} +
                           "INSERT INTO audit.\"Done\" VALUES (1, 1), (1, 2)");
  project.environment["DATABASE_URL"] = project.database.url_as(role.name());
  const auto gate = project.gate({"--once"});
  INFO(gate.err);
  CHECK(gate.exit_code != 0);
  CHECK(gate.err == contains("audit"));
}
