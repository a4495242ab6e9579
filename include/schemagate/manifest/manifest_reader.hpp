#pragma once
// Strict reading of YAML by a table of keys: unknown and duplicate keys, wrong types, unset
// variables and unreadable secret files are collected as mistakes with their place, and thrown
// together. The only class that knows yaml-cpp. Each getter takes a path of the table
// ("lease.ttl"), gives the table's default where the key is absent, and a harmless value after a
// mistake.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "schemagate/manifest/manifest.hpp"

namespace YAML {
class Node;
struct Mark;
}  // namespace YAML

namespace schemagate {

class ManifestReader {
 public:
  // Throws Failure (usage) when the text is not a YAML mapping. The arguments must outlive this.
  ManifestReader(const std::string& yaml, const std::filesystem::path& file,
                 const Environment& environment, std::span<const ManifestKey> keys);
  ~ManifestReader();
  ManifestReader(const ManifestReader&) = delete;
  ManifestReader& operator=(const ManifestReader&) = delete;

  [[nodiscard]] bool given(const std::string& path) const;
  std::string text(const std::string& path);    // variables expanded
  std::string secret(const std::string& path);  // a text, or the content of {file: PATH}
  Milliseconds duration(const std::string& path);
  int integer(const std::string& path);
  bool boolean(const std::string& path);
  std::int64_t size(const std::string& path);  // bytes
  // Index among the table's choices. `variable`: of the environment; where it is set, it wins.
  // `synonyms`: other words for choices, in whatever case.
  std::size_t choice(const std::string& path, const std::string& variable = {},
                     const std::map<std::string, std::string>& synonyms = {});
  std::vector<std::string> list(const std::string& path);
  std::map<std::string, std::string> map(const std::string& path);
  std::vector<Check> checks(const std::string& path);
  std::vector<Allowance> allowances(const std::string& path);
  Manifest::Migrations::History
  history(const std::string& path);  // one of the choices, or described

  // Those of commands and checks, which are told later.
  [[nodiscard]] const Variables& variables() const { return variables_; }

  // False when a mistake in its value, or in the section around it, was found already.
  [[nodiscard]] bool is_good(const std::string& path) const;

  // A mistake at the value of `path`, or at the start of the file where it is absent.
  void complain(const std::string& path, const std::string& message);
  void
  throw_mistakes();  // Failure (usage), one line each, in the order of the file; if there are any

 private:
  struct Document;
  struct Mistake {
    std::string path;
    int line;
    int column;
    std::string message;
  };

  void walk(const YAML::Node& map, const std::string& section);
  void complain(const std::string& path, const YAML::Mark& mark, const std::string& message);
  [[nodiscard]] const YAML::Node* find(const std::string& path) const;
  // For messages: what a variable holds may be a secret.
  [[nodiscard]] std::string as_written(const std::string& path) const;
  [[nodiscard]] const ManifestKey* find_key(const std::string& path) const;
  [[nodiscard]] bool is_section(const std::string& path) const;
  [[nodiscard]] std::vector<std::string> names_below(const std::string& section) const;
  void check_rule(const std::string& path, const YAML::Mark& mark, const std::string& rule);
  void check_expression(const std::string& path, const std::string& expression);
  // Its place among the choices; else complains.
  std::size_t place_of(const std::string& path, const YAML::Mark& mark, const std::string& name,
                       const std::string& value, const std::string& written);
  std::optional<std::string> scalar(const std::string& path, const YAML::Node& node);

  const std::filesystem::path& file_;
  const Environment& environment_;
  std::span<const ManifestKey> keys_;
  std::unique_ptr<Document> document_;
  std::vector<Mistake> mistakes_;
  Variables variables_;
};

}  // namespace schemagate
