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
