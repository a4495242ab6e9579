#include "schemagate/manifest.hpp"

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "schemagate/text.hpp"

namespace schemagate {
namespace {

using Type = ManifestKey::Type;

constexpr auto k_keys = std::to_array<ManifestKey>({
    {"version", Type::integer, "", ""},
    {"app", Type::text, "default", ""},
    {"release", Type::text, "", ""},
    {"mode", Type::choice, "apply", "apply|check|off"},
    {"database.url", Type::secret, "", ""},
    {"database.direct_url", Type::secret, "", ""},
    {"database.wait", Type::duration, "2m", ""},
    {"database.connect_timeout", Type::duration, "", ""},
    {"database.create", Type::boolean, "false", ""},
    {"database.bookkeeping_schema", Type::text, "schemagate", ""},
    {"database.expect.name", Type::text, "", ""},
    {"database.expect.host", Type::list, "", ""},
    {"database.expect.min_version", Type::integer, "", ""},
    {"lease.name", Type::text, "", ""},
    {"lease.ttl", Type::duration, "30s", ""},
    {"lease.wait", Type::duration, "10m", ""},
    {"lease.unfenced", Type::choice, "refuse", "refuse|allow"},
    {"migrations.tool", Type::choice, "prisma", "prisma|command"},
    {"migrations.directory", Type::text, "", ""},
    {"migrations.schema", Type::text, "", ""},
    {"migrations.allow_empty", Type::boolean, "false", ""},
    {"migrations.atomic", Type::choice, "migration", "migration|release"},
    {"migrations.lock_timeout", Type::duration, "5s", ""},
    {"migrations.lock_retry", Type::duration, "2m", ""},
    {"migrations.statement_timeout", Type::duration, "0", ""},
    {"migrations.out_of_order", Type::choice, "warn", "fail|warn|allow"},
    {"migrations.edited", Type::choice, "fail", "fail|warn|allow"},
    {"migrations.missing", Type::choice, "warn", "fail|warn|allow"},
    {"migrations.command", Type::list, "", ""},
    {"migrations.timeout", Type::duration, "30m", ""},
    {"migrations.env", Type::map, "", ""},
    {"migrations.history", Type::choice, "none", "none|prisma"},
    {"verify", Type::checks, "", ""},
    {"gate.match", Type::choice, "release", "release|migrations"},
    {"gate.timeout", Type::duration, "10m", ""},
    {"gate.poll", Type::duration, "1s", ""},
    {"marker.file", Type::text, "", ""},
});

struct Problem {
  int line;
  int column;
  std::string message;
};

const ManifestKey* find_key(const std::string& path) {
  const auto* found = std::find_if(k_keys.begin(), k_keys.end(),
                                   [&](const auto& key) { return key.path == path; });
  return found == k_keys.end() ? nullptr : &*found;
}

bool is_section(const std::string& path) {
  return std::any_of(k_keys.begin(), k_keys.end(), [&](const auto& key) {
    return key.path.starts_with(path + ".");
  });
}

std::vector<std::string> names_below(const std::string& section) {
  std::set<std::string> names;
  for (const auto& key : k_keys) {
    if (!key.path.starts_with(section)) continue;
    const auto rest = key.path.substr(section.size());
    names.emplace(rest.substr(0, rest.find('.')));
  }
  return {names.begin(), names.end()};
}

class Loader {
 public:
  Loader(const std::filesystem::path& file, const Environment& environment)
      : file_{file}, environment_{environment} {}

  Manifest load(const std::string& yaml);

 private:
  void walk(const YAML::Node& map, const std::string& section);
  void complain(const YAML::Mark& mark, const std::string& message) {
    problems_.push_back({mark.line + 1, mark.column + 1, message});
  }
  void complain(const std::string& path, const std::string& message);
  [[nodiscard]] Failure failure();

  std::optional<std::string> expand(const YAML::Node& node, const std::string& text);
  std::optional<std::string> variable(const YAML::Node& node, const std::string& expression);
  std::optional<std::string> scalar(const YAML::Node& node, const std::string& what);
  std::string raw(const std::string& path);  // expanded text or the table's default

  std::string text(const std::string& path) { return raw(path); }
  std::string secret(const std::string& path);
  Milliseconds duration(const std::string& path);
  int integer(const std::string& path);
  bool boolean(const std::string& path);
  std::size_t choice(const std::string& path);
  std::vector<std::string> list(const std::string& path);
  std::map<std::string, std::string> map(const std::string& path);
  std::vector<Check> checks(const std::string& path);
  [[nodiscard]] bool given(const std::string& path) const { return nodes_.contains(path); }

  void fill_database(Manifest::Database& database);
  void fill_migrations(Manifest::Migrations& migrations);
  void check_consistency(const Manifest& manifest);

  std::filesystem::path file_;
  const Environment& environment_;
  std::map<std::string, YAML::Node> nodes_;
  std::vector<Problem> problems_;
};

void Loader::complain(const std::string& path, const std::string& message) {
  const auto found = nodes_.find(path);
  complain(found == nodes_.end() ? YAML::Mark{} : found->second.Mark(), message);
}

Failure Loader::failure() {
  std::stable_sort(problems_.begin(), problems_.end(), [](const auto& a, const auto& b) {
    return std::pair{a.line, a.column} < std::pair{b.line, b.column};
  });
  std::string all;
  for (const auto& [line, column, message] : problems_) {
    if (!all.empty()) all += '\n';
    all += fmt::format("{}:{}:{}: {}", file_.string(), line, column, message);
  }
  return {ExitCode::usage, all, "every key is described in docs/manifest.md"};
}

void Loader::walk(const YAML::Node& map, const std::string& section) {
  std::set<std::string> seen;
  for (const auto& entry : map) {
    if (!entry.first.IsScalar()) {
      complain(entry.first.Mark(), "a key must be plain text");
      continue;
    }
    const auto name = entry.first.Scalar();
    const auto path = section + name;
    if (!seen.insert(name).second) {
      complain(entry.first.Mark(), fmt::format("duplicate key \"{}\"", path));
    } else if (find_key(path) != nullptr) {
      nodes_.emplace(path, entry.second);
    } else if (!is_section(path)) {
      const auto meant = closest(name, names_below(section));
      complain(entry.first.Mark(),
               fmt::format("unknown key \"{}\"{}", path,
                           meant.empty() ? "" : fmt::format("; did you mean \"{}{}\"?", section, meant)));
    } else if (!entry.second.IsMap()) {
      complain(entry.first.Mark(), fmt::format("\"{}\" must be a mapping of keys", path));
    } else {
      walk(entry.second, path + ".");
    }
  }
}

// `expression` is what stands between ${ and }.
std::optional<std::string> Loader::variable(const YAML::Node& node, const std::string& expression) {
  const auto name_end = expression.find_first_not_of(
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
  const auto name = expression.substr(0, name_end);
  const auto rest = name_end == std::string::npos ? "" : expression.substr(name_end);
  if (name.empty() || !(rest.empty() || rest.starts_with(":-") || rest.starts_with(":?"))) {
    complain(node.Mark(), fmt::format("${{{}}} is not understood; write ${{NAME}}, ${{NAME:-default}} "
                                      "or ${{NAME:?message}}", expression));
    return std::nullopt;
  }
  const auto value = environment_(name);
  if (rest.empty() ? value.has_value() : value.has_value() && !value->empty()) return value;
  if (rest.starts_with(":-")) return expand(node, rest.substr(2));
  if (rest.empty()) {
    complain(node.Mark(), fmt::format("environment variable {0} is not set; set it, or write "
                                      "${{{0}:-default}}", name));
  } else {
    complain(node.Mark(), fmt::format("environment variable {} is not set: {}", name, rest.substr(2)));
  }
  return std::nullopt;
}

std::optional<std::string> Loader::expand(const YAML::Node& node, const std::string& text) {
  std::string expanded;
  bool good = true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 3, "$${") == 0) {  // an escaped ${
      expanded += "${";
      i += 2;
      continue;
    }
    if (text.compare(i, 2, "${") != 0) {
      expanded += text[i];
      continue;
    }
    std::size_t end = i + 2;
    for (int depth = 1; end < text.size(); ++end) {
      if (text.compare(end, 2, "${") == 0) ++depth;
      if (text[end] == '}' && --depth == 0) break;
    }
    if (end >= text.size()) {
      complain(node.Mark(), "${ without its }");
      return std::nullopt;
    }
    const auto value = variable(node, text.substr(i + 2, end - i - 2));
    good = good && value.has_value();
    expanded += value.value_or("");
    i = end;
  }
  return good ? std::optional{expanded} : std::nullopt;
}

std::optional<std::string> Loader::scalar(const YAML::Node& node, const std::string& what) {
  if (node.IsScalar()) return expand(node, node.Scalar());
  complain(node.Mark(), node.IsNull() ? fmt::format("\"{}\" has no value", what)
                                      : fmt::format("\"{}\" must be a single value", what));
  return std::nullopt;
}

std::string Loader::raw(const std::string& path) {
  const auto found = nodes_.find(path);
  const std::string fallback{find_key(path)->fallback};
  if (found == nodes_.end()) return fallback;
  return scalar(found->second, path).value_or(fallback);
}

std::string Loader::secret(const std::string& path) {
  const auto found = nodes_.find(path);
  if (found == nodes_.end()) return {};
  const auto& node = found->second;
  if (!node.IsMap()) return trim(scalar(node, path).value_or(""));
  const auto file_node = node["file"];
  if (node.size() != 1 || !file_node) {
    complain(node.Mark(), fmt::format("\"{}\" takes a text or {{file: PATH}}", path));
    return {};
  }
  const auto name = scalar(file_node, path + ".file");
  if (!name) return {};
  std::ifstream stream{*name, std::ios::binary};
  std::ostringstream content;
  if (!stream || !(content << stream.rdbuf())) {
    complain(file_node.Mark(), fmt::format("cannot read the secret file {} (missing, empty, or no "
                                           "permission)", *name));
    return {};
  }
  return trim(content.str());
}

Milliseconds Loader::duration(const std::string& path) {
  const auto given_text = raw(path);
  if (given_text.empty()) return {};
  if (const auto parsed = parse_duration(given_text)) return *parsed;
  complain(path, fmt::format("\"{}\" is not a duration; write for example 500ms, 30s, 2m or 1h "
                             "(\"{}\")", given_text, path));
  return {};
}

int Loader::integer(const std::string& path) {
  const auto given_text = raw(path);
  if (given_text.empty()) return 0;
  int number = 0;
  const auto [end, error] =
      std::from_chars(given_text.data(), given_text.data() + given_text.size(), number);
  if (error == std::errc{} && end == given_text.data() + given_text.size()) return number;
  complain(path, fmt::format("\"{}\" must be a whole number, not \"{}\"", path, given_text));
  return 0;
}

bool Loader::boolean(const std::string& path) {
  const auto given_text = raw(path);
  if (given_text != "true" && given_text != "false")
    complain(path, fmt::format("\"{}\" must be true or false, not \"{}\"", path, given_text));
  return given_text == "true";
}

std::size_t Loader::choice(const std::string& path) {
  auto value = raw(path);
  // Set for one deploy by the platform, without editing the file.
  if (const auto forced = environment_("SCHEMAGATE_MODE"); path == "mode" && forced && !forced->empty())
    value = *forced;
  const auto choices = split(find_key(path)->choices, '|');
  const auto found = std::find(choices.begin(), choices.end(), value);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  const auto meant = closest(value, choices);
  complain(path, fmt::format("\"{}\" must be one of {}, not \"{}\"{}", path, join(choices, ", "), value,
                             meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant)));
  return 0;
}

std::vector<std::string> Loader::list(const std::string& path) {
  const auto found = nodes_.find(path);
  if (found == nodes_.end()) return {};
  const auto& node = found->second;
  if (!node.IsSequence()) {
    complain(node.Mark(), fmt::format("\"{0}\" must be a list: [a, b]", path));
    return {};
  }
  std::vector<std::string> items;
  for (const auto& item : node) items.push_back(scalar(item, path).value_or(""));
  return items;
}

std::map<std::string, std::string> Loader::map(const std::string& path) {
  const auto found = nodes_.find(path);
  if (found == nodes_.end()) return {};
  if (!found->second.IsMap()) {
    complain(path, fmt::format("\"{}\" must be a mapping: {{NAME: value}}", path));
    return {};
  }
  std::map<std::string, std::string> values;
  for (const auto& entry : found->second) {
    const auto name = entry.first.Scalar();
    if (!values.emplace(name, scalar(entry.second, path + "." + name).value_or("")).second)
      complain(entry.first.Mark(), fmt::format("duplicate key \"{}.{}\"", path, name));
  }
  return values;
}

std::vector<Check> Loader::checks(const std::string& path) {
  const auto found = nodes_.find(path);
  if (found == nodes_.end()) return {};
  if (!found->second.IsSequence()) {
    complain(path, "\"verify\" must be a list of checks");
    return {};
  }
  std::vector<Check> checks;
  for (const auto& item : found->second) {
    const auto kind = item.IsMap() && item.size() == 1 && item.begin()->first.IsScalar()
                          ? item.begin()->first.Scalar()
                          : "";
    if (kind != "column" && kind != "table" && kind != "sql") {
      complain(item.Mark(), "a check is one of column: TABLE.COLUMN, table: TABLE, sql: QUERY");
      continue;
    }
    const auto what = scalar(item.begin()->second, "verify." + kind).value_or("");
    if (kind == "column" && what.find('.') == std::string::npos)
      complain(item.begin()->second.Mark(), "a column check is written TABLE.COLUMN");
    checks.push_back({kind == "column"  ? Check::Kind::column
                      : kind == "table" ? Check::Kind::table
                                        : Check::Kind::sql,
                      what});
  }
  return checks;
}

void Loader::fill_database(Manifest::Database& database) {
  database.url = secret("database.url");
  database.direct_url = secret("database.direct_url");
  database.wait = duration("database.wait");
  if (given("database.connect_timeout")) {
    database.connect_timeout =
        std::chrono::ceil<std::chrono::seconds>(duration("database.connect_timeout"));
  }
  database.create = boolean("database.create");
  database.bookkeeping_schema = text("database.bookkeeping_schema");
  database.expect = {.name = text("database.expect.name"),
                     .hosts = list("database.expect.host"),
                     .min_version = integer("database.expect.min_version")};
}

void Loader::fill_migrations(Manifest::Migrations& migrations) {
  migrations.tool = static_cast<Tool>(choice("migrations.tool"));
  if (const auto directory = text("migrations.directory"); !directory.empty())
    migrations.directory = std::filesystem::absolute(file_).parent_path() / directory;
  migrations.schema = text("migrations.schema");
  migrations.allow_empty = boolean("migrations.allow_empty");
  migrations.atomic = static_cast<Atomic>(choice("migrations.atomic"));
  migrations.lock_timeout = duration("migrations.lock_timeout");
  migrations.lock_retry = duration("migrations.lock_retry");
  migrations.statement_timeout = duration("migrations.statement_timeout");
  migrations.out_of_order = static_cast<Policy>(choice("migrations.out_of_order"));
  migrations.edited = static_cast<Policy>(choice("migrations.edited"));
  migrations.missing = static_cast<Policy>(choice("migrations.missing"));
  migrations.command = list("migrations.command");
  migrations.timeout = duration("migrations.timeout");
  migrations.env = map("migrations.env");
  migrations.prisma_history = choice("migrations.history") == 1;
}

void Loader::check_consistency(const Manifest& manifest) {
  const auto& migrations = manifest.migrations;
  if (!given("version")) complain(YAML::Mark{}, "\"version: 1\" is missing");
  else if (integer("version") != 1) complain("version", "this schemagate reads manifests of version 1");
  if (migrations.tool == Tool::command) {
    if (migrations.command.empty())
      complain("migrations.tool", "tool: command needs \"migrations.command\", a list: [program, argument]");
    if (manifest.release.empty() && migrations.directory.empty()) {
      complain("migrations.tool", "without \"migrations.directory\" the release needs a name: set \"release\"");
    }
    if (migrations.prisma_history && migrations.directory.empty())
      complain("migrations.history", "history: prisma needs \"migrations.directory\" to compare with");
  } else {
    if (migrations.directory.empty())
      complain("migrations.tool", "\"migrations.directory\" is missing (for Prisma: prisma/migrations)");
    for (const auto* key : {"migrations.command", "migrations.timeout", "migrations.env",
                            "migrations.history"}) {
      if (given(key)) complain(key, fmt::format("\"{}\" is only used with tool: command", key));
    }
  }
  if (manifest.lease.ttl < std::chrono::seconds{3})
    complain("lease.ttl", "\"lease.ttl\" must be at least 3s: it is renewed every third of it");
  if (manifest.gate.poll <= Milliseconds::zero())
    complain("gate.poll", "\"gate.poll\" must be more than 0");
  if (manifest.database.bookkeeping_schema.empty())
    complain("database.bookkeeping_schema", "\"database.bookkeeping_schema\" must not be empty");
}

Manifest Loader::load(const std::string& yaml) {
  YAML::Node root;
  try {
    root = YAML::Load(yaml);
  } catch (const YAML::Exception& e) {
    complain(e.mark, e.msg);
    throw failure();
  }
  if (!root.IsMap()) {
    complain(YAML::Mark{}, "a manifest is a mapping; the smallest one has version, database.url and "
                           "migrations.directory");
    throw failure();
  }
  walk(root, "");

  Manifest manifest;
  manifest.file = file_;
  manifest.app = text("app");
  manifest.release = text("release");
  manifest.mode = static_cast<Mode>(choice("mode"));
  fill_database(manifest.database);
  manifest.lease = {.name = text("lease.name"),
                    .ttl = duration("lease.ttl"),
                    .wait = duration("lease.wait"),
                    .allow_unfenced = choice("lease.unfenced") == 1};
  fill_migrations(manifest.migrations);
  manifest.verify = checks("verify");
  manifest.gate = {.match = static_cast<GateMatch>(choice("gate.match")),
                   .timeout = duration("gate.timeout"),
                   .poll = duration("gate.poll")};
  manifest.marker_file = text("marker.file");
  check_consistency(manifest);
  if (!problems_.empty()) throw failure();
  return manifest;
}

}  // namespace

std::span<const ManifestKey> manifest_keys() { return k_keys; }

std::optional<Milliseconds> parse_duration(std::string_view text) {
  long number = 0;
  const auto* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  const std::string_view unit{end, static_cast<std::size_t>(last - end)};
  constexpr long k_most = 1'000'000'000;  // 11 days in ms, 31 years in s: far beyond any deploy
  if (error != std::errc{} || number < 0 || number > k_most) return std::nullopt;
  if (unit == "ms") return Milliseconds{number};
  if (unit == "s") return std::chrono::seconds{number};
  if (unit == "m") return std::chrono::minutes{number};
  if (unit == "h") return std::chrono::hours{number};
  if (unit.empty() && number == 0) return Milliseconds::zero();
  return std::nullopt;
}

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>{value};
  };
}

Manifest parse_manifest(const std::string& yaml, const std::filesystem::path& file,
                        const Environment& environment) {
  return Loader{file, environment}.load(yaml);
}

Manifest read_manifest(const std::filesystem::path& file, const Environment& environment) {
  std::ifstream stream{file, std::ios::binary};
  std::ostringstream content;
  if (!stream || std::filesystem::is_directory(file)) {
    throw Failure{ExitCode::usage, fmt::format("cannot read the manifest {}", file.string()),
                  "name it with -f FILE or in $SCHEMAGATE_MANIFEST"};
  }
  content << stream.rdbuf();
  return parse_manifest(content.str(), file, environment);
}

}  // namespace schemagate
