#include "schemagate/impact/impact.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace schemagate {
namespace {

struct Mode {
  std::string_view name;
  std::string_view in_pg_locks;
};
constexpr std::array<Mode, 9> k_modes = {{
    {"", ""},
    {"ACCESS SHARE", "AccessShareLock"},
    {"ROW SHARE", "RowShareLock"},
    {"ROW EXCLUSIVE", "RowExclusiveLock"},
    {"SHARE UPDATE EXCLUSIVE", "ShareUpdateExclusiveLock"},
    {"SHARE", "ShareLock"},
    {"SHARE ROW EXCLUSIVE", "ShareRowExclusiveLock"},
    {"EXCLUSIVE", "ExclusiveLock"},
    {"ACCESS EXCLUSIVE", "AccessExclusiveLock"},
}};
constexpr std::array<std::string_view, 5> k_works = {"catalogue", "rows", "scan", "index build",
                                                     "rewrite"};

}  // namespace

Waiting who_waits(LockMode lock) {
  if (lock == LockMode::access_exclusive) return Waiting::reads_and_writes;
  return lock >= LockMode::share ? Waiting::writes : Waiting::nobody;
}

std::string_view name_of(LockMode lock) { return k_modes.at(static_cast<std::size_t>(lock)).name; }

LockMode lock_mode_of(std::string_view pg_locks_mode) {
  const auto at = std::find_if(k_modes.begin(), k_modes.end(),
                               [&](const Mode& mode) { return mode.in_pg_locks == pg_locks_mode; });
  return at == k_modes.end() ? LockMode::none : static_cast<LockMode>(at - k_modes.begin());
}

std::string_view name_of(Work work) { return k_works.at(static_cast<std::size_t>(work)); }

std::vector<Impact> together(std::vector<Impact> impacts) {
  std::map<std::string, Impact> by_name;
  for (auto& impact : impacts) {
    auto& one = by_name[impact.relation];
    one.lock = std::max(one.lock, impact.lock);
    one.work = std::max(one.work, impact.work);
    one.relation = std::move(impact.relation);
  }
  std::vector<Impact> all;
  all.reserve(by_name.size());
  for (auto& [name, impact] : by_name) all.push_back(std::move(impact));
  return all;
}

}  // namespace schemagate
