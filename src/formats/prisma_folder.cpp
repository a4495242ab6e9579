#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <functional>

#include "schemagate/base/error.hpp"
#include "schemagate/base/file.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma.hpp"

namespace schemagate::prisma {
namespace {

namespace fs = std::filesystem;

// Prisma does not parse TOML here: the first line that starts with "provider" counts, whatever else
// stands in the file.
void check_lock_file(const fs::path& directory) {
  const auto file = directory / "migration_lock.toml";
  const auto content = read_file(file);
  if (!content) return;
  std::string provider = "<PROVIDER NOT FOUND>";
  for (auto line : split(*content, '\n')) {
    if (!line.starts_with("provider")) continue;
    if (line.ends_with('\r')) line.pop_back();
    constexpr std::string_view k_prefix = "provider = ";
    while (line.starts_with(k_prefix)) line.erase(0, k_prefix.size());
    const auto first = line.find_first_not_of('"');
    const auto last = line.find_last_not_of('"');
    provider = first == std::string::npos ? "" : line.substr(first, last - first + 1);
    break;
  }
  if (provider == "postgresql") return;
  throw Failure{
      ExitCode::history,
      fmt::format("{}: these migrations are for \"{}\", not for PostgreSQL (Prisma: P3019)",
                  file.string(), provider),
      "the line must read exactly: provider = \"postgresql\""};
}

Failure nothing_there(const fs::path& directory, std::string_view what) {
  return {ExitCode::usage, fmt::format("the migrations folder {} {}", directory.string(), what),
          "is it missing in the image (COPY prisma/migrations)? if it may be empty, set "
          "migrations.allow_empty: true"};
}

Migration read_migration(const fs::path& directory) {
  Migration migration;
  migration.name = directory.filename().string();
  migration.file = directory / "migration.sql";
  const auto bytes = read_file(migration.file);
  migration.file_missing = !bytes.has_value();
  if (migration.file_missing) return migration;
  migration.sql = valid_utf8(*bytes);
  migration.was_invalid_utf8 = migration.sql != *bytes;
  migration.checksum = sha256_hex(migration.sql);
  return migration;
}

}  // namespace

Folder read_folder(const fs::path& directory, bool allow_empty) {
  Folder folder;
  folder.directory = directory;
  folder.format = format();
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    if (!allow_empty) throw nothing_there(directory, "does not exist");
    folder.digest = digest_of({});
    return folder;
  }
  check_lock_file(directory);
  for (const auto& entry : fs::directory_iterator{directory}) {
    if (entry.is_directory() && !entry.is_symlink())
      folder.migrations.push_back(read_migration(entry.path()));
  }
  if (folder.migrations.empty() && !allow_empty)
    throw nothing_there(directory, "holds no migration");
  std::sort(folder.migrations.begin(), folder.migrations.end(),
            [](const auto& a, const auto& b) { return locale_less(a.name, b.name); });
  folder.digest = digest_of(folder.migrations);
  return folder;
}

namespace {

// Very old Prisma versions wrote each byte without its leading zero (prisma-engines#1887).
std::string without_zero_padding(const std::string& hex) {
  std::string unpadded;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    if (hex[i] != '0') unpadded += hex[i];
    unpadded += hex[i + 1];
  }
  return unpadded;
}

}  // namespace

bool same_content(const Migration& migration, const std::string& checksum) {
  const auto matches = [&](const std::string& hash) {
    return hash == checksum ||
           (checksum.size() != hash.size() && without_zero_padding(hash) == checksum);
  };
  if (matches(migration.checksum)) return true;
  std::string unix_endings;
  std::string windows_endings;
  for (std::size_t i = 0; i < migration.sql.size(); ++i) {
    const char c = migration.sql[i];
    const bool crlf = c == '\r' && i + 1 < migration.sql.size() && migration.sql[i + 1] == '\n';
    if (!crlf) unix_endings += c;
    if (c == '\n') windows_endings += '\r';
    windows_endings += c;
  }
  return matches(sha256_hex(unix_endings)) || matches(sha256_hex(windows_endings));
}

namespace {

// Primary weights: upper and lower case are equal at this level.
int weight(char character) {
  static const auto k_weights = [] {
    std::array<int, 256> weights{};
    constexpr std::string_view k_order =
        " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz";
    for (int byte = 0; byte < 256; ++byte)
      weights[static_cast<std::size_t>(byte)] = byte < 0x20 ? 0 : byte + 1000;
    for (std::size_t i = 0; i < k_order.size(); ++i)
      weights[static_cast<unsigned char>(k_order[i])] = static_cast<int>(i) + 1;
    for (char c = 'A'; c <= 'Z'; ++c)
      weights[static_cast<unsigned char>(c)] = weights[static_cast<unsigned char>(c - 'A' + 'a')];
    return weights;
  }();
  return k_weights[static_cast<unsigned char>(character)];
}

}  // namespace

bool locale_less(std::string_view a, std::string_view b) {
  const auto by_weight = [](char x, char y) { return weight(x) < weight(y); };
  if (std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), by_weight)) return true;
  if (std::lexicographical_compare(b.begin(), b.end(), a.begin(), a.end(), by_weight)) return false;
  // Same letters: at the first difference lower case comes first, and in ASCII 'a' > 'A'.
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), std::greater<>{});
}

}  // namespace schemagate::prisma
