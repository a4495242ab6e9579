#pragma once
// A page of the documentation, read for what a test can execute and compare.

#include <string>
#include <vector>

#include "support/process.hpp"
#include "support/temp_dir.hpp"

namespace testing {

struct Block {  // what stands between ``` and ```
  std::string language;
  std::vector<std::string> lines;

  [[nodiscard]] std::string text() const;
};

struct Section {  // from one "## " to the next
  std::string heading;
  std::string symptom;  // its line that begins with "> "
  std::vector<Block> blocks;

  [[nodiscard]] std::vector<std::string> commands() const;  // the lines of all its sh blocks
};

// `page` is relative to the top of the sources. What stands before the first heading is no section.
[[nodiscard]] std::vector<Section> sections_of(const std::string& page);

// The first of the lines that the output lacks, or has only before one of the earlier lines; empty
// if it has them all, in this order. "…" stands for anything within a line.
[[nodiscard]] std::string missing_line(const std::string& output,
                                       const std::vector<std::string>& lines);

// `sh -c SCRIPT` with the built `schemagate` in the PATH; stdout and stderr are both in
// Result::out, as on a screen.
[[nodiscard]] Result shell(const std::string& script, ProcessOptions options);

// A project as the pages' readers have it: a migration that makes the table users, and one more.
class ReadersProject {
 public:
  explicit ReadersProject(std::string url);
  [[nodiscard]] Result shell(const std::string& script) const;

  TempDir files;

 private:
  std::string url_;
};

}  // namespace testing
