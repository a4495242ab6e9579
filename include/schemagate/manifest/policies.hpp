#pragma once
// What a run may do to data and to traffic without being asked: the manifest's policies, and what a
// person has allowed a migration by name.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace schemagate {

// In the order in which the keys' table lists the choices.
enum class Policy { fail, warn, allow };

// One migration may do what the rule forbids; for people, why.
struct Allowance {
  std::string migration;
  std::string rule;  // of k_rules, or "destructive" or "blocking": all of that kind
  std::string because;
};

struct Policies {
  Policy destructive = Policy::warn;
  struct Blocking {
    Policy policy = Policy::warn;
    std::int64_t max_table_bytes = 0;  // work on less than this may stop traffic
  } blocking;
  std::vector<Allowance> allow;
};

// Stable: manifests name them. In the same words as Remark::rule (migrate/forecast.hpp).
struct Rule {
  enum class Kind { destructive, blocking } kind;
  std::string_view name;
};
inline constexpr auto k_rules = std::to_array<Rule>({
    {Rule::Kind::destructive, "drop_table"},
    {Rule::Kind::destructive, "drop_column"},
    {Rule::Kind::destructive, "drop_schema"},
    {Rule::Kind::destructive, "truncate"},
    {Rule::Kind::destructive, "delete_all"},
    {Rule::Kind::destructive, "narrow_type"},
    {Rule::Kind::blocking, "scan"},
    {Rule::Kind::blocking, "index"},
    {Rule::Kind::blocking, "rewrite"},
});
[[nodiscard]] std::string_view name_of(Rule::Kind kind);
// What an allowance may name.
[[nodiscard]] std::vector<std::string> names_of_rules();

// "500kB", "100MB", "1GB", "2 TB", "8192": as pg_size_bytes() has it, in whole numbers.
[[nodiscard]] std::optional<std::int64_t> parse_size(std::string_view text);

}  // namespace schemagate
