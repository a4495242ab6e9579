// What the manifest's policies say of what is pending, before anything is changed.

#include <doctest/doctest.h>

#include "support/deployment.hpp"
#include "support/gate_project.hpp"

using namespace testing;

namespace {

class Shop : public Deployment {
 public:
  explicit Shop(const std::string& policy) : Deployment{} {
    settings.rest = "policy: {" + policy + "}\n";
    // Of 20 MB: where a table is small, there is no safer way.
    migration("1_init", "CREATE TABLE orders (id int, fax text) WITH (fillfactor = 10);"
                        "INSERT INTO orders SELECT i, 'x' FROM generate_series(1, 50000) i;");
    REQUIRE(run() == exits(0));
  }
};

constexpr const char* k_only_init = "1_init 1 finished";

}  // namespace

TEST_CASE("destructive: fail refuses with 24 what loses rows, and nothing is changed") {
  const Shop shop{"destructive: fail"};
  const auto before = shop.database().dump_schema();
  for (const auto& [sql, rule] :
       {std::pair{"CREATE TABLE new (id int);\nDROP TABLE orders;", "drop_table"},
        std::pair{"CREATE TABLE new (id int);\nALTER TABLE orders DROP fax;", "drop_column"},
        std::pair{"CREATE TABLE new (id int);\nTRUNCATE orders;", "truncate"},
        std::pair{"CREATE TABLE new (id int);\nDELETE FROM orders;", "delete_all"}}) {
    CAPTURE(std::string{sql});
    shop.migration("2_gone", sql);
    CHECK(shop.run() == exits(24, "refused by policy",
                              "2_gone/migration.sql:2:1: " + std::string{rule} + ": ",
                              "{migration: \"2_gone\", rule: " + std::string{rule}));
    CHECK(joined(shop.history()) == k_only_init);
  }
  CHECK(shop.database().dump_schema() == before);
}

TEST_CASE("what is lost is only told where the policy is to warn, and not at all where it allows") {
  Shop shop{"destructive: warn"};
  shop.migration("2_gone", "ALTER TABLE orders DROP fax;");
  CHECK(shop.run() == exits(0, "warn", "2_gone/migration.sql:1:1: drop_column: "));
  shop.settings.rest = "policy: {destructive: allow}\n";
  shop.migration("3_gone", "DROP TABLE orders;");
  const auto result = shop.run();
  CHECK(result == exits(0));
  CHECK(result.err != contains("drop_table"));
}

TEST_CASE("an allowance as the hint has it lets the migration pass, and its reason is told") {
  Shop shop{"destructive: fail"};
  shop.migration("2_gone", "DROP TABLE orders;");
  const auto refused = shop.run();
  REQUIRE(refused == exits(24));
  const auto from = refused.err.find("allow: [");
  REQUIRE(from != std::string::npos);
  const auto allowance = refused.err.substr(from, refused.err.find(']', from) - from + 1);
  shop.settings.rest = "policy: {destructive: fail, " + allowance + "}\n";
  CHECK(shop.run() == exits(0, "drop_table: ", "; allowed, because: who says so, and why"));
  CHECK(shop.tables().empty());
}

TEST_CASE("blocking: fail refuses much work under a lock that stops writes, with the safer way") {
  Shop shop{"blocking: {policy: fail, max_table: 8kB}"};
  shop.migration("2_index", "CREATE INDEX orders_id ON orders (id);");
  CHECK(shop.run() == exits(24,
                            "2_index/migration.sql:1:1: index: writes wait (SHARE on "
                            "public.orders until the COMMIT)",
                            "safer:", "CREATE INDEX CONCURRENTLY"));
  shop.migration("2_index", "ALTER TABLE orders ALTER id TYPE bigint;");
  CHECK(shop.run() == exits(24, "rewrite: reads and writes wait (ACCESS EXCLUSIVE on public.orders",
                            "are written anew"));
  CHECK(joined(shop.history()) == k_only_init);
  shop.settings.rest = "policy: {blocking: {policy: fail, max_table: 1GB}}\n";
  CHECK(shop.run() == exits(0));
}

TEST_CASE("work on a table of this release blocks nobody") {
  const Shop shop{"destructive: fail, blocking: {policy: fail, max_table: 0}"};
  shop.migration("2_new", "CREATE TABLE new (id int); CREATE INDEX ON new (id);"
                          "ALTER TABLE new ALTER id TYPE bigint; DROP TABLE new;");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("what a DO block does cannot be told, and is no reason to refuse") {
  const Shop shop{"destructive: fail, blocking: fail"};
  shop.migration("2_do", "DO $$ BEGIN EXECUTE 'DELETE FROM orders'; END $$;");
  CHECK(shop.run() == exits(0, "2_do/migration.sql:1:1: unknown: "));
}

TEST_CASE("a refusal by policy tells the gates that wait for this release") {
  GateProject project;
  project.migration("1_init", "CREATE TABLE t (x int); INSERT INTO t VALUES (1);");
  REQUIRE(project.run() == exits(0));
  project.set("release", "r2").set("policy.destructive", "fail");
  project.migration("2_gone", "DROP TABLE t;");
  CHECK(project.run() == exits(24));
  CHECK(project.gate() == exits(31, "refused by policy"));
}

TEST_CASE("mode: check tells what a run would be refused for") {
  Shop shop{"destructive: fail"};
  shop.settings.environment["SCHEMAGATE_MODE"] = "check";
  shop.migration("2_gone", "DROP TABLE orders;");
  CHECK(shop.run() == exits(20, "a run would end with 24", "drop_table"));
}

TEST_CASE("an allowance for a migration that nobody knows is told, with the one that was meant") {
  Shop shop{"allow: [{migration: 2_gne, rule: drop_table, because: x},"
            " {migration: 1_init, rule: drop_table, because: old}]"};
  shop.migration("2_gone", "DROP TABLE orders;");
  const auto result = shop.run();
  CHECK(result == exits(0, "policy.allow names 2_gne, which neither the folder nor the history "
                           "knows; did you mean \"2_gone\"?"));
  CHECK(result.err != contains("names 1_init"));
}

TEST_CASE("a policy that cannot be held to an external command is a mistake in the manifest") {
  GateProject project;
  project.command("exit 0\n").set("policy.destructive", "fail");
  CHECK(project.run() == exits(2, "\"policy.destructive\" cannot be fail with tool: command"));
  CHECK(project.is_untouched());
}
