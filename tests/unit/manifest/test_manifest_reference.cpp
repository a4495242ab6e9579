// docs/manifest.schema.json and docs/manifest.md say what the parser does.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "support/temp_dir.hpp"

using namespace schemagate;
using nlohmann::json;
using Type = ManifestKey::Type;

namespace {

const std::filesystem::path k_docs = std::filesystem::path{SCHEMAGATE_SOURCE_DIR} / "docs";

json schema() { return json::parse(testing::read_text(k_docs / "manifest.schema.json")); }

// Every key that is no section, with its own part of the schema.
void collect(const json& object, const std::string& prefix, std::map<std::string, json>& keys) {
  CHECK_MESSAGE(object.value("additionalProperties", true) == false, prefix);
  const auto type = object.value("type", json{});  // a scalar in its place is its `policy`
  CHECK_MESSAGE((type == "object" || type == json::array({"object", "string"})), prefix);
  CHECK_MESSAGE(!object.value("description", "").empty(), prefix);
  for (const auto& [name, property] : object.at("properties").items()) {
    if (property.contains("properties")) collect(property, prefix + name + ".", keys);
    else keys[prefix + name] = property;
  }
}

std::map<std::string, json> schema_keys() {
  std::map<std::string, json> keys;
  collect(schema(), "", keys);
  return keys;
}

std::string name_of(Type type) {
  switch (type) {
    case Type::integer: return "integer";
    case Type::text: return "text";
    case Type::secret: return "secret";
    case Type::boolean: return "boolean";
    case Type::duration: return "duration";
    case Type::choice: return "choice";
    case Type::list: return "list";
    case Type::map: return "map";
    case Type::checks: return "checks";
    case Type::history: return "history";
    case Type::size: return "size";
    case Type::allowances: return "allowances";
  }
  return "";
}

std::string plain(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Manifest parse(const std::string& yaml) {
  return parse_manifest(yaml, "/srv/m.yaml",
                        [](const std::string& name) -> std::optional<std::string> {
                          if (name == "DATABASE_URL") return "postgresql://h/d";
                          return std::nullopt;
                        });
}

bool accepted(const std::string& yaml) {
  try {
    (void)parse(yaml);
    return true;
  } catch (const Failure&) {
    return false;
  }
}

// The YAML blocks of the page.
std::vector<std::string> examples() {
  std::vector<std::string> blocks;
  bool inside = false;
  for (const auto& line : split(testing::read_text(k_docs / "manifest.md"), '\n')) {
    if (line == "```yaml") blocks.emplace_back();
    if (line.starts_with("```")) inside = line == "```yaml";
    else if (inside) blocks.back() += line + '\n';
  }
  return blocks;
}

// The complete example with the keys that stand in comments, for tool: command, where every key is
// allowed.
std::string complete_example() {
  static const std::regex commented{"^( *)# ( *(?:[a-z_]+:|- ).*)$"};
  std::string yaml;
  for (const auto& line : split(examples().at(1), '\n'))
    yaml += std::regex_replace(line, commented, "$1$2") + '\n';
  return std::regex_replace(yaml, std::regex{"tool: prisma "}, "tool: command ");
}

// "database.url" → the value as it is written. Enough of YAML for an example that parses.
std::map<std::string, std::string> written_keys(const std::string& yaml) {
  static const std::regex pair{"^( *)([a-z_]+):(?: +([^#]*[^# ]))? *(?:#.*)?$"};
  std::map<std::string, std::string> keys;
  std::vector<std::string> path;
  for (const auto& line : split(yaml, '\n')) {
    std::smatch match;
    if (!std::regex_match(line, match, pair)) continue;
    path.resize(static_cast<std::size_t>(match[1].length()) / 2);
    path.push_back(match[2]);
    keys[join(path, ".")] = match[3];
  }
  return keys;
}

}  // namespace

TEST_SUITE("manifest reference") {
  TEST_CASE(
      "the JSON Schema has exactly the parser's keys, each with its type, choices and default") {
    auto keys = schema_keys();
    for (const auto& key : manifest_keys()) {
      const std::string path{key.path};
      CAPTURE(path);
      REQUIRE(keys.contains(path));
      const auto property = keys[path];
      keys.erase(path);
      CHECK_FALSE(property.value("description", "").empty());
      if (path == "version") {
        CHECK(property.at("const") == 1);
        continue;
      }
      if (key.type == Type::choice || key.type == Type::history) {
        CHECK(property.at("anyOf").at(0).at("enum").get<std::vector<std::string>>() ==
              split(key.choices, '|'));
        CHECK(property.at("anyOf").at(1).at("$ref") == "#/$defs/variable");
        if (key.type == Type::history)
          CHECK(property.at("anyOf").at(2).at("$ref") == "#/$defs/history");
      } else {
        CHECK(property.at("$ref") == "#/$defs/" + name_of(key.type));
      }
      CHECK(property.contains("default") == !key.fallback.empty());
      if (property.contains("default")) CHECK(plain(property.at("default")) == key.fallback);
    }
    for (const auto& [path, property] : keys) FAIL_CHECK("not a key of the parser: " << path);
  }

  TEST_CASE("every reference of the JSON Schema leads somewhere, and every definition is used") {
    const auto document = schema();
    CHECK(document.at("$schema") == "https://json-schema.org/draft/2020-12/schema");
    std::set<std::string> used;
    const auto flat = document.flatten();
    for (const auto& [path, value] : flat.items()) {
      if (!path.ends_with("/$ref")) continue;
      const auto target = value.get<std::string>();
      REQUIRE(target.starts_with("#/$defs/"));
      CHECK_MESSAGE(document.contains(json::json_pointer{target.substr(1)}), target);
      used.insert(target.substr(8));
    }
    for (const auto& [name, definition] : document.at("$defs").items())
      CHECK_MESSAGE(used.contains(name), name);
  }

  TEST_CASE("the JSON Schema accepts the parser's durations and variables, and no others") {
    const auto definition = schema().at("$defs").at("duration").at("anyOf");
    CHECK(definition.at(0).at("const") == 0);
    const std::regex pattern{definition.at(1).at("pattern").get<std::string>()};
    for (const std::string text : {"500ms", "5s", "2m", "1h", "0", "0s", "", "5", "5d", "1.5s",
                                   "-1s", "5 s", "+5s", "5S", "1h30m", "s", "five", "5s "}) {
      CAPTURE(std::string{text});
      CHECK(std::regex_search(text, pattern) == parse_duration(text).has_value());
    }
    for (const auto* text : {"${WAIT}", "${WAIT:-5s}", "${N}s", "1${UNIT:-s}"})
      CHECK(std::regex_search(text, pattern));
  }

  TEST_CASE("the JSON Schema accepts the parser's sizes and variables, and no others") {
    const auto definition = schema().at("$defs").at("size").at("anyOf");
    CHECK(definition.at(0).at("type") == "integer");
    const std::regex pattern{definition.at(1).at("pattern").get<std::string>()};
    for (const std::string text : {"500kB", "100MB", "1GB", "2 TB", "2tb", "8192", "0", "7 bytes",
                                   "7B", "", "1PB", "MB", "-1MB", "1.5GB", "1GBs", "1 G", "many"}) {
      CAPTURE(std::string{text});
      CHECK(std::regex_search(text, pattern) == parse_size(text).has_value());
    }
    CHECK(std::regex_search(std::string{"${MAX:-1}GB"}, pattern));
  }

  TEST_CASE("the JSON Schema knows the parser's allowances and their rules") {
    const auto items = schema().at("$defs").at("allowances").at("items");
    CHECK(items.at("additionalProperties") == false);
    CHECK(items.at("required") == json::array({"migration", "rule", "because"}));
    CHECK(items.at("properties").size() == 3);
    CHECK(items.at("properties").at("rule").at("anyOf").at(0).at("enum") == names_of_rules());
    CHECK(items.at("properties").at("because").at("minLength") == 1);
  }

  TEST_CASE("the JSON Schema knows the parser's checks and secrets") {
    const auto definitions = schema().at("$defs");
    const auto& checks = definitions.at("checks").at("items");
    CHECK(checks.at("additionalProperties") == false);
    CHECK(checks.at("minProperties") == 1);
    CHECK(checks.at("maxProperties") == 1);
    const std::string start =
        "version: 1\ndatabase: {url: x}\nmigrations: {directory: d}\nverify: [{";
    for (const auto& [kind, property] : checks.at("properties").items())
      CHECK_MESSAGE(accepted(start + kind + ": a.b}]\n"), kind);
    CHECK(checks.at("properties").size() == 3);
    const auto& secret = definitions.at("secret").at("anyOf");
    CHECK(secret.at(0).at("type") == "string");
    CHECK(secret.at(1).at("required") == json::array({"file"}));
    CHECK(secret.at(1).at("additionalProperties") == false);
  }

  TEST_CASE("the JSON Schema demands and forbids what the parser demands and forbids") {
    const auto document = schema();
    CHECK(document.at("required") == json::array({"version", "migrations"}));
    // A gate that reads a marker file needs no database: what does says so itself.
    CHECK(accepted("version: 1\nmigrations: {directory: d}\n"));
    CHECK_FALSE(accepted("migrations: {directory: d}\n"));
    CHECK_FALSE(accepted("version: 1\n"));
    const auto& migrations = document.at("properties").at("migrations");
    CHECK(migrations.at("then").at("required") == json::array({"command"}));
    const auto& without_tool = migrations.at("else").at("then");
    CHECK(without_tool.at("required") == json::array({"directory"}));
    CHECK(without_tool == migrations.at("else").at("else").at("then"));
    for (const auto& [key, allowed] : without_tool.at("properties").items()) {
      CHECK(allowed == false);
      const auto value = key == "command"   ? "[c]"
                         : key == "env"     ? "{}"
                         : key == "timeout" ? "5m"
                                            : "none";
      CHECK_FALSE(accepted("version: 1\ndatabase: {url: x}\nmigrations: {directory: d, " + key +
                           ": " + value + "}\n"));
    }
  }

  TEST_CASE("the smallest manifest of the page is accepted") {
    REQUIRE(examples().size() == 3);
    CHECK(accepted(examples().at(0)));
  }

  TEST_CASE("the page's table of a command's own is accepted") {
    const auto manifest =
        parse("version: 1\ndatabase: {url: \"postgresql://h/d\"}\n" + examples().at(2));
    CHECK(manifest.migrations.history.table == "schema_migrations");
    CHECK(manifest.migrations.history.key == "version");
    CHECK(manifest.migrations.history.files == R"(([0-9]+)_[^/]*\.rb)");
  }

  TEST_CASE("the complete example of the page is accepted as it stands, and changes nothing") {
    const auto shown = parse(examples().at(1));
    const auto smallest = parse(examples().at(0));
    CHECK(shown.app == smallest.app);
    CHECK(shown.release == smallest.release);
    CHECK(shown.mode == smallest.mode);
    CHECK(shown.database.url == smallest.database.url);
    CHECK(shown.database.wait == smallest.database.wait);
    CHECK(shown.database.bookkeeping_schema == smallest.database.bookkeeping_schema);
    CHECK(shown.lease.ttl == smallest.lease.ttl);
    CHECK(shown.lease.wait == smallest.lease.wait);
    CHECK(shown.migrations.directory == smallest.migrations.directory);
    CHECK(shown.migrations.lock_timeout == smallest.migrations.lock_timeout);
    CHECK(shown.migrations.lock_retry == smallest.migrations.lock_retry);
    CHECK(shown.migrations.statement_timeout == smallest.migrations.statement_timeout);
    CHECK(shown.gate.timeout == smallest.gate.timeout);
    CHECK(shown.gate.poll == smallest.gate.poll);
  }

  TEST_CASE(
      "every key of the parser stands in the complete example of the page, with its default") {
    const auto yaml = complete_example();
    try {
      (void)parse(yaml);
    } catch (const Failure& failure) {
      FAIL_CHECK(failure.what() << "\n" << yaml);
    }
    const auto written = written_keys(yaml);
    for (const auto& key : manifest_keys()) {
      const std::string path{key.path};
      CAPTURE(path);
      REQUIRE(written.contains(path));
      if (key.fallback.empty() || path == "migrations.tool") continue;
      CHECK(written.at(path) == key.fallback);
    }
  }

  TEST_CASE("every choice is named in the page beside its key") {
    for (const auto& key : manifest_keys()) {
      if (key.type != Type::choice && key.type != Type::history) continue;
      const std::string name{key.path.substr(key.path.rfind('.') + 1)};
      const auto lines = split(complete_example(), '\n');
      for (const auto& choice : split(key.choices, '|')) {
        CAPTURE(key.path);
        CAPTURE(choice);
        CHECK(std::any_of(lines.begin(), lines.end(), [&](const auto& line) {
          return trim(line).starts_with(name + ": ") &&
                 std::regex_search(line, std::regex{"\\b" + choice + "\\b"});
        }));
      }
    }
  }
}
