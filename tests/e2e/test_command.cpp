#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/history.hpp"
#include "support/lease.hpp"

using namespace testing;
using schemagate::sha256_hex;
using schemagate::split;

namespace {

const std::string k_first = "20240101000000_first";

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

bool is_alive(const std::string& pid) {
  const auto status = read_text("/proc/" + pid + "/stat");
  const auto state = status.rfind(") ");  // a zombie is dead: PID 1 may reap nobody
  return state != std::string::npos && status[state + 2] != 'Z';
}

// What the script wrote into files/NAME, once it is there.
std::string pid_in(const GateProject& project, const std::string& name) {
  std::string pid;
  REQUIRE(eventually([&] {
    pid = schemagate::trim(read_text(project.file(name)));
    return !pid.empty();
  }));
  return pid;
}

struct Overdue {
  Result result;
  double seconds = 0;  // from its timeout to its end
};

// A command that is still at work when its timeout is over, and has said "ready" by then: where a
// busy machine does not come so far, it is given more time.
Overdue run_overdue(GateProject& project, const std::string& script) {
  project.command(script);
  Overdue overdue;
  for (const int timeout : {1, 5, 25}) {
    project.set("migrations.timeout", std::to_string(timeout) + "s");
    const Stopwatch watch;
    overdue.result = project.run();
    overdue.seconds = watch.seconds() - timeout;
    if (overdue.result.err == contains("| ready")) break;
  }
  CHECK(overdue.result.err == contains("| ready"));
  return overdue;
}

}  // namespace

TEST_SUITE_BEGIN("command");

TEST_CASE("the command's stdout and stderr come line by line into the log, in order") {
  GateProject project;
  project.command("echo first; echo second >&2; echo; echo '  indented third'\n");
  const auto result = project.run();
  CHECK(result == exits(0));
  CHECK(result.out.empty());
  std::vector<std::string> lines;
  for (const auto& line : split(result.err, '\n'))
    if (const auto bar = line.find("| "); bar != std::string::npos)
      lines.push_back(line.substr(bar + 2));
  CHECK(lines == std::vector<std::string>{"first", "second", "", "  indented third"});
  CHECK(result.err == contains("running sh "));
  CHECK(project.marker("status") == "complete");
  CHECK(project.look() == 0);
}

TEST_CASE("a line appears in the log while the command still runs") {
  GateProject project;
  project.command("echo early; sleep 60\n");
  auto process = project.start_run();
  CHECK(process.says("| early", std::chrono::seconds{40}));
  CHECK(process.is_running());
  CHECK(process.terminate() == exits(128 + SIGTERM));
}

TEST_CASE("output without a final newline is shown too") {
  GateProject project;
  project.command("echo one; printf 'the end'\n");
  CHECK(project.run() == exits(0, "| one\n", "| the end\n"));
}

TEST_CASE("an exit code other than 0 is 25 with the last lines and a failed marker") {
  GateProject project;
  project.command("for i in 1 2 3 4 5 6 7; do echo line $i; done; exit 7\n");
  const auto result = project.run();
  CHECK(result == exits(25));
  const auto message =
      result.err.substr(std::min(result.err.find("ended with exit code 7"), result.err.size()));
  REQUIRE(!message.empty());
  CHECK(message != contains("line 2"));
  for (const auto* line : {"line 3", "line 4", "line 5", "line 6", "line 7"})
    CHECK(message == contains(line));
  CHECK(result.err == contains("hint: "));
  CHECK(project.marker("status") == "failed");
  CHECK(project.marker("error_code") == "25");
  CHECK(project.marker("error") == contains("line 7"));
  CHECK(project.gate() == exits(31, "line 7"));
}

TEST_CASE("a command ended by a signal is 25 and the signal is named") {
  GateProject project;
  project.command("echo working; kill -SEGV $$\n");
  CHECK(project.run() == exits(25, "was ended by signal 11"));
}

TEST_CASE("a command that exits like a shell after a signal is told by its exit code") {
  GateProject project;
  project.command("exit 255\n");
  CHECK(project.run().err == contains("ended with exit code 255"));
}

TEST_CASE("a program that cannot be found is exit 2 and leaves no lease behind") {
  GateProject project;
  project.command("").set("migrations.command", "[no-such-program, migrate]");
  CHECK(project.run() == exits(2, "\"no-such-program\" is not there"));
  CHECK(!is_lease_held(project.database));
  project.command("exit 0\n");
  CHECK(project.run() == exits(0));
}

TEST_CASE("after its timeout the command is ended with TERM and its whole group is gone") {
  GateProject project;
  const auto [result, seconds] =
      run_overdue(project, "sleep 300 & echo $! > " + project.file("grandchild") + "; echo $$ > " +
                               project.file("child") +
                               "\ntrap 'echo got TERM; exit 0' TERM\necho ready\nwait\n");
  CHECK(result == exits(25));
  CHECK(seconds >= 0);
  CHECK(seconds < 60);
  CHECK(result.err == contains("did not end within migrations.timeout"));
  CHECK(result.err == contains("| got TERM"));
  CHECK(eventually([&] {
    return !is_alive(pid_in(project, "child")) && !is_alive(pid_in(project, "grandchild"));
  }));
}

TEST_CASE("a command and grandchildren that ignore TERM are killed after the grace period") {
  GateProject project;
  const auto [result, seconds] =
      run_overdue(project, "trap '' TERM\nsleep 300 & echo $! > " + project.file("grandchild") +
                               "; echo $$ > " + project.file("child") +
                               "\necho ready\nwhile :; do sleep 0.1; done\n");
  CHECK(result == exits(25));
  CHECK(seconds >= 5);
  CHECK(seconds < 60);
  CHECK(eventually([&] {
    return !is_alive(pid_in(project, "child")) && !is_alive(pid_in(project, "grandchild"));
  }));
}

TEST_CASE("what a good command leaves running in its group is ended with it") {
  GateProject project;
  project.command("sleep 300 & echo $! > " + project.file("grandchild") + "; echo done\n");
  const Stopwatch watch;
  CHECK(project.run() == exits(0));
  CHECK(watch.seconds() < 60);
  CHECK(eventually([&] { return !is_alive(pid_in(project, "grandchild")); }));
}

TEST_CASE("a process that left the group and keeps the output open does not keep the run waiting") {
  GateProject project;
  const auto daemon = project.file("daemon");
  project.command("setsid sh -c 'echo $$ > " + daemon + "; exec sleep 300' &\nuntil [ -s " +
                  daemon + " ]; do sleep 0.05; done; echo done\n");
  const Stopwatch watch;
  CHECK(project.run() == exits(0, "| done"));
  CHECK(watch.seconds() < 60);
  CHECK(is_alive(pid_in(project, "daemon")));
  ::kill(std::stoi(pid_in(project, "daemon")), SIGKILL);
}

TEST_CASE("SIGTERM to a run ends its command, whole group, and exits with 143") {
  GateProject project;
  project.command("sleep 300 & echo $! > " + project.file("grandchild") + "; echo $$ > " +
                  project.file("child") +
                  "\ntrap 'echo got TERM; exit 0' TERM\necho ready; wait\n");
  auto process = project.start_run();
  REQUIRE(process.says("| ready"));
  const auto result = process.terminate();
  CHECK(result == exits(128 + SIGTERM, "| got TERM", "stopped by signal 15"));
  CHECK(result.err != contains(k_last_resort));
  CHECK(eventually([&] {
    return !is_alive(pid_in(project, "child")) && !is_alive(pid_in(project, "grandchild"));
  }));
  // Retryable: the gate keeps waiting, and the lease is free for the next run at once.
  CHECK(project.look() == 30);
  CHECK(!is_lease_held(project.database));
  project.command("exit 0\n");
  CHECK(project.run() == exits(0));
  CHECK(project.look() == 0);
}

TEST_CASE("a command dies with a run that is killed") {
  GateProject project;
  project.command("echo $$ > " + project.file("child") + "; echo ready; exec sleep 300\n");
  auto process = project.start_run();
  REQUIRE(process.says("| ready"));
  process.signal(SIGKILL);
  CHECK(process.wait() == exits(128 + SIGKILL));
  CHECK(eventually([&] { return !is_alive(pid_in(project, "child")); }));
}

TEST_CASE(
    "the command's environment holds the URL with our name, the release, the app and migrations.env") {
  GateProject project;
  project.set("release", "v1.2.3");
  project.set("migrations.env",
              "{EXTRA: \"a b\", PGAPPNAME: mine, HOST_NAME: \"${MINE:-fallback}\"}");
  project.environment["DIRECT_URL"] = "postgresql://wrong@127.0.0.1:1/wrong";
  project.environment["KEPT"] = "from outside";
  project.command(
      "env > " + project.file("env") + "\nls /proc/self/fd > " + project.file("fds") +
      "\ngrep -E '^Sig(Blk|Ign)' /proc/self/status > " + project.file("signals") +
      "\npsql -X -At \"$DATABASE_URL\" -c \"SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()\" > " +
      project.file("name") + "\n");
  REQUIRE(project.run() == exits(0));
  std::map<std::string, std::string> environment;
  for (const auto& line : split(read_text(project.file("env")), '\n'))
    if (const auto equals = line.find('='); equals != std::string::npos)
      environment[line.substr(0, equals)] = line.substr(equals + 1);
  CHECK(read_text(project.file("name")) == contains(runner_name(project.database, "app:shop", 1)));
  CHECK(environment["DATABASE_URL"].starts_with(project.database.url() +
                                                "?application_name=schemagate"));
  CHECK(environment["DIRECT_URL"] == environment["DATABASE_URL"]);
  CHECK(environment["SCHEMAGATE_DATABASE_URL"] == environment["DATABASE_URL"]);
  CHECK(environment["SCHEMAGATE_RELEASE"] == "v1.2.3");
  CHECK(environment["SCHEMAGATE_APP"] == "shop");
  CHECK(environment["EXTRA"] == "a b");
  CHECK(environment["PGAPPNAME"] == "mine");  // migrations.env has the last word
  CHECK(environment["HOST_NAME"] == "fallback");
  CHECK(environment["KEPT"] == "from outside");
  CHECK(read_text(project.file("signals")) ==
        run({"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}).out);
  CHECK(read_text(project.file("fds")) == "0\n1\n2\n3\n");  // 3 is ls itself

  project.set("migrations.env", "").set("release", "v2");
  REQUIRE(project.run() == exits(0));
  CHECK(read_text(project.file("env")) ==
        contains("\nPGAPPNAME=" + runner_name(project.database, "app:shop", 2)));
}

TEST_CASE("the command runs in our directory, with nothing on its stdin and without a shell") {
  GateProject project;
  project.command("pwd -P > " + project.file("pwd") + "; cat; printf '<%s>' \"$@\" > " +
                  project.file("arguments") + "\n");
  project.set("migrations.command", "[sh, " + project.file("migrate.sh") +
                                        ", \"a b\", \"$HOME\", \"*\", \"; echo no\", \"\"]");
  CHECK(project.run() == exits(0));
  CHECK(schemagate::trim(read_text(project.file("pwd"))) ==
        std::filesystem::canonical(project.files.path()).string());
  CHECK(read_text(project.file("arguments")) == "<a b><$HOME><*><; echo no><>");
}

TEST_CASE("commands that reset or push are refused with 24 before anything is done") {
  GateProject project;
  project.command("");
  const std::vector<std::string> commands = {
      "[npx, prisma, db, push]",
      "[npx, prisma, migrate, dev]",
      "[npx, prisma, migrate, reset, --force]",
      "[prisma, migrate, deploy, --force-reset]",
      "[prisma, db, push, --accept-data-loss]",
      "[sh, -c, \"npx prisma migrate deploy && npx prisma db push\"]",
      "[bash, -lc, \"npx --yes prisma@7 migrate   reset\"]",
      "[sh, -c, \"echo `prisma db push`\"]",
      "[sh, -c, \"(prisma DB PUSH)\"]",
      "[sh, -c, \"prisma 'db' \\\"push\\\"\"]",
      "[sh, -c, \"prisma migrate deploy --accept-data-loss=true\"]",
      "[sh, -c, \"prisma db\\tpush\"]"};
  for (const auto& command : commands) {
    CAPTURE(command);
    project.set("migrations.command", command);
    CHECK(project.run() == exits(24, "refused: ", "prisma migrate deploy"));
  }
  CHECK(project.is_untouched());
}

TEST_CASE("commands that only look alike are not refused") {
  GateProject project;
  int release = 0;
  for (const auto& command :
       std::vector<std::string>{"[echo, prisma, migrate, deploy]", "[echo, db, seed]",
                                "[echo, migrate, developers]", "[echo, \"push db\"]"}) {
    CAPTURE(command);
    project.command("")
        .set("migrations.command", command)
        .set("release", "r" + std::to_string(++release));
    CHECK(project.run() == exits(0));
  }
}

TEST_CASE("a good exit code with pending migrations is 25 and speaks of an older container") {
  GateProject project;
  project.command("echo 'No pending migrations to apply.'\n")
      .set("migrations.directory", "migrations");
  project.set("migrations.history", "prisma").migration(k_first, "SELECT 1;");
  CHECK(project.run() ==
        exits(25, "ended with exit code 0, but the history does not hold what this image holds",
              "migration " + k_first + " is not applied", "older container"));
  CHECK(project.marker("status") == "failed");
  CHECK(project.look() == 31);
}

TEST_CASE("with history prisma the table decides, and a second run of the release does nothing") {
  GateProject project;
  project.command(
      "echo run >> \"$COUNT\"\npsql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" <<'EOF'\n" +
      std::string{k_history_table} +
      "\nINSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count) VALUES "
      "('1', '" +
      sha256_hex("SELECT 1;") + "', now(), '" + k_first + "', 1);\nEOF\n");
  project.environment["COUNT"] = project.file("count");
  project.set("migrations.directory", "migrations")
      .set("migrations.history", "prisma")
      .migration(k_first, "SELECT 1;");
  auto result = project.run();
  REQUIRE(result == exits(0));
  CHECK(project.look() == 0);
  result = project.run();
  CHECK(result == exits(0, "nothing to do"));
  CHECK(read_text(project.file("count")) == "run\n");
  // A changed image of the same release is not done already.
  project.migration("20240102000000_second", "SELECT 2;");
  CHECK(project.run() == exits(25));
}

TEST_CASE(
    "without a history a second run of the same release does nothing, another release runs again") {
  GateProject project;
  project.command("echo run >> " + project.file("count") + "\n");
  REQUIRE(project.run() == exits(0));
  CHECK(project.run() == exits(0, "nothing to do"));
  CHECK(read_text(project.file("count")) == "run\n");
  project.set("release", "r2");
  CHECK(project.run() == exits(0));
  CHECK(read_text(project.file("count")) == "run\nrun\n");
}

TEST_CASE("the checks of the manifest decide after a command too") {
  GateProject project;
  project.command("exit 0\n").set("verify", "[{table: users}]");
  CHECK(project.run() == exits(23, "table users does not exist"));
  project.command("psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE users (id integer)'\n");
  CHECK(project.run() == exits(0));
  CHECK(project.look() == 0);
}

TEST_CASE("a command through a pooler needs a direct address, or the risk accepted") {
  GateProject project;
  project.command("echo run >> " + project.file("count") + "\n");
  project.environment["DATABASE_URL"] = project.database.url() + "?pgbouncer=true";
  CHECK(project.run() == exits(24, "cannot be fenced through a pooler", "database.direct_url",
                               "lease.unfenced: allow"));
  CHECK_FALSE(std::filesystem::exists(project.file("count")));
  project.set("lease.unfenced", "allow");
  CHECK(project.run() == exits(0));
  project.set("lease.unfenced", "refuse")
      .set("release", "r2")
      .set("database.direct_url", project.database.url());
  CHECK(project.run() == exits(0));
  CHECK(read_text(project.file("count")) == "run\nrun\n");
}

TEST_CASE("two runs of the same command take turns") {
  GateProject project;
  project.command("echo begin >> " + project.file("order") + "; sleep 0.5; echo end >> " +
                  project.file("order") + "\n");
  auto first = project.start_run();
  REQUIRE(first.says("running sh"));
  project.set("release", "r2");
  auto second = project.start_run();
  CHECK(first.wait() == exits(0));
  CHECK(second.wait() == exits(0));
  CHECK(read_text(project.file("order")) == "begin\nend\nbegin\nend\n");
}

TEST_CASE("two runs of the same release at once run the command once") {
  GateProject project;
  project.command("echo run >> " + project.file("count") + "; sleep 0.5\n");
  auto first = project.start_run();
  REQUIRE(first.says("running sh"));
  auto second = project.start_run();
  CHECK(first.wait() == exits(0));
  CHECK(second.wait() == exits(0));
  CHECK(read_text(project.file("count")) == "run\n");
}

TEST_CASE("the password in the command's output is not shown, however it is written") {
  GateProject project;
  const auto with_password = [&](const std::string& written) {
    auto url = project.database.url();
    return url.replace(url.find('@'), 1, ":" + written + "@");
  };
  project.command(
      "echo \"url $DATABASE_URL\"; echo \"again: $SCHEMAGATE_DATABASE_URL.\" >&2; exit 3\n");
  for (const auto& password : std::vector<std::string>{"Zaunk0enig-77", "Zaunk0enig%2F77%40"}) {
    CAPTURE(password);
    project.environment["DATABASE_URL"] = with_password(password);
    const auto result = project.run();
    CHECK(result == exits(25, "| url postgresql://postgres:***@"));
    CHECK(result.err != contains("Zaunk0enig"));
    CHECK(project.marker("error") != contains("Zaunk0enig"));
    CHECK(count_of(result.err, "***") >= 2);
  }
}

TEST_CASE("a password that the URL writes partly encoded is not shown in the command's output") {
  GateProject project;
  project.command("echo \"url $DATABASE_URL\"; exit 3\n");
  // Lower case digits, a raw @ as WHATWG allows, and encoding that nobody asked for.
  for (const auto& password :
       std::vector<std::string>{"Zaunk0enig%2f77", "Zaunk0enig@77%2F", "%5Aaunk0enig-77"}) {
    CAPTURE(password);
    auto url = project.database.url();
    project.environment["DATABASE_URL"] = url.replace(url.find('@'), 1, ":" + password + "@");
    const auto result = project.run();
    CHECK(result == exits(25));
    CHECK(result.err != contains("aunk0enig"));
    CHECK(project.marker("error") != contains("aunk0enig"));
  }
}

TEST_CASE("a hundred thousand lines of output come through, whole and in order") {
  GateProject project;
  project.command("seq -f 'line number %.0f of very many' 1 100000\n");
  const Stopwatch watch;
  const auto result = project.run();
  CHECK(result == exits(0));
  CHECK(count_of(result.err, "| line number ") == 100000);
  CHECK(result.err == contains("| line number 1 of very many\n"));
  CHECK(result.err == contains("| line number 100000 of very many\n"));
  MESSAGE("100000 lines in " << watch.seconds() << " s");
  CHECK(watch.seconds() < 100);
}

TEST_CASE("output comes through whole where the log is read slowly and the command has ended") {
  GateProject project;
  project.command("seq -f 'line number %.0f of many' 1 5000\n");
  (void)project.manifest();
  const auto result = testing::run(
      {"sh", "-c",
       "\"$0\" run 2>&1 | { for i in $(seq 60); do sleep 0.05; dd bs=4096 count=1 2>/dev/null; done; cat; }",
       testing::tested_program()},
      project.options());
  CHECK(count_of(result.out, "| line number ") == 5000);
  CHECK(result.out == contains("| line number 5000 of many\n"));
}

TEST_CASE("a line without end does not grow in memory and invalid UTF-8 does no harm") {
  GateProject project;
  project.command("head -c 20000000 /dev/zero | tr '\\0' x; printf '\\n\\377\\376 bytes\\n'\n");
  const auto result = schemagate::split(project.run({"--log-format", "json"}).err, '\n');
  REQUIRE(result.size() > 5);
  for (const auto& line : result) CHECK(line.size() < 200'000);
}

TEST_CASE("SIGTERM while the command floods its output still ends the run") {
  GateProject project;
  project.command("yes flood\n");
  auto process = project.start_run();
  REQUIRE(process.says("| flood"));
  const auto result = process.terminate();
  CHECK(result == exits(128 + SIGTERM));
  CHECK(result.err != contains(k_last_resort));
}

TEST_SUITE_END();
