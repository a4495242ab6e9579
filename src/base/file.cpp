#include "schemagate/base/file.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "schemagate/base/error.hpp"

namespace schemagate {
namespace {

namespace fs = std::filesystem;

Failure unreadable(const fs::path& file, int error) {
  return {ExitCode::usage, fmt::format("cannot read {}: {}", file.string(), std::strerror(error)),
          fmt::format("check its permissions: ls -l {}", file.string())};
}

}  // namespace

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

}  // namespace schemagate
