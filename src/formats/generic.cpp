#include "schemagate/formats/generic.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <regex>
#include <set>

#include "schemagate/base/file.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate::generic {
namespace {

namespace fs = std::filesystem;

struct Preset {
  std::string_view name, table, key, files;
};

constexpr auto k_presets = std::to_array<Preset>({
    {"django", "django_migrations", "app || '.' || name",
     R"re((?:.*/)?([^/]+)/migrations/([^_~/.][^/.]*)\.py)re"},
    {"rails", "schema_migrations", "ltrim(version, '0')",
     R"re((?:.*/)?0*([1-9][0-9]*)_[^/]*\.rb)re"},
    {"alembic", "alembic_version", "version_num", R"re(.*\.py)re"},
    {"laravel", "migrations", "migration", R"re(([^/]*_[^/]*)\.php)re"},
    {"knex", "knex_migrations", "name",
     R"re((?!.*\.d\.[cm]?ts$)([^/]+\.(?:[cm]?[jt]s|coffee|ls|co|eg|iced|litcoffee)))re"},
    {"typeorm", "migrations", R"("timestamp"::text)",
     R"re((?:.*/)?([0-9]{13})-[^/]*\.[cm]?[jt]s)re"},
    {"sequelize", "SequelizeMeta", "name", R"re((?!.*\.d\.[cm]?ts$)([^/]+\.[cm]?[jt]s))re"},
});

constexpr std::array<std::string_view, 5> k_not_ours = {"node_modules", "site-packages",
                                                        "dist-packages", "vendor", "__pycache__"};

void collect(const fs::path& directory, bool may_be_volume, std::vector<fs::path>& files) {
  for (const auto& entry :
       fs::directory_iterator{directory, fs::directory_options::skip_permission_denied}) {
    std::error_code error;
    const auto name = entry.path().filename().string();
    if (entry.is_regular_file(error)) files.push_back(entry.path());
    const bool is_link = entry.is_symlink(error);
    if (!entry.is_directory(error) || name.starts_with('.') ||
        std::count(k_not_ours.begin(), k_not_ours.end(), name) > 0)
      continue;
    // A link in what a link leads to might lead back.
    if (!is_link || (may_be_volume && is_link_into_volume(entry.path())))
      collect(entry.path(), may_be_volume && !is_link, files);
  }
}

// Where its files would be found if they were looked for below it.
fs::path folder_meant(const fs::path& directory, const std::regex& pattern) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) return {};
  for (const auto& path : files_below(directory)) {
    for (auto slash = path.find('/'); slash != std::string::npos;
         slash = path.find('/', slash + 1)) {
      const fs::path below = path.substr(0, slash);
      if (below.filename().native().find("migrat") != std::string::npos &&
          std::regex_match(path.substr(slash + 1), pattern))
        return directory / below;
    }
  }
  return {};
}

class Table : public HistoryTable {
 public:
  Table(const Description& description, std::vector<std::string> search_path)
      : description_{description}, search_path_{std::move(search_path)} {}

  [[nodiscard]] History read(pg::Session& session, Times) const override {
    const auto found =
        read_keys(session, find_table(session, description_.table, search_path_), description_.key);
    History history;
    history.oid = found.oid;
    for (const auto& key : found.keys)
      history.rows.push_back(
          {.id = key, .name = key, .checksum = {}, .logs = {}, .started_at = {}, .finished = true});
    return history;
  }

 private:
  const Description& description_;
  std::vector<std::string> search_path_;
};

class GenericFormat : public Format, public std::enable_shared_from_this<GenericFormat> {
 public:
  explicit GenericFormat(Description description) : description_{std::move(description)} {}

  [[nodiscard]] std::string_view name() const override { return description_.name; }
  [[nodiscard]] Folder read_folder(const fs::path& directory, bool allow_empty) const override;
  [[nodiscard]] std::string table() const override { return description_.table; }
  [[nodiscard]] std::unique_ptr<HistoryTable> history(const std::vector<std::string>& search_path,
                                                      const Bookkeeping&,
                                                      const Folder&) const override {
    return std::make_unique<Table>(description_, search_path);
  }

 private:
  Description description_;
};

Folder GenericFormat::read_folder(const fs::path& directory, bool allow_empty) const {
  Folder folder{.directory = directory, .migrations = {}, .digest = {}};
  folder.format = shared_from_this();
  const std::regex pattern{description_.files};
  std::set<std::string> keys;  // a source and what was compiled of it may have one
  if (!allow_empty || fs::is_directory(directory)) {
    for (const auto& path : files_below(directory)) {
      std::smatch match;
      if (!std::regex_match(path, match, pattern)) continue;
      std::vector<std::string> groups;
      for (std::size_t i = 1; i < match.size(); ++i)
        if (match[i].matched) groups.push_back(match[i].str());
      const auto key = match.size() == 1 ? path : join(groups, ".");
      if (!keys.insert(key).second) continue;
      folder.migrations.push_back(
          {.name = key,
           .file = directory / path,
           .sql = {},
           .checksum = sha256_hex(read_file(directory / path).value_or(""))});
    }
  }
  if (folder.migrations.empty() && !allow_empty)
    throw nothing_there(directory, fmt::format("holds no file like {}", description_.files),
                        folder_meant(directory, pattern));
  folder.digest = digest_of(folder.migrations);
  return folder;
}

}  // namespace

Description described(const Manifest::Migrations::History& history) {
  Description description;
  for (const auto& preset : k_presets)
    if (preset.name == history.preset)
      description = {std::string{preset.name}, std::string{preset.table}, std::string{preset.key},
                     std::string{preset.files}};
  if (!history.table.empty()) description.table = history.table;
  if (!history.key.empty()) description.key = history.key;
  if (!history.files.empty()) description.files = history.files;
  if (description.name.empty()) description.name = description.table;
  return description;
}

std::shared_ptr<const Format> format(Description description) {
  return std::make_shared<const GenericFormat>(std::move(description));
}

Keys read_keys(pg::Session& session, const FoundTable& table, const std::string& key) {
  Keys found{.oid = table.oid, .keys = {}};
  if (table.oid == 0) return found;
  const auto name = table.name.quoted();
  try {
    for (const auto& row : session.query(fmt::format("SELECT ({})::text FROM {}", key, name)))
      found.keys.push_back(row.text(0));
  } catch (const pg::Error& e) {
    if (!e.sqlstate.starts_with("42") || e.sqlstate == "42501") throw;
    throw Failure{
        ExitCode::usage,
        fmt::format("migrations.history: the server refuses the key \"{}\" of {}: ERROR "
                    "{}: {}",
                    key, name, e.sqlstate, e.message),
        "key is an SQL expression over the columns of that table, with schemas before what "
        "is not PostgreSQL's own: docs/manifest.md"};
  }
  return found;
}

std::vector<std::string> files_below(const fs::path& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) throw nothing_there(directory, "does not exist");
  std::vector<fs::path> found;
  collect(directory, true, found);
  std::vector<std::string> files;
  for (const auto& file : found)
    files.push_back(file.lexically_relative(directory).generic_string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace schemagate::generic
