// hooks: before, after and failed, around the work of a run.

#include <doctest/doctest.h>

#include <csignal>
#include <map>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/lease.hpp"
#include "support/pgbouncer.hpp"

using namespace testing;
using schemagate::split;
using schemagate::trim;

namespace {

const std::string k_first = "20260101_first";
const std::string k_second = "20260102_second";

struct HookedShop : GateProject {
  HookedShop() { migration(k_first, "CREATE TABLE users (id int);"); }

  // A shell script, as one word of a YAML list.
  std::string script(const std::string& name, const std::string& text) {
    return "sh, " + files.write(name + ".sh", text + "\n").string();
  }
  HookedShop& hook(const std::string& which, const std::string& text) {
    set("hooks." + which, "[" + script(which, text) + "]");
    return *this;
  }
  // Writes a line into the file `said`, each time.
  HookedShop& counting(const std::string& which) {
    return hook(which, "echo " + which + " >> " + file("said"));
  }
  [[nodiscard]] std::string said() const { return read_text(file("said")); }
  [[nodiscard]] bool has_table(const std::string& name) const {
    return database.value("SELECT to_regclass('" + name + "') IS NOT NULL") == "t";
  }
};

bool is_alive(const std::string& pid) {
  const auto status = read_text("/proc/" + pid + "/stat");
  const auto state = status.rfind(") ");  // a zombie is dead: PID 1 may reap nobody
  return state != std::string::npos && status[state + 2] != 'Z';
}

std::map<std::string, std::string> environment_in(const std::string& file) {
  std::map<std::string, std::string> environment;
  for (const auto& entry : split(read_text(file), '\0'))
    if (const auto equals = entry.find('='); equals != std::string::npos)
      environment[entry.substr(0, equals)] = entry.substr(equals + 1);
  return environment;
}

}  // namespace

TEST_SUITE_BEGIN("hooks");

TEST_CASE("before and after are run once for each release that has something to do") {
  HookedShop shop;
  shop.counting("before").counting("after").counting("failed");
  CHECK(shop.run() == exits(0, "release r1 is complete"));
  CHECK(shop.said() == "before\nafter\n");
  CHECK(shop.run() == exits(0, "nothing to do"));
  CHECK(shop.said() == "before\nafter\n");
  // Another release without a migration of its own: there is nothing to save from, but it is new.
  shop.set("release", "r2");
  CHECK(shop.run() == exits(0));
  CHECK(shop.said() == "before\nafter\nafter\n");
  shop.set("release", "r3").migration(k_second, "CREATE TABLE carts (id int);");
  CHECK(shop.run() == exits(0));
  CHECK(shop.said() == "before\nafter\nafter\nbefore\nafter\n");
  CHECK(shop.look() == 0);
}

TEST_CASE("mode check, mode off and the commands that look run no hook") {
  HookedShop shop;
  shop.counting("before").counting("after").counting("failed");
  for (const std::string mode : {"check", "off"}) {
    shop.environment["SCHEMAGATE_MODE"] = mode;
    (void)shop.run();
  }
  shop.environment.erase("SCHEMAGATE_MODE");
  for (const std::string command : {"status", "verify"})
    (void)testing::schemagate(shop.arguments(command), shop.options());
  (void)shop.gate({"--once"});
  CHECK(shop.said().empty());
}

TEST_CASE("a before hook that fails ends the run with 26 and nothing is changed") {
  HookedShop shop;
  shop.hook("before", "echo 'no space left' >&2; exit 3");
  CHECK(shop.run() == exits(26, "hooks.before: sh ended with exit code 3", "  | no space left",
                            "no migration was begun", "hint: "));
  CHECK(!shop.has_table("users"));
  CHECK(!shop.has_table("_prisma_migrations"));
  CHECK(!is_lease_held(shop.database));
  CHECK(shop.marker("status") == "failed");
  CHECK(shop.marker("error_code") == "26");
  CHECK(shop.gate() == exits(31, "hooks.before", "no space left", "no migration was begun"));
  CHECK(testing::schemagate(shop.arguments("status"), shop.options()).out ==
        contains("code 26: hooks.before: sh"));

  shop.hook("before", "exit 0");
  CHECK(shop.run() == exits(0));
  CHECK(shop.look() == 0);
}

TEST_CASE("of several commands each runs in its order, and none after one that fails") {
  HookedShop shop;
  const auto one = shop.script("one", "echo one >> " + shop.file("said"));
  const auto two = shop.script("two", "echo two >> " + shop.file("said") + "; exit 1");
  const auto three = shop.script("three", "echo three >> " + shop.file("said"));
  shop.set("hooks.before", "[[" + one + "], [" + two + "], [" + three + "]]");
  CHECK(shop.run() == exits(26));
  CHECK(shop.said() == "one\ntwo\n");
  CHECK(!shop.has_table("users"));
  shop.script("two", "echo two >> " + shop.file("said"));
  CHECK(shop.run() == exits(0));
  CHECK(shop.said() == "one\ntwo\none\ntwo\nthree\n");
}

TEST_CASE("what a plan refuses is refused before a hook is started, and failed is told why") {
  HookedShop shop;
  REQUIRE(shop.run() == exits(0));
  const auto failed = "echo \"failed $SCHEMAGATE_EXIT_CODE\" >> " + shop.file("said");
  shop.counting("before").hook("failed", failed);
  shop.migration(k_first, "SELECT 'edited';").migration(k_second, "CREATE TABLE carts (id int);");
  CHECK(shop.run() == exits(20, "hooks.failed: running sh"));
  CHECK(shop.said() == "failed 20\n");
}

TEST_CASE("an after hook sees what was applied, and the gate is closed until it ends") {
  HookedShop shop;
  shop.hook("after", "psql -X -At -c \"SELECT to_regclass('users'), status FROM "
                     "schemagate.marker\" > " +
                         shop.file("seen"));
  for (const std::string atomic : {"migration", "release"}) {
    INFO(atomic);
    shop.set("release", atomic).set("migrations.atomic", atomic);
    shop.database.execute("DROP SCHEMA IF EXISTS schemagate CASCADE; "
                          "DROP TABLE IF EXISTS users, _prisma_migrations");
    REQUIRE(shop.run() == exits(0));
    CHECK(read_text(shop.file("seen")) == "users|running\n");
    CHECK(shop.look() == 0);
  }
}

TEST_CASE("an after hook that fails is 26, migrations stay, and the next run runs it again") {
  for (const std::string atomic : {"migration", "release"}) {
    INFO(atomic);
    HookedShop shop;
    shop.counting("before").set("migrations.atomic", atomic);
    shop.hook("after", "echo 'cache is cold'; exit 1");
    CHECK(shop.run() == exits(26, "hooks.after: sh ended with exit code 1", "cache is cold",
                              "the migrations are applied, but the release is not complete"));
    CHECK(shop.has_table("users"));
    CHECK(shop.marker("status") == "failed");
    CHECK(shop.look() == 31);
    shop.counting("after");
    const auto result = shop.run();
    CHECK(result == exits(0, "release r1 is complete: 0 applied now, 1 migration in all"));
    CHECK(result.err != contains("outside of migrations"));
    CHECK(shop.said() == "before\nafter\n");
    CHECK(shop.look() == 0);
    CHECK(testing::schemagate(shop.arguments("verify"), shop.options()) == exits(0));
  }
}

TEST_CASE("where a check fails no after hook is started, and atomic: release applies nothing") {
  for (const std::string atomic : {"migration", "release"}) {
    INFO(atomic);
    HookedShop shop;
    shop.counting("after").set("migrations.atomic", atomic).set("verify", "[{table: carts}]");
    CHECK(shop.run() == exits(23));
    CHECK(shop.said().empty());
    CHECK(shop.has_table("users") == (atomic == "migration"));
  }
}

TEST_CASE("a failed hook is given the code and the error, and its own failure only warns") {
  HookedShop shop;
  shop.migration(k_second, "SELECT 1/0;");
  shop.hook("failed", "env -0 > " + shop.file("env") + "; exit 9");
  CHECK(shop.run() == exits(21, "hooks.failed: sh ended with exit code 9"));
  auto environment = environment_in(shop.file("env"));
  CHECK(environment["SCHEMAGATE_HOOK"] == "failed");
  CHECK(environment["SCHEMAGATE_EXIT_CODE"] == "21");
  CHECK(environment["SCHEMAGATE_ERROR"] == contains("division by zero"));
  CHECK(environment["SCHEMAGATE_PENDING"] == "2");
  CHECK(shop.marker("error_code") == "21");
  CHECK(!is_lease_held(shop.database));

  // Of a hook, too; what passes by itself is told as well.
  HookedShop other;
  other.hook("before", "exit 1").hook("failed", "echo \"code=$SCHEMAGATE_EXIT_CODE\"");
  CHECK(other.run() == exits(26, "| code=26"));
}

TEST_CASE("a hook's environment says what is about to be done, and where") {
  HookedShop shop;
  shop.migration(k_second, "CREATE TABLE carts (id int);");
  shop.environment["PGHOST"] = "192.0.2.1";
  shop.environment["PGDATABASE"] = "elsewhere";
  shop.environment["KEPT"] = "from outside";
  shop.hook("before", "env -0 > " + shop.file("env") +
                          "\npsql -X -At -c 'SELECT current_database()' > " + shop.file("name") +
                          "\nreadlink /proc/self/fd/0 > " + shop.file("stdin"));
  REQUIRE(shop.run() == exits(0));
  auto environment = environment_in(shop.file("env"));
  CHECK(environment["SCHEMAGATE_HOOK"] == "before");
  CHECK(environment["SCHEMAGATE_APP"] == "shop");
  CHECK(environment["SCHEMAGATE_RELEASE"] == "r1");
  CHECK(environment["SCHEMAGATE_HOST"] == server_host());
  CHECK(environment["SCHEMAGATE_DATABASE"] == shop.database.name());
  CHECK(environment["SCHEMAGATE_SCHEMA"] == "public");
  CHECK(environment["SCHEMAGATE_PENDING"] == "2");
  CHECK(environment["SCHEMAGATE_PENDING_NAMES"] == k_first + "\n" + k_second);
  CHECK(environment["DATABASE_URL"].starts_with(shop.database.url() + "?application_name="));
  CHECK(environment["DIRECT_URL"] == environment["DATABASE_URL"]);
  CHECK(environment["PGHOST"] == server_host());
  CHECK(environment["PGPORT"] == server_port());
  CHECK(environment["PGUSER"] == "postgres");
  CHECK(environment["PGDATABASE"] == shop.database.name());
  CHECK(environment["PGAPPNAME"].starts_with("schemagate:"));
  CHECK(environment["KEPT"] == "from outside");
  CHECK_FALSE(environment.contains("SCHEMAGATE_EXIT_CODE"));
  CHECK(trim(read_text(shop.file("name"))) == shop.database.name());
  CHECK(trim(read_text(shop.file("stdin"))) == "/dev/null");
}

TEST_CASE("a service does not lead a hook to another database than the run's") {
  HookedShop shop;
  shop.environment["PGSERVICEFILE"] =
      shop.files.write("services", "[theirs]\ndbname=nowhere\nport=1\n").string();
  shop.environment["PGSERVICE"] = "theirs";
  shop.hook("before", "psql -X -At -c 'SELECT current_database()' > " + shop.file("name"));
  CHECK(shop.run() == exits(0));
  CHECK(trim(read_text(shop.file("name"))) == shop.database.name());
}

TEST_CASE("a hook is given the direct address, and through a pooler a name that may stay there") {
  if (!PgBouncer::is_there()) return;
  HookedShop shop;
  const PgBouncer pooler;
  const auto pooled = pooler.url(shop.database) + "?pgbouncer=true";
  shop.environment["DATABASE_URL"] = pooled;
  shop.hook("before", "echo \"$PGPORT $PGAPPNAME\" > " + shop.file("seen"));
  REQUIRE(shop.run() == exits(0));
  CHECK(read_text(shop.file("seen")) == contains(" schemagate\n"));
  CHECK(read_text(shop.file("seen")) != contains(server_port() + " "));
  shop.set("release", "r2").set("database.direct_url", shop.database.url());
  shop.migration(k_second, "CREATE TABLE carts (id int);");
  REQUIRE(shop.run() == exits(0));
  CHECK(read_text(shop.file("seen")) == contains(server_port() + " schemagate:"));
}

TEST_CASE("around a command the hooks are told what its history lacks, or that nobody knows") {
  HookedShop shop;
  shop.command("echo work >> " + shop.file("said"));
  shop.hook("before", "echo \"before <$SCHEMAGATE_PENDING>\" >> " + shop.file("said"));
  shop.counting("after");
  CHECK(shop.run() == exits(0));
  CHECK(shop.said() == "before <>\nwork\nafter\n");
  CHECK(shop.run() == exits(0, "nothing to do"));
  CHECK(shop.said() == "before <>\nwork\nafter\n");

  HookedShop with_history;
  with_history.command("exit 0").set("migrations.directory", "migrations");
  with_history.set("migrations.history", "prisma");
  with_history.hook("before", "echo \"$SCHEMAGATE_PENDING $SCHEMAGATE_PENDING_NAMES\" >> " +
                                  with_history.file("said"));
  CHECK(with_history.run() == exits(25));
  CHECK(with_history.said() == "1 " + k_first + "\n");
}

TEST_CASE("a hook that is not found is 26 and named before anything is changed") {
  for (const std::string which : {"before", "after", "failed"}) {
    INFO(which);
    HookedShop shop;
    if (which != "before") shop.counting("before");
    shop.set("hooks." + which, "[/deploy/no-such-hook.sh]");
    CHECK(shop.run() == exits(26, "hooks." + which + ": the program \"/deploy/no-such-hook.sh\""));
    CHECK(shop.said().empty());
    CHECK(!shop.has_table("users"));
    CHECK(shop.look() == 31);
  }
}

TEST_CASE("a hook that cannot be started is 26, and says what its first line may lack") {
  HookedShop shop;
  const auto script = shop.files.write("hook", "#!/no/such/shell\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  shop.set("hooks.before", "[" + script.string() + "]");
  CHECK(shop.run() == exits(26,
                            "hooks.before: the program \"" + script.string() +
                                "\" cannot be started: No such file or directory",
                            "first line"));
  CHECK(!shop.has_table("users"));
}

TEST_CASE("a hook that takes longer than hooks.timeout is ended with its group, and is 26") {
  HookedShop shop;
  shop.hook("before", "echo $$ > " + shop.file("pid") + "; sleep 300 & echo $! > " +
                          shop.file("child") + "; wait");
  Result result;
  // Where a busy machine does not come as far as the script, it is given more time.
  for (const std::string timeout : {"1s", "5s", "25s"}) {
    shop.set("hooks.timeout", timeout);
    result = shop.run();
    if (!trim(read_text(shop.file("child"))).empty()) break;
  }
  CHECK(result == exits(26, "hooks.before: sh did not end within hooks.timeout"));
  CHECK(!shop.has_table("users"));
  CHECK(eventually([&] {
    return !is_alive(trim(read_text(shop.file("pid")))) &&
           !is_alive(trim(read_text(shop.file("child"))));
  }));
}

TEST_CASE("SIGTERM to a run ends its hook, starts none of failed, and exits with 143") {
  HookedShop shop;
  shop.counting("failed");
  shop.hook("before", "echo $$ > " + shop.file("pid") + "; echo ready; sleep 300 & wait");
  auto process = shop.start_run();
  REQUIRE(process.says("| ready"));
  CHECK(process.terminate() == exits(128 + SIGTERM));
  CHECK(eventually([&] { return !is_alive(trim(read_text(shop.file("pid")))); }));
  CHECK(shop.said().empty());
  CHECK(!is_lease_held(shop.database));
  CHECK(!shop.has_table("users"));
  CHECK(shop.look() == 30);
}

TEST_CASE("a hook ends when the lease is lost, and nothing is begun behind it") {
  HookedShop shop;
  shop.counting("failed");
  shop.hook("before", "echo $$ > " + shop.file("pid") + "; echo ready; sleep 300 & wait");
  auto process = shop.start_run();
  REQUIRE(process.says("| ready"));
  shop.database.execute("UPDATE schemagate.lock SET fence = fence + 1, nonce = 'theirs'");
  CHECK(process.wait() == exits(12));
  CHECK(eventually([&] { return !is_alive(trim(read_text(shop.file("pid")))); }));
  CHECK(shop.said().empty());
  CHECK(!shop.has_table("users"));
}

TEST_CASE("the lease is renewed while a hook runs") {
  HookedShop shop;
  shop.hook("before", "lease() { psql -X -At -c 'SELECT expires_at FROM schemagate.lock'; }\n"
                      "first=$(lease); while [ \"$(lease)\" = \"$first\" ]; do sleep 0.2; done");
  CHECK(shop.run() == exits(0));
  CHECK(shop.look() == 0);
}

TEST_CASE("neither log nor argv says a secret of a hook, and its output is shown as printable") {
  TestRole role{"hook"};
  HookedShop shop;
  shop.database.execute("ALTER ROLE " + role.name() + " SUPERUSER PASSWORD 'hunter2-of-the-role'");
  shop.environment["DATABASE_URL"] = "postgresql://" + role.name() + ":hunter2-of-the-role@" +
                                     server_host() + ":" + server_port() + "/" +
                                     shop.database.name();
  shop.environment["TOK"] = "sk_live_1234";
  shop.set("hooks.before",
           "[" +
               shop.script("before", "tr '\\0' ' ' < /proc/$$/cmdline > " + shop.file("argv") +
                                         "; tr '\\0' ' ' < /proc/$PPID/cmdline >> " +
                                         shop.file("argv") +
                                         "\necho \"with $1, $PGPASSWORD\"; echo \"$DATABASE_URL\"" +
                                         "\nprintf 'red \\033[31m\\rgone\\n'; exit 1") +
               ", \"${TOK}\"]");
  shop.hook("failed", "echo \"told: $SCHEMAGATE_ERROR\"");
  const auto result = shop.run();
  CHECK(result == exits(26, "| with ${TOK}, ***", "red \\u001b[31m\\u000dgone"));
  const auto told = result.err + result.out + shop.marker("error");
  CHECK(told != contains("hunter2"));
  CHECK(told != contains("sk_live"));
  CHECK(result.err != contains("\033["));
  CHECK(read_text(shop.file("argv")) != contains("hunter2"));
  CHECK(read_text(shop.file("argv")) == contains("sk_live"));  // what the manifest puts there
}

TEST_CASE("the manifest's page names each variable that a hook is given") {
  HookedShop shop;
  shop.hook("failed", "env -0 > " + shop.file("env")).migration(k_second, "SELECT 1/0;");
  CHECK(shop.run() == exits(21));
  const auto page = read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/docs/manifest.md");
  const auto hooks = page.substr(page.find("\n## Hooks\n"));
  const auto outside = "\n" + run({"env"}, shop.options()).out;
  for (const auto& [name, value] : environment_in(shop.file("env"))) {
    if (name.starts_with("PG") || outside == contains("\n" + name + "=" + value + "\n") ||
        name == "PWD" || name == "OLDPWD" || name == "SHLVL" || name == "_")
      continue;
    INFO(name);
    CHECK(hooks.substr(0, hooks.find("\n## ", 1)) == contains("`" + name + "`"));
  }
}

TEST_SUITE_END();
