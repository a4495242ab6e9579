#include "schemagate/base/error.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace schemagate;

TEST_SUITE("error") {
  TEST_CASE(
      "what passes by itself may be tried again, what is permanent may not, and none is both") {
    const std::set<int> retryable{10, 11, 12, 13, 14, 30};
    const std::set<int> permanent{20, 21, 22, 23, 24, 25, 26};
    for (int code = 0; code < 256; ++code) {
      CAPTURE(code);
      CHECK(is_retryable(static_cast<ExitCode>(code)) == retryable.contains(code));
      CHECK(is_permanent(static_cast<ExitCode>(code)) == permanent.contains(code));
    }
  }
}
