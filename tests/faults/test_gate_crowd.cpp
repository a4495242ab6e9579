#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <mutex>
#include <thread>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/pgbouncer.hpp"
#include "support/trials.hpp"

using namespace testing;
using namespace std::chrono_literals;
namespace pg = schemagate::pg;

namespace {

// Thinned as the sweeps are (3 in CI, 8 with sanitizers and in the chroot): 500 processes that
// start or wake at the same moment beside their server, on two cores, are a test of that machine.
const int k_crowd = testing::each_nth() == 1 ? 500 : testing::each_nth() < 8 ? 250 : 100;
constexpr auto k_poll = 3s;

// A server with room for 100 connections, whose database `shop` belongs to the ordinary role `app`.
class SmallServer {
 public:
  SmallServer() {
    std::filesystem::permissions(files_.path(), std::filesystem::perms{0755});
    const auto result = run({script(), "start", directory(), "--parent", std::to_string(::getpid()),
                             "max_connections=100"});
    if (result.exit_code != 0) throw std::runtime_error{"cannot start PostgreSQL: " + result.err};
    const auto url = schemagate::trim(result.out);
    host_and_port_ = url.substr(url.find('@') + 1);
    host_and_port_.resize(host_and_port_.find('/'));
    as_superuser("postgres").execute("CREATE ROLE app LOGIN");
    as_superuser("postgres").execute("CREATE DATABASE shop OWNER app");
    as_superuser("postgres").execute("CREATE DATABASE rehearsal OWNER app");
  }
  [[nodiscard]] const std::string& host_and_port() const { return host_and_port_; }
  ~SmallServer() { (void)run({script(), "stop", directory()}); }
  SmallServer(const SmallServer&) = delete;
  SmallServer& operator=(const SmallServer&) = delete;

  [[nodiscard]] std::string url(const std::string& database = "shop") const {
    return "postgresql://app@" + host_and_port_ + "/" + database;
  }
  [[nodiscard]] pg::Session as_superuser(const std::string& database = "shop") const {
    return pg::Session{"postgresql://postgres@" + host_and_port_ + "/" + database};
  }
  // As after a crash: every connection is cut.
  void restart() const {
    std::vector<std::string> argv{
        pg_ctl(), "restart", "-D", directory() + "/data",      "-m", "immediate",
        "-w",     "-s",      "-l", directory() + "/server.log"};
    if (::getuid() == 0)
      argv.insert(argv.begin(),
                  {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"});
    // The server was told its data directory relative to this one.
    const auto result = run(argv, {.environment = {}, .directory = directory()});
    REQUIRE(result == exits(0));
  }

 private:
  [[nodiscard]] static std::string script() {
    return std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/postgres";
  }
  [[nodiscard]] static std::string pg_ctl() {
    return schemagate::trim(
        run({"sh", "-c", "ls /usr/lib/postgresql/*/bin/pg_ctl | sort -V | tail -n 1"}).out);
  }
  [[nodiscard]] std::string directory() const { return (files_.path() / "server").string(); }

  TempDir files_;
  std::string host_and_port_;
};

// Everybody else: an ordinary role that connects again and again, and must never be refused.
class Everybody {
 public:
  explicit Everybody(const SmallServer& server)
      : watched_{server.as_superuser()},
        probe_{[this, url = server.url()](const std::stop_token& done) {
          while (!done.stop_requested()) {
            const Stopwatch watch;
            try {
              pg::Session{url + "?connect_timeout=30"}.query("SELECT 1");
              ++connected_;
            } catch (const std::exception& e) {
              const std::lock_guard lock{mutex_};
              refused_.emplace_back(e.what());
            }
            slowest_ = std::max(slowest_, watch.seconds());
            std::this_thread::sleep_for(10ms);
          }
        }},
        count_{[this](const std::stop_token& done) {
          while (!done.stop_requested()) {
            const auto rows = watched_.query(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'");
            most_ = std::max(most_, std::stoi(rows.at(0).at(0).value_or("0")));
            std::this_thread::sleep_for(20ms);
          }
        }} {}

  struct Seen {
    std::vector<std::string> refused;
    int connected = 0;
    int most = 0;  // connections at once
    double slowest = 0;
  };
  Seen end() {
    probe_ = {};
    count_ = {};
    return {refused_, connected_, most_, slowest_};
  }

 private:
  pg::Session watched_;
  std::mutex mutex_;
  std::vector<std::string> refused_;
  std::atomic<int> connected_ = 0;
  int most_ = 0;
  double slowest_ = 0;
  std::jthread probe_;
  std::jthread count_;
};

class CrowdOfGates {
 public:
  CrowdOfGates(const GateProject& project, int size) {
    gates_.reserve(static_cast<std::size_t>(size));
    for (int i = 0; i < size; ++i) gates_.push_back(project.start_gate());
  }
  void signal(int number) const {
    for (const auto& gate : gates_) gate.signal(number);
  }
  int waiting() {
    return count([](Process& gate) { return gate.is_running(); });
  }
  bool all_said_closed() {
    return count([](Process& gate) { return gate.says("gate closed", 60s); }) == size();
  }
  int ended_with(int code) {
    return count([&](Process& gate) { return gate.wait().exit_code == code; });
  }

 private:
  [[nodiscard]] int size() const { return static_cast<int>(gates_.size()); }
  template <class Condition> int count(Condition&& condition) {
    return static_cast<int>(std::count_if(gates_.begin(), gates_.end(), condition));
  }

  std::vector<Process> gates_;
};

GateProject& of_server(GateProject& project, const std::string& url) {
  project.environment["DATABASE_URL"] = url;
  project.migration("20240101000000_users", "CREATE TABLE users (id integer);")
      .migration("20240102000000_name", "ALTER TABLE users ADD COLUMN name text;")
      .set("gate.poll", std::to_string(k_poll.count()) + "s")
      .set("gate.timeout", "10m")
      .set("lease.ttl", "10m")  // the run is paused until all have looked
      .set("database.wait", "2m");
  return project;
}

// The fault point right before the COMMIT of the marker, the last one of a run.
std::string marker_commit(const SmallServer& server) {
  GateProject rehearsal;
  of_server(rehearsal, server.url("rehearsal"));
  rehearsal.environment["SCHEMAGATE_FAULT_TRACE"] = rehearsal.file("trace");
  REQUIRE(rehearsal.run() == exits(0));
  std::string point;
  for (const auto& line : schemagate::split(read_text(rehearsal.file("trace")), '\n'))
    if (line.starts_with("postgres.send:") && line.ends_with("\tCOMMIT"))
      point = line.substr(0, line.find('\t'));
  REQUIRE(!point.empty());
  return point;
}

}  // namespace

TEST_SUITE_BEGIN("crowd");

TEST_CASE("a crowd of gates leaves room for everybody else and opens soon after the marker") {
  const SmallServer server;
  const auto commit = marker_commit(server);
  GateProject project;
  of_server(project, server.url());
  Everybody everybody{server};
  const Stopwatch since_begin;
  CrowdOfGates crowd{project, k_crowd};
  project.environment["SCHEMAGATE_FAULT"] = commit + ":stop";
  auto run = project.start_run();
  REQUIRE(eventually([&] { return run.is_stopped(); }, 60s));
  REQUIRE(crowd.all_said_closed());
  const auto to_begin = since_begin.seconds();  // how long this machine takes to let all look once
  // All look at the same moment.
  crowd.signal(SIGSTOP);
  std::this_thread::sleep_for(k_poll * 3 / 2);
  crowd.signal(SIGCONT);
  std::this_thread::sleep_for(k_poll);
  CHECK(crowd.waiting() == k_crowd);  // everything of the marker is there but its COMMIT

  run.signal(SIGCONT);
  const Stopwatch since_commit;
  CHECK(eventually([&] { return crowd.waiting() == 0; }, 60s));
  const auto took = since_commit.seconds();
  CHECK(took < 3.0 * static_cast<double>(k_poll.count()) + to_begin);
  CHECK(crowd.ended_with(0) == k_crowd);
  CHECK(run.wait() == exits(0));
  const auto seen = everybody.end();
  CHECK_MESSAGE(seen.refused.empty(), seen.refused.size(), " refused: ", seen.refused.front());
  CHECK(seen.connected > 0);
  CHECK(seen.most < 97);  // what an ordinary role may have
  MESSAGE("all began within ", to_begin, " s, all open after ", took, " s; at most ", seen.most,
          " connections; ", seen.connected, " others let in, the slowest in ", seen.slowest, " s");
  record({.fault = "a crowd of gates (times) waits on a server with max_connections = 100",
          .where = "before, during and after a run; also when all look at once",
          .seen = "nobody else is refused; none opens before the marker's commit, all within 3 x "
                  "gate.poll after it"},
         k_crowd);
}

TEST_CASE("a crowd of gates outlives a crash of the server and opens afterwards") {
  const SmallServer server;
  GateProject project;
  of_server(project, server.url());
  CrowdOfGates crowd{project, k_crowd / 5};
  REQUIRE(crowd.all_said_closed());
  server.restart();
  CHECK(project.run() == exits(0));
  CHECK(crowd.ended_with(0) == k_crowd / 5);
  record({.fault = "the server is restarted at once (immediate)",
          .where = "while a crowd of gates (times) waits",
          .seen = "all go on waiting; the run exits 0, and all open"},
         k_crowd / 5);
}

TEST_CASE("a crowd of gates ends with 31 when the run for its release fails") {
  const SmallServer server;
  GateProject project;
  of_server(project, server.url()).migration("20240103000000_wrong", "SELECT nonsense;");
  CrowdOfGates crowd{project, k_crowd / 5};
  REQUIRE(crowd.all_said_closed());
  CHECK(project.run() == exits(21));
  CHECK(crowd.ended_with(31) == k_crowd / 5);
  record({.fault = "a migration fails",
          .where = "while a crowd of gates (times) waits",
          .seen = "the run exits 21, every gate 31"},
         k_crowd / 5);
}

TEST_CASE("a crowd of gates behind a small pool opens, and the run gets through") {
  if (!PgBouncer::is_there()) return;
  const SmallServer server;
  const PgBouncer pooler{5, "max_client_conn = 1000", server.host_and_port()};
  GateProject project;
  of_server(project, pooler.url("app", "shop") + "?pgbouncer=true");
  CrowdOfGates crowd{project, k_crowd / 2};
  REQUIRE(crowd.all_said_closed());
  CHECK(project.run() == exits(0));
  CHECK(crowd.ended_with(0) == k_crowd / 2);
  record({.fault = "a crowd of gates (times) waits",
          .where = "behind PgBouncer with a pool of 5",
          .seen = "the run gets through and exits 0, and all open"},
         k_crowd / 2);
}

TEST_SUITE_END();
