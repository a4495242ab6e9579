#pragma once
// Tools that run code, whose migrations we cannot apply, but whose table tells what is applied: one
// row a migration, found again by the names of the files. Read only. After the command every key
// that the folder holds must be a row. docs/manifest.md has the table of the presets, with the
// versions that they were tried with.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "schemagate/formats/format.hpp"

namespace schemagate::generic {

struct Description {
  std::string name;   // the preset's; where there is none, the table's
  std::string table;  // "name", found along the search_path, or "schema.name"
  std::string key;    // an SQL expression over a row, whose text is a migration's name
  // ECMAScript, of a file's path below the folder: its groups, joined by dots, are the migration's
  // name; without groups the path is.
  std::string files;
};

// Rails, Django, ...; what the manifest gives besides replaces the preset's. The manifest's reader
// has made sure that it is complete.
[[nodiscard]] Description described(const Manifest::Migrations::History& history);

[[nodiscard]] std::shared_ptr<const Format> format(Description description);

// The keys of all rows. Throws Failure (usage) where the server refuses the key.
struct Keys {
  std::int64_t oid = 0;  // of the table; 0: there is none
  std::vector<std::string> keys;
};
[[nodiscard]] Keys read_keys(pg::Session& session, const FoundTable& table, const std::string& key);

// The files below `directory`, as paths relative to it, in order; without what no tool looks into:
// hidden directories, node_modules, site-packages, dist-packages, vendor, __pycache__. No symbolic
// link to a directory is followed, but those of a Kubernetes volume. Throws Failure (usage) where
// there is no such directory.
[[nodiscard]] std::vector<std::string> files_below(const std::filesystem::path& directory);

}  // namespace schemagate::generic
