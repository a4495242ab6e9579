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

// "..data" and the like are a volume's own.
std::vector<fs::path> directories_in(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  if (!fs::is_directory(directory, error)) return found;
  for (const auto& entry : fs::directory_iterator{directory}) {
    const bool is_directory =
        entry.is_directory(error) && (!entry.is_symlink() || is_link_into_volume(entry.path()));
    if (is_directory && !entry.path().filename().native().starts_with(".."))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool holds_migrations(const fs::path& directory) {
  const auto directories = directories_in(directory);
  return std::any_of(directories.begin(), directories.end(), [](const fs::path& one) {
    std::error_code error;
    return fs::exists(one / "migration.sql", error);
  });
}

// Up to two levels below.
fs::path folder_below(const fs::path& directory) {
  const auto holding = [](const std::vector<fs::path>& candidates) {
    const auto found = std::find_if(candidates.begin(), candidates.end(), holds_migrations);
    return found == candidates.end() ? fs::path{} : *found;
  };
  auto children = directories_in(directory);
  std::erase_if(children, [](const auto& one) { return one.filename() == "node_modules"; });
  auto found = holding(children);
  for (auto child = children.begin(); found.empty() && child != children.end(); ++child)
    found = holding(directories_in(*child));
  return found;
}

// The folder that was meant where `directory` is none: below it, around it, or beside it (the
// schema's file, a name mistyped). Empty where there is none.
fs::path folder_meant(const fs::path& given) {
  const auto directory = (given / "").lexically_normal().parent_path();
  const auto parent = directory.parent_path();
  try {
    if (auto below = folder_below(directory); !below.empty()) return below;
    if (fs::exists(directory / "migration.sql")) return parent;
    if (!fs::is_directory(directory) && parent != parent.root_path()) return folder_below(parent);
  } catch (const fs::filesystem_error&) {  // what may not be looked at is not proposed
  }
  return {};
}

Failure not_found(const fs::path& directory, std::string_view what) {
  return nothing_there(directory, what, folder_meant(directory));
}

Migration read_migration(const fs::path& directory) {
  Migration migration;
  migration.name = directory.filename().string();
  migration.file = directory / "migration.sql";
  const auto bytes = read_file(migration.file);
  migration.file_missing = !bytes.has_value();
  std::error_code error;
  migration.directory_is_empty = migration.file_missing && fs::is_empty(directory, error);
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
  if (fs::exists(directory, error) && !fs::is_directory(directory, error))
    throw not_found(directory, "is no directory");
  if (!fs::is_directory(directory, error)) {
    if (!allow_empty) throw not_found(directory, "does not exist");
    folder.digest = digest_of({});
    return folder;
  }
  check_lock_file(directory);
  for (const auto& one : directories_in(directory))
    folder.migrations.push_back(read_migration(one));
  const bool has_script = std::any_of(folder.migrations.begin(), folder.migrations.end(),
                                      [](const auto& one) { return !one.file_missing; });
  const bool is_mistaken = !has_script && !folder_meant(directory).empty();
  if (is_mistaken || (folder.migrations.empty() && !allow_empty))
    throw not_found(directory, "holds no migration");
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
