#include "support/skip.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

namespace testing {

void skip(const std::string& why, const char* required) {
  if (std::getenv(required) != nullptr) FAIL_CHECK(std::string{required} << " is set, but " << why);
  else MESSAGE("SKIPPED: " << why);
}

}  // namespace testing
