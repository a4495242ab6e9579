#pragma once
// What a case needs that only newer servers have.

#include <doctest/doctest.h>

#include "support/server.hpp"

namespace testing {

// False, with a loud message, where the server is of an older major version.
[[nodiscard]] inline bool server_is_at_least(int version, const TestDatabase& database) {
  const auto there = database.connect().server_major_version();
  if (there < version)
    MESSAGE("SKIPPED: needs PostgreSQL " << version << ", and the server is " << there
                                         << " (./dev postgres " << version << ")");
  return there >= version;
}

}  // namespace testing
