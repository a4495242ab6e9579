#include "schemagate/manifest/manifest.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
using namespace std::chrono_literals;

template <> struct doctest::StringMaker<std::vector<std::string>> {
  static doctest::String convert(const std::vector<std::string>& lines) {
    return ("\n" + join(lines, "\n")).c_str();
  }
};

namespace {

using Variables = std::map<std::string, std::string>;

Environment environment(Variables variables = {}) {
  return [variables = std::move(variables)](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional{found->second};
  };
}

Manifest parse(const std::string& yaml, const Variables& variables = {}) {
  return parse_manifest(yaml, "/srv/shop/m.yaml", environment(variables));
}

// The messages, one a mistake; empty when there is none.
std::vector<std::string> mistakes(const std::string& yaml, const Variables& variables = {}) {
  try {
    (void)parse_manifest(yaml, "m.yaml", environment(variables));
    return {};
  } catch (const Failure& failure) {
    CHECK(failure.code() == ExitCode::usage);
    return split(failure.what(), '\n');
  }
}

using Messages = std::vector<std::string>;

const std::string k_smallest = "version: 1\n"
                               "database:\n"
                               "  url: postgresql://localhost/shop\n"
                               "migrations:\n"
                               "  directory: prisma/migrations\n";

// The smallest manifest with `app: VALUE`, to look at one text.
std::string app_of(const std::string& value, const Variables& variables = {}) {
  return parse(k_smallest + "app: " + value + "\n", variables).app;
}

Messages app_mistakes(const std::string& value, const Variables& variables = {}) {
  return mistakes(k_smallest + "app: " + value + "\n", variables);
}

}  // namespace

TEST_SUITE("manifest") {
  TEST_CASE("names that are no schema's are mistakes with their place, odd ones are not") {
    const auto of = [](const std::string& key, const std::string& name) {
      const bool is_ours = key == "bookkeeping_schema";
      return mistakes("version: 1\ndatabase:\n  url: postgresql://localhost/shop\n" +
                      std::string{is_ours ? "  " + key + ": " + name + "\n" : ""} +
                      "migrations:\n  directory: m\n" +
                      std::string{is_ours ? "" : "  " + key + ": " + name + "\n"});
    };
    for (const std::string key : {"bookkeeping_schema", "schema"}) {
      const std::string place = key == "schema" ? "m.yaml:6:11: \"migrations.schema\""
                                                : "m.yaml:4:23: \"database.bookkeeping_schema\"";
      for (const std::string name :
           {"\"a,b\"", "\" a\"", "\"a \"", "\"a?b\"", "pg_a", "information_schema", "\"a\\tb\"",
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}) {
        CAPTURE(name);
        const auto found = of(key, name);
        REQUIRE(found.size() == 1);
        CHECK(found.front() == contains(place));
      }
      for (const std::string name :
           {"my-shop", "\"a \\\"b\\\" c\"", "\"it's\"", "schön", "\"1\"", "Shop"}) {
        CAPTURE(name);
        CHECK(of(key, name) == Messages{});
      }
    }
    CHECK(of("bookkeeping_schema", "\"\"").front() == contains("is empty"));
    CHECK(of("schema", "\"\"") == Messages{});
  }

  TEST_CASE("the smallest manifest has the documented defaults") {
    const auto manifest = parse(k_smallest);
    CHECK(manifest.app == "default");
    CHECK(manifest.release.empty());
    CHECK(manifest.mode == Mode::apply);
    CHECK(manifest.database.url == "postgresql://localhost/shop");
    CHECK(manifest.database.direct_url.empty());
    CHECK(manifest.database.wait == 2min);
    CHECK_FALSE(manifest.database.connect_timeout.has_value());
    CHECK_FALSE(manifest.database.create);
    CHECK(manifest.database.bookkeeping_schema == "schemagate");
    CHECK(manifest.database.expect.name.empty());
    CHECK(manifest.database.expect.hosts.empty());
    CHECK(manifest.database.expect.min_version == 0);
    CHECK(manifest.lease.name.empty());
    CHECK(manifest.lease.ttl == 30s);
    CHECK(manifest.lease.wait == 10min);
    CHECK_FALSE(manifest.lease.allow_unfenced);
    CHECK(manifest.migrations.tool == Tool::prisma);
    CHECK(manifest.migrations.schema.empty());
    CHECK_FALSE(manifest.migrations.allow_empty);
    CHECK(manifest.migrations.atomic == Atomic::migration);
    CHECK(manifest.migrations.lock_timeout == 5s);
    CHECK(manifest.migrations.lock_retry == 2min);
    CHECK(manifest.migrations.statement_timeout == 0ms);
    CHECK(manifest.migrations.out_of_order == Policy::warn);
    CHECK(manifest.migrations.edited == Policy::fail);
    CHECK(manifest.migrations.missing == Policy::warn);
    CHECK(manifest.migrations.command.empty());
    CHECK(manifest.migrations.timeout == 30min);
    CHECK(manifest.migrations.env.empty());
    CHECK(manifest.migrations.history.is_none());
    CHECK(manifest.verify.empty());
    CHECK(manifest.gate.match == GateMatch::release);
    CHECK(manifest.gate.timeout == 10min);
    CHECK(manifest.gate.poll == 1s);
    CHECK(manifest.marker_file.empty());
  }

  TEST_CASE("every key reaches its place in the manifest") {
    const auto manifest = parse("version: 1\n"
                                "app: shop\n"
                                "release: r1\n"
                                "mode: check\n"
                                "database:\n"
                                "  url: postgresql://h/d\n"
                                "  direct_url: postgresql://direct/d\n"
                                "  wait: 3m\n"
                                "  connect_timeout: 1500ms\n"
                                "  create: true\n"
                                "  bookkeeping_schema: ops\n"
                                "  expect: {name: d, host: ['*.internal', h], min_version: 14}\n"
                                "lease: {name: 'prisma:x', ttl: 9s, wait: 1h, unfenced: allow}\n"
                                "migrations:\n"
                                "  tool: command\n"
                                "  directory: db/migrations\n"
                                "  schema: other\n"
                                "  allow_empty: true\n"
                                "  atomic: release\n"
                                "  lock_timeout: 250ms\n"
                                "  lock_retry: 4m\n"
                                "  statement_timeout: 5m\n"
                                "  out_of_order: allow\n"
                                "  edited: warn\n"
                                "  missing: fail\n"
                                "  command: [npx, prisma, migrate, deploy]\n"
                                "  timeout: 6m\n"
                                "  env: {A: 1, B: ''}\n"
                                "  history: prisma\n"
                                "verify:\n"
                                "  - column: users.email\n"
                                "  - table: sessions\n"
                                "  - sql: select true\n"
                                "gate: {match: migrations, timeout: 7m, poll: 2s}\n"
                                "marker: {file: /shared/marker.json}\n");
    CHECK(manifest.app == "shop");
    CHECK(manifest.release == "r1");
    CHECK(manifest.mode == Mode::check);
    CHECK(manifest.database.direct_url == "postgresql://direct/d");
    CHECK(manifest.database.wait == 3min);
    CHECK(manifest.database.connect_timeout == 2s);  // libpq counts whole seconds: rounded up
    CHECK(manifest.database.create);
    CHECK(manifest.database.bookkeeping_schema == "ops");
    CHECK(manifest.database.expect.name == "d");
    CHECK(manifest.database.expect.hosts == Messages{"*.internal", "h"});
    CHECK(manifest.database.expect.min_version == 14);
    CHECK(manifest.lease.name == "prisma:x");
    CHECK(manifest.lease.ttl == 9s);
    CHECK(manifest.lease.wait == 1h);
    CHECK(manifest.lease.allow_unfenced);
    CHECK(manifest.migrations.tool == Tool::command);
    CHECK(manifest.migrations.schema == "other");
    CHECK(manifest.migrations.allow_empty);
    CHECK(manifest.migrations.atomic == Atomic::release);
    CHECK(manifest.migrations.lock_timeout == 250ms);
    CHECK(manifest.migrations.lock_retry == 4min);
    CHECK(manifest.migrations.statement_timeout == 5min);
    CHECK(manifest.migrations.out_of_order == Policy::allow);
    CHECK(manifest.migrations.edited == Policy::warn);
    CHECK(manifest.migrations.missing == Policy::fail);
    CHECK(manifest.migrations.command == Messages{"npx", "prisma", "migrate", "deploy"});
    CHECK(manifest.migrations.timeout == 6min);
    CHECK(manifest.migrations.env == Variables{{"A", "1"}, {"B", ""}});
    CHECK(manifest.migrations.history.preset == "prisma");
    REQUIRE(manifest.verify.size() == 3);
    CHECK(manifest.verify[0].kind == Check::Kind::column);
    CHECK(manifest.verify[0].text == "users.email");
    CHECK(manifest.verify[1].kind == Check::Kind::table);
    CHECK(manifest.verify[2].kind == Check::Kind::sql);
    CHECK(manifest.verify[2].text == "select true");
    CHECK(manifest.gate.match == GateMatch::migrations);
    CHECK(manifest.gate.timeout == 7min);
    CHECK(manifest.gate.poll == 2s);
    CHECK(manifest.marker_file == "/shared/marker.json");
  }

  TEST_CASE("the migrations directory is taken relative to the manifest") {
    CHECK(parse(k_smallest).migrations.directory == "/srv/shop/prisma/migrations");
    CHECK(parse("version: 1\ndatabase: {url: x}\nmigrations: {directory: /abs}\n")
              .migrations.directory == "/abs");
  }

  TEST_CASE("a manifest with ten different mistakes gives ten messages in the order of the file") {
    const auto found = mistakes("version: 1\n"
                                "ap: shop\n"
                                "mode: aply\n"
                                "database:\n"
                                "  url: ${NOPE}\n"
                                "  wait: 2 minutes\n"
                                "  create: yes\n"
                                "  expect:\n"
                                "    min_version: fourteen\n"
                                "    host: h\n"
                                "lease: 30s\n"
                                "migrations:\n"
                                "  directory: a\n"
                                "  directory: b\n"
                                "verify:\n"
                                "  - columns: users.email\n");
    CHECK(
        found ==
        Messages{
            "m.yaml:2:1: unknown key \"ap\"; did you mean \"app\"?",
            "m.yaml:3:7: \"mode\" must be one of apply, check, off, not \"aply\"; did you mean \"apply\"?",
            "m.yaml:5:8: environment variable NOPE is not set; set it, or write ${NOPE:-default}",
            "m.yaml:6:9: \"database.wait\" must be a duration like 500ms, 30s, 2m or 1h, not \"2 minutes\"",
            "m.yaml:7:11: \"database.create\" must be true or false, not \"yes\"",
            "m.yaml:9:18: \"database.expect.min_version\" must be a whole number, not \"fourteen\"",
            "m.yaml:10:11: \"database.expect.host\" must be a list: [a, b]",
            "m.yaml:11:1: \"lease\" must be a mapping of keys",
            "m.yaml:14:3: duplicate key \"migrations.directory\"",
            "m.yaml:16:5: a check is one of column: TABLE.COLUMN, table: TABLE, sql: QUERY",
        });
  }

  TEST_CASE("a mistake in a value is not reported a second time as its consequence") {
    const auto with = [](const std::string& lines) { return k_smallest + lines; };
    CHECK(mistakes(with("lease: {ttl: soon}\n")).size() == 1);
    CHECK(mistakes(with("gate: {poll: often}\n")).size() == 1);
    CHECK(mistakes(with("verify: [{column: [users, email]}]\n")).size() == 1);
    CHECK(mistakes(with("verify: [{column: '${NOPE}'}]\n")).size() == 1);
    CHECK(mistakes("version: one\ndatabase: {url: x}\nmigrations: {directory: d}\n").size() == 1);
    CHECK(mistakes("version: 1\ndatabase: {url: x}\nmigrations: {directory: '${NOPE}'}\n").size() ==
          1);
    CHECK(mistakes("version: 1\ndatabase: {url: x}\n"
                   "migrations: {directory: d, tool: command, command: npx prisma}\n")
              .size() == 1);
  }

  TEST_CASE("unknown keys are named with the whole path and a guess at every level") {
    CHECK(mistakes(k_smallest + "databse: {}\n") ==
          Messages{"m.yaml:6:1: unknown key \"databse\"; did you mean \"database\"?"});
    CHECK(mistakes(k_smallest + "lease: {tll: 30s}\n") ==
          Messages{"m.yaml:6:9: unknown key \"lease.tll\"; did you mean \"lease.ttl\"?"});
    CHECK(mistakes("version: 1\nmigrations: {directory: d}\n"
                   "database: {url: x, expect: {hosts: [a]}}\n") ==
          Messages{"m.yaml:3:29: unknown key \"database.expect.hosts\"; did you mean "
                   "\"database.expect.host\"?"});
    CHECK(
        mistakes("version: 1\nmigrations: {directory: d}\ndatabase: {url: x, expct: {}}\n") ==
        Messages{"m.yaml:3:20: unknown key \"database.expct\"; did you mean \"database.expect\"?"});
    CHECK(mistakes(k_smallest + "kubernetes: {}\n") ==
          Messages{"m.yaml:6:1: unknown key \"kubernetes\""});
    CHECK(mistakes(k_smallest + "'': x\n") == Messages{"m.yaml:6:1: unknown key \"\""});
  }

  TEST_CASE("a key must not be written with dots instead of nesting") {
    CHECK(mistakes("version: 1\ndatabase.url: x\nmigrations: {directory: d}\n").size() == 1);
    CHECK(mistakes(k_smallest + "lease.ttl: 5s\n").size() == 1);
  }

  TEST_CASE("duplicate keys are refused at every level") {
    CHECK(mistakes(k_smallest + "app: a\napp: a\n") ==
          Messages{"m.yaml:7:1: duplicate key \"app\""});
    CHECK(mistakes(k_smallest + "lease: {ttl: 9s}\nlease: {ttl: 9s}\n") ==
          Messages{"m.yaml:7:1: duplicate key \"lease\""});
    CHECK(
        mistakes("version: 1\ndatabase: {url: x}\n"
                 "migrations: {directory: d, tool: command, command: [c], env: {A: 1, A: 2}}\n") ==
        Messages{"m.yaml:3:69: duplicate key \"migrations.env.A\""});
  }

  TEST_CASE("a value of the wrong type is refused where it stands") {
    CHECK(app_mistakes("[a]") == Messages{"m.yaml:6:6: \"app\" must be a single value"});
    CHECK(app_mistakes("{a: b}") == Messages{"m.yaml:6:6: \"app\" must be a single value"});
    CHECK(mistakes("version: 1\ndatabase: {url: [x]}\nmigrations: {directory: d}\n") ==
          Messages{"m.yaml:2:17: \"database.url\" must be a single value"});
    CHECK(mistakes("version: 1\ndatabase: {url: {path: x}}\nmigrations: {directory: d}\n") ==
          Messages{"m.yaml:2:17: \"database.url\" takes a text or {file: PATH}"});
    CHECK(mistakes("version: 1\ndatabase: postgresql://h/d\nmigrations: {directory: d}\n") ==
          Messages{"m.yaml:2:1: \"database\" must be a mapping of keys"});
    CHECK(mistakes(k_smallest + "verify: {table: t}\n") ==
          Messages{"m.yaml:6:9: \"verify\" must be a list of checks"});
    CHECK(
        mistakes(k_smallest + "verify: [users]\n") ==
        Messages{"m.yaml:6:10: a check is one of column: TABLE.COLUMN, table: TABLE, sql: QUERY"});
    CHECK(mistakes(k_smallest + "verify: [{table: a, column: b.c}]\n").size() == 1);
    CHECK(mistakes(k_smallest + "verify: [{column: users}]\n") ==
          Messages{"m.yaml:6:19: a column check is written TABLE.COLUMN"});
    CHECK(mistakes("version: 1\ndatabase: {url: x}\nmigrations: {directory: d, tool: command, "
                   "command: [c], env: [A=1]}\n") ==
          Messages{"m.yaml:3:62: \"migrations.env\" must be a mapping: {NAME: value}"});
    CHECK(mistakes(k_smallest + "[a, b]: c\n").size() == 1);
    CHECK(mistakes(k_smallest + "gate: {timeout: 10}\n").size() == 1);
    CHECK(mistakes(k_smallest + "mode: Apply\n").size() == 1);
  }

  TEST_CASE("a number that does not fit is a mistake, not another number") {
    for (const auto* number : {"99999999999999999999", "1.5", "0x10", "14 ", "1e3", "+14"}) {
      CAPTURE(std::string{number});
      CHECK(mistakes("version: 1\ndatabase: {url: x, expect: {min_version: " +
                     (std::string{number} == "14 " ? "'14 '" : std::string{number}) +
                     "}}\nmigrations: {directory: d}\n")
                .size() == 1);
    }
  }

  TEST_CASE("null is not a value") {
    for (const auto* null : {"", "~", "null"}) {
      CAPTURE(std::string{null});
      CHECK(app_mistakes(null).size() == 1);
      CHECK(mistakes(k_smallest + "mode: " + null + "\n").size() == 1);
      CHECK(mistakes(k_smallest + "lease: {ttl: " + null + "}\n").size() == 1);
      CHECK(mistakes(k_smallest + "verify: " + null + "\n").size() == 1);
      CHECK(mistakes(k_smallest + "gate: " + null + "\n").size() == 1);
    }
    CHECK(app_mistakes("~").front() == "m.yaml:6:6: \"app\" has no value");
    CHECK(mistakes("version: 1\ndatabase: {url: }\nmigrations: {directory: d}\n").size() == 1);
  }

  TEST_CASE("what is missing is said at the top of the file") {
    CHECK(mistakes("app: x\ndatabase: {url: x}\nmigrations: {directory: d}\n") ==
          Messages{"m.yaml:1:1: \"version: 1\" is missing"});
    CHECK(mistakes("version: 2\ndatabase: {url: x}\nmigrations: {directory: d}\n") ==
          Messages{"m.yaml:1:10: this schemagate reads manifests of version 1"});
    CHECK(mistakes("version: 1\ndatabase: {url: x}\n") ==
          Messages{
              "m.yaml:1:1: \"migrations.directory\" is missing (for Prisma: prisma/migrations)"});
    for (const auto* nothing :
         {"", "\n\n", "# only a comment\n", "---\n", "just text", "- a\n- b\n"}) {
      CAPTURE(std::string{nothing});
      const auto found = mistakes(nothing);
      REQUIRE(found.size() == 1);
      CHECK(found.front().starts_with("m.yaml:1:1: a manifest is a mapping"));
    }
  }

  TEST_CASE("a YAML syntax error is reported with its position") {
    auto found = mistakes("version: 1\ndatabase:\n\turl: x\n");
    REQUIRE(found.size() == 1);
    CHECK(found.front().starts_with("m.yaml:3:"));
    found = mistakes("version: 1\napp: [a, b\nmigrations: {}\n");
    REQUIRE(found.size() == 1);
    CHECK(found.front().starts_with("m.yaml:3:"));
    found = mistakes("version: 1\napp: \"never closed\n");
    REQUIRE(found.size() == 1);
    CHECK(found.front().starts_with("m.yaml:"));
    CHECK(mistakes("version: 1\napp: *nobody\n").size() == 1);
  }

  TEST_CASE("a second YAML document is not ignored silently") {
    CHECK(mistakes(k_smallest + "---\napp: other\n").size() == 1);
  }

  TEST_CASE("durations are a whole number with its unit") {
    CHECK(parse_duration("500ms") == 500ms);
    CHECK(parse_duration("5s") == 5s);
    CHECK(parse_duration("2m") == 2min);
    CHECK(parse_duration("1h") == 1h);
    CHECK(parse_duration("0") == 0ms);
    CHECK(parse_duration("0s") == 0ms);
    CHECK(parse_duration("007s") == 7s);
    for (const auto* wrong :
         {"", "5", "s", "-5s", "+5s", "5 s", " 5s", "5s ", "1.5s", "1h30m", "5S", "5M", "5min",
          "5sec", "5d", "1e3s", "0x5s", "99999999999999999999s", "\u0665s"}) {
      CAPTURE(std::string{wrong});
      CHECK_FALSE(parse_duration(wrong).has_value());
    }
  }

  TEST_CASE("the longest duration that is accepted is still in the future") {
    for (const auto* longest : {"600000000m", "1000000000m", "1000000000h"}) {
      CAPTURE(std::string{longest});
      const auto duration = parse_duration(longest);
      if (duration) CHECK(Deadline{*duration}.remaining() > 24h);
    }
  }

  TEST_CASE("an empty number is a mistake, never zero") {
    CHECK(mistakes("version: 1\ndatabase: {url: x, expect: {min_version: ''}}\n"
                   "migrations: {directory: d}\n")
              .size() == 1);
  }

  TEST_CASE("an empty duration is a mistake, never no limit") {
    CHECK(mistakes("version: 1\ndatabase: {url: x}\n"
                   "migrations: {directory: d, lock_timeout: '${LOCK_TIMEOUT:-}'}\n")
              .size() == 1);
    CHECK(mistakes(k_smallest + "gate: {timeout: ''}\n").size() == 1);
  }

  TEST_CASE("variables are expanded inside a text") {
    const Variables set{{"A", "one"}, {"B", "two"}, {"EMPTY", ""}, {"a_1", "low"}};
    CHECK(app_of("${A}", set) == "one");
    CHECK(app_of("x-${A}/${B}-y", set) == "x-one/two-y");
    CHECK(app_of("'${a_1}'", set) == "low");
    CHECK(app_of("${EMPTY}", set).empty());
    CHECK(app_of("$A $ {A} $$ $", set) == "$A $ {A} $$ $");
  }

  TEST_CASE("a default stands for a variable that is unset or empty, as in a shell") {
    const Variables set{{"A", "one"}, {"EMPTY", ""}};
    CHECK(app_of("${A:-d}", set) == "one");
    CHECK(app_of("${NOPE:-d}", set) == "d");
    CHECK(app_of("${EMPTY:-d}", set) == "d");
    CHECK(app_of("'${NOPE:-}'", set).empty());
    CHECK(app_of("'${NOPE:-postgresql://h/d?a=b}'", set) == "postgresql://h/d?a=b");
    CHECK(app_of("'${NOPE:-:-}'", set) == ":-");
  }

  TEST_CASE("defaults may hold variables with defaults of their own") {
    const Variables set{{"A", "one"}};
    CHECK(app_of("'${NOPE:-${A}}'", set) == "one");
    CHECK(app_of("'${NOPE:-x${ALSO_NOT:-y${A}}z}'", set) == "xyonez");
    CHECK(app_of("'${A:-${NOT_LOOKED_AT}}'", set) == "one");
    CHECK(app_mistakes("'${NOPE:-${ALSO_NOT}}'", set).size() == 1);
    CHECK(app_of("'${NOPE:-$${A}}'", set) == "${A}");
  }

  TEST_CASE("a required variable that is unset or empty gives the manifest's own message") {
    const Variables set{{"A", "one"}, {"EMPTY", ""}};
    CHECK(app_of("'${A:?needed}'", set) == "one");
    CHECK(app_mistakes("'${NOPE:?set it in Coolify}'", set) ==
          Messages{"m.yaml:6:6: environment variable NOPE is not set: set it in Coolify"});
    CHECK(app_mistakes("'${EMPTY:?set it}'", set).size() == 1);
  }

  TEST_CASE("an escaped variable stays as it is written") {
    CHECK(app_of("'$${A}'", {{"A", "one"}}) == "${A}");
    CHECK(app_of("'$$${A}'", {{"A", "one"}}) == "$${A}");
    CHECK(app_of("'$${A}${A}'", {{"A", "one"}}) == "${A}one");
    CHECK(app_of("'$${'") == "${");
  }

  TEST_CASE("the value of a variable is not expanded again") {
    CHECK(app_of("${A}", {{"A", "${B} $${C} ${"}}) == "${B} $${C} ${");
  }

  TEST_CASE("unset variables and odd expressions are mistakes") {
    CHECK(app_mistakes("'${NOPE}'") ==
          Messages{"m.yaml:6:6: environment variable NOPE is not set; set it, or write "
                   "${NOPE:-default}"});
    CHECK(app_mistakes("'${ONE} ${TWO}'").size() == 2);
    for (const auto* odd : {"${}", "${A-b}", "${A:b}", "${A:+b}", "${A!}", "${ A }", "${:-x}",
                            "${A", "${A:-${B}", "${"}) {
      CAPTURE(std::string{odd});
      CHECK(app_mistakes("'" + std::string{odd} + "'", {{"A", "a"}}).size() == 1);
    }
  }

  TEST_CASE("variables are expanded in lists, maps, checks, numbers, durations and choices") {
    const Variables set{{"X", "x"}, {"N", "15"}, {"D", "7s"}, {"C", "release"}, {"T", "true"}};
    const auto manifest =
        parse("version: 1\n"
              "database: {url: 'postgresql://h/${X}', create: '${T}', "
              "expect: {host: ['${X}', 'a${X}'], min_version: '${N}'}}\n"
              "migrations: {directory: '${X}', tool: command, command: [c, '${X}'], "
              "env: {K: 'v${X}'}, atomic: '${C}', lock_timeout: '${D}'}\n"
              "verify: [{table: '${X}'}]\n",
              set);
    CHECK(manifest.database.url == "postgresql://h/x");
    CHECK(manifest.database.create);
    CHECK(manifest.database.expect.hosts == Messages{"x", "ax"});
    CHECK(manifest.database.expect.min_version == 15);
    CHECK(manifest.migrations.directory == "/srv/shop/x");
    CHECK(manifest.migrations.command == Messages{"c", "x"});
    CHECK(manifest.migrations.env == Variables{{"K", "vx"}});
    CHECK(manifest.migrations.atomic == Atomic::release);
    CHECK(manifest.migrations.lock_timeout == 7s);
    CHECK(manifest.verify.front().text == "x");
  }

  TEST_CASE("a secret is read from a file, without the line end that editors add") {
    const testing::TempDir dir;
    const auto url = dir.write("url", "postgresql://u:p w@h/d\r\n");
    const auto manifest = parse("version: 1\nmigrations: {directory: d}\ndatabase:\n"
                                "  url: {file: " +
                                    url.string() +
                                    "}\n"
                                    "  direct_url: {file: '${SECRETS}/url'}\n",
                                {{"SECRETS", dir.path().string()}});
    CHECK(manifest.database.url == "postgresql://u:p w@h/d");
    CHECK(manifest.database.direct_url == "postgresql://u:p w@h/d");
  }

  TEST_CASE("a dollar sign in a secret file means itself") {
    const testing::TempDir dir;
    const auto url = dir.write("url", "postgresql://u:${A}$$@h/d");
    CHECK(parse("version: 1\nmigrations: {directory: d}\ndatabase: {url: {file: " + url.string() +
                "}}\n")
              .database.url == "postgresql://u:${A}$$@h/d");
  }

  TEST_CASE("a secret file that is missing, empty or a directory is a mistake") {
    const testing::TempDir dir;
    const auto empty = dir.write("empty", "");
    for (const auto& file : {dir.path() / "nope", dir.path(), empty}) {
      CAPTURE(file.string());
      const auto found = mistakes("version: 1\nmigrations: {directory: d}\n"
                                  "database: {url: {file: " +
                                  file.string() + "}}\n");
      REQUIRE(found.size() == 1);
      CHECK(found.front().starts_with("m.yaml:3:24: cannot read the secret file " + file.string()));
    }
    CHECK(mistakes("version: 1\nmigrations: {directory: d}\n"
                   "database: {url: {file: a, files: b}}\n")
              .size() == 1);
    CHECK(mistakes("version: 1\nmigrations: {directory: d}\ndatabase: {url: {file: }}\n").size() ==
          1);
    CHECK(mistakes("version: 1\nmigrations: {directory: d}\ndatabase: {url: {}}\n").size() == 1);
  }

  TEST_CASE("SCHEMAGATE_MODE wins over the file") {
    CHECK(parse(k_smallest + "mode: check\n", {{"SCHEMAGATE_MODE", "off"}}).mode == Mode::off);
    CHECK(parse(k_smallest, {{"SCHEMAGATE_MODE", "check"}}).mode == Mode::check);
    CHECK(parse(k_smallest + "mode: check\n", {{"SCHEMAGATE_MODE", ""}}).mode == Mode::check);
    const auto found = mistakes(k_smallest, {{"SCHEMAGATE_MODE", "of"}});
    REQUIRE(found.size() == 1);
    CHECK(found.front() == contains("did you mean \"off\"?"));
  }

  TEST_CASE(
      "a wrong SCHEMAGATE_MODE is named as the thing to be corrected, and no line of the file") {
    const auto found = mistakes(k_smallest + "mode: apply\n", {{"SCHEMAGATE_MODE", "maybe"}});
    REQUIRE(found.size() == 1);
    CHECK(found.front() == "SCHEMAGATE_MODE must be one of apply, check, off, not \"maybe\"");
  }

  TEST_CASE("true, on and 1 are mode: apply, false and 0 are mode: off, wherever they stand") {
    for (const std::string word : {"true", "True", "TRUE", "on", "1", "apply"}) {
      CAPTURE(word);
      CHECK(parse(k_smallest + "mode: " + word + "\n").mode == Mode::apply);
      CHECK(parse(k_smallest + "mode: check\n", {{"SCHEMAGATE_MODE", word}}).mode == Mode::apply);
    }
    for (const std::string word : {"false", "False", "off", "0"}) {
      CAPTURE(word);
      CHECK(parse(k_smallest + "mode: " + word + "\n").mode == Mode::off);
      CHECK(parse(k_smallest, {{"SCHEMAGATE_MODE", word}}).mode == Mode::off);
    }
    CHECK(parse(k_smallest + "mode: ${AUTO_MIGRATE:-true}\n", {{"AUTO_MIGRATE", "false"}}).mode ==
          Mode::off);
    CHECK(mistakes(k_smallest + "mode: yes\n") ==
          Messages{"m.yaml:6:7: \"mode\" must be one of apply, check, off, not \"yes\""});
  }

  TEST_CASE("tool: command needs a command, and a release or a directory") {
    const auto found = mistakes("version: 1\ndatabase: {url: x}\nmigrations: {tool: command}\n");
    REQUIRE(found.size() == 2);
    CHECK(found[0].ends_with(
        "tool: command needs \"migrations.command\", a list: [program, argument]"));
    CHECK(found[1].ends_with(
        "without \"migrations.directory\" the release needs a name: set \"release\""));
    CHECK(mistakes("version: 1\nrelease: r\ndatabase: {url: x}\n"
                   "migrations: {tool: command, command: [c]}\n")
              .empty());
    CHECK(mistakes("version: 1\ndatabase: {url: x}\n"
                   "migrations: {tool: command, command: [c], directory: d}\n")
              .empty());
    CHECK(mistakes("version: 1\nrelease: r\ndatabase: {url: x}\n"
                   "migrations: {tool: command, command: [c], history: prisma}\n") ==
          Messages{"m.yaml:4:52: a history needs \"migrations.directory\" to compare with"});
    CHECK(
        mistakes("version: 1\nrelease: r\ndatabase: {url: x}\ngate: {match: migrations}\n"
                 "migrations: {tool: command, command: [c]}\n") ==
        Messages{"m.yaml:4:15: match: migrations needs \"migrations.directory\" to compare with"});
    CHECK(mistakes("version: 1\nrelease: r\ndatabase: {url: x}\n"
                   "migrations: {tool: command, command: []}\n")
              .size() == 1);
  }

  TEST_CASE("keys of tool: command are refused where they would have no effect") {
    CHECK(mistakes("version: 1\ndatabase: {url: x}\nmigrations:\n"
                   "  directory: d\n"
                   "  command: [c]\n"
                   "  timeout: 5m\n"
                   "  env: {}\n"
                   "  history: none\n") ==
          Messages{
              "m.yaml:5:12: \"migrations.command\" is only used with tool: command",
              "m.yaml:6:12: \"migrations.timeout\" is only used with tool: command",
              "m.yaml:7:8: \"migrations.env\" is only used with tool: command",
              "m.yaml:8:12: \"migrations.history\" is only used with tool: command",
          });
  }

  TEST_CASE("values that cannot work are refused") {
    CHECK(mistakes(k_smallest + "lease: {ttl: 2999ms}\n").size() == 1);
    CHECK(mistakes(k_smallest + "lease: {ttl: 3s}\n").empty());
    CHECK(mistakes(k_smallest + "gate: {poll: 0}\n").size() == 1);
    CHECK(mistakes("version: 1\nmigrations: {directory: d}\n"
                   "database: {url: x, bookkeeping_schema: ''}\n")
              .size() == 1);
  }

  TEST_CASE("the secret itself never stands in a message") {
    const Variables set{{"DATABASE_URL", "postgresql://u:hunter2@h/d"}};
    for (const auto* rest : {"wait: never", "create: maybe", "expect: []", "urls: x"}) {
      for (const auto& message :
           mistakes("version: 1\ndatabase: {url: '${DATABASE_URL}', " + std::string{rest} + "}\n",
                    set)) {
        CHECK(message != contains("hunter2"));
      }
    }
  }

  TEST_CASE("what a variable holds never stands in a message, whatever key it was put at") {
    const Variables set{{"DATABASE_URL", "postgresql://u:hunter2@h/d"}};
    for (const auto* rest :
         {"url: {file: '${DATABASE_URL}'}", "wait: '${DATABASE_URL}'", "create: '${DATABASE_URL}'",
          "expect: {min_version: '${DATABASE_URL}'}"}) {
      const auto said = mistakes(
          "version: 1\nmigrations: {directory: d}\ndatabase: {" + std::string{rest} + "}\n", set);
      REQUIRE(said.size() == 1);
      CHECK(said[0] != contains("hunter2"));
      CHECK(said[0] == contains("${DATABASE_URL}"));
    }
    const auto said = mistakes(k_smallest + "mode: ${DATABASE_URL}\n", set);
    REQUIRE(said.size() == 1);
    CHECK(said[0] != contains("hunter2"));
  }

  TEST_CASE("a stray comma is a mistake and ends nothing else") {
    CHECK_FALSE(mistakes(",version: 1\n").empty());
    CHECK(mistakes("{version: 1, database: {url: x}, migrations: {directory: d}},\n") ==
          Messages{"m.yaml:1:61: a manifest is one YAML document"});
  }

  TEST_CASE("a mistake is one line, also about a key of several") {
    CHECK(mistakes(k_smallest + "\"a\\nb\": 1\n") ==
          Messages{"m.yaml:6:1: unknown key \"a b\"; did you mean \"app\"?"});
  }

  TEST_CASE("a manifest that cannot be read is a usage failure with a hint") {
    const testing::TempDir dir;
    for (const auto& file : {dir.path() / "nope.yaml", dir.path()}) {
      try {
        (void)read_manifest(file, environment());
        FAIL("no failure");
      } catch (const Failure& failure) {
        CHECK(failure.code() == ExitCode::usage);
        CHECK(failure.what() == contains(file.string()));
        CHECK_FALSE(failure.hint().empty());
      }
    }
    const auto file = dir.write("schemagate.yaml", k_smallest);
    CHECK(read_manifest(file, environment()).migrations.directory ==
          dir.path() / "prisma/migrations");
  }

  TEST_CASE("a manifest from Windows is read like any other") {
    std::string windows = "\xEF\xBB\xBF";
    for (const char c : k_smallest) windows.append(c == '\n' ? "\r\n" : std::string{c});
    CHECK(parse(windows).database.url == "postgresql://localhost/shop");
  }
}
