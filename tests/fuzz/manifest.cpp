// YAML → Manifest: a value, or a list of mistakes with their places; never what a variable holds.

#include <algorithm>
#include <cctype>

#include "fuzz.hpp"
#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;

constexpr const char* k_secret = "hunter2";

std::optional<std::string> variable(const std::string& name) {
  if (name == "DATABASE_URL") return std::string{"postgresql://u:"} + k_secret + "@h/db";
  if (name == "SECRET") return k_secret;
  if (name == "EMPTY") return "";
  if (name == "TTL") return "30s";
  return std::nullopt;
}

// "m.yaml:LINE:COLUMN: message"
void check_mistake(std::string_view line, std::size_t lines) {
  constexpr std::string_view k_file = "m.yaml:";
  promise(line.starts_with(k_file), "a mistake starts with the file", line);
  const std::string rest{line.substr(k_file.size())};
  char* end = nullptr;
  const auto number = std::strtoul(rest.c_str(), &end, 10);
  promise(*end == ':' && number >= 1 && number <= lines + 1, "a mistake has a line", line);
  const auto column = std::strtoul(end + 1, &end, 10);
  promise(*end == ':' && column >= 1, "a mistake has a column", line);
  promise(end[1] == ' ' && end[2] != '\0', "a mistake says what it is", line);
}

void check_manifest(const Manifest& manifest) {
  promise(manifest.lease.ttl >= std::chrono::seconds{3}, "a lease can be renewed");
  promise(manifest.gate.poll > Milliseconds::zero(), "a gate pauses");
  promise(!manifest.database.bookkeeping_schema.empty(), "the tables have a schema");
  const auto& migrations = manifest.migrations;
  promise(migrations.directory.empty() || migrations.directory.is_absolute(),
          "the folder is absolute", migrations.directory.string());
  promise(migrations.tool == Tool::command || !migrations.directory.empty(), "Prisma has a folder");
  promise(migrations.tool == Tool::prisma || !migrations.command.empty(), "a command is there");
  for (const auto duration :
       {manifest.database.wait, manifest.lease.wait, migrations.lock_timeout, migrations.lock_retry,
        migrations.statement_timeout, migrations.timeout, manifest.gate.timeout})
    promise(duration >= Milliseconds::zero(), "a duration is not negative");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto yaml = fuzz::text_of(data, size);
  // A secret that stands in the manifest itself is not one. {file: PATH} is read for real.
  for (const auto* unwanted : {k_secret, "/dev", "/proc", "/sys"})
    if (fuzz::holds(yaml, unwanted)) return 0;
  const auto lines = static_cast<std::size_t>(
      std::count_if(yaml.begin(), yaml.end(), [](char c) { return c == '\n' || c == '\r'; }));
  try {
    check_manifest(parse_manifest(yaml, "m.yaml", variable));
  } catch (const Failure& e) {
    const std::string text = e.what();
    promise(e.code() == ExitCode::usage, "a mistake is the user's", text);
    promise(!fuzz::holds(text, k_secret), "no error holds a secret", text);
    promise(!fuzz::holds(e.hint().text(), k_secret), "no hint holds a secret", e.hint().text());
    for (const auto& line : split(text, '\n')) check_mistake(line, lines);
  }
  return 0;
}
