#include "support/trials.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace testing {

void record(const Trial& trial, int times) {
  const auto line =
      trial.fault + '\t' + trial.where + '\t' + trial.seen + '\t' + std::to_string(times) + '\n';
  const char* other = std::getenv("SCHEMAGATE_TRIALS");
  const std::string file = other == nullptr ? SCHEMAGATE_TRIALS : other;
  // One write each: several test programs append at once.
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || ::write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
    throw std::runtime_error{"cannot append to " + file};
  ::close(fd);
}

std::size_t each_nth() {
  const char* number = std::getenv("SCHEMAGATE_TEST_EACH");
  return number == nullptr ? 1 : std::stoul(number);
}

}  // namespace testing
