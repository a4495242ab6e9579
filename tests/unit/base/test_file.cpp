#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <system_error>

#include "schemagate/base/error.hpp"
#include "schemagate/base/file.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

using namespace schemagate;
using testing::contains;
using testing::read_text;
using testing::TempDir;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t k_size_max = 100;

fs::path fifo_in(const TempDir& dir) {
  auto file = dir.path() / "fifo";
  REQUIRE(::mkfifo(file.c_str(), 0666) == 0);
  return file;
}

fs::path socket_in(const TempDir& dir) {
  auto file = dir.path() / "socket";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  std::strncpy(address.sun_path, file.c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  ::close(fd);
  return file;
}

std::string why_unreadable(const fs::path& file) {
  try {
    (void)read_shared_file(file, k_size_max);
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "readable";
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator{directory})
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// What a writer leaves that is killed half-way: by a limit on the size of files.
fs::path leftover_of_a_killed_writer(const fs::path& file) {
  const auto before = names_in(file.parent_path());
  const auto pid = ::fork();
  if (pid == 0) {
    const rlimit nothing{0, 0};
    ::setrlimit(RLIMIT_CORE, &nothing);
    ::setrlimit(RLIMIT_FSIZE, &nothing);
    replace_shared_file(file, "new");
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFSIGNALED(status));
  for (const auto& name : names_in(file.parent_path()))
    if (!std::binary_search(before.begin(), before.end(), name)) return file.parent_path() / name;
  FAIL("it left nothing");
  return {};
}

void make_old(const fs::path& file, std::chrono::minutes age) {
  const timespec then{.tv_sec = std::time(nullptr) - std::chrono::seconds{age}.count(),
                      .tv_nsec = 0};
  const timespec times[] = {then, then};
  REQUIRE(::utimensat(AT_FDCWD, file.c_str(), times, AT_SYMLINK_NOFOLLOW) == 0);
}

}  // namespace

TEST_SUITE("file") {
  TEST_CASE("a file of a shared directory is read when it is a regular one of a bounded size") {
    const TempDir dir;
    const auto file = dir.write("file", std::string(k_size_max, 'x'));
    CHECK(read_shared_file(file, k_size_max) == std::string(k_size_max, 'x'));
    CHECK(read_shared_file(dir.path() / "none", k_size_max) == std::nullopt);
    CHECK(read_shared_file(file / "below", k_size_max) == std::nullopt);
    CHECK(why_unreadable(dir.path()) == contains("no regular file"));
    CHECK(why_unreadable(fifo_in(dir)) == contains("no regular file"));
    CHECK(why_unreadable(socket_in(dir)) == contains("cannot read"));
    CHECK(why_unreadable("/dev/zero") == contains("no regular file"));
    fs::create_symlink(file, dir.path() / "link");
    CHECK(why_unreadable(dir.path() / "link") == contains("symbolic link"));
    const auto large = dir.write("large", "");
    fs::resize_file(large, std::uintmax_t{1} << 40);
    CHECK(why_unreadable(large) == contains("too large"));
  }

  TEST_CASE("the directory of a shared file may be reached by a symbolic link") {
    const TempDir dir;
    dir.write("volume/file", "old");
    fs::create_directory_symlink("volume", dir.path() / "linked");
    replace_shared_file(dir.path() / "linked/file", "new");
    CHECK(read_text(dir.path() / "volume/file") == "new");
    CHECK(read_shared_file(dir.path() / "linked/file", k_size_max) == "new");
  }

  TEST_CASE("replacing a shared file touches nothing that its name leads to") {
    const TempDir dir;
    const auto victim = dir.write("elsewhere", "precious");
    fs::create_directory(dir.path() / "shared");
    const auto file = dir.path() / "shared/file";
    const auto replaced = [&] {
      replace_shared_file(file, "new");
      CHECK(fs::is_regular_file(fs::symlink_status(file)));
      CHECK(read_text(file) == "new");
      CHECK(names_in(dir.path() / "shared") == std::vector<std::string>{"file"});
      fs::remove(file);
    };
    replaced();
    fs::create_symlink(victim, file);
    replaced();
    fs::create_symlink(dir.path() / "nowhere", file);
    replaced();
    fs::create_hard_link(victim, file);
    replaced();
    fs::rename(fifo_in(dir), file);
    replaced();
    fs::rename(socket_in(dir), file);
    replaced();
    CHECK(read_text(victim) == "precious");
    CHECK_FALSE(fs::exists(dir.path() / "nowhere"));
  }

  TEST_CASE("what a killed writer of a shared file left is taken away later, and nothing else is") {
    const TempDir dir;
    const auto file = dir.path() / "file";
    const auto victim = dir.write("victim", "precious");
    const auto left = leftover_of_a_killed_writer(file);
    const std::string uuid = left.filename().string().substr(std::string{".file."}.size());
    const auto fresh = leftover_of_a_killed_writer(file);
    make_old(left, std::chrono::minutes{11});
    make_old(fresh, std::chrono::minutes{9});
    // Each of these is old, too.
    auto other = uuid;
    other[0] = other[0] == '0' ? '1' : '0';
    std::vector<std::string> kept{".files." + uuid,          "file." + uuid,
                                  ".file." + uuid + "0",     ".file." + uuid.substr(1),
                                  ".file.not-a-uuid",        ".file.",
                                  ".other." + uuid,          ".file.." + uuid.substr(1),
                                  ".file.G" + uuid.substr(1)};
    for (const auto& name : kept) dir.write(name, "");
    fs::create_symlink(victim, dir.path() / (".file." + other));
    kept.push_back(".file." + other);
    other[1] = other[1] == '0' ? '1' : '0';
    dir.write(".file." + other + "/inside", "kept");
    kept.push_back(".file." + other);
    other[2] = other[2] == '0' ? '1' : '0';
    if (::geteuid() == 0) {
      const auto strangers = dir.write(".file." + other, "");
      REQUIRE(::chown(strangers.c_str(), 65534, 65534) == 0);
      kept.push_back(".file." + other);
    }
    for (const auto& name : kept) make_old(dir.path() / name, std::chrono::hours{24});
    replace_shared_file(file, "new");
    CHECK_FALSE(fs::exists(left));
    CHECK(read_text(victim) == "precious");
    kept.insert(kept.end(), {"file", "victim", fresh.filename().string()});
    std::sort(kept.begin(), kept.end());
    CHECK(names_in(dir.path()) == kept);
  }

  TEST_CASE("a shared file that cannot be replaced leaves everything as it was") {
    const TempDir dir;
    dir.write("shared/file/inside", "kept");
    CHECK_THROWS_AS(replace_shared_file(dir.path() / "shared/file", "new"), std::system_error);
    CHECK(read_text(dir.path() / "shared/file/inside") == "kept");
    CHECK(names_in(dir.path() / "shared") == std::vector<std::string>{"file"});
    CHECK_THROWS_AS(replace_shared_file(dir.path() / "none/file", "new"), std::system_error);
  }

  TEST_CASE("what is no file is nothing to read, and is not waited for") {
    const TempDir dir;
    CHECK(read_file(fifo_in(dir)) == std::nullopt);
    CHECK(read_file("/dev/null") == std::nullopt);
    CHECK(read_file(dir.path()) == std::nullopt);
  }
}
