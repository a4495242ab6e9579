#include <doctest/doctest.h>

#include <algorithm>

#include "schemagate/base/text.hpp"

using namespace schemagate;

TEST_SUITE("text") {
  TEST_CASE("migration directories are ordered as JavaScript's localeCompare orders them") {
    // Printed by node 20: ["..."].sort((a, b) => a.localeCompare(b))
    const std::vector<std::string> ordered = {
        "_a",   "-a",      "0_init",     "00_init",          "1_a",
        "10_b", "2_c",     "20240101_b", "20240101000000_z", "a",
        "A",    "a_first", "ab",         "B_second",         "b1"};
    auto shuffled = ordered;
    std::reverse(shuffled.begin(), shuffled.end());
    std::sort(shuffled.begin(), shuffled.end(), locale_less);
    CHECK(shuffled == ordered);
  }

  TEST_CASE("a random uuid has the form of version 4 and differs each time") {
    const auto one = random_uuid();
    CHECK(one.size() == 36);
    CHECK(one[14] == '4');
    CHECK(std::string{"89ab"}.find(one[19]) != std::string::npos);
    CHECK(one != random_uuid());
  }
}
