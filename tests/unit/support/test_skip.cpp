#include "support/skip.hpp"

#include <doctest/doctest.h>

#include "support/process.hpp"
#include "support/text.hpp"

using namespace testing;

namespace {

// A case of this program, started by `env ENVIRONMENT`.
Result once_more(const std::string& name, std::vector<std::string> environment) {
  environment.insert(environment.begin(), "env");
  environment.insert(environment.end(), {std::filesystem::read_symlink("/proc/self/exe").string(),
                                         "--no-skip", "--test-case=" + name});
  return run(environment);
}

}  // namespace

// Started by the cases below only.
TEST_CASE("skip: by default" * doctest::skip()) { testing::skip("there is no moon"); }
TEST_CASE("skip: by name" * doctest::skip()) {
  testing::skip("there is no moon", "SCHEMAGATE_REQUIRE_MOON");
}

// ctest finds a skipped case by SKIP_REGULAR_EXPRESSION (tests/CMakeLists.txt).
TEST_CASE("a case that cannot be had here passes and says SKIPPED, with the reason") {
  for (const std::string name : {"skip: by default", "skip: by name"}) {
    const auto result = once_more(name, {"-u", "SCHEMAGATE_REQUIRE_POSTGRES"});
    CHECK(result.exit_code == 0);
    CHECK(result.out == contains("MESSAGE: SKIPPED: there is no moon"));
  }
}

TEST_CASE("a case that is required and cannot be had fails with the reason, without SKIPPED") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"skip: by default", "SCHEMAGATE_REQUIRE_POSTGRES"},
      {"skip: by name", "SCHEMAGATE_REQUIRE_MOON"}};
  for (const auto& [name, variable] : cases) {
    const auto result = once_more(name, {variable + "=1"});
    CHECK(result.exit_code == 1);
    CHECK(result.out == contains(variable + " is set, but there is no moon"));
    CHECK(result.out != contains("MESSAGE: SKIPPED"));
  }
}
