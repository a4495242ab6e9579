// Values that are more than a text or a list of texts.
#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <regex>

#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest_reader.hpp"

namespace schemagate {

std::vector<Check> ManifestReader::checks(const std::string& path) {
  const auto* found = find(path);
  if (found == nullptr) return {};
  if (!found->IsSequence()) {
    complain(path, "\"verify\" must be a list of checks");
    return {};
  }
  std::vector<Check> checks;
  for (const auto& item : *found) {
    const auto kind = item.IsMap() && item.size() == 1 && item.begin()->first.IsScalar()
                          ? item.begin()->first.Scalar()
                          : "";
    if (kind != "column" && kind != "table" && kind != "sql") {
      complain(path, item.Mark(),
               "a check is one of column: TABLE.COLUMN, table: TABLE, sql: QUERY");
      continue;
    }
    const auto what = scalar("verify." + kind, item.begin()->second);
    if (!what) continue;
    if (kind == "column" && what->find('.') == std::string::npos)
      complain(path, item.begin()->second.Mark(), "a column check is written TABLE.COLUMN");
    checks.push_back({kind == "column"  ? Check::Kind::column
                      : kind == "table" ? Check::Kind::table
                                        : Check::Kind::sql,
                      *what});
  }
  return checks;
}

Manifest::Migrations::History ManifestReader::history(const std::string& path) {
  using History = Manifest::Migrations::History;
  const auto* found = find(path);
  if (found == nullptr || !found->IsMap()) {
    const auto name = text(path);
    const auto mark = found == nullptr ? YAML::Mark{} : found->Mark();
    (void)place_of(path, mark, fmt::format("\"{}\"", path), name, as_written(path));
    return {.preset = name, .table = {}, .key = {}, .files = {}};
  }
  History history{.preset = {}, .table = {}, .key = {}, .files = {}};
  const std::map<std::string, std::string*> parts = {{"preset", &history.preset},
                                                     {"table", &history.table},
                                                     {"key", &history.key},
                                                     {"files", &history.files}};
  for (const auto& entry : *found) {
    const auto name = entry.first.IsScalar() ? entry.first.Scalar() : "";
    const auto part = parts.find(name);
    if (part == parts.end())
      complain(path, entry.first.Mark(),
               fmt::format("\"{}\" is a preset, or has table, key and files", path));
    else if (!part->second->empty())
      complain(path, entry.first.Mark(), fmt::format("duplicate key \"{}.{}\"", path, name));
    else *part->second = scalar(path + "." + name, entry.second).value_or("");
  }
  if (!history.preset.empty())
    (void)place_of(path, found->Mark(), fmt::format("\"{}.preset\"", path), history.preset,
                   history.preset);
  else if (history.table.empty() || history.key.empty() || history.files.empty())
    complain(path, fmt::format("\"{}\" needs table, key and files, or a preset", path));
  check_expression(path, history.files);
  return history;
}

void ManifestReader::check_expression(const std::string& path, const std::string& expression) {
  try {
    (void)std::regex{expression};
  } catch (const std::regex_error& e) {
    complain(path, fmt::format("\"{}.files\" is no regular expression: {}", path, e.what()));
  }
}

std::vector<Allowance> ManifestReader::allowances(const std::string& path) {
  constexpr auto* k_form = "an allowance is {{migration: NAME, rule: RULE, because: TEXT}}{}";
  const auto* found = find(path);
  if (found == nullptr) return {};
  if (!found->IsSequence()) {
    complain(path, fmt::format("\"{}\" must be a list of allowances", path));
    return {};
  }
  std::vector<Allowance> all;
  for (const auto& item : *found) {
    if (!item.IsMap()) {
      complain(path, item.Mark(), fmt::format(k_form, ""));
      continue;
    }
    Allowance one;
    const std::map<std::string, std::string*> parts = {
        {"migration", &one.migration}, {"rule", &one.rule}, {"because", &one.because}};
    for (const auto& entry : item) {
      const auto name = entry.first.IsScalar() ? entry.first.Scalar() : "";
      const auto part = parts.find(name);
      if (part == parts.end() || !part->second->empty()) {
        complain(path, entry.first.Mark(), fmt::format(k_form, ""));
        continue;
      }
      *part->second = trim(scalar(path + "." + name, entry.second).value_or(""));
      if (name == "rule") check_rule(path, entry.second.Mark(), one.rule);
    }
    for (const auto& [name, value] : parts)
      if (value->empty())
        complain(path, item.Mark(), fmt::format(k_form, ": \"" + name + "\" is missing"));
    all.push_back(std::move(one));
  }
  return all;
}

void ManifestReader::check_rule(const std::string& path, const YAML::Mark& mark,
                                const std::string& rule) {
  const auto names = names_of_rules();
  if (rule.empty() || std::find(names.begin(), names.end(), rule) != names.end()) return;
  const auto meant = closest(rule, names);
  complain(path, mark,
           fmt::format("there is no rule \"{}\"{}; the rules are {}", rule,
                       meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant),
                       join(names, ", ")));
}

}  // namespace schemagate
