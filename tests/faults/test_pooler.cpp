#include "faults/pooled_fixture.hpp"

#include "support/trials.hpp"

using namespace testing;

namespace {

// The points that a run passes on its main thread, "postgres.send:7" and the like.
std::vector<std::string> points_of_a_run(Pooled& pooled) {
  auto& project = pooled.project;
  project.environment["SCHEMAGATE_FAULT_TRACE"] = project.file("trace");
  REQUIRE(project.run() == exits(0));
  project.environment.erase("SCHEMAGATE_FAULT_TRACE");
  std::vector<std::string> points;
  for (const auto& line : schemagate::split(read_text(project.file("trace")), '\n'))
    if (line.starts_with("postgres.") && !line.starts_with("postgres.answer"))
      points.push_back(line.substr(0, line.find('\t')));
  REQUIRE(points.size() > 30);
  return points;
}

// As before the first run.
void start_over(const TestDatabase& database) {
  database.execute("SET client_min_messages = error; DROP SCHEMA IF EXISTS schemagate CASCADE;"
                   "DROP TABLE IF EXISTS users, _prisma_migrations");
}

// A pool as it was at first, the points that a run behind it passes, and what that run makes.
struct Rehearsed {
  explicit Rehearsed(int pool_size = 3) : pooled{pool_size} {
    three_kinds(pooled.project);
    fresh = pooled.backends();
    points = points_of_a_run(pooled);
    undisturbed = outcome(pooled.project.database);
  }

  Pooled pooled;
  std::set<std::string> fresh;
  std::vector<std::string> points;
  std::string undisturbed;
};

}  // namespace

TEST_SUITE_BEGIN("crowd");

TEST_CASE("several runs and gates at once in a busy pool apply everything once and leave nothing") {
  if (!PgBouncer::is_there()) return;
  Pooled pooled;
  auto& project = pooled.project;
  three_kinds(project);
  const auto fresh = pooled.backends();
  Neighbours neighbours{pooled, 4};
  constexpr int k_rounds = 3;
  for (int round = 0; round < k_rounds; ++round) {
    start_over(project.database);
    std::vector<Process> gates;
    std::vector<Process> runs;
    for (int i = 0; i < 2; ++i) gates.push_back(project.start_gate());
    for (int i = 0; i < 5; ++i) runs.push_back(project.start_run());
    for (auto& run : runs) CHECK(run.wait() == exits(0));
    for (auto& gate : gates) CHECK(gate.wait() == exits(0));
    CHECK(outcome(project.database) ==
          "id integer, name text | (1,) (2,two) (3,three) | 20240101000000_plain 1 t t, "
          "20240102000000_own_transaction 1 t t, 20240103000000_settings 1 t t | "
          "_prisma_migrations users | complete");
  }
  CHECK(joined(neighbours.troubles()) == "");
  check_nothing_is_left(pooled, fresh);
  record({.fault = "5 runs and 2 gates at once",
          .where = "in a busy pool of 3 (PgBouncer, transaction mode)",
          .seen = "all exit 0, every migration applied once, nothing left on the pool's backends"},
         k_rounds);
}

TEST_SUITE_END();

TEST_SUITE_BEGIN("sweep");

TEST_CASE("killed anywhere behind a pooler a run is completed by the next one") {
  if (!PgBouncer::is_there()) return;
  Rehearsed rehearsed;
  auto& [pooled, fresh, points, undisturbed] = rehearsed;
  auto& project = pooled.project;
  Neighbours neighbours{pooled, 2};
  for (const auto& point : points) {
    CAPTURE(point);
    start_over(project.database);
    project.environment["SCHEMAGATE_FAULT"] = point + ":kill";
    CHECK(project.run() == exits(128 + SIGKILL));
    project.environment.erase("SCHEMAGATE_FAULT");
    expire_lease(project.database);
    CHECK(project.run() == exits(0));
    CHECK(outcome(project.database) == undisturbed);
    check_nothing_is_left(pooled, fresh);
  }
  CHECK(joined(neighbours.troubles()) == "");
  record({.fault = "SIGKILL",
          .where = "behind a pooler, before each message to the server",
          .seen = "exit 137; the next run completes; nothing left on the pool's backends"},
         static_cast<int>(points.size()));
}

TEST_CASE("stopped anywhere behind a pooler a run changes nothing more once another one has come") {
  if (!PgBouncer::is_there()) return;
  Rehearsed rehearsed{4};
  auto& [pooled, fresh, points, undisturbed] = rehearsed;
  auto& project = pooled.project;
  Neighbours neighbours{pooled, 2};
  int lost = 0;
  for (std::size_t i = 0; i < points.size(); i += 3) {
    const auto& point = points[i];
    CAPTURE(point);
    start_over(project.database);
    project.set("lease.ttl", "6s");  // enough to come to the point
    project.environment["SCHEMAGATE_FAULT"] = point + ":stop";
    auto first = project.start_run();
    project.environment.erase("SCHEMAGATE_FAULT");
    REQUIRE(eventually([&] { return first.is_stopped(); }));
    auto session = project.database.connect();
    expire_lease_unless_locked(session, "100ms");
    CHECK(project.set("lease.ttl", "30s").run() == exits(0));
    const auto left = outcome(project.database);
    CHECK(left == undisturbed);
    first.signal(SIGCONT);
    const auto result = first.wait();
    // 0: stopped before it had the lease, or after its last COMMIT. 14: its transaction was ended.
    const auto code = result.exit_code;
    CHECK_MESSAGE((code == 0 || code == 12 || code == 14), result.err);
    if (code != 0) ++lost;
    CHECK(outcome(project.database) == left);
    check_nothing_is_left(pooled, fresh);
  }
  CHECK(lost > 8);
  CHECK(joined(neighbours.troubles()) == "");
  record({.fault = "SIGSTOP until another run has finished, then SIGCONT",
          .where = "behind a pooler, with the lease, before every third message to the server",
          .seen = "the other run exits 0; the stopped one 12 or 14 and changes nothing more"},
         lost);
}

TEST_SUITE_END();
