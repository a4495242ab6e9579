#include "schemagate/formats/migrations.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

namespace fs = std::filesystem;

Failure unreadable(const fs::path& file, int error) {
  return {ExitCode::usage, fmt::format("cannot read {}: {}", file.string(), std::strerror(error)),
          fmt::format("check its permissions: ls -l {}", file.string())};
}

// Nothing when there is no such file. (Not a stream: a folder may hold ten thousand of them.)
std::optional<std::string> read_file(const fs::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (fd < 0) throw unreadable(file, errno);
  struct stat status{};
  std::string content;
  ssize_t size = ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? 1 : 0;
  const bool is_file = size == 1;
  if (is_file) content.resize(static_cast<std::size_t>(status.st_size));
  std::size_t filled = 0;
  while (size > 0 && filled < content.size()) {
    size = ::read(fd, content.data() + filled, content.size() - filled);
    if (size > 0) filled += static_cast<std::size_t>(size);
  }
  const int error = size < 0 ? errno : 0;
  ::close(fd);
  if (error != 0) throw unreadable(file, error);
  content.resize(filled);
  return is_file ? std::optional{content} : std::nullopt;
}

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

const Migration* Folder::find(const std::string& name) const {
  const auto found = std::find_if(migrations.begin(), migrations.end(),
                                  [&](const auto& migration) { return migration.name == name; });
  return found == migrations.end() ? nullptr : &*found;
}

Folder read_folder(const fs::path& directory, bool allow_empty) {
  Folder folder;
  folder.directory = directory;
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    if (!allow_empty) throw nothing_there(directory, "does not exist");
    folder.digest = sha256_hex("");
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
  std::string all;
  for (const auto& migration : folder.migrations)
    all += migration.checksum + " " + migration.name + "\n";
  folder.digest = sha256_hex(all);
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

}  // namespace schemagate
