#include "support/manifest_file.hpp"

namespace testing {

void ManifestFile::set(const std::string& key, const std::string& value) {
  if (value.empty()) values_.erase(key);
  else values_[key] = value;
}

std::string ManifestFile::write(const TempDir& directory, const std::string& rest) const {
  std::string top;
  std::string sections;
  std::string section;
  for (const auto& [key, value] : values_) {
    const auto dot = key.find('.');
    if (dot == std::string::npos) {
      top.insert(0, key + ": " + value + "\n");
      continue;
    }
    if (key.substr(0, dot) != section) {
      section = key.substr(0, dot);
      sections += section + ":\n";
    }
    sections += "  " + key.substr(dot + 1) + ": " + value + "\n";
  }
  const auto file = directory.path() / "schemagate.yaml";
  const auto text = top + sections + rest;
  if (read_text(file) != text) directory.write("schemagate.yaml", text);
  return file.string();
}

}  // namespace testing
