#pragma once
// The door to migration tools: what one tool's folder, table and lock look like. Whoever plans,
// applies, verifies, waits or tells goes through here and does not know which tool it is. A new
// tool is a file of its own here and a line in format_of().

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schemagate/formats/folder.hpp"
#include "schemagate/formats/history.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

// What can be wrong with a history, for the words that a tool's users search by.
enum class Problem {
  not_baselined,  // tables, but no history
  failed,         // a migration that neither finished nor was rolled back
  no_script,      // a pending one without its file
  unknown,        // no such migration
  is_applied,
  is_not_applied,
  did_not_fail,
};

class Format {
 public:
  virtual ~Format() = default;

  // "prisma": also the first half of the lease's default name.
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view title() const { return name(); }  // as people write it

  // Throws Failure: the folder is missing or empty (usage) unless `allow_empty`, a file cannot be
  // read (usage), or what the format refuses (history).
  [[nodiscard]] virtual Folder read_folder(const std::filesystem::path& directory,
                                           bool allow_empty) const = 0;
  // A tool without checksums never tells an edit.
  [[nodiscard]] virtual bool same_content(const Migration&, const std::string&) const {
    return true;
  }

  // Its table, "name" or "schema.name".
  [[nodiscard]] virtual std::string table() const = 0;
  // Looked for along `search_path`, which is never empty, as the tool itself looks; where there is
  // one already, its schema is the first. The arguments must outlive the table.
  [[nodiscard]] virtual std::unique_ptr<HistoryTable>
  history(const std::vector<std::string>& search_path, const Bookkeeping& bookkeeping,
          const Folder& folder) const = 0;

  // The key of the session-level advisory lock that the tool holds while it works.
  [[nodiscard]] virtual std::optional<std::int64_t> advisory_lock() const { return std::nullopt; }

  [[nodiscard]] virtual std::string_view code_of(Problem) const { return {}; }
  // What makes objects without a row in the history, as people know it; may be empty.
  [[nodiscard]] virtual std::string_view way_around() const { return {}; }
};

// The tool of this manifest. Null: an external command of which nobody can tell what it has done.
[[nodiscard]] std::shared_ptr<const Format> format_of(const Manifest::Migrations& migrations);

// Its folder. Without a history the folder is there for its digest.
[[nodiscard]] Folder read_folder(const Manifest::Migrations& migrations);

// Throws Failure (refused) for a command of a known tool that drops data, also inside `sh -c
// "..."`.
void refuse_destructive_command(const std::vector<std::string>& argv);

// The manifests whose history may be written by schemagate, for a hint.
inline constexpr const char* k_writable_histories = "tool: prisma, or history: prisma";

}  // namespace schemagate
