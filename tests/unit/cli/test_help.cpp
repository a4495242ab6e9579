#include <doctest/doctest.h>

#include "schemagate/cli/command_line.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/cli/help.hpp"

using namespace schemagate;
using namespace schemagate::cli;

TEST_SUITE("help") {
  TEST_CASE("what a thing is stands beside its name, and goes on below where it is long") {
    std::string words;
    for (int i = 0; i < 20; ++i) words += i == 0 ? "word" : " word";
    const auto lines = split(two_columns({{"a", words}, {"bcd", "short"}}), '\n');
    REQUIRE(lines.size() == 4);
    CHECK(lines[0].starts_with("  a    word word"));
    CHECK(lines[0].size() <= 80);
    CHECK(lines[1].starts_with("       word"));
    CHECK(lines[2] == "  bcd  short");
  }

  TEST_CASE("a name that is too long for its column has its line alone") {
    const std::string name(40, 'n');
    CHECK(two_columns({{"a", "one"}, {name, "two"}}) == "  a  one\n  " + name + "\n     two\n");
  }

  TEST_CASE("the help of the program and of each command fits into 80 columns") {
    auto texts = std::vector{overview()};
    for (const auto& command : command_names())
      texts.push_back(read_command_line({command, "--help"}).answer);
    for (const auto& text : texts)
      for (const auto& line : split(text, '\n')) CHECK_MESSAGE(line.size() <= 80, line);
  }

  TEST_CASE("the program's help has one line for each command") {
    const auto text = overview();
    for (const auto& command : commands())
      CHECK_MESSAGE(text.find(std::string{command.summary} + "\n") != std::string::npos, text);
  }

  TEST_CASE("help COMMAND and COMMAND --help say the same") {
    for (const auto& command : command_names())
      CHECK(read_command_line({"help", command}).answer ==
            read_command_line({command, "-h"}).answer);
  }

  TEST_CASE("the usage of a command shows what must be there, and what is chosen among") {
    const auto usage_of = [](const std::string& command) {
      return split(read_command_line({command, "--help"}).answer, '\n').front();
    };
    CHECK(usage_of("run") == "usage: schemagate run [OPTIONS] [-- CMD [ARGUMENTS]]");
    CHECK(usage_of("status") == "usage: schemagate status [OPTIONS]");
    CHECK(usage_of("resolve") ==
          "usage: schemagate resolve NAME (--applied | --rolled-back | --auto) [OPTIONS]");
    CHECK(usage_of("baseline") ==
          "usage: schemagate baseline (NAME... | --through NAME | --none) [OPTIONS]");
  }

  TEST_CASE("choices are shown as they are typed") {
    const auto text = read_command_line({"run", "--help"}).answer;
    CHECK(text.find("--log-format text|json") != std::string::npos);
    CHECK(text.find("--log-level debug|info|warn|error") != std::string::npos);
    CHECK(text.find("ENUM") == std::string::npos);
  }
}
