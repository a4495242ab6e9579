#include "schemagate/manifest/manifest.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <type_traits>

#include "schemagate/manifest/manifest_reader.hpp"
#include "schemagate/manifest/schema_name.hpp"

namespace schemagate {
namespace {

using Type = ManifestKey::Type;

void read_mode(Manifest& manifest, ManifestReader& reader, const std::string& key) {
  // An app's own AUTO_MIGRATE=true is taken as it is.
  manifest.mode = static_cast<Mode>(reader.choice(
      key, "SCHEMAGATE_MODE",
      {{"true", "apply"}, {"on", "apply"}, {"1", "apply"}, {"false", "off"}, {"0", "off"}}));
}

void read_connect_timeout(Manifest& manifest, ManifestReader& reader, const std::string& key) {
  if (reader.given(key))
    manifest.database.connect_timeout =
        std::chrono::ceil<std::chrono::seconds>(reader.duration(key));
}

void read_directory(Manifest& manifest, ManifestReader& reader, const std::string& key) {
  if (const auto directory = reader.text(key); !directory.empty())
    manifest.migrations.directory =
        std::filesystem::absolute(manifest.file).parent_path() / directory;
}

void read_history(Manifest& manifest, ManifestReader& reader, const std::string& key) {
  manifest.migrations.history = reader.history(key);
}

// A row says everything about a key: its name, its default, what may stand there, and its place in
// the manifest (`Field`: the member, by way of its section's).
template <Type type, auto Read, auto... Field>
constexpr ManifestKey row(std::string_view path, std::string_view fallback) {
  return {path, type, fallback, "",
          [](Manifest& manifest, ManifestReader& reader, const std::string& key) {
            (manifest.*....*Field) = (reader.*Read)(key);
          }};
}
template <auto... Field> constexpr auto& text = row<Type::text, &ManifestReader::text, Field...>;
template <auto... Field>
constexpr auto& secret = row<Type::secret, &ManifestReader::secret, Field...>;
template <auto... Field>
constexpr auto& integer = row<Type::integer, &ManifestReader::integer, Field...>;
template <auto... Field>
constexpr auto& boolean = row<Type::boolean, &ManifestReader::boolean, Field...>;
template <auto... Field>
constexpr auto& duration = row<Type::duration, &ManifestReader::duration, Field...>;
template <auto... Field> constexpr auto& size = row<Type::size, &ManifestReader::size, Field...>;
template <auto... Field>
constexpr auto& allowances = row<Type::allowances, &ManifestReader::allowances, Field...>;
template <auto... Field> constexpr auto& list = row<Type::list, &ManifestReader::list, Field...>;
template <auto... Field> constexpr auto& map = row<Type::map, &ManifestReader::map, Field...>;
template <auto... Field>
constexpr auto& checks = row<Type::checks, &ManifestReader::checks, Field...>;
template <auto... Field>
constexpr ManifestKey choice(std::string_view path, std::string_view fallback,
                             std::string_view choices) {
  return {path, Type::choice, fallback, choices,
          [](Manifest& manifest, ManifestReader& reader, const std::string& key) {
            auto& field = (manifest.*....*Field);
            field = static_cast<std::remove_reference_t<decltype(field)>>(reader.choice(key));
          }};
}

using Database = Manifest::Database;
using Migrations = Manifest::Migrations;

constexpr auto k_keys = std::to_array<ManifestKey>({
    integer<&Manifest::version>("version", ""),
    text<&Manifest::app>("app", "default"),
    text<&Manifest::release>("release", ""),
    {"mode", Type::choice, "apply", "apply|check|off", read_mode},
    secret<&Manifest::database, &Database::url>("database.url", ""),
    secret<&Manifest::database, &Database::direct_url>("database.direct_url", ""),
    duration<&Manifest::database, &Database::wait>("database.wait", "2m"),
    {"database.connect_timeout", Type::duration, "", "", read_connect_timeout},
    boolean<&Manifest::database, &Database::create>("database.create", "false"),
    text<&Manifest::database, &Database::bookkeeping_schema>("database.bookkeeping_schema",
                                                             "schemagate"),
    text<&Manifest::database, &Database::expect, &Database::Expect::name>("database.expect.name",
                                                                          ""),
    list<&Manifest::database, &Database::expect, &Database::Expect::hosts>("database.expect.host",
                                                                           ""),
    integer<&Manifest::database, &Database::expect, &Database::Expect::min_version>(
        "database.expect.min_version", ""),
    duration<&Manifest::database, &Database::expect, &Database::Expect::max_lag>(
        "database.expect.max_lag", ""),
    text<&Manifest::lease, &Manifest::Lease::name>("lease.name", ""),
    duration<&Manifest::lease, &Manifest::Lease::ttl>("lease.ttl", "30s"),
    duration<&Manifest::lease, &Manifest::Lease::wait>("lease.wait", "10m"),
    choice<&Manifest::lease, &Manifest::Lease::allow_unfenced>("lease.unfenced", "refuse",
                                                               "refuse|allow"),
    choice<&Manifest::migrations, &Migrations::tool>("migrations.tool", "prisma", "prisma|command"),
    {"migrations.directory", Type::text, "", "", read_directory},
    text<&Manifest::migrations, &Migrations::schema>("migrations.schema", ""),
    boolean<&Manifest::migrations, &Migrations::allow_empty>("migrations.allow_empty", "false"),
    choice<&Manifest::migrations, &Migrations::atomic>("migrations.atomic", "migration",
                                                       "migration|release"),
    duration<&Manifest::migrations, &Migrations::lock_timeout>("migrations.lock_timeout", "5s"),
    duration<&Manifest::migrations, &Migrations::lock_retry>("migrations.lock_retry", "2m"),
    duration<&Manifest::migrations, &Migrations::statement_timeout>("migrations.statement_timeout",
                                                                    "0"),
    duration<&Manifest::migrations, &Migrations::gap_wait>("migrations.gap_wait", "30s"),
    choice<&Manifest::migrations, &Migrations::out_of_order>("migrations.out_of_order", "warn",
                                                             "fail|warn|allow"),
    choice<&Manifest::migrations, &Migrations::edited>("migrations.edited", "fail",
                                                       "fail|warn|allow"),
    choice<&Manifest::migrations, &Migrations::missing>("migrations.missing", "warn",
                                                        "fail|warn|allow"),
    choice<&Manifest::migrations, &Migrations::repair>("migrations.repair", "auto", "auto|off"),
    boolean<&Manifest::migrations, &Migrations::verify_each>("migrations.verify_each", "false"),
    list<&Manifest::migrations, &Migrations::command>("migrations.command", ""),
    duration<&Manifest::migrations, &Migrations::timeout>("migrations.timeout", "30m"),
    map<&Manifest::migrations, &Migrations::env>("migrations.env", ""),
    {"migrations.history", Type::history, "none",
     "none|prisma|django|rails|alembic|laravel|knex|typeorm|sequelize", read_history},
    checks<&Manifest::verify>("verify", ""),
    choice<&Manifest::gate, &Manifest::Gate::match>("gate.match", "release", "release|migrations"),
    duration<&Manifest::gate, &Manifest::Gate::timeout>("gate.timeout", "10m"),
    duration<&Manifest::gate, &Manifest::Gate::poll>("gate.poll", "1s"),
    text<&Manifest::marker_file>("marker.file", ""),
    choice<&Manifest::drift, &Manifest::Drift::policy>("policy.drift", "warn", "warn|fail|off"),
    choice<&Manifest::policy, &Policies::destructive>("policy.destructive", "warn",
                                                      "fail|warn|allow"),
    choice<&Manifest::policy, &Policies::blocking, &Policies::Blocking::policy>(
        "policy.blocking.policy", "warn", "fail|warn|allow"),
    size<&Manifest::policy, &Policies::blocking, &Policies::Blocking::max_table_bytes>(
        "policy.blocking.max_table", "100MB"),
    allowances<&Manifest::policy, &Policies::allow>("policy.allow", ""),
    list<&Manifest::drift, &Manifest::Drift::ignore>("drift.ignore", ""),
    secret<&Manifest::scratch, &Manifest::Scratch::url>("scratch.url", ""),
    boolean<&Manifest::scratch, &Manifest::Scratch::off>("scratch.off", "false"),
});

// What no single key shows. A key that is wrong already is not complained about twice.
void check_consistency(const Manifest& manifest, ManifestReader& reader) {
  const auto require = [&](bool holds, const std::string& path, const std::string& message) {
    if (!holds && reader.is_good(path)) reader.complain(path, message);
  };
  const auto& migrations = manifest.migrations;
  const bool has_directory =
      !migrations.directory.empty() || !reader.is_good("migrations.directory");
  require(reader.given("version"), "version", "\"version: 1\" is missing");
  require(manifest.version == 1, "version", "this schemagate reads manifests of version 1");
  require(manifest.lease.ttl >= std::chrono::seconds{3}, "lease.ttl",
          "\"lease.ttl\" must be at least 3s: it is renewed every third of it");
  require(manifest.gate.poll > Milliseconds::zero(), "gate.poll",
          "\"gate.poll\" must be more than 0");
  const auto require_schema = [&](const std::string& path, const std::string& name) {
    const auto wrong = wrong_with_schema(name);
    require(wrong.empty(), path, fmt::format("\"{}\" {}", path, wrong));
  };
  require_schema("database.bookkeeping_schema", manifest.database.bookkeeping_schema);
  if (!migrations.schema.empty()) require_schema("migrations.schema", migrations.schema);
  if (migrations.tool == Tool::command) {
    require(!migrations.command.empty(), "migrations.command",
            "tool: command needs \"migrations.command\", a list: [program, argument]");
    require(has_directory || !manifest.release.empty(), "release",
            "without \"migrations.directory\" the release needs a name: set \"release\"");
    require(has_directory || manifest.gate.match != GateMatch::migrations, "gate.match",
            "match: migrations needs \"migrations.directory\" to compare with");
    require(has_directory || migrations.history.is_none(), "migrations.history",
            "a history needs \"migrations.directory\" to compare with");
    for (const auto& [policy, path] :
         {std::pair{manifest.policy.destructive, "policy.destructive"},
          std::pair{manifest.policy.blocking.policy, "policy.blocking.policy"}})
      require(policy != Policy::fail, path,
              fmt::format("\"{}\" cannot be fail with tool: command: what a command will do cannot "
                          "be foreseen",
                          path));
    return;
  }
  require(has_directory, "migrations.directory",
          "\"migrations.directory\" is missing (for Prisma: prisma/migrations)");
  for (const auto* key :
       {"migrations.command", "migrations.timeout", "migrations.env", "migrations.history"}) {
    require(!reader.given(key), key, fmt::format("\"{}\" is only used with tool: command", key));
  }
}

}  // namespace

std::span<const ManifestKey> manifest_keys() { return k_keys; }

std::optional<Milliseconds> parse_duration(std::string_view text) {
  // PostgreSQL's own time-outs are 32 bits of milliseconds: 24 days.
  constexpr Milliseconds k_most{std::numeric_limits<std::int32_t>::max()};
  std::int32_t number = 0;
  const auto* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  if (error != std::errc{} || number < 0) return std::nullopt;
  const std::string_view unit{end, static_cast<std::size_t>(last - end)};
  std::optional<Milliseconds> duration;
  if (unit == "ms") duration = Milliseconds{number};
  if (unit == "s") duration = std::chrono::seconds{number};
  if (unit == "m") duration = std::chrono::minutes{number};
  if (unit == "h") duration = std::chrono::hours{number};
  if (unit.empty() && number == 0) duration = Milliseconds::zero();
  return duration && *duration <= k_most ? duration : std::nullopt;
}

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>{value};
  };
}

Manifest parse_manifest(const std::string& yaml, const std::filesystem::path& file,
                        const Environment& environment) {
  ManifestReader reader{yaml, file, environment, k_keys};
  Manifest manifest;
  manifest.file = file;
  for (const auto& key : k_keys) key.read(manifest, reader, std::string{key.path});
  check_consistency(manifest, reader);
  reader.throw_mistakes();
  manifest.variables = reader.variables();
  return manifest;
}

std::string as_written(std::string text, const Variables& variables) {
  // A shorter value would be found in ordinary words.
  constexpr std::size_t k_size_min = 3;
  std::vector<std::pair<std::string, std::string>> longest_first{variables.begin(),
                                                                 variables.end()};
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  for (const auto& [value, name] : longest_first) {
    if (value.size() < k_size_min) break;
    for (auto at = text.find(value); at != std::string::npos;
         at = text.find(value, at + name.size()))
      text.replace(at, value.size(), name);
  }
  return text;
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
