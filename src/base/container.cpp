#include "schemagate/base/container.hpp"

#include <unistd.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace schemagate {
namespace {

constexpr int k_generations_max = 64;  // a loop cannot be, but this is another's file system

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

// Of /proc/PID/stat: fields 1, 4 (the parent) and 22 (when it started, in ticks after boot). Field
// 2 is a name that may hold blanks and brackets.
struct Process {
  long pid;
  long parent;
  long long started_ticks;
};

std::optional<Process> process(const std::filesystem::path& proc, const std::string& pid) {
  const auto stat = content_of(proc / pid / "stat");
  const auto name_end = stat.rfind(')');
  if (name_end == std::string::npos) return {};
  Process found{};
  std::istringstream{stat} >> found.pid;
  std::istringstream fields{stat.substr(name_end + 1)};
  std::string ignored;
  fields >> ignored >> found.parent;
  for (int field = 5; field < 22; ++field) fields >> ignored;
  fields >> found.started_ticks;
  if (!fields) return {};
  return found;
}

}  // namespace

std::optional<Milliseconds> entered_running_container(const std::filesystem::path& proc) {
  auto ancestor = process(proc, "self");
  for (int i = 0; ancestor && ancestor->parent != 0; ++i) {
    if (i == k_generations_max) return {};
    ancestor = process(proc, std::to_string(ancestor->parent));
  }
  const auto first = process(proc, "1");
  if (!ancestor || ancestor->pid == 1 || !first) return {};
  if (content_of(proc / "1/cgroup") != content_of(proc / "self/cgroup")) return {};
  const auto ticks = ancestor->started_ticks - first->started_ticks;
  return Milliseconds{ticks * 1000 / ::sysconf(_SC_CLK_TCK)};
}

}  // namespace schemagate
