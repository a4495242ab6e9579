// The marker's file on a volume that others may write to, or that does not answer.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "support/gate_project.hpp"

using namespace testing;

namespace {

namespace fs = std::filesystem;

class MarkerProject : public GateProject {
 public:
  MarkerProject() {
    migration("1_init", "CREATE TABLE users (id integer);");
    fs::create_directory(file("shared"));
    set("marker.file", marker_file());
  }
  [[nodiscard]] std::string marker_file() const { return file("shared/marker.json"); }
  [[nodiscard]] std::string lease_is_held() const {
    return database.value("SELECT expires_at > clock_timestamp() FROM schemagate.lock");
  }
};

// A file system whose server never answers.
class SilentFileSystem {
 public:
  explicit SilentFileSystem(std::string directory)
      : directory_{std::move(directory)}, device_{::open("/dev/fuse", O_RDWR | O_CLOEXEC)} {
    const auto options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", device_);
    is_mounted_ = ::mount("silent", directory_.c_str(), "fuse", 0, options.c_str()) == 0;
    if (!is_mounted_) MESSAGE("SKIPPED: no FUSE (run the tests as root)");
  }
  ~SilentFileSystem() {
    if (is_mounted_) ::umount2(directory_.c_str(), MNT_DETACH);
    ::close(device_);
  }
  SilentFileSystem(const SilentFileSystem&) = delete;
  SilentFileSystem& operator=(const SilentFileSystem&) = delete;
  [[nodiscard]] bool is_mounted() const { return is_mounted_; }

 private:
  std::string directory_;
  int device_;
  bool is_mounted_ = false;
};

}  // namespace

TEST_SUITE_BEGIN("marker file");

TEST_CASE("a gate stays closed, and ends in time, whatever stands in the place of the file") {
  MarkerProject project;
  project.set("gate.timeout", "1s").set("gate.poll", "100ms");
  REQUIRE(project.run() == exits(0));
  const auto marker = project.marker_file();
  const auto genuine = project.file("genuine.json");
  fs::rename(marker, genuine);
  const auto closed_at_once_and_later = [&](const std::string& why) {
    CHECK(project.gate({"--marker-file", marker, "--once"}) == exits(30, why));
    CHECK(project.gate({"--marker-file", marker}) == exits(30, why));
    fs::remove_all(marker);
  };
  REQUIRE(::mkfifo(marker.c_str(), 0666) == 0);
  closed_at_once_and_later("no regular file");
  fs::create_directory(marker);
  closed_at_once_and_later("no regular file");
  fs::create_symlink("/dev/zero", marker);
  closed_at_once_and_later("symbolic link");
  fs::create_symlink(genuine, marker);
  closed_at_once_and_later("symbolic link");
  project.files.write("shared/marker.json", read_text(genuine) + std::string(1 << 20, ' '));
  closed_at_once_and_later("too large");
  fs::rename(genuine, marker);
  CHECK(project.gate({"--marker-file", marker}) == exits(0));
}

TEST_CASE("a run replaces what stands in the place of the file, and does not write through it") {
  const auto victim_says = [](MarkerProject& project, auto&& plant) {
    const auto victim = project.files.write("victim", "precious").string();
    plant(victim, project.marker_file());
    CHECK(project.run() == exits(0));
    CHECK(project.gate({"--once", "--marker-file", project.marker_file()}) == exits(0));
    return read_text(victim);
  };
  MarkerProject project;
  CHECK(victim_says(project, [](const auto& victim, const auto& marker) {
          fs::create_symlink(victim, marker);
        }) == "precious");
  project.set("release", "r2");
  CHECK(victim_says(project, [](const auto& victim, const auto& marker) {
          fs::remove(marker);
          fs::create_hard_link(victim, marker);
        }) == "precious");
  project.set("release", "r3");
  CHECK(victim_says(project, [](const auto&, const auto& marker) {
          fs::remove(marker);
          REQUIRE(::mkfifo(marker.c_str(), 0666) == 0);
        }) == "precious");
}

TEST_CASE(
    "a directory in the place of the file fails the run in words, and the lease is given back") {
  MarkerProject project;
  fs::create_directory(project.marker_file());
  CHECK(project.run() == exits(2, "cannot write marker.file", "Is a directory"));
  CHECK(project.lease_is_held() == "f");
}

TEST_CASE("a volume that does not answer keeps neither a run nor a gate, nor the lease") {
  MarkerProject project;
  const SilentFileSystem volume{project.file("shared")};
  if (!volume.is_mounted()) return;
  CHECK(project.run() == exits(2, "cannot write marker.file", "does not answer"));
  CHECK(project.lease_is_held() == "f");
  project.set("gate.timeout", "1s");
  CHECK(project.gate({"--marker-file", project.marker_file()}) == exits(30, "does not answer"));
  auto gate =
      project.set("gate.timeout", "10m").start_gate({"--marker-file", project.marker_file()});
  REQUIRE(gate.says("does not answer"));
  CHECK(gate.terminate() == exits(128 + SIGTERM));
}

TEST_CASE("runners with the same process id write to one volume") {
  if (run({"unshare", "--pid", "--fork", "true"}).exit_code != 0) {
    MESSAGE("SKIPPED: no process ids of its own (unshare; run the tests as root)");
    return;
  }
  MarkerProject project;
  REQUIRE(project.run() == exits(0));
  std::vector<std::string> words{"unshare", "--pid", "--fork", tested_program()};
  for (const auto& word : project.arguments("run")) words.push_back(word);
  std::vector<Process> runners;
  for (int i = 0; i < 12; ++i) runners.emplace_back(words, project.options());
  for (auto& runner : runners) CHECK(runner.wait() == exits(0));
  CHECK(project.gate({"--once", "--marker-file", project.marker_file()}) == exits(0));
}

TEST_SUITE_END();
