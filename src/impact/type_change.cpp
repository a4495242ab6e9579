#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "schemagate/impact/rules.hpp"

namespace schemagate {
namespace {

using Change = TypeChange::Kind;

int modifier(const TypeName& type, std::size_t at, int otherwise) {
  return at < type.modifiers.size() ? type.modifiers[at] : otherwise;
}

// Without its own limit, a type takes all that fits the other.
bool takes_as_much(const TypeName& from, const TypeName& to) {
  if (to.modifiers.empty()) return true;
  return !from.modifiers.empty() && to.modifiers.front() >= from.modifiers.front();
}

bool is_one_of(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_text(const TypeName& type) {
  return !type.is_array && is_one_of(type.name, {"varchar", "text", "citext"});
}

// The same bytes, in another order.
bool sorts_anew(const TypeName& from, const TypeName& to) {
  return (from.name == "citext") != (to.name == "citext");
}

// Casts without a function, or whose support function says that nothing changes
// (varchar_support, numeric_support, ...; binary-coercible ones are in pg_cast).
bool keeps_values(const TypeName& from, const TypeName& to) {
  if (from.is_array != to.is_array) return false;
  if (from.name == to.name) {
    if (from.modifiers == to.modifiers) return true;
    if (from.name == "numeric")
      return to.modifiers.empty() ||
             (!from.modifiers.empty() && modifier(to, 1, 0) == modifier(from, 1, 0) &&
              to.modifiers.front() >= from.modifiers.front());
    return is_one_of(from.name, {"varchar", "varbit", "interval", "timestamp", "timestamptz",
                                 "time", "timetz"}) &&
           takes_as_much(from, to);
  }
  if (is_text(from) && is_text(to)) return takes_as_much(from, to);
  return from.name == "cidr" && to.name == "inet";
}

// The same moment, written alike, where the session's zone is UTC.
bool swaps_time_zone(const TypeName& from, const TypeName& to) {
  return from.modifiers == to.modifiers && from.is_array == to.is_array && !from.is_array &&
         ((from.name == "timestamp" && to.name == "timestamptz") ||
          (from.name == "timestamptz" && to.name == "timestamp"));
}

// A smaller number holds less of the same.
int rank(const std::string& type) {
  constexpr std::array<std::string_view, 7> k_by_range = {"int2",   "int4",   "int8", "numeric",
                                                          "float4", "float8", "text"};
  const auto at = std::find(k_by_range.begin(), k_by_range.end(), type);
  return at == k_by_range.end() ? -1 : static_cast<int>(at - k_by_range.begin());
}

bool may_lose(const TypeName& from, const TypeName& to) {
  const bool is_text = is_one_of(from.name, {"text", "varchar", "bpchar"});
  if (is_text && is_one_of(to.name, {"varchar", "bpchar"})) return !takes_as_much(from, to);
  if (from.name == to.name) {
    if (from.name == "numeric" && !to.modifiers.empty())
      return from.modifiers.empty() || modifier(to, 1, 0) < modifier(from, 1, 0) ||
             to.modifiers[0] - modifier(to, 1, 0) < from.modifiers[0] - modifier(from, 1, 0);
    return !takes_as_much(from, to);
  }
  if (to.name == "date") return is_one_of(from.name, {"timestamp", "timestamptz"});
  const auto before = rank(from.name);
  const auto after = rank(to.name);
  return before >= 0 && after >= 0 && after < before && from.name != "text";
}

TypeName without_domain(const TypeName& type, const Relations& relations) {
  const auto* domain = relations.domain(type.name);
  return domain != nullptr && !domain->is_constrained && !type.is_array ? domain->base : type;
}

}  // namespace

TypeChange type_change(const Column& column, const Act& act, const Relations& relations) {
  const auto from = without_domain(column.type, relations);
  const auto to = without_domain(act.type, relations);
  const auto change = [&](Change kind) {
    return TypeChange{.kind = kind, .may_lose = may_lose(from, to)};
  };
  if (act.converts) return change(Change::rewritten);
  if (keeps_values(from, to))
    return change((act.collates || sorts_anew(from, to)) && column.is_indexed ? Change::reindexed
                                                                              : Change::kept);
  if (swaps_time_zone(from, to) && relations.time_zone_is_utc())
    return change(column.is_indexed ? Change::reindexed : Change::kept);
  return change(Change::rewritten);
}

bool fills_each_row(const NewColumn& column, const Relations& relations) {
  if (column.is_computed_for_each_row) return true;
  if (const auto* domain = relations.domain(column.type.name);
      domain != nullptr && domain->is_constrained)
    return true;
  return std::any_of(column.functions.begin(), column.functions.end(),
                     [&](const auto& function) { return relations.is_volatile(function); });
}

}  // namespace schemagate
