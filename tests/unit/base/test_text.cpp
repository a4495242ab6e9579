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

  TEST_CASE("a word for the shell is quoted where the shell would read more than a word") {
    for (const std::string plain : {"1_init", "/srv/shop/schemagate.yaml", "a@b:c,d=e+f%g"})
      CHECK(shell_word(plain) == plain);
    CHECK(shell_word("") == "''");
    CHECK(shell_word("of my shop.yaml") == "'of my shop.yaml'");
    CHECK(shell_word("$HOME;*") == "'$HOME;*'");
    CHECK(shell_word("it's") == R"('it'\''s')");
    CHECK(shell_word("-f") == "'-f'");  // not taken for an option by whoever reads it
    CHECK(shell_word("grün") == "'grün'");
  }

  TEST_CASE("a text is cut where it speaks of a password, however that is written") {
    CHECK(without_password("CREATE ROLE a LOGIN", 100) == "CREATE ROLE a LOGIN");
    CHECK(without_password("CREATE ROLE a PASSWORD 'hunter2'", 100) ==
          "CREATE ROLE a PASSWORD ...");
    CHECK(without_password("alter role a PassWord 'hunter2'", 100) == "alter role a PassWord ...");
    CHECK(without_password("CREATE ROLE a LOGIN", 10) == "CREATE ...");
  }
}
