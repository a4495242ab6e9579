// What a process gets from whoever starts it: standard streams, signals that are ignored.
#include <doctest/doctest.h>

#include <csignal>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

// A run that says something and has connections open for longer than that.
class TalkingProject : public GateProject {
 public:
  TalkingProject() {
    migration("1_users", "CREATE TABLE users (id integer);");
    migration("2_notice", "DO $$ BEGIN RAISE NOTICE 'talking'; END $$; SELECT pg_sleep(1.5);");
    migration("3_orders", "CREATE TABLE orders (id integer);");
  }
  // By the shell, which gives $RUN what this says.
  [[nodiscard]] Result by_shell(const std::string& script, const std::string& more = {}) const {
    auto started = options();
    started.environment["RUN"] = schemagate::shell_word(tested_program()) + " run -f " +
                                 schemagate::shell_word(manifest()) + " " + more;
    return testing::run({"bash", "-c", script}, started);
  }
  [[nodiscard]] bool is_complete() const {
    return marker("status") == "complete" &&
           database.value("SELECT to_regclass('orders') IS NOT NULL") == "t";
  }
};

// env(1): ignored or blocked from the start.
Process start_by_env(const GateProject& project, const std::string& option,
                     const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"env", option, tested_program()};
  for (const auto& word : project.arguments("run", more)) words.push_back(word);
  return Process{words, project.options()};
}

// "SigIgn: 0000000000000000" of proc(5) has bit n - 1 for signal n.
bool has_signal(const std::string& status, const std::string& set, int signal) {
  const auto at = status.find(set + ":");
  REQUIRE(at != std::string::npos);
  const auto bits = std::stoull(status.substr(at + set.size() + 1), nullptr, 16);
  return ((bits >> (signal - 1)) & 1) != 0;
}

constexpr const char* k_show_signals = "grep -E '^Sig(Ign|Blk)' /proc/self/status";

}  // namespace

TEST_SUITE_BEGIN("streams");

TEST_CASE("a run works whichever of its standard streams are closed") {
  for (const std::string closed : {"<&- >&- 2>&-", "2>&-", ">&-", "<&- 2>&-"}) {
    TalkingProject project;
    CAPTURE(closed);
    CHECK(project.by_shell("exec $RUN " + closed, "--json --log-level debug") == exits(0));
    CHECK(project.is_complete());
  }
}

TEST_CASE("the program gets a standard stream that was closed as /dev/null") {
  GateProject project;
  project.migration("1_init", "SELECT 1;");
  auto started = project.options();
  started.environment["RUN"] = tested_program() + " run -f " + project.manifest();
  const std::string show =
      "in=$(readlink /proc/$$/fd/0) out=$(readlink /proc/$$/fd/1); echo $in $out >&2";
  CHECK(testing::run({"bash", "-c", "exec $RUN -- sh -c '" + show + "' <&- >&-"}, started) ==
        exits(0, "/dev/null /dev/null\n"));
}

TEST_CASE("a run whose log nobody reads any more goes on to its end") {
  TalkingProject project;
  for (const std::string format : {"text", "json"}) {
    const auto result = project.by_shell("$RUN 2>&1 >/dev/null | head -n 1; exit ${PIPESTATUS[0]}",
                                         "--log-format " + format);
    CHECK(result == exits(0));
    CHECK(project.is_complete());
    project.set("release", "r2")
        .migration("4_more", "DO $$ BEGIN RAISE NOTICE 'x'; END $$; SELECT pg_sleep(1);");
  }
}

TEST_CASE("a JSON document that nobody reads does not kill") {
  GateProject project;
  project.migration("1_init", "SELECT 1;");
  auto started = project.options();
  started.environment["RUN"] = tested_program() + " run --json -f " + project.manifest();
  CHECK(testing::run({"bash", "-c", "$RUN | true; exit ${PIPESTATUS[0]}"}, started) == exits(0));
}

TEST_CASE("what cannot be written to stdout ends with 1 and a word, unless worse has happened") {
  GateProject project;
  project.migration("1_init", "SELECT 1;");
  const auto full = [&](const std::string& words) {
    auto started = project.options();
    started.environment["PROGRAM"] = tested_program();
    started.environment["MANIFEST"] = project.manifest();
    return testing::run({"bash", "-c", "exec \"$PROGRAM\" " + words + " >/dev/full"}, started);
  };
  const std::string told = "cannot write to stdout: No space left on device";
  const std::pair<std::string, int> k_worse[] = {
      {"gate --once --json", 30}, {"status --json", 20}, {"status", 20}};
  for (const auto& [words, code] : k_worse) {
    CAPTURE(words);
    CHECK(full(words + " -f \"$MANIFEST\"") == exits(code, told));
  }
  for (const std::string words :
       {"run --json", "run --json", "gate --once --json", "resolve 1_init --auto --json",
        "baseline --json 1_init", "status --json", "status"}) {
    CAPTURE(words);
    CHECK(full(words + " -f \"$MANIFEST\"") == exits(1, told));
  }
  CHECK(project.marker("status") == "complete");
  CHECK(full("run -f \"$MANIFEST\"") == exits(0));
  for (const std::string words : {"--help", "run --help", "--version"}) {
    CAPTURE(words);
    CHECK(full(words) == exits(1, told));
  }
}

TEST_CASE("a signal that was ignored from the start stays so, for us and for what we start") {
  const std::vector<std::pair<std::string, int>> signals = {
      {"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"TERM", SIGTERM}};
  for (const auto& [name, number] : signals) {
    CAPTURE(name);
    GateProject project;
    project.command("touch begun; until [ -e go ]; do sleep 0.1; done; " +
                    std::string{k_show_signals});
    auto run = start_by_env(project, "--ignore-signal=" + name,
                            {"--", "sh", "-c", std::string{k_show_signals} + " >&2"});
    REQUIRE(eventually([&] { return std::filesystem::exists(project.file("begun")); }));
    run.signal(number);
    project.files.write("go", "");
    const auto result = run.wait();
    CHECK(result == exits(0, "| SigIgn", "\nSigIgn"));
    for (const auto* of : {"| ", "\n"})
      CHECK(has_signal(result.err.substr(result.err.find(of + std::string{"SigIgn"})), "SigIgn",
                       number));
  }
}

TEST_CASE("a signal that was not ignored ends the run, and is not ignored by what we start") {
  GateProject project;
  project.command(k_show_signals);
  const auto result = project.run({"--", "sh", "-c", std::string{k_show_signals} + " >&2"});
  CHECK(result == exits(0));
  std::size_t seen = 0;
  for (auto at = result.err.find("SigIgn"); at != std::string::npos;
       at = result.err.find("SigIgn", at + 1), ++seen) {
    const auto status = result.err.substr(at);
    for (const int number : {SIGPIPE, SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGCHLD})
      CHECK_FALSE(has_signal(status, "SigIgn", number));
  }
  CHECK(seen == 2);
  for (auto at = result.err.find("SigBlk"); at != std::string::npos;
       at = result.err.find("SigBlk", at + 1))
    CHECK(std::stoull(result.err.substr(at + 7), nullptr, 16) == 0);
  project.command("touch begun; sleep 600");
  auto run = project.set("release", "r2").start_run();
  REQUIRE(eventually([&] { return std::filesystem::exists(project.file("begun")); }));
  run.signal(SIGHUP);
  CHECK(run.wait() == exits(128 + SIGHUP));
}

TEST_CASE("how a command ended is known though our parent ignored the death of children") {
  for (const int code : {0, 3}) {
    GateProject project;
    project.command("exit " + std::to_string(code));
    auto run = start_by_env(project, "--ignore-signal=CHLD");
    if (code == 0) CHECK(run.wait() == exits(0));
    else CHECK(run.wait() == exits(25, "exit code 3"));
  }
}

TEST_SUITE_END();
