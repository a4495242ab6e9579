// A runner that is paused (a frozen container, a suspended machine) until its lease has expired by
// itself, and comes back when another one has done its work.

#include <algorithm>
#include <iterator>
#include <memory>

#include "faults/crowd.hpp"
#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/lease.hpp"
#include "support/open_transaction.hpp"
#include "support/trials.hpp"

using namespace testing;
using schemagate::split;

namespace {

// Everything in the database, rows included. A number that a rolled-back row took from a sequence
// is not a change.
std::vector<std::string> content(const TestDatabase& database) {
  const auto dump = run({"pg_dump", database.url()});
  REQUIRE(dump == exits(0));
  auto lines = split(dump.out, '\n');
  std::erase_if(lines, [](const auto& line) {
    return line.starts_with("\\restrict") || line.starts_with("\\unrestrict") ||
           line.starts_with("SELECT pg_catalog.setval");
  });
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::string difference(const std::vector<std::string>& before,
                       const std::vector<std::string>& after) {
  std::vector<std::string> lines;
  std::set_symmetric_difference(before.begin(), before.end(), after.begin(), after.end(),
                                std::back_inserter(lines));
  return joined(lines);
}

Process start_with(const Deployment& shop, const char* variable, const std::string& value) {
  ::setenv(variable, value.c_str(), 1);
  auto process = shop.start();
  ::unsetenv(variable);
  return process;
}

// The points that a whole run of this folder passes on its main thread, as "NAME:N<TAB>DETAIL".
std::vector<std::string> points_of(void (*fill)(const Deployment&)) {
  const auto shop = release_one("ttl: 30s");
  fill(shop);
  const auto file = (shop.dir().path() / "trace").string();
  REQUIRE(start_with(shop, "SCHEMAGATE_FAULT_TRACE", file).wait() == exits(0));
  auto points = split(read_text(file), '\n');
  std::erase_if(points,
                [](const auto& line) { return line.empty() || line == contains("/postgres."); });
  return points;
}

// "NAME:N" of the first point after the `after`th (counted from 0) that is `name` and holds
// `detail`.
std::size_t find(const std::vector<std::string>& points, std::size_t after, const std::string& name,
                 const std::string& detail) {
  for (auto i = after; i < points.size(); ++i)
    if (points[i].starts_with(name + ":") && points[i] == contains(detail)) return i;
  FAIL("no point " << name << " with " << detail);
  return 0;
}

struct Pause {
  std::string where;
  std::string point;      // "NAME:N"
  bool complete = false;  // nothing is left to do
};

void short_folder(const Deployment& shop) {
  shop.migration("1_init", "CREATE TABLE calls (what text);");
  for (const auto* n : {"2", "3", "4"})
    shop.migration(n + std::string{"_step"},
                   "INSERT INTO calls VALUES ('" + std::string{n} + "');");
}

std::vector<Pause> pauses() {
  const auto points = points_of(short_folder);
  const auto name = [&](std::size_t i) { return points[i].substr(0, points[i].find('\t')); };
  const auto taken = find(points, 0, "postgres.answer", ".lock AS held");
  const auto connect = find(points, taken, "postgres.connect", "");
  const auto begin = find(points, connect, "postgres.send", "\tCOMMIT");
  const auto close = find(points, begin + 1, "postgres.send", "\tCOMMIT");
  const auto script = find(points, close, "postgres.send", "INSERT INTO calls VALUES ('3')");
  const auto check = find(points, script, "postgres.answer", "SET CONSTRAINTS ALL IMMEDIATE");
  const auto commit = find(points, script, "postgres.send", "\tCOMMIT");
  REQUIRE(check < commit);
  const auto marker = find(points, commit, "postgres.send", ".marker ");
  const auto last = find(points, marker, "postgres.send", "\tCOMMIT");
  return {
      {"after taking the lease, before opening its script connection", name(connect)},
      {"between fence check and COMMIT of the run's own row", name(begin)},
      {"between fence check and COMMIT that closes the gates", name(close)},
      {"between fence check and COMMIT of a migration", name(commit)},
      {"after a migration's COMMIT", name(find(points, commit, "postgres.answer", "\tCOMMIT"))},
      {"between fence check and COMMIT of the marker", name(last)},
      {"after the marker's COMMIT", name(find(points, last, "postgres.answer", "\tCOMMIT")), true}};
}

}  // namespace

TEST_SUITE_BEGIN("stall");

// All at once, each in a database of its own: the waiting is for the clock. Here and below the ttl
// is long enough for the first one to come to where it is paused; the second one's is long.
TEST_CASE(
    "a holder paused anywhere is replaced by a waiting runner, and woken up changes nothing") {
  const auto all = pauses();
  std::vector<std::unique_ptr<Deployment>> shops;
  std::vector<Process> firsts;
  std::vector<Process> seconds;
  for (const auto& pause : all) {
    shops.push_back(std::make_unique<Deployment>(release_one("ttl: 6s").settings));
    short_folder(*shops.back());
    firsts.push_back(start_with(*shops.back(), "SCHEMAGATE_FAULT", pause.point + ":stop"));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    REQUIRE_MESSAGE(eventually([&] { return firsts[i].is_stopped(); }), all[i].where);
    shops[i]->settings.lease = "ttl: 30s";
    seconds.push_back(shops[i]->start());
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    CAPTURE(all[i].where);
    REQUIRE(seconds[i].wait() == exits(0));
    const auto after = content(shops[i]->database());
    firsts[i].signal(SIGCONT);
    const auto woken = firsts[i].wait();
    // All done and committed: whether the lost lease is still noticed is a matter of moments.
    const bool may_be_content = all[i].complete && woken.exit_code == 0;
    REQUIRE_MESSAGE((woken == exits(12) || may_be_content), woken.err);
    if (!may_be_content) REQUIRE(woken.err == contains("lease"));
    // The one that had finished gives back the lease that nobody else wanted.
    if (!all[i].complete) REQUIRE(difference(after, content(shops[i]->database())).empty());
    if (all[i].complete) REQUIRE(shops[i]->run() == exits(0));
    REQUIRE(calls(*shops[i]) == "2, 3, 4");
    REQUIRE(shops[i]->history().size() == 4);
    REQUIRE(!is_lease_held(shops[i]->database()));
    record({.fault = "the holder is paused (SIGSTOP) until its lease expired",
            .where = all[i].where,
            .seen =
                all[i].complete
                    ? "a waiting runner finds all done and exits 0; woken up it exits 0 or 12, and "
                      "run again 0"
                    : "a waiting runner takes over and exits 0; woken up it exits 12 and has "
                      "changed nothing"});
  }
}

TEST_CASE("a holder paused in CREATE INDEX CONCURRENTLY is ended before its successor builds") {
  auto shop = release_one("ttl: 6s");
  shop.migration("1_init", k_init);
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_index", "CREATE INDEX CONCURRENTLY i2 ON t (x);");
  shop.migration("3_step", "INSERT INTO calls VALUES ('3');");
  // The statement waits for whoever writes to the table.
  OpenTransaction writer{shop.database(), "INSERT INTO t VALUES (3)"};
  auto first = shop.start();
  REQUIRE(shop.is_running("CREATE INDEX CONCURRENTLY"));
  const auto building = shop.database().value(
      "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
      " AND starts_with(query, 'CREATE INDEX CONCURRENTLY') AND pid <> pg_backend_pid()");
  first.signal(SIGSTOP);
  shop.settings.lease = "ttl: 30s";
  auto second = shop.start();
  REQUIRE(second.says("ending backend " + building));
  REQUIRE(second.says("continuing with part"));
  REQUIRE(shop.database().value("SELECT count(*) FROM pg_stat_activity WHERE pid = " + building) ==
          "0");
  writer.commit();
  REQUIRE(second.wait() == exits(0));
  REQUIRE(shop.indexes(true) == "i2");
  REQUIRE(shop.indexes(false).empty());
  const auto after = content(shop.database());
  first.signal(SIGCONT);
  const auto woken = first.wait();
  REQUIRE(woken == exits(12));
  REQUIRE(difference(after, content(shop.database())).empty());
  REQUIRE(joined(shop.history()) == "1_init 1 finished, 2_index 1 finished, 3_step 1 finished");
  record({.fault = "the holder is paused (SIGSTOP) until its lease expired",
          .where = "in `CREATE INDEX CONCURRENTLY`",
          .seen =
              "its backend is ended first; the successor drops the INVALID index, builds it and "
              "exits 0; woken up it exits 12 and has changed nothing"});
}

TEST_CASE("a holder paused in its command loses the command's session before the next one starts") {
  for (const bool whole_group : {false, true}) {
    CAPTURE(whole_group);
    GateProject project;
    project.set("lease.ttl", "6s");
    project.database.execute(
        "CREATE TABLE calls (fence text); CREATE TABLE nap AS SELECT 100::float AS seconds;"
        "CREATE FUNCTION nap() RETURNS text LANGUAGE plpgsql AS $$BEGIN"
        "  PERFORM pg_sleep(seconds) FROM nap; RETURN 'slept'; END $$");
    project.command("echo $$ > \"$PIDS\".$PGAPPNAME\nexec psql -qX -v ON_ERROR_STOP=1 "
                    "\"$DATABASE_URL\" -c 'SELECT nap()' -c \"INSERT INTO calls VALUES "
                    "(current_setting('application_name'))\"\n");
    project.environment["PIDS"] = project.file("pid");
    auto first = project.start_run();
    REQUIRE(eventually([&] {
      return project.database.value("SELECT count(*) FROM pg_stat_activity WHERE datname ="
                                    " current_database() AND query = 'SELECT nap()'") == "1";
    }));
    const auto name = project.database.value(
        "SELECT application_name FROM pg_stat_activity WHERE query = 'SELECT nap()'");
    REQUIRE(name.starts_with(runner_name(project.database, "app:shop", 1)));
    const auto child = std::stoi(read_text(project.file("pid." + name)));
    first.signal(SIGSTOP);
    if (whole_group) REQUIRE(::kill(-child, SIGSTOP) == 0);
    project.database.execute("UPDATE nap SET seconds = 0");
    const auto second = project.set("lease.ttl", "30s").run();
    REQUIRE(second == exits(0));
    const auto ended = second.err.find("ending backend");
    REQUIRE(ended < second.err.find("running sh"));
    REQUIRE(joined(project.database.column("SELECT fence FROM calls"))
                .starts_with(runner_name(project.database, "app:shop", 2)));
    const auto after = content(project.database);
    if (whole_group) ::kill(-child, SIGCONT);
    first.signal(SIGCONT);
    REQUIRE(first.wait() == exits(12));
    REQUIRE(difference(after, content(project.database)).empty());
    REQUIRE(project.marker("status") == "complete");
    REQUIRE(no_backend_is_left(project.database));
  }
  record({.fault = "the holder is paused (SIGSTOP) until its lease expired",
          .where = "in an external command, paused or not",
          .seen =
              "the command's database session is ended first; the successor runs its own command "
              "and exits 0; woken up it exits 12 and has changed nothing"},
         2);
}

TEST_CASE("what the command of a paused holder begins anew is ended while its successor works") {
  GateProject project;
  project.set("lease.ttl", "6s");
  project.database.execute("CREATE TABLE calls (what text); CREATE TABLE door (opened boolean)");
  // As a program with a connection pool does it: connects again whenever it is cut off.
  project.command("case $PGAPPNAME in *:1:*) while :; do psql -qX \"$DATABASE_URL\" -c "
                  "'BEGIN; SELECT pg_sleep(100); INSERT INTO calls VALUES ($$old$$); COMMIT'; "
                  "sleep 0.2; done ;; esac\n"
                  "until [ -n \"$(psql -AtqX \"$DATABASE_URL\" -c 'SELECT 1 FROM door')\" ]; do "
                  "sleep 0.2; done\n"
                  "psql -qX \"$DATABASE_URL\" -c 'INSERT INTO calls VALUES ($$new$$)'\n");
  auto first = project.start_run();
  const auto session_of_the_first = [&] {
    return project.database.value("SELECT pid FROM pg_stat_activity WHERE datname ="
                                  " current_database() AND query LIKE 'BEGIN; SELECT%'");
  };
  REQUIRE(eventually([&] { return session_of_the_first() != "(no row)"; }));
  first.signal(SIGSTOP);
  auto second = project.set("lease.ttl", "9s").start_run();
  REQUIRE(second.says("running sh"));
  // It came back, and goes again with a renewal of the second.
  std::string back;
  REQUIRE(eventually([&] { return (back = session_of_the_first()) != "(no row)"; }));
  REQUIRE(eventually([&] { return session_of_the_first() != back; }));
  project.database.execute("INSERT INTO door VALUES (true)");
  REQUIRE(second.wait() == exits(0));
  first.signal(SIGCONT);
  const auto woken = first.wait();
  REQUIRE(woken == exits(12));
  REQUIRE(joined(project.database.column("SELECT what FROM calls")) == "new");
  record({.fault = "the holder is paused (SIGSTOP) until its lease expired",
          .where = "in an external command that connects again and again",
          .seen = "each new session under the old name is ended within a third of `lease.ttl`; the "
                  "successor exits 0; woken up it exits 12 and ends its command"});
}

TEST_SUITE_END();
