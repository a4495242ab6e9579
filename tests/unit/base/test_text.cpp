#include <doctest/doctest.h>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"

using namespace schemagate;

TEST_SUITE("text") {
  TEST_CASE("a random uuid has the form of version 4 and differs each time") {
    const auto one = random_uuid();
    CHECK(one.size() == 36);
    CHECK(one[14] == '4');
    CHECK(std::string{"89ab"}.find(one[19]) != std::string::npos);
    CHECK(one != random_uuid());
  }
}
