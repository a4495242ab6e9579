#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

const std::string k_first = "20240101000000_first";
const std::vector<std::string> k_both = {"run", "gate"};

// Migrated already, so that run and gate both come to their command.
void ready(GateProject& project) {
  project.migration(k_first, "CREATE TABLE users (id integer);");
  REQUIRE(project.run() == exits(0));
}

Result become(const GateProject& project, const std::string& what,
              std::vector<std::string> command) {
  command.insert(command.begin(), "--");
  return testing::schemagate(project.arguments(what, command), project.options());
}

// nohup, or a shell that has put the tests into the background, lets us ignore some of them, and so
// every program that we start.
void with_default_signals() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) ::signal(signal, SIG_DFL);
}

std::vector<std::string> sorted_lines(const std::string& text) {
  auto lines = schemagate::split(schemagate::trim(text), '\n');
  std::sort(lines.begin(), lines.end());
  return lines;
}

}  // namespace

TEST_SUITE_BEGIN("exec");

TEST_CASE("the program after the two dashes gets our process id") {
  GateProject project;
  ready(project);
  for (const auto& what : k_both) {
    auto process =
        start_schemagate(project.arguments(what, {"--", "sh", "-c", "echo $$"}), project.options());
    const auto pid = process.pid();
    const auto result = process.wait();
    CHECK(result == exits(0));
    CHECK(result.out == std::to_string(pid) + "\n");
  }
}

TEST_CASE("stdin, stdout and stderr are the program's own, byte by byte") {
  GateProject project;
  ready(project);
  for (const auto& what : k_both) {
    const auto line = std::string{"printf 'one\\ntwo\\000three' | "} + tested_program() + " " +
                      what + " -f " + project.manifest() +
                      " --log-level error -- sh -c 'cat; echo problem >&2'";
    const auto result = run({"sh", "-c", line}, project.options());
    CHECK(result == exits(0));
    CHECK(result.out == std::string{"one\ntwo\0three", 13});
    CHECK(result.err == "problem\n");
  }
}

TEST_CASE("with a program after the two dashes --json leaves stdout to it") {
  GateProject project;
  ready(project);
  for (const auto& what : k_both) {
    const auto result = testing::schemagate(
        project.arguments(what, {"--json", "--", "echo", "mine"}), project.options());
    CHECK(result == exits(0));
    CHECK(result.out == "mine\n");
  }
}

TEST_CASE("the program's exit code is ours") {
  GateProject project;
  ready(project);
  for (const auto& what : k_both) {
    for (const int code : {0, 1, 2, 3, 30, 31, 126, 127, 128, 143, 255})
      CHECK(become(project, what, {"sh", "-c", "exit " + std::to_string(code)}) == exits(code));
  }
}

TEST_CASE("a program that a signal ends is seen as ended by that signal") {
  with_default_signals();
  GateProject project;
  ready(project);
  for (const auto& what : k_both) {
    for (const int signal : {SIGTERM, SIGKILL, SIGINT, SIGHUP})
      CHECK(
          become(project, what, {"sh", "-c", "kill -" + std::to_string(signal) + " $$; exit 9"}) ==
          exits(128 + signal));
  }
}

TEST_CASE("signals reach the program") {
  with_default_signals();
  GateProject project;
  ready(project);
  for (const auto& what : k_both) {
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
      auto process = start_schemagate(
          project.arguments(
              what,
              {"--", "sh", "-c",
               "trap 'exit 42' TERM INT HUP USR1; echo trapped >&2; while :; do sleep 0.02; done"}),
          project.options());
      REQUIRE(process.says("trapped"));
      process.signal(signal);
      CHECK(process.wait() == exits(42));
    }
  }
}

TEST_CASE(
    "the program starts with the signal mask and the ignored signals that we were started with") {
  GateProject project;
  ready(project);
  const std::vector<std::string> command{"grep", "-E", "^(SigBlk|SigIgn|SigPnd|ShdPnd)",
                                         "/proc/self/status"};
  const auto direct = run(command);
  REQUIRE(direct == exits(0));
  REQUIRE(direct.out == contains("SigBlk:\t0000000000000000"));
  for (const auto& what : k_both) CHECK(become(project, what, command).out == direct.out);
  // nohup's ignored SIGHUP stays ignored, as exec promises.
  const auto line = std::string{"trap '' HUP; exec "} + tested_program() + " gate -f " +
                    project.manifest() + " -- grep SigIgn /proc/self/status";
  const auto ignored = run({"sh", "-c", "trap '' HUP; exec grep SigIgn /proc/self/status"});
  CHECK(run({"sh", "-c", line}, project.options()).out == ignored.out);
}

TEST_CASE("the program finds no open file of ours") {
  GateProject project;
  ready(project);
  const std::vector<std::string> command{"ls", "/proc/self/fd"};
  const auto direct = run(command);
  REQUIRE(direct == exits(0));
  for (const auto& what : k_both)
    CHECK(sorted_lines(become(project, what, command).out) == sorted_lines(direct.out));
  // Also when it had connections, threads and timers to do.
  project.set("release", "r2").set("gate.poll", "100ms");
  auto gate = project.start_gate({"--", "ls", "/proc/self/fd"});
  REQUIRE(gate.says("gate closed"));
  CHECK(sorted_lines(become(project, "run", command).out) == sorted_lines(direct.out));
  CHECK(sorted_lines(gate.wait().out) == sorted_lines(direct.out));
}

TEST_CASE("the program is one thread without children") {
  GateProject project;
  ready(project);
  project.set("gate.poll", "100ms");
  for (const auto* release : {"r1", "r2"}) {  // nothing to do, and a run of its own
    project.set("release", release);
    for (const auto& what : k_both) {
      CHECK(become(project, what, {"grep", "^Threads", "/proc/self/status"}).out ==
            "Threads:\t1\n");
      const auto children = become(project, what, {"cat", "/proc/thread-self/children"});
      CHECK(children == exits(0));
      CHECK(children.out.empty());
    }
  }
}

TEST_CASE(
    "the program after an external migration command is one thread without children or open files") {
  GateProject project;
  project.command("sleep 100 & echo done");
  const auto direct = run({"ls", "/proc/self/fd"});
  auto result =
      become(project, "run", {"sh", "-c", "cat /proc/$$/task/$$/children; exec ls /proc/self/fd"});
  CHECK(result == exits(0));
  // The only child is the cat itself.
  const auto out = schemagate::split(result.out, '\n');
  REQUIRE(!out.empty());
  CHECK(std::count(out[0].begin(), out[0].end(), ' ') <= 1);
  const auto first_line = result.out.find("0\n");
  REQUIRE(first_line != std::string::npos);
  project.set("release", "r2");
  result = become(project, "run", {"ls", "/proc/self/fd"});
  CHECK(sorted_lines(result.out) == sorted_lines(direct.out));
  project.set("release", "r3");
  CHECK(become(project, "run", {"cat", "/proc/thread-self/children"}).out.empty());
}

TEST_CASE("environment, directory and arguments of the program are as given") {
  GateProject project;
  ready(project);
  project.environment["ODD"] = "a\nb \"c\" $(d)";
  for (const auto& what : k_both) {
    CHECK(sorted_lines(become(project, what, {"env"}).out) ==
          sorted_lines(run({"env"}, project.options()).out));
    CHECK(become(project, what, {"pwd", "-P"}).out == run({"pwd", "-P"}, project.options()).out);
    CHECK(become(project, what, {"printf", "[%s]", "a b", "", "--", "-f", "$HOME", "*"}).out ==
          "[a b][][--][-f][$HOME][*]");
  }
}

TEST_CASE("when the program starts no connection of ours is left") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  // The server takes a moment to see that a client has gone.
  const std::string count =
      "for i in $(seq 200); do n=$(psql -X -At \"$DATABASE_URL\" -c \"SELECT count(*) FROM "
      "pg_stat_activity WHERE datname = current_database() AND application_name LIKE "
      "'schemagate%'\"); [ \"$n\" != 0 ] || break; sleep 0.1; done; echo \"$n\"";
  CHECK(become(project, "run", {"sh", "-c", count}).out == "0\n");
  CHECK(become(project, "gate", {"sh", "-c", count}).out == "0\n");
}

TEST_CASE("a program that is not there is exit 2 before anything is done to the database") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  project.files.write("not-executable", "#!/bin/sh\n");
  for (const auto& program : {std::string{"no-such-program"}, std::string{"/no/such/program"},
                              project.file("not-executable")}) {
    if (program == project.file("not-executable") && ::access(program.c_str(), X_OK) == 0) continue;
    for (const auto& what : k_both) {
      CHECK(become(project, what, {program}) ==
            exits(2, "\"" + program + "\"", "not there or not executable"));
    }
  }
  CHECK(project.is_untouched());
}

TEST_CASE("an empty program name, as of an unset variable, is exit 2 before anything is done") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  CHECK(become(project, "run", {""}) == exits(2));
  CHECK(project.is_untouched());
}

TEST_CASE("a directory instead of a program is exit 2 before anything is done") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  CHECK(become(project, "run", {project.files.path().string()}) == exits(2));
  CHECK(project.is_untouched());
}

TEST_CASE("a directory in $PATH with the program's name does not hide the program") {
  GateProject project;
  ready(project);
  std::filesystem::create_directories(project.files.path() / "first" / "echo");
  project.environment["PATH"] = project.file("first") + ":" + std::getenv("PATH");
  const auto result = become(project, "gate", {"echo", "yes"});
  CHECK(result == exits(0));
  CHECK(result.out == "yes\n");
}

TEST_CASE("two dashes without a program are exit 2 before anything is done to the database") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  for (const auto& what : k_both) {
    CHECK(become(project, what, {}) == exits(2, "a command must follow"));
  }
  CHECK(project.is_untouched());
}

TEST_CASE("a script without a first line for the kernel is said to be unstartable") {
  GateProject project;
  ready(project);
  const auto script = project.files.write("script", "echo hello\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const auto result = become(project, "gate", {script.string()});
  // execvp runs it with sh, as a shell would.
  CHECK(result == exits(0));
  CHECK(result.out == "hello\n");
}

TEST_CASE("the program is not started when the gate stays closed, has failed or the run fails") {
  GateProject project;
  project.set("gate.timeout", "300ms").set("gate.poll", "100ms");
  project.migration(k_first, "SELECT nonsense;");
  const std::vector<std::string> touch{"touch", project.file("started")};
  CHECK(become(project, "gate", touch) == exits(30));
  CHECK(become(project, "run", touch) == exits(21));
  CHECK(become(project, "gate", touch) == exits(31));
  CHECK(testing::schemagate(
            project.arguments("gate", {"--once", "--", "touch", project.file("started")}),
            project.options()) == exits(31));
  project.set("mode", "nonsense");
  CHECK(become(project, "run", touch) == exits(2));
  CHECK_FALSE(std::filesystem::exists(project.file("started")));
  project.set("mode", "apply").migration(k_first, "SELECT 1;");
  CHECK(become(project, "run", touch) == exits(0));
  CHECK(std::filesystem::exists(project.file("started")));
}

TEST_CASE("gate --once with a program starts it when the gate is open") {
  GateProject project;
  ready(project);
  CHECK(testing::schemagate(project.arguments("gate", {"--once", "--", "echo", "open"}),
                            project.options())
            .out == "open\n");
}

TEST_CASE("with mode off run starts its program without looking at the database") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);").set("mode", "off");
  project.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing";
  const auto result = become(project, "run", {"echo", "yes"});
  CHECK(result == exits(0));
  CHECK(result.out == "yes\n");
  CHECK(project.is_untouched());
}

TEST_CASE("a signal while the run works keeps the program from starting") {
  GateProject project;
  project.migration(k_first, "SELECT pg_sleep(600);");
  auto process = project.start_run({"--", "touch", project.file("started")});
  REQUIRE(project.database.is_running("SELECT pg_sleep"));
  const auto result = process.terminate();
  CHECK(result == exits(128 + SIGTERM));
  CHECK(result.err != contains(k_last_resort));
  CHECK_FALSE(std::filesystem::exists(project.file("started")));
}

TEST_SUITE_END();
