#pragma once
// The hints in what a command printed, read as a person reads them who types what they say.

#include <string>
#include <vector>

namespace testing {

// "schemagate a && schemagate b": what is typed at one prompt.
struct Typed {
  std::string text;
  int commands = 0;
};

// Each text once. What `status` quotes of the last run, with its gate, counts where it says nothing
// else.
[[nodiscard]] std::vector<std::string> hints_in(const std::string& printed);
// What the hint offers to type, each an alternative to the others.
[[nodiscard]] std::vector<Typed> commands_in(const std::string& hint);
// In so many words.
[[nodiscard]] bool asks_a_person(const std::string& hint);

}  // namespace testing
