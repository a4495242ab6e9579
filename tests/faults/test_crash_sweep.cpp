// Each kind of migration, broken off at each point where the process touches the outside, in each
// way; then a run that nobody disturbs. In the end the database must hold what an undisturbed run
// makes, and on the way there its marker must never have said more than was true.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "faults/door.hpp"
#include "faults/fingerprint.hpp"
#include "support/deployment.hpp"
#include "support/trials.hpp"

using namespace testing;

namespace {

using Prepare = void (*)(Deployment&);

// One deployment after the other in the same database: making a new one takes longer than a run.
struct Site {
  explicit Site(Prepare prepare) : session{shop.database().connect()} {
    prepare_door(shop.database());
    prepare(shop);
  }

  void reset() {
    shop.settings.environment.clear();
    session.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;"
                    "DROP SCHEMA IF EXISTS schemagate CASCADE");
    shut_door(shop.database());
    std::filesystem::remove(shop.dir().path() / "marker.json");
    std::filesystem::remove(trace());
  }
  [[nodiscard]] std::filesystem::path trace() const { return shop.dir().path() / "trace"; }
  [[nodiscard]] bool has_passed(const std::string& point) const {
    return "\n" + read_text(trace()) == contains("\n" + point + "\t");
  }

  Deployment shop;
  pg::Session session;
};

// What the migrations made, what the gate sees, and no trace of a runner.
struct Outcome {
  std::string work;
  std::string marker;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(Site& site) { return {work_in(site.session), marker_in(site.session)}; }

struct Point {
  std::string name;   // "postgres.send:7"
  std::string where;  // in a user's words
};

constexpr const char* k_has_lease = "before the first migration";

// What a run is at, told by a part of the statement that begins it.
const std::vector<std::pair<std::string, std::string>> k_stages = {
    {"lock_timeout = '30s'", "creating its own tables"},
    {"schemagate\".lock AS held", "taking the lease"},
    {"INTO \"schemagate\".run", k_has_lease},
    {"shop", "in a migration"},
    {"CONCURRENTLY", "in CREATE INDEX CONCURRENTLY"},
    {"schemagate\".step", "recording a part of a migration"},
    {"SELECT id, migration_name", "verifying, writing the marker"},
    {"UPDATE \"schemagate\".run", "verifying, writing the marker"},
    {"-infinity", "giving the lease back"},
};

enum class Part {
  whole,
  work,          // what comes before the lease is had is the same for all kinds of migrations
  other_threads  // they are passed beside a statement that lasts
};

bool is_of_another_thread(const std::string& point) { return point.find('/') != std::string::npos; }

// How often a thread does what it does depends on the time: a connection and two questions it gets
// to in every run whose statement lasts for long enough.
bool is_reached_always(const std::string& point) {
  const bool connects = point.find("postgres.connect") != std::string::npos;
  return point.ends_with(":1") || (point.ends_with(":2") && !connects);
}

std::vector<Point> points_in(const std::filesystem::path& trace, Part part) {
  std::vector<Point> points;
  std::string stage = "connecting";
  std::ifstream stream{trace};
  for (std::string line; std::getline(stream, line);) {
    const auto tab = line.find('\t');
    const auto name = line.substr(0, tab);
    const auto statement = line.substr(tab + 1);
    if (is_of_another_thread(name) != (part == Part::other_threads)) continue;
    if (part == Part::other_threads) {
      if (is_reached_always(name))
        points.push_back({name, "in the " + name.substr(0, name.find('/')) + " thread"});
      continue;
    }
    for (const auto& [sign, begun] : k_stages)
      if (statement == contains(sign)) stage = begun;
    if (name.starts_with("child")) stage = "around an external command";
    const auto where = statement == "COMMIT"             ? "at a COMMIT"
                       : name.starts_with("marker_file") ? "writing the marker's file"
                                                         : stage;
    points.push_back({name, where});
  }
  if (part == Part::work)
    points.erase(points.begin(), std::find_if(points.begin(), points.end(), [](const auto& point) {
                   return point.where == k_has_lease;
                 }));
  if (part == Part::other_threads)  // who came first says nothing
    std::sort(points.begin(), points.end(),
              [](const auto& one, const auto& other) { return one.name < other.name; });
  return points;
}

struct Reference {
  Outcome outcome;
  std::vector<Point> points;
};

Reference undisturbed(Prepare prepare, Part part) {
  Site site{prepare};
  site.shop.settings.environment = {{"SCHEMAGATE_FAULT_TRACE", site.trace().string()}};
  auto run = site.shop.start();
  if (part == Part::other_threads)
    for (const auto* thread : {"lease-renewer", "progress"})
      REQUIRE(
          eventually([&] { return site.has_passed(thread + std::string{"/postgres.answer:2"}); }));
  open_door(site.shop.database());
  REQUIRE(run.wait() == exits(0));
  return {outcome_of(site), points_in(site.trace(), part)};
}

// Most of the time a trial waits for a process to end or a lease to expire.
template <class Trial>
void for_each(const std::vector<Point>& points, Prepare prepare, Trial&& trial) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    Site site{prepare};
    for (std::size_t i = 0; (i = next.fetch_add(each_nth())) < points.size();) {
      try {
        site.reset();
        trial(site, points[i]);
      } catch (const std::exception& e) {
        FAIL_CHECK(points[i].name << ": " << e.what());
      }
    }
  };
  std::vector<std::jthread> threads(4);
  for (auto& thread : threads) thread = std::jthread{work};
}

void check_marker_is_true(Site& site, const Reference& reference) {
  if (marker_in(site.session) == reference.outcome.marker)
    CHECK(work_in(site.session) == reference.outcome.work);
}

void check_all_is_done(Site& site, const Reference& reference) {
  CHECK(work_in(site.session) == reference.outcome.work);
  CHECK(marker_in(site.session) == reference.outcome.marker);
  CHECK(is_lease_free(site.session));
  CHECK(eventually([&] { return left_backends(site.session).empty(); }));
}

struct Fault {
  std::string name;    // in a user's words
  std::string action;  // of a fault point
  std::set<int> possible_codes;
};

// What goes on beside a statement is met while it lasts.
Result run_with_fault(Site& site, const Point& point, const std::string& action) {
  site.shop.settings.environment = {{"SCHEMAGATE_FAULT", point.name + ":" + action}};
  if (!is_of_another_thread(point.name)) return site.shop.run();
  site.shop.settings.environment["SCHEMAGATE_FAULT_TRACE"] = site.trace().string();
  auto run = site.shop.start();
  CHECK(eventually([&] { return site.has_passed(point.name); }));
  open_door(site.shop.database());
  return run.wait();
}

void broken_off(Site& site, const Reference& reference, const Point& point, const Fault& fault) {
  const auto broken = run_with_fault(site, point, fault.action);
  INFO(fault.name << " at " << point.name << " (" << point.where << "): " << broken.err);
  CHECK(fault.possible_codes.contains(broken.exit_code));
  check_marker_is_true(site, reference);

  site.shop.settings.environment.clear();
  expire_lease_unless_locked(site.session);
  const auto next = site.shop.run();
  INFO("the next run: " << next.err);
  CHECK(next == exits(0));
  check_all_is_done(site, reference);
  record({fault.name, point.where,
          "exit " + std::to_string(broken.exit_code) + "; the next run completes"});
}

// Stopped at the point. The ttl is short, because some have to wait for its end; a machine that is
// so slow that it ends on the way to the point gets more time.
Process stopped_at(Site& site, const Point& point, const std::string& ttl = "3s") {
  site.shop.settings.lease = "ttl: " + ttl;
  site.shop.settings.environment = {{"SCHEMAGATE_FAULT", point.name + ":stop"}};
  auto sleeper = site.shop.start();
  CHECK(eventually([&] { return sleeper.is_stopped() || !sleeper.is_running(); }));
  site.shop.settings.environment.clear();
  site.shop.settings.lease.clear();
  if (sleeper.is_running() || ttl != "3s") return sleeper;
  site.reset();
  return stopped_at(site, point, "30s");
}

void paused(Site& site, const Reference& reference, const Point& point) {
  auto sleeper = stopped_at(site, point);
  INFO("paused at " << point.name << " (" << point.where << ")");
  CHECK(sleeper.is_stopped());
  check_marker_is_true(site, reference);

  open_door(site.shop.database());
  expire_lease_unless_locked(site.session, "50ms");
  const auto successor = site.shop.run();
  INFO("the successor: " << successor.err);
  CHECK(successor == exits(0));
  CHECK(outcome_of(site) == reference.outcome);

  sleeper.signal(SIGCONT);
  const auto awake = sleeper.wait();
  INFO("the one that was paused: " << awake.err);
  // Before it had the lease it may find all done; after its last commit, too.
  CHECK((awake == exits(0) || awake == exits(12)));
  check_all_is_done(site, reference);
  record({"SIGSTOP past the ttl, then SIGCONT", point.where,
          "exit " + std::to_string(awake.exit_code) +
              " when it wakes; the run that took over completes, nothing is changed after it"});
}

void sweep(Prepare prepare, Part part = Part::work) {
  const auto reference = undisturbed(prepare, part);
  REQUIRE(reference.points.size() > (part == Part::other_threads ? 10 : 30));
  std::optional<Fault> fault;
  SUBCASE("killed") { fault = {"SIGKILL", "kill", {137}}; }
  SUBCASE("its connection lost") { fault = {"connection lost", "cut", {0, 10, 14}}; }
  SUBCASE("out of memory") { fault = {"out of memory", "error", {0, 1}}; }
  SUBCASE("paused") {}
  for_each(reference.points, prepare, [&](Site& site, const Point& point) {
    if (fault) broken_off(site, reference, point, *fault);
    else paused(site, reference, point);
  });
}

void with_marker_file(Deployment& shop) { shop.settings.rest = "marker: {file: marker.json}\n"; }

}  // namespace

TEST_SUITE_BEGIN("sweep");

TEST_CASE("crash sweep: plain migrations") {
  sweep(
      [](Deployment& shop) {
        shop.migration("1_init", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);");
        shop.migration("2_next", "ALTER TABLE shop ADD y int; INSERT INTO shop VALUES (2, 2);");
        with_marker_file(shop);
      },
      Part::whole);
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
        "allow_empty: true, tool: command, command: [sh, -c, 'psql -qX1 -v ON_ERROR_STOP=1 $DATABASE_URL -f migrate.sql']";
    with_marker_file(shop);
  });
}

TEST_CASE("crash sweep: what goes on beside a long statement") {
  sweep(
      [](Deployment& shop) {
        shop.migration("1_long", "CREATE TABLE shop (x int); INSERT INTO shop VALUES (1);"
                                 "SELECT aside.wait(); INSERT INTO shop VALUES (2);");
      },
      Part::other_threads);
}

TEST_SUITE_END();
