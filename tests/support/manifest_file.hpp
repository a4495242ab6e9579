#pragma once
// schemagate.yaml, by the keys of the reference ("gate.poll").

#include <map>
#include <string>

#include "support/temp_dir.hpp"

namespace testing {

class ManifestFile {
 public:
  // `value`: as YAML; a section's may be given whole, as {...}. An empty one leaves the key out.
  void set(const std::string& key, const std::string& value);
  // Returns its path. `rest`: further lines, as they are. Not written again unless it changes: a
  // program that was started before may be reading it.
  std::string write(const TempDir& directory, const std::string& rest = {}) const;

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace testing
