#include "schemagate/recovery/live_copy.hpp"

#include <fmt/core.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>

#include "schemagate/base/child.hpp"
#include "schemagate/base/file.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/drift.hpp"
#include "schemagate/catalogue/stages.hpp"
#include "schemagate/recovery/drift.hpp"
#include "schemagate/recovery/judge.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

// A comment is printed in the session's language.
std::set<ObjectName> names_of(const Snapshot& one, const Snapshot& other) {
  std::set<ObjectName> names;
  for (const auto* snapshot : {&one, &other})
    for (const auto& [name, object] : *snapshot)
      if (name.kind != "comment") names.insert(name);
  return names;
}

class Copier {
 public:
  Copier(pg::Session& live, const Target& target, const Stop& stop)
      : live_{live}, target_{target}, stop_{stop},
        only_in_{pg::array_of(schemas_of(live, target))} {
    auto what = beside(target);
    what.only_in = only_in_;
    live_snapshot_ = take_snapshot(live, what);
  }

  [[nodiscard]] LiveCopy empty() const {
    return {std::make_unique<Replay>(live_, target_, stop_), "an empty database", {}};
  }
  void replay(const Judge::Migrations& applied, LiveCopy& copy) {
    for (const auto* one : applied) (void)copy.scratch->execute(*one);
    if (!applied.empty())
      copy.made_by = "a replay of " + counted(applied.size(), "applied migration");
    copy.differences = compared(*copy.scratch);
  }
  [[nodiscard]] LiveCopy restored(const std::string& version, const std::string& dump) {
    auto copy = empty();
    copy.made_by = "pg_dump " + version;
    copy.scratch->restore(dump);
    copy.differences = compared(*copy.scratch);
    return copy;
  }

 private:
  // What only a dump and restore has made different is printed again before it counts.
  std::vector<std::string> compared(Replay& replay) {
    const auto made = replay.snapshot(only_in_);
    std::vector<Difference> not_in_copy;
    std::vector<Difference> only_in_copy;
    std::vector<Difference> otherwise;
    for (auto& one : differences(live_snapshot_, made, names_of(live_snapshot_, made))) {
      if (!one.found) not_in_copy.push_back(std::move(one));
      else if (!one.wanted) only_in_copy.push_back({one.object, one.found, {}});
      else if (replay.printed_again(one.object, *one.found) != one.wanted->definition &&
               replay.printed_again(one.object, *one.wanted) != one.found->definition)
        otherwise.push_back(std::move(one));
    }
    std::vector<std::string> lines;
    const auto tell = [&](const char* where, const std::vector<Difference>& some) {
      for (const auto& line : describe(some, target_.schema())) lines.push_back(where + line);
    };
    tell("in the copy: ", not_in_copy);
    tell("in the live database: ", only_in_copy);
    tell("in the copy: ", otherwise);
    return lines;
  }

  pg::Session& live_;
  const Target& target_;
  const Stop& stop_;
  std::string only_in_;
  Snapshot live_snapshot_;
};

// It removes what is in it.
class OwnDirectory {
 public:
  OwnDirectory() : path_{std::filesystem::temp_directory_path() / ("schemagate-" + random_uuid())} {
    if (::mkdir(path_.c_str(), S_IRWXU) != 0)
      throw std::filesystem::filesystem_error{"a directory for the structure cannot be made", path_,
                                              std::error_code{errno, std::system_category()}};
  }
  ~OwnDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  OwnDirectory(const OwnDirectory&) = delete;
  OwnDirectory& operator=(const OwnDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// "17.2" of "pg_dump (PostgreSQL) 17.2 (Debian ...)"; empty where it is not there.
std::string pg_dump_version(const Stop& stop) {
  std::string version;
  try {
    const auto outcome = run_child(
        {.argv = {"pg_dump", "--version"}, .environment = {}, .timeout = 10s, .grace = 1s},
        [&](std::string_view line) {
          const auto at = line.find(") ");
          if (at != std::string_view::npos) version = split(line.substr(at + 2), ' ').front();
        },
        stop.token());
    const auto* exited = std::get_if<Exited>(&outcome);
    return exited != nullptr && exited->code == 0 ? version : std::string{};
  } catch (const Failure&) {
    return {};
  }
}

// Newer ones put it into a mode of psql, which we are not.
std::string without_restrict(const std::string& dump) {
  std::string sql;
  for (const auto& line : split(dump, '\n'))
    if (!line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ")) sql += line + "\n";
  return sql;
}

std::optional<std::string> dump_of(const Target& target, const Stop& stop) try {
  const OwnDirectory directory;
  const auto file = directory.path() / "structure.sql";
  std::vector<std::string> said;
  auto environment = target.database.address().environment();
  environment["PGAPPNAME"] = "schemagate rehearse";
  const auto outcome = run_child(
      {.argv = {"pg_dump", "--schema-only", "--no-owner", "--no-subscriptions", "--no-password",
                "--no-security-labels", "--no-tablespaces", "--lock-wait-timeout=2s",
                "--encoding=UTF8",
                "--exclude-schema=" + pg::quote_identifier(target.bookkeeping.schema_name()),
                "--file=" + file.string()},
       .environment = environment,
       .timeout = 5min,
       .grace = 2s},
      [&](std::string_view line) {
        if (line.starts_with("pg_dump: error: ")) said.emplace_back(line.substr(16));
      },
      stop.token());
  stop.check();
  const auto* exited = std::get_if<Exited>(&outcome);
  if (exited != nullptr && exited->code == 0) return read_file(file);
  log::warn("pg_dump cannot copy the structure: " +
            (said.empty() ? "it did not end well" : shortened(join(said, "; "), 500)));
  return std::nullopt;
} catch (const std::system_error& e) {
  log::warn(fmt::format("pg_dump cannot be used: {}", e.what()));
  return std::nullopt;
}

}  // namespace

LiveCopy copy_structure(pg::Session& live, const Target& target, const History& history,
                        const Stop& stop) {
  Copier copier{live, target, stop};
  auto copy = copier.empty();
  std::optional<CannotTell> no_replay;
  try {
    copier.replay(applied_in_order(history, target.folder), copy);
    if (copy.differences.empty()) return copy;
  } catch (const CannotTell& e) {
    stop.check();
    no_replay = e;
  }
  const auto version = pg_dump_version(stop);
  if (!version.empty() && std::stoi("0" + version) >= live.server_major_version())
    if (const auto dump = dump_of(target, stop)) {
      auto dumped = copier.restored(version, without_restrict(*dump));
      if (no_replay || dumped.differences.size() < copy.differences.size()) return dumped;
    }
  if (no_replay) throw *no_replay;
  return copy;
}

}  // namespace schemagate
