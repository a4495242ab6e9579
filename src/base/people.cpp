#include "schemagate/base/people.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>

namespace schemagate {
namespace {

// With one decimal where that says something.
std::string to_two_digits(double number) {
  const auto tenths = std::llround(number * 10);
  return tenths < 100 && tenths % 10 != 0 ? fmt::format("{}.{}", tenths / 10, tenths % 10)
                                          : fmt::format("{}", std::llround(number));
}

}  // namespace

std::string size_for_people(std::int64_t bytes) {
  constexpr std::array k_units = {"kB", "MB", "GB", "TB"};
  if (bytes < 1024) return fmt::format("{} bytes", bytes);
  auto size = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < k_units.size(); ++unit) size /= 1024;
  return to_two_digits(size) + " " + k_units.at(unit);
}

std::string number_for_people(double number) {
  constexpr std::array k_units = {"thousand", "million", "billion"};
  const auto whole = std::llround(number);
  if (whole < 1000) return fmt::format("{}", whole);
  if (whole < 10'000) return fmt::format("{},{:03}", whole / 1000, whole % 1000);
  auto size = number / 1000;
  std::size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < k_units.size(); ++unit) size /= 1000;
  return to_two_digits(size) + " " + k_units.at(unit);
}

std::string range_for_people(Milliseconds low, Milliseconds high) {
  using namespace std::chrono_literals;
  if (high < 1s) return "under 1 s";
  const bool in_seconds = high < 90s;
  const bool in_minutes = !in_seconds && high < 90min;
  const Milliseconds unit = in_seconds ? 1s : in_minutes ? 1min : 1h;
  const auto* name = in_seconds ? "s" : in_minutes ? "min" : "h";
  const auto from = low / unit;
  const auto to = (high + unit - 1ms) / unit;
  if (from == 0) return fmt::format("up to {} {}", to, name);
  return from == to ? fmt::format("{} {}", to, name) : fmt::format("{} to {} {}", from, to, name);
}

}  // namespace schemagate
