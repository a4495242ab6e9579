#include <doctest/doctest.h>

#include <cstdlib>

#include "schemagate/cli/command_line.hpp"

using namespace schemagate;
using namespace schemagate::cli;

namespace {

Invocation read(const std::vector<std::string>& words) {
  auto line = read_command_line(words);
  REQUIRE(line.command != nullptr);
  return std::move(line.invocation);
}

struct Mistake {
  std::string what;
  std::string hint;
};
Mistake mistake(const std::vector<std::string>& words) {
  try {
    (void)read_command_line(words);
  } catch (const Failure& failure) {
    CHECK(failure.code() == ExitCode::usage);
    return {failure.what(), failure.hint().text()};
  }
  FAIL("no mistake: " << join(words, " "));
  return {};
}

// For the time of a case.
struct Variable {
  const char* name;
  Variable(const char* the_name, const char* value) : name{the_name} { ::setenv(name, value, 1); }
  ~Variable() { ::unsetenv(name); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
};

}  // namespace

TEST_SUITE("command line") {
  TEST_CASE("an option's value is the next word, or stands behind its equals sign or letter") {
    for (const auto& words : std::vector<std::vector<std::string>>{
             {"--file", "a.yaml"}, {"--file=a.yaml"}, {"-f", "a.yaml"}, {"-fa.yaml"}}) {
      auto all = words;
      all.insert(all.begin(), "status");
      CHECK(read(all).manifest == "a.yaml");
    }
  }

  TEST_CASE("what follows two dashes is another program's, whatever it looks like") {
    const auto read_run = read({"run", "--hold", "10m", "--", "node", "--hold", "--", "-f", "x"});
    CHECK(read_run.program == std::vector<std::string>{"node", "--hold", "--", "-f", "x"});
    CHECK(read_run.hold == std::chrono::minutes{10});
    CHECK(read({"gate", "--json"}).program.empty());
    CHECK(mistake({"run", "--"}).what == "a command must follow --");
    CHECK(mistake({"status", "--", "ls"}).what == "status starts no command after --");
  }

  TEST_CASE("a program without the two dashes before it is told where they belong") {
    const auto found = mistake({"run", "node", "server.js"});
    CHECK(found.what == "\"node\" is not an option; a program to be started is written after --");
    CHECK(found.hint == "schemagate run -- node server.js");
    CHECK(mistake({"gate", "--once", "-f", "node", "node", "--port", "my shop"}).hint ==
          "schemagate gate --once -f node -- node --port 'my shop'");
    CHECK(mistake({"status", "node"}).what == "unexpected \"node\"");
  }

  TEST_CASE("an unknown command or option is answered by the one that was probably meant") {
    const auto command = mistake({"statsu"});
    CHECK(command.what == "unknown command \"statsu\"; did you mean \"status\"?");
    CHECK(command.hint == "schemagate --help");
    const auto option = mistake({"run", "--log-levle=debug"});
    CHECK(option.what == "unknown option \"--log-levle\"; did you mean \"--log-level\"?");
    CHECK(option.hint == "schemagate run --help");
    CHECK(mistake({"migrate"}).what == "unknown command \"migrate\"; did you mean \"run\"?");
    CHECK(mistake({"Deploy"}).what == "unknown command \"Deploy\"; did you mean \"run\"?");
    CHECK(mistake({"pending", "-f", "x"}).what ==
          "unknown command \"pending\"; did you mean \"status\"?");
    CHECK(mistake({"dry-run"}).what == "unknown command \"dry-run\"; did you mean \"plan\"?");
    CHECK(mistake({"frobnicate"}).what == "unknown command \"frobnicate\"");
    CHECK(mistake({"run", "--frobnicate"}).what == "unknown option \"--frobnicate\"");
    CHECK(mistake({"run", "-x"}).what == "unknown option \"-x\"");
    CHECK(mistake({"help", "statsu"}).what == command.what);
    CHECK(mistake({"-f", "a.yaml", "run"}).what ==
          "unknown option \"-f\"; the first word is a command");
  }

  TEST_CASE("an unknown option is told before what else is missing") {
    CHECK(mistake({"resolve", "--aplied", "1_init"}).what ==
          "unknown option \"--aplied\"; did you mean \"--applied\"?");
  }

  TEST_CASE("a value that is not understood is told with what it must be") {
    CHECK(mistake({"run", "--log-level", "wran"}).what ==
          "--log-level must be one of debug, info, warn, error, not \"wran\"; did you mean "
          "\"warn\"?");
    CHECK(mistake({"run", "--hold", "soon"}).what ==
          "--hold must be like 30s, 10m or 1h, not \"soon\"");
    CHECK(mistake({"run", "--json=maybe"}).what ==
          "--json must be given without a value, not \"maybe\"");
  }

  TEST_CASE("a value that is missing, or given twice, is told with its option") {
    CHECK(mistake({"run", "-f"}).what == "-f needs a value");
    CHECK(mistake({"run", "-f", "a", "--file", "b"}).what == "--file is given more than once");
  }

  TEST_CASE("the environment says how to log where no option does, and is named when it is wrong") {
    const Variable format{"SCHEMAGATE_LOG_FORMAT", "json"};
    const Variable level{"SCHEMAGATE_LOG_LEVEL", "loud"};
    CHECK(read({"run", "--log-level", "warn"}).log.format == log::Format::json);
    CHECK(read({"run", "--log-level", "warn", "--log-format", "text"}).log.format ==
          log::Format::text);
    CHECK(mistake({"run"}).what ==
          "SCHEMAGATE_LOG_LEVEL must be one of debug, info, warn, error, not \"loud\"");
    CHECK_FALSE(read_command_line({"run", "--help"}).answer.empty());
  }

  TEST_CASE("resolve needs a migration and one decision, baseline migrations or the last of them") {
    (void)read({"resolve", "1_init", "--auto"});
    (void)read({"baseline", "1_init", "2_next", "3_last"});
    (void)read({"baseline", "--through", "2_next"});
    CHECK(mistake({"resolve", "--auto"}).what == "NAME is missing: the migration's directory");
    CHECK(mistake({"resolve", "1_init"}).what ==
          "one of --applied, --rolled-back, --auto must be given");
    CHECK(mistake({"resolve", "1_init", "--auto", "--applied"}).what ==
          "only one of --applied, --rolled-back, --auto may be given");
    CHECK(mistake({"baseline"}).what == "one of NAME, --through, --none must be given");
    CHECK(mistake({"baseline", "1_init", "--through", "2_next"}).what ==
          "only one of NAME, --through, --none may be given");
  }
}
