#include "schemagate/manifest/manifest_reader.hpp"

#include <fmt/core.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "expand.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {

namespace {

// Where documents start, and nothing else of them.
struct DocumentStarts : YAML::EventHandler {
  using Mark = YAML::Mark;
  using Anchor = YAML::anchor_t;
  using Style = YAML::EmitterStyle::value;
  void OnDocumentStart(const Mark& mark) override { last = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const Mark&, Anchor) override {}
  void OnAlias(const Mark&, Anchor) override {}
  void OnScalar(const Mark&, const std::string&, Anchor, const std::string&) override {}
  void OnSequenceStart(const Mark&, const std::string&, Anchor, Style) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const Mark&, const std::string&, Anchor, Style) override {}
  void OnMapEnd() override {}
  Mark last;
};

}  // namespace

struct ManifestReader::Document {
  std::map<std::string, YAML::Node> nodes;  // by path
};

ManifestReader::ManifestReader(const std::string& yaml, const std::filesystem::path& file,
                               const Environment& environment, std::span<const ManifestKey> keys)
    : file_{file}, environment_{environment}, keys_{keys}, document_{std::make_unique<Document>()} {
  YAML::Node root;
  try {
    root = YAML::Load(yaml);
    // LoadAll never ends where a comma follows a document (yaml-cpp 0.7).
    std::istringstream text{yaml};
    YAML::Parser parser{text};
    DocumentStarts starts;
    if (parser.HandleNextDocument(starts) && parser.HandleNextDocument(starts))
      complain("", starts.last, "a manifest is one YAML document");
  } catch (const YAML::Exception& e) {
    complain("", e.mark, e.msg);
    throw_mistakes();
  }
  if (!root.IsMap()) {
    complain("", YAML::Mark{},
             "a manifest is a mapping; the smallest one has version, database.url and "
             "migrations.directory");
    throw_mistakes();
  }
  walk(root, "");
}

ManifestReader::~ManifestReader() = default;

bool ManifestReader::given(const std::string& path) const { return find(path) != nullptr; }

const YAML::Node* ManifestReader::find(const std::string& path) const {
  const auto found = document_->nodes.find(path);
  return found == document_->nodes.end() ? nullptr : &found->second;
}

const ManifestKey* ManifestReader::find_key(const std::string& path) const {
  const auto found =
      std::find_if(keys_.begin(), keys_.end(), [&](const auto& key) { return key.path == path; });
  return found == keys_.end() ? nullptr : &*found;
}

std::string ManifestReader::as_written(const std::string& path) const {
  const auto* node = find(path);
  return node == nullptr ? "" : node->Scalar();
}

bool ManifestReader::is_section(const std::string& path) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const auto& key) { return key.path.starts_with(path + "."); });
}

std::vector<std::string> ManifestReader::names_below(const std::string& section) const {
  std::set<std::string> names;
  for (const auto& key : keys_) {
    if (!key.path.starts_with(section)) continue;
    const auto rest = key.path.substr(section.size());
    names.emplace(rest.substr(0, rest.find('.')));
  }
  return {names.begin(), names.end()};
}

void ManifestReader::complain(const std::string& path, const YAML::Mark& mark,
                              const std::string& message) {
  auto line = message;  // a quoted key may hold several
  std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < ' '; }, ' ');
  mistakes_.push_back({path, mark.line + 1, mark.column + 1, line});
}

void ManifestReader::complain(const std::string& path, const std::string& message) {
  const auto* node = find(path);
  complain(path, node == nullptr ? YAML::Mark{} : node->Mark(), message);
}

bool ManifestReader::is_good(const std::string& path) const {
  return std::none_of(mistakes_.begin(), mistakes_.end(), [&](const auto& mistake) {
    return mistake.path == path || path.starts_with(mistake.path + ".");
  });
}

void ManifestReader::throw_mistakes() {
  if (mistakes_.empty()) return;
  std::stable_sort(mistakes_.begin(), mistakes_.end(), [](const auto& a, const auto& b) {
    return std::pair{a.line, a.column} < std::pair{b.line, b.column};
  });
  std::string all;
  for (const auto& [path, line, column, message] : mistakes_) {
    if (!all.empty()) all += '\n';
    all += line == 0 ? message : fmt::format("{}:{}:{}: {}", file_.string(), line, column, message);
  }
  throw Failure{ExitCode::usage, all, "every key is described in docs/manifest.md"};
}

void ManifestReader::walk(const YAML::Node& map, const std::string& section) {
  std::set<std::string> seen;
  for (const auto& entry : map) {
    if (!entry.first.IsScalar()) {
      complain(section, entry.first.Mark(), "a key must be plain text");
      continue;
    }
    const auto name = entry.first.Scalar();
    const auto path = section + name;
    if (!seen.insert(name).second) {
      complain(path, entry.first.Mark(), fmt::format("duplicate key \"{}\"", path));
    } else if (name.find('.') == std::string::npos && find_key(path) != nullptr) {
      document_->nodes.emplace(path, entry.second);
    } else if (name.find('.') != std::string::npos || !is_section(path)) {
      const auto meant = closest(name, names_below(section));
      // The key that was meant is not missing as well.
      complain(section + (meant.empty() ? name : meant), entry.first.Mark(),
               fmt::format(
                   "unknown key \"{}\"{}", path,
                   meant.empty() ? "" : fmt::format("; did you mean \"{}{}\"?", section, meant)));
    } else if (find_key(path + ".off") != nullptr && entry.second.IsScalar() &&
               entry.second.Scalar() == "off") {
      document_->nodes.emplace(path + ".off", YAML::Node{true});
    } else if (find_key(path + ".policy") != nullptr && entry.second.IsScalar()) {
      document_->nodes.emplace(path + ".policy", entry.second);
    } else if (!entry.second.IsMap()) {
      complain(path, entry.first.Mark(), fmt::format("\"{}\" must be a mapping of keys", path));
    } else {
      walk(entry.second, path + ".");
    }
  }
}

std::optional<std::string> ManifestReader::scalar(const std::string& path, const YAML::Node& node) {
  const bool is_told = path == "migrations.command" || path.starts_with("migrations.env.") ||
                       path.starts_with("verify.");
  const auto noted = [&](const std::string& name) {
    auto value = environment_(name);
    if (is_told && value) variables_[*value] = "${" + name + "}";
    return value;
  };
  if (node.IsScalar())
    return expand(node.Scalar(), noted,
                  [&](const std::string& mistake) { complain(path, node.Mark(), mistake); });
  complain(path, node.Mark(),
           node.IsNull() ? fmt::format("\"{}\" has no value", path)
                         : fmt::format("\"{}\" must be a single value", path));
  return std::nullopt;
}

std::string ManifestReader::text(const std::string& path) {
  const auto* found = find(path);
  std::string fallback{find_key(path)->fallback};
  if (found == nullptr) return fallback;
  return scalar(path, *found).value_or(fallback);
}

std::string ManifestReader::secret(const std::string& path) {
  const auto* found = find(path);
  if (found == nullptr) return {};
  const auto& node = *found;
  if (!node.IsMap()) return trim(scalar(path, node).value_or(""));
  const auto file_node = node["file"];
  if (node.size() != 1 || !file_node) {
    complain(path, node.Mark(), fmt::format("\"{}\" takes a text or {{file: PATH}}", path));
    return {};
  }
  const auto name = scalar(path + ".file", file_node);
  if (!name) return {};
  std::ifstream stream{*name, std::ios::binary};
  std::ostringstream content;
  if (!stream || !(content << stream.rdbuf())) {
    complain(path, file_node.Mark(),
             fmt::format("cannot read the secret file {} (missing, empty, or no "
                         "permission)",
                         file_node.Scalar()));
    return {};
  }
  return trim(content.str());
}

Milliseconds ManifestReader::duration(const std::string& path) {
  const auto given_text = text(path);
  if (given_text.empty() && !given(path)) return {};  // no default
  if (const auto parsed = parse_duration(given_text)) return *parsed;
  if (!is_good(path)) return {};
  complain(path, fmt::format("\"{}\" must be a duration like 500ms, 30s, 2m or 1h, not \"{}\"",
                             path, as_written(path)));
  return parse_duration(find_key(path)->fallback).value_or(Milliseconds{});
}

std::int64_t ManifestReader::size(const std::string& path) {
  if (const auto parsed = parse_size(text(path))) return *parsed;
  if (is_good(path))
    complain(path, fmt::format("\"{}\" must be a size like 500kB, 100MB, 1GB or 2TB, not \"{}\"",
                               path, as_written(path)));
  return 0;
}

int ManifestReader::integer(const std::string& path) {
  const auto given_text = text(path);
  if (given_text.empty() && !(given(path) && is_good(path))) return 0;
  int number = 0;
  const auto [end, error] =
      std::from_chars(given_text.data(), given_text.data() + given_text.size(), number);
  if (error == std::errc{} && end == given_text.data() + given_text.size()) return number;
  complain(path, fmt::format("\"{}\" must be a whole number, not \"{}\"", path, as_written(path)));
  return 0;
}

bool ManifestReader::boolean(const std::string& path) {
  const auto given_text = text(path);
  if (given_text != "true" && given_text != "false")
    complain(path, fmt::format("\"{}\" must be true or false, not \"{}\"", path, as_written(path)));
  return given_text == "true";
}

std::size_t ManifestReader::choice(const std::string& path, const std::string& variable,
                                   const std::map<std::string, std::string>& synonyms) {
  auto value = text(path);
  auto written = as_written(path);
  auto name = fmt::format("\"{}\"", path);
  const auto* const node = find(path);
  auto mark = node == nullptr ? YAML::Mark{} : node->Mark();
  if (const auto forced = variable.empty() ? std::nullopt : environment_(variable);
      forced && !forced->empty()) {
    written = value = *forced;
    name = variable;
    mark = YAML::Mark::null_mark();  // not in the file; its line is 0, counted from 1
  }
  if (const auto meant = synonyms.find(lower_case(value)); meant != synonyms.end())
    value = meant->second;
  return place_of(path, mark, name, value, written);
}

std::size_t ManifestReader::place_of(const std::string& path, const YAML::Mark& mark,
                                     const std::string& name, const std::string& value,
                                     const std::string& written) {
  const auto choices = split(find_key(path)->choices, '|');
  const auto found = std::find(choices.begin(), choices.end(), value);
  if (found != choices.end()) return static_cast<std::size_t>(found - choices.begin());
  const auto meant = closest(value, choices);
  complain(path, mark,
           fmt::format("{} must be one of {}, not \"{}\"{}", name, join(choices, ", "), written,
                       meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant)));
  return 0;
}

std::vector<std::string> ManifestReader::list(const std::string& path) {
  const auto* found = find(path);
  if (found == nullptr) return {};
  const auto& node = *found;
  if (!node.IsSequence()) {
    complain(path, node.Mark(), fmt::format("\"{0}\" must be a list: [a, b]", path));
    return {};
  }
  std::vector<std::string> items;
  for (const auto& item : node) items.push_back(scalar(path, item).value_or(""));
  return items;
}

std::map<std::string, std::string> ManifestReader::map(const std::string& path) {
  const auto* found = find(path);
  if (found == nullptr) return {};
  if (!found->IsMap()) {
    complain(path, fmt::format("\"{}\" must be a mapping: {{NAME: value}}", path));
    return {};
  }
  std::map<std::string, std::string> values;
  for (const auto& entry : *found) {
    const auto name = entry.first.Scalar();
    if (!values.emplace(name, scalar(path + "." + name, entry.second).value_or("")).second)
      complain(path, entry.first.Mark(), fmt::format("duplicate key \"{}.{}\"", path, name));
  }
  return values;
}

}  // namespace schemagate
