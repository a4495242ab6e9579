#include "support/temp_dir.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace testing {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "schemagate-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    throw std::runtime_error{"cannot make a temporary directory"};
  path_ = name;
}

TempDir::~TempDir() {
  const auto* results =
      doctest::getContextOptions()->currentTest == nullptr ? nullptr : doctest::getContextOptions();
  if (results != nullptr && std::uncaught_exceptions() > 0) {
    std::fprintf(stderr, "the case failed; its files are in %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TempDir::write(const std::string& name, const std::string& content) const {
  const auto file = path_ / name;
  std::filesystem::create_directories(file.parent_path());
  std::ofstream stream{file, std::ios::binary};
  stream << content;
  if (!stream) throw std::runtime_error{"cannot write " + file.string()};
  return file;
}

std::string read_text(const std::filesystem::path& file) {
  std::ifstream stream{file, std::ios::binary};
  std::ostringstream content;
  content << stream.rdbuf();
  return content.str();
}

}  // namespace testing
