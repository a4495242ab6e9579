// Each kind of migration, broken off at each point where the process touches the outside, in each
// way; then a run that nobody disturbs. In the end the database must hold what an undisturbed run
// makes, and on the way there its marker must never have said more than was true.

#include <atomic>
#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "e2e/deployment.hpp"
#include "faults/fingerprint.hpp"
#include "support/trials.hpp"

using namespace testing;

namespace {

using Prepare = void (*)(Deployment&);

// What the migrations made, what the gate sees, and no trace of a runner.
struct Outcome {
  std::string work;
  std::string marker;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(const Deployment& shop) {
  return {work_in(shop.database()), marker_in(shop.database())};
}

struct Point {
  std::string name;   // "postgres.send:7"
  std::string where;  // in a user's words
};

// What a run is at, told by a part of the statement that begins it.
const std::vector<std::pair<std::string, std::string>> k_stages = {
    {"hashtextextended", "creating its own tables"},
    {"schemagate\".lock AS held", "taking the lease"},
    {"INTO \"schemagate\".run", "before the first migration"},
    {"shop", "in a migration"},
    {"CONCURRENTLY", "in CREATE INDEX CONCURRENTLY"},
    {"schemagate\".step", "recording a part of a migration"},
    {"SELECT id, migration_name", "verifying, writing the marker"},
    {"UPDATE \"schemagate\".run", "verifying, writing the marker"},
    {"-infinity", "giving the lease back"},
};

enum class Threads { main, others };

// What the other threads do depends on the time: their points are passed in long runs only.
std::vector<Point> points_in(const std::filesystem::path& trace, Threads wanted) {
  std::vector<Point> points;
  std::string stage = "connecting";
  std::ifstream stream{trace};
  for (std::string line; std::getline(stream, line);) {
    const auto tab = line.find('\t');
    const auto name = line.substr(0, tab);
    const auto statement = line.substr(tab + 1);
    const auto slash = name.find('/');
    if ((slash == std::string::npos) != (wanted == Threads::main)) continue;
    if (wanted == Threads::others) {
      points.push_back({name, "in the " + name.substr(0, slash) + " thread"});
      continue;
    }
    for (const auto& [part, begun] : k_stages)
      if (holds(statement, part)) stage = begun;
    if (name.starts_with("child")) stage = "around an external command";
    const auto where = statement == "COMMIT"             ? "at a COMMIT"
                       : name.starts_with("marker_file") ? "writing the marker's file"
                                                         : stage;
    points.push_back({name, where});
  }
  return points;
}

struct Reference {
  Outcome outcome;
  std::vector<Point> points;
};

Reference undisturbed(Prepare prepare, Threads threads) {
  Deployment shop;
  prepare(shop);
  const auto trace = shop.dir().path() / "trace";
  shop.settings.environment = {{"SCHEMAGATE_FAULT_TRACE", trace.string()}};
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(result.exit_code == 0);
  return {outcome_of(shop), points_in(trace, threads)};
}

// Most of the time a trial waits for a process to end or a lease to expire.
template <class Trial> void for_each(const std::vector<Point>& points, Trial&& trial) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (auto i = next++; i < points.size(); i = next++) {
      try {
        trial(points[i]);
      } catch (const std::exception& e) {
        FAIL_CHECK(points[i].name << ": " << e.what());
      }
    }
  };
  std::vector<std::jthread> threads(4);
  for (auto& thread : threads) thread = std::jthread{work};
}

// A dead or paused holder keeps its lease for the ttl: let that time pass at once. Where a paused
// holder has the row locked, it passes as it does in real life.
void let_the_lease_expire(const Deployment& shop) {
  if (shop.database().value("SELECT to_regclass('schemagate.lock') IS NULL") == "t") return;
  try {
    shop.database().execute("SET lock_timeout = '50ms';"
                            "UPDATE schemagate.lock SET expires_at = '-infinity'");
  } catch (const schemagate::pg::Error&) {
  }
}

void check_marker_is_true(const Deployment& shop, const Reference& reference) {
  if (marker_in(shop.database()) == reference.outcome.marker)
    CHECK(work_in(shop.database()) == reference.outcome.work);
}

void check_next_run_completes(Deployment& shop, const Reference& reference) {
  shop.settings.environment.clear();
  let_the_lease_expire(shop);
  const auto result = shop.run();
  INFO("the next run: " << result.err);
  CHECK(result.exit_code == 0);
  CHECK(work_in(shop.database()) == reference.outcome.work);
  CHECK(marker_in(shop.database()) == reference.outcome.marker);
  CHECK(is_lease_free(shop.database()));
  CHECK(eventually([&] { return left_backends(shop.database()).empty(); }));
}

void broken_off(Prepare prepare, const Reference& reference, const Point& point,
                const std::string& action, const std::string& fault,
                const std::set<int>& possible_codes) {
  Deployment shop;
  prepare(shop);
  shop.settings.environment = {{"SCHEMAGATE_FAULT", point.name + ":" + action}};
  const auto broken = shop.run();
  INFO(fault << " at " << point.name << " (" << point.where << "): " << broken.err);
  CHECK(possible_codes.contains(broken.exit_code));
  check_marker_is_true(shop, reference);
  check_next_run_completes(shop, reference);
  record({fault, point.where,
          "exit " + std::to_string(broken.exit_code) + "; the next run completes"});
}

bool is_stopped(const Process& process) {
  const auto stat = read_text("/proc/" + std::to_string(process.pid()) + "/stat");
  const auto name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat[name_end + 2] == 'T';
}

void paused(Prepare prepare, const Reference& reference, const Point& point) {
  Deployment shop;
  prepare(shop);
  shop.settings.lease = "ttl: 3s";
  shop.settings.environment = {{"SCHEMAGATE_FAULT", point.name + ":stop"}};
  auto sleeper = shop.start();
  INFO("paused at " << point.name << " (" << point.where << ")");
  CHECK(eventually([&] { return is_stopped(sleeper); }));
  check_marker_is_true(shop, reference);

  shop.settings.environment.clear();
  let_the_lease_expire(shop);
  const auto successor = shop.run();
  INFO("the successor: " << successor.err);
  CHECK(successor.exit_code == 0);
  CHECK(outcome_of(shop) == reference.outcome);

  sleeper.signal(SIGCONT);
  const auto awake = sleeper.wait();
  INFO("the one that was paused: " << awake.err);
  // Before it had the lease it may find all done; after its last commit, too.
  CHECK((awake.exit_code == 0 || awake.exit_code == 12));
  CHECK(outcome_of(shop) == reference.outcome);
  CHECK(is_lease_free(shop.database()));
  CHECK(eventually([&] { return left_backends(shop.database()).empty(); }));
  record({"SIGSTOP past the ttl, then SIGCONT", point.where,
          "exit " + std::to_string(awake.exit_code) +
              " when it wakes; the run that took over completes, nothing is changed after it"});
}

void sweep(Prepare prepare, Threads threads = Threads::main) {
  const auto reference = undisturbed(prepare, threads);
  REQUIRE(reference.points.size() > (threads == Threads::main ? 50 : 10));
  SUBCASE("killed") {
    for_each(reference.points, [&](const Point& point) {
      broken_off(prepare, reference, point, "kill", "SIGKILL", {137});
    });
  }
  SUBCASE("its connection lost") {
    for_each(reference.points, [&](const Point& point) {
      broken_off(prepare, reference, point, "cut", "connection lost", {0, 10, 14});
    });
  }
  SUBCASE("out of memory") {
    for_each(reference.points, [&](const Point& point) {
      broken_off(prepare, reference, point, "error", "out of memory", {0, 1});
    });
  }
  SUBCASE("paused") {
    for_each(reference.points, [&](const Point& point) { paused(prepare, reference, point); });
  }
}

void with_marker_file(Deployment& shop) { shop.settings.rest = "marker: {file: marker.json}\n"; }

}  // namespace

TEST_CASE("crash sweep: plain migrations") {
  sweep([](Deployment& shop) {
    shop.migration("1_init", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);");
    shop.migration("2_next", "ALTER TABLE shop ADD y int; INSERT INTO shop VALUES (2, 2);");
    with_marker_file(shop);
  });
}

TEST_CASE("crash sweep: a script with its own BEGIN and COMMIT") {
  sweep([](Deployment& shop) {
    shop.migration("1_init",
                   "BEGIN; CREATE TABLE shop (x int); INSERT INTO shop VALUES (1); COMMIT;"
                   "INSERT INTO shop VALUES (2);");
  });
}

TEST_CASE("crash sweep: CREATE INDEX CONCURRENTLY alone") {
  sweep([](Deployment& shop) {
    shop.migration("1_init", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);");
    shop.migration("2_index", "CREATE INDEX CONCURRENTLY shop_x ON shop (x);");
  });
}

TEST_CASE("crash sweep: CONCURRENTLY between other statements") {
  sweep([](Deployment& shop) {
    shop.migration("1_mixed", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);"
                              "CREATE UNIQUE INDEX CONCURRENTLY shop_x ON shop (x);"
                              "INSERT INTO shop VALUES (2);"
                              "DROP INDEX CONCURRENTLY shop_x; INSERT INTO shop VALUES (3);");
  });
}

TEST_CASE("crash sweep: a new enum value that the same script uses") {
  sweep([](Deployment& shop) {
    shop.migration("1_init", "CREATE TYPE shop_mood AS ENUM ('sad');"
                             "CREATE TABLE shop (x shop_mood); INSERT INTO shop VALUES ('sad');");
    shop.migration("2_value",
                   "ALTER TYPE shop_mood ADD VALUE 'ok'; INSERT INTO shop VALUES ('ok');");
  });
}

TEST_CASE("crash sweep: atomic release") {
  sweep([](Deployment& shop) {
    shop.migration("1_init", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);");
    shop.migration("2_next", "ALTER TABLE shop ADD y int; INSERT INTO shop VALUES (2, 2);");
    shop.settings.migrations = "atomic: release";
  });
}

TEST_CASE("crash sweep: an external command") {
  sweep([](Deployment& shop) {
    shop.dir().write("migrate.sql", "CREATE TABLE IF NOT EXISTS shop (x int PRIMARY KEY);"
                                    "INSERT INTO shop VALUES (1) ON CONFLICT DO NOTHING;");
    shop.settings.migrations =
        "tool: command, command: [sh, -c, 'psql -qX1 -v ON_ERROR_STOP=1 $DATABASE_URL -f migrate.sql']";
    with_marker_file(shop);
  });
}

TEST_CASE("crash sweep: what goes on beside a long statement") {
  sweep(
      [](Deployment& shop) {
        shop.settings.lease = "ttl: 3s";
        shop.migration("1_long", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);"
                                 "SELECT pg_sleep(2.5); INSERT INTO shop VALUES (2);");
      },
      Threads::others);
}
