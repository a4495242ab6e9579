#include "schemagate/migrate/policy.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t k_gb = 1LL << 30;

// 2_big adds a column (a lock, no work), drops another table's column, and builds an index on a
// table of 3 GB; what it does last nobody can tell.
Forecast forecast() {
  StatementForecast drop{.line = 2,
                         .column = 3,
                         .text = "ALTER TABLE users DROP fax",
                         .impacts = {{"public.users", LockMode::access_exclusive}},
                         .remarks = {{.kind = Remark::Kind::destructive,
                                      .rule = "drop_column",
                                      .text = "what is in public.users.fax is lost"}}};
  StatementForecast index{.line = 4,
                          .column = 1,
                          .text = "CREATE INDEX ON orders (at)",
                          .impacts = {{"public.orders", LockMode::share, Work::index}},
                          .remarks = {{.kind = Remark::Kind::safer,
                                       .rule = "create_index",
                                       .text = "CONCURRENTLY lets writes pass",
                                       .instead = "CREATE INDEX CONCURRENTLY ON orders (at);"}}};
  StatementForecast opaque{.line = 6,
                           .text = "DO ...",
                           .remarks = {{.kind = Remark::Kind::unknown,
                                        .rule = "do",
                                        .text = "what a DO block does is not seen"}}};
  SegmentForecast segment{.statements = {drop, index, opaque},
                          .holds = {{.relation = "public.users",
                                     .lock = LockMode::access_exclusive,
                                     .from_line = 2,
                                     .work = Work::catalogue,
                                     .work_on = {}},
                                    {.relation = "public.orders",
                                     .lock = LockMode::share,
                                     .from_line = 4,
                                     .work = Work::index,
                                     .work_bytes = 3 * k_gb,
                                     .work_on = "public.orders",
                                     .estimate = {30s, 60s}}}};
  Forecast all{.migrations = {{.name = "2_big",
                               .path = "migrations/2_big/migration.sql",
                               .segments = {segment}}},
               .relations = {},
               .server_major_version = 17};
  all.relations["public.users"].heap_bytes = 8192;
  all.relations["public.orders"].heap_bytes = 3 * k_gb;
  return all;
}

Policies policies(Policy destructive, Policy blocking) {
  return {.destructive = destructive,
          .blocking = {.policy = blocking, .max_table_bytes = 100LL << 20},
          .allow = {}};
}

std::string rules_of(const std::vector<PolicyFinding>& found) {
  std::vector<std::string> all;
  for (const auto& one : found)
    all.push_back(one.rule + (one.level == Policy::fail   ? " fails"
                              : one.level == Policy::warn ? " warns"
                                                          : " passes"));
  return join(all, ", ");
}

}  // namespace

TEST_SUITE("policy") {
  TEST_CASE("what is lost and what blocks is found, with place, size, lock and who waits") {
    const auto found = findings(forecast(), policies(Policy::warn, Policy::fail));
    CHECK(rules_of(found) == "drop_column warns, unknown passes, index fails");
    CHECK(told(found[0]) == "migrations/2_big/migration.sql:2:3: drop_column: what is in "
                            "public.users.fax is lost (public.users: 8 kB)");
    CHECK(told(found[2]) ==
          "migrations/2_big/migration.sql:4:1: index: writes wait (SHARE on public.orders until "
          "the COMMIT) while 3 GB are read and indexed: 30 to 60 s\n"
          "  safer:\n"
          "    CREATE INDEX CONCURRENTLY ON orders (at);");
  }

  TEST_CASE("work that is no more than max_table blocks nobody for long") {
    auto policy = policies(Policy::allow, Policy::fail);
    policy.blocking.max_table_bytes = 3 * k_gb;
    CHECK(rules_of(findings(forecast(), policy)) == "unknown passes");
    policy.blocking.max_table_bytes = 3 * k_gb - 1;
    CHECK(rules_of(findings(forecast(), policy)) == "unknown passes, index fails");
  }

  TEST_CASE("a lock that lets writes pass is no blocking, whatever the work; nor is a short one") {
    auto all = forecast();
    auto& hold = all.migrations[0].segments[0].holds[1];
    hold.lock = LockMode::share_update_exclusive;
    CHECK(rules_of(findings(all, policies(Policy::allow, Policy::fail))) == "unknown passes");
    hold.lock = LockMode::access_exclusive;
    hold.work = Work::rows;
    CHECK(rules_of(findings(all, policies(Policy::allow, Policy::fail))) == "unknown passes");
    hold.work = Work::rewrite;
    hold.work_on = "public.old_orders";
    const auto found = findings(all, policies(Policy::allow, Policy::fail));
    CHECK(rules_of(found) == "unknown passes, rewrite fails");
    CHECK(found[1].text == "reads and writes wait (ACCESS EXCLUSIVE on public.orders until the "
                           "COMMIT) while 3 GB are written anew, public.old_orders above all: 30 "
                           "to 60 s");
    hold.work = Work::scan;
    CHECK(rules_of(findings(all, policies(Policy::allow, Policy::warn))) ==
          "unknown passes, scan warns");
  }

  TEST_CASE("an allowance lets one rule of one migration pass, and tells why") {
    auto policy = policies(Policy::fail, Policy::fail);
    policy.allow = {{"2_big", "drop_column", "unused since May"}, {"3_other", "index", "x"}};
    auto found = findings(forecast(), policy);
    CHECK(rules_of(found) == "drop_column passes, unknown passes, index fails");
    CHECK(told(found[0]).ends_with("; allowed, because: unused since May"));
    policy.allow = {{"2_big", "blocking", "at night"}};
    CHECK(rules_of(findings(forecast(), policy)) ==
          "drop_column fails, unknown passes, index passes");
    policy.allow.push_back({"2_big", "destructive", "told everybody"});
    found = findings(forecast(), policy);
    CHECK(rules_of(found) == "drop_column passes, unknown passes, index passes");
    CHECK_FALSE(refusal(found, "m.yaml").has_value());
  }

  TEST_CASE("nothing is refused unless a policy says fail") {
    CHECK_FALSE(refusal(findings(forecast(), policies(Policy::warn, Policy::warn)), "m.yaml"));
    CHECK_FALSE(refusal({}, "m.yaml"));
  }

  TEST_CASE("a refusal lists what fails, and its hint is an allowance that the manifest takes") {
    auto all = forecast();
    all.migrations[0].name = "2_big \"and\" ${odd}";
    auto policy = policies(Policy::fail, Policy::fail);
    const auto failure = refusal(findings(all, policy), "schemagate.yaml");
    REQUIRE(failure.has_value());
    CHECK(failure->code() == ExitCode::refused);
    CHECK(failure->what() == contains("migration.sql:2:3: drop_column"));
    CHECK(failure->what() == contains("migration.sql:4:1: index"));
    CHECK(failure->what() == contains("CREATE INDEX CONCURRENTLY"));
    CHECK(failure->what() != contains("DO block"));
    const auto hint = failure->hint().text();
    const auto manifest = parse_manifest("version: 1\nmigrations: {directory: d}\n" +
                                             hint.substr(hint.find("policy: {")),
                                         "m.yaml", [](const std::string&) { return std::nullopt; });
    CHECK(hint == contains("add to schemagate.yaml: "));
    CHECK(manifest.policy.allow.size() == 2);
    policy.allow = manifest.policy.allow;
    CHECK_FALSE(refusal(findings(all, policy), "m.yaml").has_value());
  }

  TEST_CASE("a long list is told by the first ten, and all of it can be allowed") {
    auto all = forecast();
    auto& statements = all.migrations[0].segments[0].statements;
    for (int i = 0; i < 20; ++i) statements.push_back(statements[0]);
    const auto failure = refusal(findings(all, policies(Policy::fail, Policy::fail)), "m.yaml");
    REQUIRE(failure.has_value());
    CHECK(failure->what() == contains("and 12 more"));
    const auto hint = failure->hint().text();
    CHECK(hint.find("drop_column") == hint.rfind("drop_column"));
    CHECK(hint == contains("rule: index"));
  }

  TEST_CASE("allowances for migrations that nobody knows are named once") {
    Policies policy;
    policy.allow = {{"1_a", "truncate", "x"}, {"1_b", "truncate", "x"}, {"1_b", "index", "x"}};
    CHECK(unknown_migrations(policy, {"1_a", "2_c"}) == std::vector<std::string>{"1_b"});
  }
}
