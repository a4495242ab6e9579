#include "schemagate/manifest/manifest.hpp"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

#include "schemagate/manifest/manifest_reader.hpp"

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
    {"migrations.repair", Type::choice, "auto", "auto|off"},
    {"migrations.command", Type::list, "", ""},
    {"migrations.timeout", Type::duration, "30m", ""},
    {"migrations.env", Type::map, "", ""},
    {"migrations.history", Type::history, "none",
     "none|prisma|django|rails|alembic|laravel|knex|typeorm|sequelize"},
    {"verify", Type::checks, "", ""},
    {"gate.match", Type::choice, "release", "release|migrations"},
    {"gate.timeout", Type::duration, "10m", ""},
    {"gate.poll", Type::duration, "1s", ""},
    {"marker.file", Type::text, "", ""},
});

void fill(Manifest::Database& database, ManifestReader& reader) {
  database.url = reader.secret("database.url");
  database.direct_url = reader.secret("database.direct_url");
  database.wait = reader.duration("database.wait");
  if (reader.given("database.connect_timeout")) {
    database.connect_timeout =
        std::chrono::ceil<std::chrono::seconds>(reader.duration("database.connect_timeout"));
  }
  database.create = reader.boolean("database.create");
  database.bookkeeping_schema = reader.text("database.bookkeeping_schema");
  database.expect = {.name = reader.text("database.expect.name"),
                     .hosts = reader.list("database.expect.host"),
                     .min_version = reader.integer("database.expect.min_version")};
}

void fill(Manifest::Migrations& migrations, const std::filesystem::path& file,
          ManifestReader& reader) {
  migrations.tool = static_cast<Tool>(reader.choice("migrations.tool"));
  if (const auto directory = reader.text("migrations.directory"); !directory.empty())
    migrations.directory = std::filesystem::absolute(file).parent_path() / directory;
  migrations.schema = reader.text("migrations.schema");
  migrations.allow_empty = reader.boolean("migrations.allow_empty");
  migrations.atomic = static_cast<Atomic>(reader.choice("migrations.atomic"));
  migrations.lock_timeout = reader.duration("migrations.lock_timeout");
  migrations.lock_retry = reader.duration("migrations.lock_retry");
  migrations.statement_timeout = reader.duration("migrations.statement_timeout");
  migrations.out_of_order = static_cast<Policy>(reader.choice("migrations.out_of_order"));
  migrations.edited = static_cast<Policy>(reader.choice("migrations.edited"));
  migrations.missing = static_cast<Policy>(reader.choice("migrations.missing"));
  migrations.repair = reader.choice("migrations.repair") == 0;
  migrations.command = reader.list("migrations.command");
  migrations.timeout = reader.duration("migrations.timeout");
  migrations.env = reader.map("migrations.env");
  migrations.history = reader.history("migrations.history");
}

// What no single key shows. A key that is wrong already is not complained about twice.
void check_consistency(const Manifest& manifest, int version, ManifestReader& reader) {
  const auto require = [&](bool holds, const std::string& path, const std::string& message) {
    if (!holds && reader.is_good(path)) reader.complain(path, message);
  };
  const auto& migrations = manifest.migrations;
  const bool has_directory =
      !migrations.directory.empty() || !reader.is_good("migrations.directory");
  require(reader.given("version"), "version", "\"version: 1\" is missing");
  require(version == 1, "version", "this schemagate reads manifests of version 1");
  require(manifest.lease.ttl >= std::chrono::seconds{3}, "lease.ttl",
          "\"lease.ttl\" must be at least 3s: it is renewed every third of it");
  require(manifest.gate.poll > Milliseconds::zero(), "gate.poll",
          "\"gate.poll\" must be more than 0");
  require(!manifest.database.bookkeeping_schema.empty(), "database.bookkeeping_schema",
          "\"database.bookkeeping_schema\" must not be empty");
  if (migrations.tool == Tool::command) {
    require(!migrations.command.empty(), "migrations.command",
            "tool: command needs \"migrations.command\", a list: [program, argument]");
    require(has_directory || !manifest.release.empty(), "release",
            "without \"migrations.directory\" the release needs a name: set \"release\"");
    require(has_directory || migrations.history.is_none(), "migrations.history",
            "a history needs \"migrations.directory\" to compare with");
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
  manifest.app = reader.text("app");
  manifest.release = reader.text("release");
  // Set for one deploy by the platform, without editing the file.
  manifest.mode = static_cast<Mode>(reader.choice("mode", "SCHEMAGATE_MODE"));
  fill(manifest.database, reader);
  manifest.lease = {.name = reader.text("lease.name"),
                    .ttl = reader.duration("lease.ttl"),
                    .wait = reader.duration("lease.wait"),
                    .allow_unfenced = reader.choice("lease.unfenced") == 1};
  fill(manifest.migrations, file, reader);
  manifest.verify = reader.checks("verify");
  manifest.gate = {.match = static_cast<GateMatch>(reader.choice("gate.match")),
                   .timeout = reader.duration("gate.timeout"),
                   .poll = reader.duration("gate.poll")};
  manifest.marker_file = reader.text("marker.file");
  check_consistency(manifest, reader.integer("version"), reader);
  reader.throw_mistakes();
  return manifest;
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
