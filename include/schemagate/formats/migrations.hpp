#pragma once
// The migrations folder on disk, as Prisma 7 sees it: every direct subdirectory is a migration (no
// symbolic links, hidden ones included), ordered like JavaScript's localeCompare, its script is
// migration.sql decoded as UTF-8, its checksum the SHA-256 of the decoded text.
// (Prisma 7.10: listMigrations.ts, checksum.rs, migrations_directory.rs.)

#include <filesystem>
#include <string>
#include <vector>

namespace schemagate {

struct Migration {
  std::string name;
  std::filesystem::path file;
  std::string sql;       // decoded
  std::string checksum;  // lower-case hexadecimal
  bool file_missing = false;
  bool was_invalid_utf8 = false;
};

struct Folder {
  std::filesystem::path directory;
  std::vector<Migration> migrations;
  std::string digest;  // of all names and checksums: identifies the set

  [[nodiscard]] const Migration* find(const std::string& name) const;
};

// Throws Failure: the folder is missing or empty (usage) unless `allow_empty`, a file is unreadable
// (usage), migration_lock.toml names another database than PostgreSQL (history, Prisma's P3019).
[[nodiscard]] Folder read_folder(const std::filesystem::path& directory, bool allow_empty);

// Prisma's comparison: equal, or equal but for line endings.
[[nodiscard]] bool same_content(const Migration& migration, const std::string& checksum);

}  // namespace schemagate
