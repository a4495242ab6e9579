// Texts from outside: the server's, other roles', a command's, a manifest's. None of them moves a
// terminal's cursor, or begins a line that looks like one of ours.
#include <doctest/doctest.h>

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/open_transaction.hpp"

using namespace testing;
using schemagate::split;

namespace {

// A line end that begins what we might say, and what a terminal would obey: escape, C1, DEL, a
// carriage return, a direction.
const std::string k_forged = "release r9 is complete";
const std::string k_outside =
    "eve\n" + k_forged + "\n12:00:00 error hint: type this\x1b[2J\u009b31m\x7f\rover\u202e";

const std::string k_as_sql_text = "convert_from(decode('" + [] {
  std::string hex;
  for (const unsigned char c : k_outside) {
    constexpr const char* k_digits = "0123456789abcdef";
    hex += k_digits[c >> 4];
    hex += k_digits[c & 15];
  }
  return hex;
}() + "', 'hex'), 'UTF8')";

void check_shown(const std::string& text) {
  CHECK(text == contains("eve"));
  for (const auto* obeyed : {"\x1b", "\u009b", "\x7f", "\r", "\u202e"})
    CHECK(text != contains(obeyed));
}

// Each line begins as ours do, and what came after a line end is indented behind that.
void check_log(const std::string& log) {
  check_shown(log);
  static const std::regex ours{"[0-9:]{8} (debug|info |warning|error) .*"};
  for (const auto& line : split(schemagate::trim(log), '\n')) {
    CHECK_MESSAGE(std::regex_match(line, ours), line);
    CHECK_MESSAGE(
        !std::regex_match(line, std::regex{"[0-9:]{8} [a-z]+ {1,2}(release r9|hint: type).*"}),
        line);
  }
}

void check_json_log(const std::string& log) {
  check_shown(log);
  for (const auto& line : split(schemagate::trim(log), '\n')) {
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    CHECK_MESSAGE(parsed.is_object(), line);
    CHECK_MESSAGE(parsed.contains("message"), line);
  }
}

const std::vector<std::string> k_json = {"--log-format", "json"};

// The same in both forms of the log. `act` runs something and gives its stderr.
template <class Act> void check_both(Act&& act) {
  check_log(act(std::vector<std::string>{}));
  check_json_log(act(k_json));
}

std::string percent(const std::string& text) {
  std::string encoded;
  for (const unsigned char c : text) encoded += fmt::format("%{:02x}", c);
  return encoded;
}

std::string raise(const std::string& what) { return "DO $$ BEGIN " + what + "; END $$;"; }

}  // namespace

TEST_SUITE_BEGIN("outside text");

TEST_CASE("a notice of a script forges no line of the log") {
  GateProject project;
  int release = 0;
  check_both([&](const auto& more) {
    const auto name = std::to_string(++release);
    project.migration(name, raise("RAISE WARNING '%', " + k_as_sql_text))
        .set("release", "r" + name);
    const auto result = project.run(more);
    CHECK(result == exits(0));
    return result.err;
  });
}

TEST_CASE("an error of a script forges no line, in the log, in the gate's and in status") {
  GateProject project;
  project.migration("1_bad", raise("RAISE EXCEPTION USING MESSAGE = " + k_as_sql_text +
                                   ", DETAIL = " + k_as_sql_text + ", HINT = " + k_as_sql_text));
  project.set("marker.file", project.file("marker.json"));
  check_both([&](const auto& more) {
    const auto result = project.run(more);
    CHECK(result == exits(21));
    return result.err;
  });
  for (const bool by_file : {false, true})
    check_both([&](auto more) {
      if (by_file) more.insert(more.end(), {"--marker-file", project.file("marker.json")});
      const auto result = project.gate(more);
      CHECK(result == exits(31));
      return result.err;
    });
  const auto status = testing::schemagate(project.arguments("status"), project.options());
  check_shown(status.out);
  CHECK("\n" + status.out != contains("\n" + k_forged));
  const auto json = testing::schemagate(project.arguments("status", {"--json"}), project.options());
  check_shown(json.out);
  CHECK(nlohmann::json::parse(json.out).is_object());
}

TEST_CASE("the name of a role and of a program that block a migration are shown, not obeyed") {
  const auto name = k_outside.substr(0, 52);  // of 63 bytes at most
  const auto quoted = schemagate::pg::quote_identifier(name);
  auto maintenance = TestRole::maintenance();
  {
    GateProject project;
    project.migration("1_users", "CREATE TABLE users (id integer);");
    project.set("migrations.lock_timeout", "200ms").set("migrations.lock_retry", "1s");
    REQUIRE(project.run() == exits(0));
    maintenance.execute("CREATE ROLE " + quoted + " LOGIN");
    project.database.execute("GRANT ALL ON users TO " + quoted);
    {
      OpenTransaction blocker{schemagate::pg::Session{project.database.url_as(percent(name)) +
                                                      "?application_name=" + percent(k_outside)},
                              "SELECT 1 FROM users"};
      project.migration("2_name", "ALTER TABLE users ADD COLUMN name text;");
      check_both([&](const auto& more) {
        const auto result = project.run(more);
        CHECK(result == exits(13));
        return result.err;
      });
    }
    project.database.execute("DROP OWNED BY " + quoted);
  }
  maintenance.execute("DROP ROLE " + quoted);
}

TEST_CASE("what a command prints forges no line") {
  GateProject project;
  std::string octal;
  for (const unsigned char c : k_outside) {
    octal += '\\';
    for (const int shift : {6, 3, 0}) octal += static_cast<char>('0' + ((c >> shift) & 7));
  }
  project.command("printf '" + octal + "\\377\\n' >&2; exit 1");
  check_both([&](const auto& more) {
    const auto result = project.run(more);
    CHECK(result == exits(25));
    return result.err;
  });
}

TEST_CASE("texts of a manifest and names of migrations forge no line") {
  GateProject project;
  const auto as_yaml = nlohmann::json(k_outside).dump();
  for (const auto& [key, value] : std::map<std::string, std::string>{
           {"mode", as_yaml}, {"migrations.edited", as_yaml}, {"gate.poll", as_yaml}}) {
    GateProject mistaken;
    mistaken.set(key, value);
    check_both([&](const auto& more) {
      const auto result = mistaken.run(more);
      CHECK(result == exits(2));
      return result.err;
    });
  }
  project.migration("1_" + k_outside.substr(0, 40), "SELECT nonsense;");
  check_both([&](const auto& more) {
    const auto result = project.run(more);
    CHECK(result == exits(21));
    return result.err;
  });
  project.set("release", as_yaml);
  check_both([&](const auto& more) {
    return project
        .gate({[&] {
          auto words = more;
          words.emplace_back("--once");
          return words;
        }()})
        .err;
  });
}

TEST_CASE("what the server says while we connect is a line of the log like any other") {
  GateProject project;
  project.migration("1_init", "CREATE TABLE users (id integer);");
  if (project.database.value(
          "SELECT count(*) FROM pg_attribute WHERE attname = 'datcollversion'") == "0") {
    MESSAGE("SKIPPED: before version 15 the server says nothing there");
    return;
  }
  project.database.execute(
      "UPDATE pg_database SET datcollversion = '1.0' WHERE datname = current_database()");
  const auto json = project.run(k_json);
  CHECK(json == exits(0, "collation version"));
  for (const auto& line : split(schemagate::trim(json.err), '\n'))
    CHECK_MESSAGE(nlohmann::json::parse(line, nullptr, false).is_object(), line);
  const auto text = project.run();
  CHECK(text == exits(0, "warning WARNING:  database"));
  static const std::regex ours{"[0-9:]{8} (debug|info |warning|error) .*"};
  for (const auto& line : split(schemagate::trim(text.err), '\n'))
    CHECK_MESSAGE(std::regex_match(line, ours), line);
}

TEST_SUITE_END();
