#pragma once
// What the fault tests tried and saw: the lines of docs/tried.md.

#include <cstddef>
#include <string>

namespace testing {

struct Trial {
  std::string fault;  // what was done: "SIGKILL"
  std::string where;  // "taking the lease"
  std::string
      seen;  // what a user sees, and what the next run did: "exit 137; the next run completes"
};

// To be called after the checks of the trial. Appends to trials.tsv in the build tree;
// `times`: how many equal trials this was. tests/faults/table makes the page of it.
void record(const Trial& trial, int times = 1);

// A sweep tries each Nth point only: N = 1, or what SCHEMAGATE_TEST_EACH says, for builds in which
// everything is slow.
[[nodiscard]] std::size_t each_nth();

}  // namespace testing
