#include <doctest/doctest.h>

#include "schemagate/cli/commands.hpp"
#include "schemagate/cli/hints.hpp"

using namespace schemagate::cli;

TEST_SUITE("hints") {
  TEST_CASE("the manifest that is found without being named is not named in hints") {
    CHECK(as_typed("schemagate run", default_manifest()) == "schemagate run");
  }

  TEST_CASE("every command of a hint is told the manifest, whichever command it is") {
    for (const auto& command : command_names())
      CHECK(as_typed("fix it, then: schemagate " + command + " x; schemagate " + command,
                     "a.yaml") == "fix it, then: schemagate " + command +
                                      " -f a.yaml x; schemagate " + command + " -f a.yaml");
  }

  TEST_CASE("a manifest with blanks or a command's name in it is one word of the hint") {
    CHECK(as_typed("schemagate run", "of my shop.yaml") == "schemagate run -f 'of my shop.yaml'");
    CHECK(as_typed("schemagate run", "schemagate run.yaml") ==
          "schemagate run -f 'schemagate run.yaml'");
  }

  TEST_CASE("a word that only begins like a command is left alone") {
    CHECK(as_typed("schemagate runs no such thing", "a.yaml") == "schemagate runs no such thing");
  }

  TEST_CASE("of a text only the lines that are hints are changed") {
    CHECK(with_hints_as_typed("schemagate run failed\nhint: schemagate run\n", "a.yaml") ==
          "schemagate run failed\nhint: schemagate run -f a.yaml\n");
  }
}
