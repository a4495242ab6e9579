#include "schemagate/base/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <system_error>

#include "schemagate/base/error.hpp"
#include "schemagate/base/hash.hpp"

namespace schemagate {
namespace {

namespace fs = std::filesystem;

constexpr time_t k_leftover_after_s = 600;
constexpr int k_entries_max = 10'000;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_{fd} {}
  ~Descriptor() {
    if (is_open()) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  operator int() const { return fd_; }

 private:
  int fd_;
};

// Non-blocking, which means nothing to a file: a FIFO would be waited for.
Descriptor opened(const fs::path& file, int flags = 0) {
  return Descriptor{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags)};
}

// Its size; nothing when it is no regular file.
std::optional<std::size_t> size_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return static_cast<std::size_t>(status.st_size);
}

// `size` bytes, or fewer where it ends before. False: errno.
bool read_all(int fd, std::size_t size, std::string& content) {
  content.resize(size);
  std::size_t filled = 0;
  ssize_t got = 1;
  while (got > 0 && filled < size) {
    got = ::read(fd, content.data() + filled, size - filled);
    if (got > 0) filled += static_cast<std::size_t>(got);
  }
  content.resize(filled);
  return got >= 0;
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    const auto written = ::write(fd, content.data(), content.size());
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Failure unreadable(const fs::path& file, int error) {
  return {ExitCode::usage, fmt::format("cannot read {}: {}", file.string(), std::strerror(error)),
          fmt::format("check its permissions: ls -l {}", file.string())};
}

// As random_uuid() makes it.
bool is_uuid(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (is_dash ? text[i] != '-'
                : std::string_view{"0123456789abcdef"}.find(text[i]) == std::string_view::npos)
      return false;
  }
  return text.size() == 36;
}

// What writers left that were killed half-way; `written`: when we have written, by the file
// system's clock. Others may write to the directory, too: only what has such a name, is ours and is
// a file goes, and a directory without end is not read to its end.
void take_away_leftovers(int in, const std::string& prefix, const timespec& written) {
  const int fd = ::dup(in);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries{::fdopendir(fd), ::closedir};
  if (!entries) {
    ::close(fd);
    return;
  }
  for (int i = 0; i < k_entries_max; ++i) {
    const auto* entry = ::readdir(entries.get());
    if (entry == nullptr) return;
    const std::string_view name{entry->d_name};
    struct stat status{};
    if (name.starts_with(prefix) && is_uuid(name.substr(prefix.size())) &&
        ::fstatat(in, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(status.st_mode) && status.st_uid == ::geteuid() &&
        status.st_mtim.tv_sec + k_leftover_after_s < written.tv_sec)
      ::unlinkat(in, entry->d_name, 0);
  }
}

[[noreturn]] void fail_by_errno(int error = errno) {
  throw std::system_error{error, std::generic_category()};
}

}  // namespace

std::optional<std::string> read_file(const fs::path& file) {
  const auto fd = opened(file);
  if (!fd.is_open() && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd.is_open()) throw unreadable(file, errno);
  const auto size = size_of(fd);
  if (!size) return std::nullopt;
  std::string content;
  if (!read_all(fd, *size, content)) throw unreadable(file, errno);
  return content;
}

std::optional<std::string> read_shared_file(const fs::path& file, std::size_t size_max) {
  const auto cannot = [&](const char* why) {
    return std::runtime_error{fmt::format("cannot read {}: {}", file.string(), why)};
  };
  const auto fd = opened(file, O_NOFOLLOW);
  if (!fd.is_open() && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd.is_open() && errno == ELOOP) throw cannot("it is a symbolic link");
  if (!fd.is_open()) throw cannot(std::strerror(errno));
  const auto size = size_of(fd);
  if (!size) throw cannot("it is no regular file");
  std::string content;
  if (*size > size_max) throw cannot("it is too large");
  if (!read_all(fd, *size, content)) throw cannot(std::strerror(errno));
  return content;
}

void replace_shared_file(const fs::path& file, std::string_view content) {
  const auto directory = file.parent_path().empty() ? fs::path{"."} : file.parent_path();
  const auto name = file.filename().string();
  const auto prefix = "." + name + ".";
  const auto written_as = prefix + random_uuid();
  // All by its descriptor: nobody can put another directory in its place half-way.
  const auto in = opened(directory, O_DIRECTORY);
  if (!in.is_open()) fail_by_errno();
  const Descriptor fd{
      ::openat(in, written_as.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644)};
  if (!fd.is_open()) fail_by_errno();
  struct stat status{};
  if (!write_all(fd, content) || ::fsync(fd) != 0 || ::fstat(fd, &status) != 0 ||
      ::renameat(in, written_as.c_str(), in, name.c_str()) != 0) {
    const int error = errno;
    ::unlinkat(in, written_as.c_str(), 0);
    fail_by_errno(error);
  }
  take_away_leftovers(in, prefix, status.st_mtim);
  // EINVAL: a file system that cannot.
  if (::fsync(in) != 0 && errno != EINVAL) fail_by_errno();
}

}  // namespace schemagate
