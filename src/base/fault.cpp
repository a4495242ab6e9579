#include "schemagate/base/fault.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

namespace schemagate::fault {
namespace {

constexpr std::size_t k_detail_size_max = 200;

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string on_this_thread(std::string_view name) {
  if (::gettid() == ::getpid()) return std::string{name};
  std::array<char, 16> thread{};
  ::pthread_getname_np(::pthread_self(), thread.data(), thread.size());
  return fmt::format("{}/{}", thread.data(), name);
}

void append_line(const std::string& file, std::string line) {
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || ::write(fd, line.data(), line.size()) < 0)
    throw std::runtime_error{"cannot write the trace of fault points to " + file};
  ::close(fd);
}

}  // namespace

bool point(std::string_view name, std::string_view detail) {
  static const auto wanted = from_environment("SCHEMAGATE_FAULT");
  static const auto trace = from_environment("SCHEMAGATE_FAULT_TRACE");
  if (wanted.empty() && trace.empty()) return false;

  static std::mutex mutex;
  static std::map<std::string, int> passed;
  const auto full_name = on_this_thread(name);
  const std::lock_guard lock{mutex};
  const auto here = fmt::format("{}:{}", full_name, ++passed[full_name]);
  if (!trace.empty())
    append_line(trace, fmt::format("{}\t{}", here, detail.substr(0, k_detail_size_max)));
  if (!wanted.starts_with(here + ":")) return false;
  const auto action = wanted.substr(here.size() + 1);
  if (action == "kill") std::raise(SIGKILL);
  if (action == "stop") ::kill(::getpid(), SIGSTOP);
  if (action == "error") throw std::bad_alloc{};
  return action == "cut";
}

}  // namespace schemagate::fault
