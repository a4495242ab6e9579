// Schedules that the model of the protocol (docs/model.md) calls dangerous, on a real server.

#include <csignal>
#include <sstream>

#include "support/deployment.hpp"
#include "support/gate_project.hpp"
#include "support/trials.hpp"

using namespace testing;

namespace {

using Lines = std::vector<std::string>;

Lines traced(const GateProject& project) {
  Lines lines;
  std::istringstream text{testing::read_text(project.file("trace"))};
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

void trace(GateProject& project) {
  project.environment["SCHEMAGATE_FAULT_TRACE"] = project.file("trace");
}

// `point` is a line of a trace, which begins "postgres.answer:7<TAB>".
void stop_at(GateProject& project, const std::string& point) {
  project.environment["SCHEMAGATE_FAULT"] = point.substr(0, point.find('\t')) + ":stop";
}

void add_renaming_script(GateProject& project) {
  project.migration("1_init", "CREATE TABLE calls (x int);");
  project.migration("2_call", "SET application_name = 'mine';\n"
                              "DO $$ BEGIN INSERT INTO calls VALUES (1); COMMIT; END $$;\n");
}

// The server's answers between the fence check and the statement that it allows.
Lines points_before_the_statement() {
  GateProject rehearsal;
  add_renaming_script(rehearsal);
  trace(rehearsal);
  REQUIRE(rehearsal.run() == exits(0));
  Lines points;
  for (const auto& line : traced(rehearsal)) {
    if (line.starts_with("postgres.send") && line == contains("DO $$")) return points;
    if (!line.starts_with("postgres.answer")) continue;
    if (line == contains("FOR UPDATE")) points.clear();
    points.push_back(line);
  }
  return {};
}

// A run holds its lease and waits in its last check until `gatekeeper` lets go.
void add_slow_check(GateProject& project) {
  project.migration("1_init", "CREATE TABLE t (x int);");
  project.set("gate.match", "migrations").set("migrations.lock_timeout", "10m");
  project.set("gate.timeout", "10m");
  project.set("verify", "[{sql: \"SELECT pg_advisory_lock_shared(7) IS NOT NULL\"}]");
}

}  // namespace

TEST_CASE(
    "a runner paused between its fence check and a statement outside transactions is ended by its "
    "successor, whatever application_name the script chose") {
  const auto points = points_before_the_statement();
  REQUIRE(!points.empty());
  for (const auto& point : points) {
    CAPTURE(point);
    GateProject project;
    add_renaming_script(project);
    project.set("lease.ttl", "6s");  // must not pass before it is stopped
    stop_at(project, point);
    auto first = project.start_run();
    REQUIRE(eventually([&] { return first.is_stopped(); }));
    CHECK(project.database.value("SELECT count(*) FROM pg_stat_activity WHERE datname ="
                                 " current_database() AND application_name = 'mine'") == "0");
    project.environment.clear();
    project.environment["DATABASE_URL"] = project.database.url();
    const auto second = project.set("lease.ttl", "30s").run();
    CHECK(second == exits(20));  // nobody can tell how far a DO block with COMMIT came
    CHECK(second.err == contains("ending backend"));
    first.signal(SIGCONT);
    CHECK(first.wait() == exits(12));
    CHECK(project.database.value("SELECT count(*) FROM calls") == "0");
  }
  testing::record({.fault = "paused for longer than the lease (SIGSTOP)",
                   .where = "between fence check and a statement outside transactions",
                   .seen = "exit 12, the statement was never sent; its successor had ended the "
                           "connection"},
                  static_cast<int>(points.size()));
}

TEST_CASE(
    "a gate that compares migrations and is paused within a look does not open before the run's "
    "checks have passed") {
  Lines points;
  {
    GateProject rehearsal;
    add_slow_check(rehearsal);
    REQUIRE(rehearsal.run() == exits(0));
    rehearsal.database.execute("DELETE FROM schemagate.marker; DELETE FROM _prisma_migrations");
    trace(rehearsal);
    REQUIRE(rehearsal.look() == 30);
    for (const auto& line : traced(rehearsal))
      if (line.starts_with("postgres.answer")) points.push_back(line);
  }
  REQUIRE(points.size() >= 2);
  for (const auto& point : points) {
    CAPTURE(point);
    GateProject project;
    add_slow_check(project);
    REQUIRE(project.run() == exits(0));
    project.database.execute(
        "DROP TABLE t; DELETE FROM schemagate.marker; DELETE FROM _prisma_migrations");
    const auto settings = project.environment;
    stop_at(project, point);
    auto gate = project.start_gate();
    REQUIRE(eventually([&] { return gate.is_stopped(); }));
    project.environment = settings;
    auto gatekeeper = project.database.connect();
    gatekeeper.execute("SELECT pg_advisory_lock(7)");
    auto run = project.start_run();
    REQUIRE(eventually([&] {
      return project.database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                                    "   AND objid = 7 AND NOT granted AND database = (SELECT oid"
                                    "  FROM pg_database WHERE datname = current_database())") ==
             "1";
    }));
    gate.signal(SIGCONT);
    CHECK(gate.says("gate closed"));
    CHECK(gate.is_running());
    gatekeeper.execute("SELECT pg_advisory_unlock(7)");
    CHECK(run.wait() == exits(0));
    CHECK(gate.wait() == exits(0));
  }
  testing::record({.fault = "paused (SIGSTOP)",
                   .where = "a gate with match: migrations, within a look",
                   .seen = "it stays closed until the run's checks have passed"},
                  static_cast<int>(points.size()));
}
