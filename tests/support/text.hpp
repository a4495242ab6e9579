#pragma once
// CHECK(text == contains("part")): a failure prints the text and what was looked for in it, where a
// function that answers yes or no prints "false".

#include <doctest/doctest.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace testing {

// doctest::Contains, for the strings that are used here.
class Contains {
 public:
  explicit Contains(std::string part) : part_{std::move(part)} {}
  friend bool operator==(std::string_view text, const Contains& wanted) {
    return text.find(wanted.part_) != std::string_view::npos;
  }
  friend std::ostream& operator<<(std::ostream& out, const Contains& wanted) {
    return out << doctest::toString(doctest::Contains{wanted.part_.c_str()});
  }

 private:
  std::string part_;
};

inline Contains contains(std::string_view part) { return Contains{std::string{part}}; }

inline std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const auto& part : parts) all += (all.empty() ? "" : ", ") + part;
  return all;
}

}  // namespace testing
