// A peer that is neither alive nor dead: it takes what is sent and says nothing (a hung pooler, a
// host that stands still), or the packets vanish.

#include <csignal>
#include <memory>

#include "support/deployment.hpp"
#include "support/proxy.hpp"
#include "support/trials.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

using Network = Proxy::Network;

Proxy::Plan at(const std::string& text, Proxy::Fault fault) {
  return {.fault = fault,
          .when = [text, is_complete = false](const Proxy::Message& message) mutable {
            const std::string bytes{message.bytes};
            // Of all COMMITs, that of the last transaction.
            is_complete = is_complete || bytes == contains("pg_notify");
            return bytes == contains(text) && (text != "COMMIT" || is_complete);
          }};
}

// A release whose only connection to the server is the proxy.
struct Site {
  // At the first message that holds this text its connection stands still.
  explicit Site(const std::string& stops_at, Proxy::Fault fault = Proxy::Fault::frozen)
      : proxy{at(stops_at, fault)} {
    shop.settings = {.database = "wait: 3s",
                     .lease = "ttl: 6s, wait: 3s",  // enough to come to that message
                     .migrations = {},
                     .rest = "release: r1\ngate: {timeout: 3s}\n",
                     .url = proxy.url_of(shop.database())};
    shop.migration("1_init", "CREATE TABLE t (x int);\nINSERT INTO t VALUES (1);\n");
  }
  [[nodiscard]] testing::Process start_gate() const {
    return testing::start_schemagate({"gate"}, {.environment = {}, .directory = shop.dir().path()});
  }
  // What a runner on a healthy network does meanwhile. A manifest of its own: the other one is in
  // use.
  [[nodiscard]] testing::Result run_elsewhere() const {
    const auto manifest = shop.dir().write(
        "elsewhere.yaml", "version: 1\ndatabase: {url: \"" + shop.database().url() +
                              "\"}\nrelease: r1\nmigrations: {directory: migrations}\n");
    return testing::schemagate({"run", "-f", manifest.string()},
                               {.environment = {}, .directory = shop.dir().path()});
  }

  Deployment shop;
  Proxy proxy;
};

bool ends(testing::Process& process, std::chrono::seconds limit = 40s) {
  return eventually([&] { return !process.is_running(); }, limit);
}

// Then the rest of the network as well.
void stand_still(Site& site, Network network) {
  REQUIRE(eventually([&] { return site.proxy.has_struck(); }));
  site.proxy.set(network);
}

struct StandingStill {
  Network network;
  std::string fault;
};
const StandingStill k_both[] = {{Network::frozen, "peer acknowledges everything, never answers"},
                                {Network::black_hole, "all packets lost"}};

struct Try {
  std::string where;
  StandingStill how;
  std::unique_ptr<Site> site;
  testing::Process process;
};

testing::Result end_of(Try& t) {
  CHECK(ends(t.process, 60s));
  if (t.process.is_running()) t.process.signal(SIGKILL);
  return t.process.wait();
}

std::string rows(const Deployment& shop) {
  return joined(
      shop.database().column("SELECT xmin FROM t UNION ALL SELECT xmin FROM _prisma_migrations"
                             " UNION ALL SELECT xmin FROM schemagate.marker"));
}

}  // namespace

TEST_SUITE_BEGIN("stall");

// All at once, as each mostly waits.
TEST_CASE("a run whose network stands still before it has the lease ends by itself") {
  std::vector<Try> tries;
  for (const auto& how : k_both) {
    for (const auto& [where, text] :
         {std::pair{"connecting", "application_name"},
          std::pair{"the first query", "current_schemas"},
          std::pair{"waiting for the lease", "SELECT app, release, host"}}) {
      auto site = std::make_unique<Site>(text);
      REQUIRE(site->run_elsewhere() == exits(0));
      site->shop.database().execute(
          "DELETE FROM schemagate.marker;"
          "UPDATE schemagate.lock SET expires_at = clock_timestamp() + interval '1 hour'");
      auto run = site->shop.start();
      stand_still(*site, how.network);
      tries.push_back({where, how, std::move(site), std::move(run)});
    }
  }
  for (auto& t : tries) {
    const auto result = end_of(t);
    INFO(t.how.fault, ", ", t.where, ":\n", result.err);
    const int expected = t.where == "waiting for the lease" ? 14 : 10;
    CHECK(result == exits(expected));
    testing::record({.fault = t.how.fault,
                     .where = t.where,
                     .seen = "exit " + std::to_string(expected) + " within 20 s"});
  }
}

TEST_CASE("a run whose network stands still loses its lease, and another one completes meanwhile") {
  std::vector<Try> tries;
  for (const auto& how : k_both) {
    for (const auto& [where, text] :
         {std::pair{"in a statement of a script", "CREATE TABLE t "},
          std::pair{"before the history row", "INSERT INTO \"public\".\"_prisma_"},
          std::pair{"at the COMMIT that completes the marker", "COMMIT"}}) {
      auto site = std::make_unique<Site>(text);
      auto run = site->shop.start();
      stand_still(*site, how.network);
      tries.push_back({where, how, std::move(site), std::move(run)});
    }
  }
  for (auto& t : tries) {
    const auto& shop = t.site->shop;
    INFO(t.how.fault, ", ", t.where);
    const auto elsewhere = t.site->run_elsewhere();
    INFO("elsewhere:\n", elsewhere.err);
    CHECK(elsewhere == exits(0));
    const auto after = rows(shop);
    t.site->proxy.set(Network::normal);  // what had been held back arrives after all
    const auto result = end_of(t);
    INFO("first:\n", result.err);
    CHECK(result == exits(12));
    CHECK(rows(shop) == after);
    CHECK(shop.database().value("SELECT count(*) FROM t") == "1");
    testing::record({.fault = t.how.fault,
                     .where = t.where + ", lease.ttl 6 s",
                     .seen = "exit 12, nothing committed; another runner completes meanwhile"});
  }
}

TEST_CASE("a run that nobody replaces ends by itself once its network has stood still") {
  std::vector<Try> tries;
  for (const auto& how : k_both) {
    auto site = std::make_unique<Site>("CREATE TABLE t ");
    auto run = site->shop.start();
    stand_still(*site, how.network);
    tries.push_back(
        {"in a statement of a script, lease.ttl 6 s", how, std::move(site), std::move(run)});
  }
  for (auto& t : tries) {
    const auto result = end_of(t);
    INFO(t.how.fault, ":\n", result.err);
    CHECK(result == exits(12));
    CHECK(t.site->shop.tables().empty());
    CHECK(t.site->run_elsewhere() == exits(0));
    CHECK(t.site->shop.tables() == "t");
    testing::record({.fault = t.how.fault + " for good",
                     .where = t.where,
                     .seen = "exit 12 within 20 s; the next run completes"});
  }
}

TEST_CASE("a run that cannot renew its lease cancels its statement, and commits nothing") {
  for (const auto fault : {Proxy::Fault::frozen, Proxy::Fault::black_hole}) {
    // Only the connection that renews; the one that works is well.
    Site site{"SET renewed_at", fault};
    site.shop.prepare_nap(100);
    site.shop.migration("1_init", "CREATE TABLE t (x int);\nSELECT aside.nap();\n");
    Try t{"on the connection that renews the lease, in a long statement",
          k_both[fault == Proxy::Fault::frozen ? 0 : 1], nullptr, site.shop.start()};
    const auto result = end_of(t);
    INFO(t.how.fault, ":\n", result.err);
    CHECK(site.proxy.has_struck());
    CHECK(result == exits(12));
    CHECK(site.shop.tables().empty());
    site.shop.set_nap(0);
    CHECK(site.run_elsewhere() == exits(0));
    CHECK(site.shop.tables() == "t");
    testing::record({.fault = t.how.fault,
                     .where = t.where + ", lease.ttl 6 s",
                     .seen = "exit 12, the statement is cancelled; the next run completes"});
  }
}

TEST_CASE("SIGTERM ends a run whose network stands still") {
  std::vector<Try> tries;
  for (const auto& how : k_both) {
    for (const auto& [where, text] : {std::pair{"the first query", "current_schemas"},
                                      std::pair{"in a statement of a script", "CREATE TABLE t "}}) {
      auto site = std::make_unique<Site>(text);
      site->shop.settings.database = "wait: 10m";
      site->shop.settings.lease = "ttl: 60s";
      auto run = site->shop.start();
      stand_still(*site, how.network);
      run.signal(SIGTERM);
      tries.push_back({where, how, std::move(site), std::move(run)});
    }
  }
  for (auto& t : tries) {
    const auto result = end_of(t);
    INFO(t.how.fault, ", ", t.where, ":\n", result.err);
    CHECK(result == exits(143));
    CHECK(t.site->shop.tables().empty());
    testing::record({.fault = t.how.fault + ", then SIGTERM",
                     .where = t.where,
                     .seen = "exit 143 within 16 s"});
  }
}

TEST_CASE("a gate whose network stands still stays closed, and opens once it is back") {
  for (const auto& how : k_both) {
    Site site{"LISTEN"};
    site.shop.settings.rest = "release: r1\ngate: {timeout: 2m}\n";
    REQUIRE(site.shop.run({"--help"}) == exits(0));  // writes the manifest
    Try t{"gate waiting", how, nullptr, site.start_gate()};
    stand_still(site, how.network);
    CHECK(site.run_elsewhere() == exits(0));
    std::this_thread::sleep_for(2s);
    CHECK(t.process.is_running());
    CHECK(t.process.output_so_far() != contains("gate open"));
    site.proxy.set(Network::normal);
    const auto result = end_of(t);
    INFO(how.fault, ":\n", result.err);
    CHECK(result == exits(0));
    testing::record({.fault = how.fault,
                     .where = t.where,
                     .seen = "stays closed; opens by itself once the network is back"});
  }
}

TEST_CASE("a gate keeps its timeout though the peer says nothing") {
  std::vector<Try> tries;
  for (const auto& how : k_both) {
    for (const auto* text : {"LISTEN", "WITH member AS"}) {
      auto site = std::make_unique<Site>(text);
      REQUIRE(site->shop.run({"--help"}) == exits(0));  // writes the manifest
      site->shop.database().execute("CREATE SCHEMA schemagate");
      auto gate = site->start_gate();
      stand_still(*site, how.network);
      tries.push_back({"gate waiting, gate.timeout passes", how, std::move(site), std::move(gate)});
    }
  }
  for (auto& t : tries) {
    const auto result = end_of(t);
    INFO(t.how.fault, ":\n", result.err);
    CHECK(result == exits(30));
    testing::record({.fault = t.how.fault, .where = t.where, .seen = "exit 30, at most 20 s late"});
  }
}

TEST_SUITE_END();
