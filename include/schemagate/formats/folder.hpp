#pragma once
// A migrations folder on disk, whichever tool's it is (format.hpp reads one).

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "schemagate/base/error.hpp"

namespace schemagate {

class Format;
enum class Problem;

struct Migration {
  std::string name;  // what the tool's history calls it
  std::filesystem::path file;
  std::string sql;       // decoded; empty where the tool's files are no SQL
  std::string checksum;  // of the content, lower-case hexadecimal
  bool file_missing = false;
  bool directory_is_empty = false;  // only told where the file is missing
  bool was_invalid_utf8 = false;
  std::vector<std::string> includes = {};  // earlier ones that are applied where this one is
};

struct Folder {
  std::filesystem::path directory;
  std::vector<Migration> migrations;  // in the tool's order
  std::string digest;                 // of all names and checksums: identifies the set
  std::shared_ptr<const Format> format = {};

  [[nodiscard]] const Migration* find(const std::string& name) const;
  // Whether a checksum of the history is that of this file, as the tool compares them.
  [[nodiscard]] bool has_content(const Migration& migration, const std::string& checksum) const;
  // What the tool calls the problem, to be put behind a text: " (Prisma: P3009)", or nothing.
  [[nodiscard]] std::string code_of(Problem problem) const;
};

[[nodiscard]] std::string digest_of(const std::vector<Migration>& migrations);

// A folder that is not one, or holds nothing. `meant`: the one that probably was; or empty.
[[nodiscard]] Failure nothing_there(const std::filesystem::path& directory, std::string_view what,
                                    const std::filesystem::path& meant = {});

// Where file_missing. Nobody is told to remove what holds anything.
[[nodiscard]] std::string remedy_for_missing_file(const Migration& migration);

// Kubernetes shows the directories of a ConfigMap, a Secret or a projected volume as links to
// "..data/NAME"; what begins with ".." there is how it replaces them all at once.
[[nodiscard]] bool is_link_into_volume(const std::filesystem::path& path);

}  // namespace schemagate
