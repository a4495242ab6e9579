#include <doctest/doctest.h>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/json.hpp"
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

  TEST_CASE("what a terminal would obey is shown by its number") {
    const auto plain = "tabs\tand\nlines, \u00fcml\u00e4ut, \u65e5\u672c, \\u001b, \u00a0";
    CHECK(printable(plain) == plain);
    CHECK(printable("\x1b[31m\x07\x7f") == "\\u001b[31m\\u0007\\u007f");
    CHECK(printable(std::string{"a\0b", 3}) == "a\\u0000b");
    CHECK(printable("\u009b31m \u0080") == "\\u009b31m \\u0080");
    CHECK(printable("\u202e\u2066\u2069\u2028") == "\\u202e\\u2066\\u2069\\u2028");
    CHECK(printable("over\rwritten") == "over\\u000dwritten");
    CHECK(printable("a\r\nb\r") == "a\nb");
    CHECK(printable("\xff\x9b \xe2\x80") == "\uFFFD\uFFFD \uFFFD");
  }

  TEST_CASE("a JSON text means the same when it is made printable") {
    const auto told = std::string{"\u009b \u202e \x7f \x1b \r\n"};
    const auto line = Json{}.set("a", told).line();
    CHECK(line == R"({"a":"\u009b \u202e \u007f \u001b \r\n"})");
    CHECK(Json::parse(line)->text("a") == told);
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
}
