// Through a proxy that counts connections and cuts them where it hurts most: around the COMMIT.

#include "support/deployment.hpp"
#include "support/proxy.hpp"

using namespace testing;

namespace {

// The COMMIT that follows the history row.
Proxy::Plan at_commit(Proxy::Fault fault) {
  return {.fault = fault, .when = [row_is_written = false](const Proxy::Message& message) mutable {
            const std::string text{message.bytes};
            row_is_written =
                row_is_written || text == contains("INSERT INTO \"public\".\"_prisma_migrations\"");
            return row_is_written && text == contains("COMMIT");
          }};
}

}  // namespace

TEST_CASE("a run with nothing to do opens exactly one connection") {
  const Proxy proxy;
  Deployment shop;
  shop.settings.url = proxy.url_of(shop.database());
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run() == exits(0));
  const int before = proxy.connections();
  CHECK(shop.run() == exits(0));
  CHECK(proxy.connections() - before == 1);
}

TEST_CASE("a COMMIT whose answer is lost is read back as done, and the run goes on") {
  const Proxy proxy{at_commit(Proxy::Fault::answer_lost)};
  Deployment shop;
  shop.settings.url = proxy.url_of(shop.database());
  SUBCASE("each migration in its own transaction") {}
  SUBCASE("all in one") { shop.settings.migrations = "atomic: release"; }
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.migration("2_next", "CREATE TABLE u (x int);");
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(proxy.has_struck());
  CHECK(result == exits(0, "the COMMIT had taken place"));
  CHECK(shop.tables() == "t, u");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_next 1 finished");
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "complete");
}

TEST_CASE("a part's COMMIT whose answer is lost is read back as done, and no part runs twice") {
  const Proxy proxy{at_commit(Proxy::Fault::answer_lost)};
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int); CREATE TABLE calls (x int);");
  REQUIRE(shop.run() == exits(0));
  shop.settings.url = proxy.url_of(shop.database());
  shop.migration("2_parts",
                 "INSERT INTO calls VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (x);\n");
  // The first COMMIT after the row is that of the row itself: the run then cannot have done harm.
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(proxy.has_struck());
  CHECK((result == exits(0) || result == exits(14)));
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.database().column("SELECT x FROM calls")) == "1");
  CHECK(shop.indexes(true) == "i");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 1 finished");
}

TEST_CASE("a COMMIT that never arrives is read back as not done: 14, and the next run succeeds") {
  const Proxy proxy{at_commit(Proxy::Fault::request_lost)};
  Deployment shop;
  shop.settings.url = proxy.url_of(shop.database());
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(proxy.has_struck());
  CHECK(result == exits(14));
  CHECK(shop.tables().empty());
  CHECK(joined(shop.history()).empty());
  CHECK(shop.run() == exits(0));
  CHECK(joined(shop.history()) == "1_init 1 finished");
}
