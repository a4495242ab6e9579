#include "become.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "schemagate/base/log.hpp"

namespace schemagate::cli {

int become(const std::vector<std::string>& program) {
  std::vector<char*> argv;
  for (const auto& argument : program) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::fflush(nullptr);
  ::execvp(argv[0], argv.data());
  const int error = errno;
  log::error(fmt::format("cannot start {}: {}", program.front(), std::strerror(error)));
  return error == ENOENT ? 127 : 126;
}

}  // namespace schemagate::cli
