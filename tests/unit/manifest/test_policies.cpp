#include "schemagate/manifest/policies.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
using namespace std::chrono_literals;

namespace {

Manifest parse(const std::string& more) {
  return parse_manifest("version: 1\ndatabase: {url: x}\nmigrations: {directory: d}\n" + more,
                        "m.yaml", [](const std::string&) { return std::nullopt; });
}

std::string mistakes(const std::string& more) {
  try {
    (void)parse(more);
    return {};
  } catch (const Failure& failure) {
    CHECK(failure.code() == ExitCode::usage);
    return failure.what();
  }
}

}  // namespace

TEST_SUITE("policies of a manifest") {
  TEST_CASE("where nothing is said, loss and blocking are told, from 100 MB on") {
    const auto policy = parse("").policy;
    CHECK(policy.destructive == Policy::warn);
    CHECK(policy.blocking.policy == Policy::warn);
    CHECK(policy.blocking.max_table_bytes == 100LL * 1024 * 1024);
    CHECK(policy.allow.empty());
  }

  TEST_CASE("blocking is a policy, or a policy with a size, or a size alone") {
    CHECK(parse("policy: {blocking: fail}\n").policy.blocking.policy == Policy::fail);
    const auto both = parse("policy: {blocking: {policy: fail, max_table: 1GB}}\n").policy.blocking;
    CHECK(both.policy == Policy::fail);
    CHECK(both.max_table_bytes == 1LL << 30);
    const auto size = parse("policy: {blocking: {max_table: 2 TB}}\n").policy.blocking;
    CHECK(size.policy == Policy::warn);
    CHECK(size.max_table_bytes == 2LL << 40);
    CHECK(mistakes("policy: {blocking: never}\n") ==
          "m.yaml:4:20: \"policy.blocking.policy\" must be one of fail, warn, allow, not "
          "\"never\"");
    CHECK(mistakes("policy: {blocking: {max_table: huge}}\n") ==
          "m.yaml:4:32: \"policy.blocking.max_table\" must be a size like 500kB, 100MB, 1GB or "
          "2TB, not \"huge\"");
    CHECK(mistakes("policy: {blocking: {max: 1GB}}\n") == contains("unknown key"));
    CHECK(mistakes("policy: {blocking: [fail]}\n") == contains("must be a mapping"));
  }

  TEST_CASE("a size counts in steps of 1024, as PostgreSQL's does") {
    CHECK(parse_size("500kB") == 500LL * 1024);
    CHECK(parse_size("1 GB") == 1LL << 30);
    CHECK(parse_size("8192") == 8192);
    CHECK(parse_size("0") == 0);
    for (const auto* wrong : {"", "GB", "-1MB", "1.5GB", "1PB", "9999999999GB"})
      CHECK_FALSE(parse_size(wrong).has_value());
  }

  TEST_CASE("an allowance names a migration, a rule and why") {
    const auto allow = parse("policy:\n"
                             "  allow:\n"
                             "    - {migration: 2_drop, rule: drop_table, because: \"#12\"}\n"
                             "    - migration: 3_big\n"
                             "      rule: blocking\n"
                             "      because: at night\n")
                           .policy.allow;
    REQUIRE(allow.size() == 2);
    CHECK(allow[0].migration == "2_drop");
    CHECK(allow[0].rule == "drop_table");
    CHECK(allow[0].because == "#12");
    CHECK(allow[1].rule == "blocking");
  }

  TEST_CASE("each mistake of an allowance is told at its place") {
    CHECK(mistakes("policy:\n  allow:\n    - {migration: 2, rule: drop_tabel, because: x}\n") ==
          "m.yaml:6:28: there is no rule \"drop_tabel\"; did you mean \"drop_table\"?; the rules "
          "are " +
              join(names_of_rules(), ", "));
    CHECK(mistakes("policy:\n  allow:\n    - {migration: 2, rule: truncate, because: \" \"}\n") ==
          "m.yaml:6:7: an allowance is {migration: NAME, rule: RULE, because: TEXT}: \"because\" "
          "is missing");
    CHECK(mistakes("policy:\n  allow:\n    - {migration: 2, rule: truncate}\n") ==
          contains("\"because\" is missing"));
    CHECK(mistakes("policy:\n  allow:\n    - {name: 2, rule: truncate, because: x}\n") ==
          contains("m.yaml:6:8: an allowance is"));
    CHECK(mistakes("policy:\n  allow: [2_drop]\n") == contains("m.yaml:5:11: an allowance is"));
    CHECK(mistakes("policy:\n  allow: all\n") == contains("must be a list of allowances"));
  }

  TEST_CASE("a lag is expected only where the manifest says how much") {
    CHECK(parse("").database.expect.max_lag == 0ms);
    CHECK(parse_manifest("version: 1\ndatabase: {url: x, expect: {max_lag: 30s}}\n"
                         "migrations: {directory: d, gap_wait: 1m}\n",
                         "m.yaml", [](const std::string&) { return std::nullopt; })
              .database.expect.max_lag == 30s);
    CHECK(parse("").migrations.gap_wait == 30s);
  }
}
