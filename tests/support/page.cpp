#include "support/page.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace testing {
namespace {

constexpr std::string_view k_anything = "…";

bool matches(std::string_view line, std::string_view pattern) {
  const auto gap = pattern.find(k_anything);
  if (gap == std::string_view::npos) return line == pattern;
  if (!line.starts_with(pattern.substr(0, gap))) return false;
  const auto rest = pattern.substr(gap + k_anything.size());
  for (auto tail = line.substr(gap);; tail.remove_prefix(1)) {
    if (matches(tail, rest)) return true;
    if (tail.empty()) return false;
  }
}

}  // namespace

std::string Block::text() const {
  std::string all;
  for (const auto& line : lines) all += line + "\n";
  return all;
}

std::vector<std::string> Section::commands() const {
  std::vector<std::string> all;
  for (const auto& block : blocks)
    if (block.language == "sh") all.insert(all.end(), block.lines.begin(), block.lines.end());
  return all;
}

std::vector<Section> sections_of(const std::string& page) {
  std::ifstream file{std::string{SCHEMAGATE_SOURCE_DIR} + "/" + page};
  if (!file) throw std::runtime_error{"there is no " + page};
  std::vector<Section> sections;
  bool in_block = false;
  for (std::string line; std::getline(file, line);) {
    const bool fence = line.starts_with("```");
    if (!in_block && line.starts_with("## ")) sections.push_back({line.substr(3), {}, {}});
    if (sections.empty()) continue;
    auto& section = sections.back();
    if (fence && !in_block) section.blocks.push_back({line.substr(3), {}});
    else if (!fence && in_block) section.blocks.back().lines.push_back(line);
    else if (line.starts_with("> ")) section.symptom = line.substr(2);
    if (fence) in_block = !in_block;
  }
  return sections;
}

std::string missing_line(const std::string& output, const std::vector<std::string>& lines) {
  std::istringstream rest{output};
  for (const auto& wanted : lines) {
    std::string line;
    bool found = false;
    while (!found && std::getline(rest, line)) found = matches(line, wanted);
    if (!found) return wanted;
  }
  return "";
}

Result shell(const std::string& script, ProcessOptions options) {
  const auto bin = std::filesystem::path{tested_program()}.parent_path().string();
  const auto path = options.environment.find("PATH");
  options.environment["PATH"] =
      bin + ":" + (path == options.environment.end() ? std::getenv("PATH") : path->second);
  options.environment.insert({"LC_ALL", "C.UTF-8"});  // the words of `ls` and the like
  return run({"sh", "-c", "exec 2>&1\n" + script}, options);
}

ReadersProject::ReadersProject(std::string url) : url_{std::move(url)} {
  files.write("schemagate.yaml", "version: 1\n"
                                 "database:\n  url: ${DATABASE_URL}\n"
                                 "migrations:\n  directory: prisma/migrations\n");
  files.write("prisma/migrations/20261101_users/migration.sql",
              "CREATE TABLE users (id int PRIMARY KEY, name text);\n");
  files.write("prisma/migrations/20261120_nickname/migration.sql",
              "ALTER TABLE users ADD COLUMN nickname text;\n");
}

Result ReadersProject::shell(const std::string& script) const {
  return testing::shell(
      script, {.environment = {{"DATABASE_URL", url_}}, .directory = files.path().string()});
}

}  // namespace testing
