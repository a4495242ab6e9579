#pragma once
// `schemagate diff A B`: do two databases agree, in history and structure? Reads only.

#include <filesystem>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

struct DiffReport {
  std::string a, b;  // what they are called, without passwords
  std::vector<std::string> applied_in_a_only, applied_in_b_only;  // migrations
  std::vector<std::string> missing_in_b, missing_in_a;            // sentences
  std::vector<std::string> different;  // in both, but should be as in A, is as in B
  std::vector<std::string> remarks;    // what the comparison cannot tell

  [[nodiscard]] bool is_equal() const {
    return applied_in_a_only.empty() && applied_in_b_only.empty() && missing_in_b.empty() &&
           missing_in_a.empty() && different.empty();
  }
};

// `a`, `b`: connection strings, or env:NAME, or file:PATH. A manifest without a file gives nothing
// but defaults: then all schemas are compared; else those that drift is looked for in.
[[nodiscard]] DiffReport diff(const Manifest& manifest, const std::string& a, const std::string& b,
                              Stop& stop);

// The same for what the migrations of a folder make, which is A, and database `url`. Throws Failure
// (refused) where they cannot be replayed.
[[nodiscard]] DiffReport diff_against(const Manifest& manifest, const std::string& url,
                                      const std::filesystem::path& directory, Stop& stop);

}  // namespace schemagate
