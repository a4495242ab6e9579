#pragma once
// The deploy manifest: strict YAML in, one validated value out. Unknown and duplicate keys, wrong
// types, bad durations, unset variables and unreadable secret files are errors; all of them are
// reported at once, each as `file:line:column: message`. Reads files, never the network.
// The reference for people is docs/manifest.md, for editors docs/manifest.schema.json (a test keeps
// the latter equal to manifest_keys()).

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/policies.hpp"

namespace schemagate {

// Each in the order in which the keys' table lists the choices.
enum class Mode { apply, check, off };
enum class Tool { prisma, command };
enum class Atomic { migration, release };
enum class Repair { automatic, off };
enum class GateMatch { release, migrations };
enum class DriftPolicy { warn, fail, off };

// Holds when the column ("table.column") or table exists, or when the SQL returns true.
struct Check {
  enum class Kind { column, table, sql } kind;
  std::string text;
};

// What the environment gave in the place of ${NAME}, by its value.
using Variables = std::map<std::string, std::string>;
// The text with "${NAME}" again wherever it says such a value, which may be a secret.
[[nodiscard]] std::string as_written(std::string text, const Variables& variables);

struct Manifest {
  std::filesystem::path file;
  int version = 0;  // of its form: 1
  std::string app;
  std::string release;  // empty: the digest of the migrations folder
  Mode mode = Mode::apply;

  struct Database {
    std::string url;
    std::string direct_url;
    Milliseconds wait{};
    std::optional<std::chrono::seconds> connect_timeout;
    bool create = false;
    std::string bookkeeping_schema;
    struct Expect {
      std::string name;
      std::vector<std::string> hosts;  // shell-style patterns, any of them
      int min_version = 0;             // major, 0: any
      Milliseconds max_lag{};          // of the standby that is furthest behind, 0: any
    } expect;
  } database;

  struct Lease {
    std::string name;  // empty: from what is protected
    Milliseconds ttl{};
    Milliseconds wait{};
    bool allow_unfenced = false;
  } lease;

  struct Migrations {
    Tool tool = Tool::prisma;
    std::filesystem::path directory;  // made absolute against the manifest's own directory
    std::string schema;               // empty: ?schema= of the URL, else public
    bool allow_empty = false;
    Atomic atomic = Atomic::migration;
    Milliseconds lock_timeout{};
    Milliseconds lock_retry{};
    Milliseconds statement_timeout{};
    Milliseconds gap_wait{};  // for long transactions on the tables to be locked
    Policy out_of_order = Policy::warn;
    Policy edited = Policy::fail;
    Policy missing = Policy::warn;
    Repair repair = Repair::automatic;  // of failed rows whose fate is proven
    bool verify_each = false;           // what each made is compared before its COMMIT
    std::vector<std::string> command;
    Milliseconds timeout{};
    std::map<std::string, std::string> env;
    // tool: command: which table tells afterwards what is applied.
    struct History {
      std::string preset = "none";    // empty: the three below, which else replace the preset's
      std::string table, key, files;  // formats/generic.hpp
      [[nodiscard]] bool is_none() const { return preset == "none"; }
    } history;
  } migrations;

  std::vector<Check> verify;

  struct Gate {
    GateMatch match = GateMatch::release;
    Milliseconds timeout{};
    Milliseconds poll{};
  } gate;

  std::filesystem::path marker_file;  // empty: none

  // Where a doubt is settled by replay.
  struct Scratch {
    std::string url;  // another server of the same major version; empty: the database's own
    bool off = false;
  } scratch;

  struct Drift {
    DriftPolicy policy = DriftPolicy::warn;
    std::vector<std::string> ignore;  // shell-style patterns of objects that others may change
  } drift;

  Policies policy;

  Variables variables;  // of migrations.command, migrations.env and verify
};

using Environment = std::function<std::optional<std::string>(const std::string& name)>;
[[nodiscard]] Environment process_environment();

// Throws Failure (usage) whose text is one line for each mistake.
[[nodiscard]] Manifest read_manifest(const std::filesystem::path& file,
                                     const Environment& environment);
[[nodiscard]] Manifest parse_manifest(const std::string& yaml, const std::filesystem::path& file,
                                      const Environment& environment);

class ManifestReader;

struct ManifestKey {
  enum class Type {
    integer,
    text,
    secret,
    boolean,
    duration,
    choice,
    list,
    map,
    checks,
    history,
    size,
    allowances
  };
  std::string_view path;  // "database.url"
  Type type;
  std::string_view fallback;  // as written in YAML; empty: none
  std::string_view choices;   // "fail|warn|allow", for Type::choice and Type::history
  void (*read)(Manifest& manifest, ManifestReader& reader, const std::string& path);
};
[[nodiscard]] std::span<const ManifestKey> manifest_keys();

// "500ms", "5s", "2m", "1h"; a plain 0 too.
[[nodiscard]] std::optional<Milliseconds> parse_duration(std::string_view text);

}  // namespace schemagate
