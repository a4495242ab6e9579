#include "schemagate/formats/alembic.hpp"

#include <fmt/core.h>

#include <map>
#include <optional>
#include <regex>
#include <set>

#include "schemagate/base/file.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate::alembic {
namespace {

namespace fs = std::filesystem;

// The strings of the literal that `name` is set to at the start of a line; nothing where there is
// no such line. A tuple or list may go over several lines.
std::optional<std::vector<std::string>> strings_of(const std::string& source,
                                                   const std::string& name) {
  const std::regex assignment{
      "(^|\n)" + name +
      R"re([ \t]*(?::[^=\n]*)?=[ \t]*(None|\([^)]*\)|\[[^\]]*\]|\{[^}]*\}|(?:'[^'\n]*'|"[^"\n]*")))re"};
  std::smatch match;
  if (!std::regex_search(source, match, assignment)) return std::nullopt;
  const auto literal = match[2].str();
  const std::regex text{R"re('([^'\n]*)'|"([^"\n]*)")re"};
  std::vector<std::string> strings;
  for (std::sregex_iterator one{literal.begin(), literal.end(), text}, end; one != end; ++one)
    strings.push_back((*one)[1].matched ? (*one)[1].str() : (*one)[2].str());
  return strings;
}

class Table : public HistoryTable {
 public:
  Table(const generic::Description& description, std::vector<std::string> search_path,
        const Folder& folder)
      : description_{description}, search_path_{std::move(search_path)}, folder_{folder} {}

  [[nodiscard]] History read(pg::Session& session, Times) const override {
    const auto found = generic::read_keys(
        session, find_table(session, description_.table, search_path_), description_.key);
    History history;
    history.oid = found.oid;
    std::set<std::string> applied;
    std::vector<std::string> unknown;
    auto open = found.keys;
    while (!open.empty()) {
      const auto key = open.back();
      open.pop_back();
      if (!applied.insert(key).second) continue;
      const auto* migration = folder_.find(key);
      if (migration == nullptr) unknown.push_back(key);
      else open.insert(open.end(), migration->includes.begin(), migration->includes.end());
    }
    for (const auto& key : applied)
      history.rows.push_back(
          {.id = key, .name = key, .checksum = {}, .logs = {}, .started_at = {}, .finished = true});
    if (!unknown.empty())
      history.remark = fmt::format(
          "the database is at revision {}, which this folder does not hold (a newer image?), so that "
          "nobody can tell what it comes after",
          join(unknown, ", "));
    return history;
  }

 private:
  const generic::Description& description_;
  std::vector<std::string> search_path_;
  const Folder& folder_;
};

class AlembicFormat : public Format, public std::enable_shared_from_this<AlembicFormat> {
 public:
  explicit AlembicFormat(generic::Description description) : description_{std::move(description)} {}

  [[nodiscard]] std::string_view name() const override { return "alembic"; }
  [[nodiscard]] Folder read_folder(const fs::path& directory, bool allow_empty) const override;
  [[nodiscard]] std::string table() const override { return description_.table; }
  [[nodiscard]] std::unique_ptr<HistoryTable> history(const std::vector<std::string>& search_path,
                                                      const Bookkeeping&,
                                                      const Folder& folder) const override {
    return std::make_unique<Table>(description_, search_path, folder);
  }

 private:
  generic::Description description_;
};

// A branch's label stands for the revision that declares it.
void resolve_labels(Folder& folder, const std::map<std::string, std::string>& labels) {
  for (auto& migration : folder.migrations)
    for (auto& name : migration.includes)
      if (const auto label = labels.find(name); label != labels.end()) name = label->second;
}

Folder AlembicFormat::read_folder(const fs::path& directory, bool allow_empty) const {
  Folder folder{.directory = directory, .migrations = {}, .digest = {}};
  folder.format = shared_from_this();
  const std::regex pattern{description_.files};
  std::map<std::string, std::string> labels;
  if (!allow_empty || fs::is_directory(directory)) {
    for (const auto& path : generic::files_below(directory)) {
      if (!std::regex_match(path, pattern)) continue;
      const auto source = read_file(directory / path).value_or("");
      const auto revision = strings_of(source, "revision");
      auto includes = strings_of(source, "down_revision");
      if (!revision || revision->size() != 1 || !includes) continue;  // env.py, a helper
      for (const auto& one : strings_of(source, "depends_on").value_or(std::vector<std::string>{}))
        includes->push_back(one);
      for (const auto& one :
           strings_of(source, "branch_labels").value_or(std::vector<std::string>{}))
        labels[one] = revision->front();
      folder.migrations.push_back({.name = revision->front(),
                                   .file = directory / path,
                                   .sql = {},
                                   .checksum = sha256_hex(source),
                                   .includes = *includes});
    }
  }
  resolve_labels(folder, labels);
  if (folder.migrations.empty() && !allow_empty)
    throw nothing_there(directory, "holds no revision (revision and down_revision)");
  folder.digest = digest_of(folder.migrations);
  return folder;
}

}  // namespace

std::shared_ptr<const Format> format(generic::Description description) {
  return std::make_shared<const AlembicFormat>(std::move(description));
}

}  // namespace schemagate::alembic
