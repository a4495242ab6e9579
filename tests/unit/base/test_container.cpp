#include <doctest/doctest.h>

#include <fstream>

#include "schemagate/base/container.hpp"
#include "support/temp_dir.hpp"

using namespace schemagate;
using namespace std::chrono_literals;
using namespace testing;

namespace {

// What proc(5) shows, as far as we read it.
class Proc {
 public:
  Proc& process(const std::string& pid, long parent, long started_ticks,
                const std::string& cgroup = "0::/\n", const std::string& shown_as = "") {
    const auto dir = root_.path() / (shown_as.empty() ? pid : shown_as);
    std::filesystem::create_directories(dir);
    std::ofstream stat{dir / "stat"};
    stat << pid << " (a) name (2) R " << parent;
    for (int field = 5; field < 22; ++field) stat << " 0";
    stat << ' ' << started_ticks << " 0 0\n";
    std::ofstream{dir / "cgroup"} << cgroup;
    return *this;
  }
  [[nodiscard]] std::filesystem::path path() const { return root_.path(); }

 private:
  TempDir root_;
};

}  // namespace

TEST_SUITE_BEGIN("container");

TEST_CASE("a container's own process, and what it starts, belong to its start") {
  Proc first;
  first.process("1", 0, 1000).process("1", 0, 1000, "0::/\n", "self");
  CHECK_FALSE(entered_running_container(first.path()));
  Proc child;
  child.process("1", 0, 1000).process("7", 1, 1100).process("9", 7, 1200, "0::/\n", "self");
  CHECK_FALSE(entered_running_container(child.path()));
}

TEST_CASE("a process that docker exec started is in a container that had been running") {
  Proc direct;
  direct.process("1", 0, 1000).process("9", 0, 361000, "0::/\n", "self");
  CHECK(entered_running_container(direct.path()) == 1h);
  Proc by_shell;
  by_shell.process("1", 0, 1000).process("8", 0, 7000).process("9", 8, 7001, "0::/\n", "self");
  CHECK(entered_running_container(by_shell.path()) == 1min);
}

TEST_CASE("where the containers of a pod share their processes, each belongs to its own start") {
  Proc pod;
  pod.process("1", 0, 1000, "0::/../pause\n").process("9", 0, 7000, "0::/\n", "self");
  CHECK_FALSE(entered_running_container(pod.path()));
}

TEST_CASE("where nothing can be read, nothing is said") {
  CHECK_FALSE(entered_running_container("/nonexistent"));
  Proc odd;
  odd.process("9", 8, 7001, "0::/\n", "self").process("8", 9, 7001);
  CHECK_FALSE(entered_running_container(odd.path()));
}

TEST_CASE("this machine's own /proc can be read") {
  // Whether a CI entered a container to start us is its business.
  CHECK_NOTHROW((void)entered_running_container());
}
