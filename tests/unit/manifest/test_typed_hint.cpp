#include "schemagate/manifest/typed_hint.hpp"

#include <doctest/doctest.h>

using namespace schemagate;

TEST_SUITE("hints") {
  TEST_CASE("the manifest that is found without being named is not named in hints") {
    CHECK(as_typed(own_command("run"), default_manifest()) == "schemagate run");
  }

  TEST_CASE("every command of a hint is told the manifest, and no other word is touched") {
    const auto hint = "schemagate run did it; fix it, then: " + own_command("resolve x --auto") +
                      " && " + own_command("run");
    CHECK(as_typed(hint, "a.yaml") ==
          "schemagate run did it; fix it, then: schemagate resolve -f a.yaml x --auto && "
          "schemagate run -f a.yaml");
    CHECK(hint.text() == "schemagate run did it; fix it, then: schemagate resolve x --auto && "
                         "schemagate run");
  }

  TEST_CASE("a manifest with blanks in its name is one word of the hint") {
    CHECK(as_typed(own_command("run"), "of my shop.yaml") == "schemagate run -f 'of my shop.yaml'");
  }

  TEST_CASE("a hint without words is empty, also where it was made of an empty text") {
    CHECK(Hint{}.empty());
    CHECK(Hint{""}.empty());
    CHECK_FALSE(own_command("run").empty());
  }
}
