#pragma once
// What a command works on: the manifest's folder, database, history and release, put together once.
// The same for every command, so that `status` sees what `run` would see.

#include <optional>

#include "schemagate/formats/history.hpp"
#include "schemagate/formats/migrations.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/lease/marker.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

// The manifest's migrations; no folder at all where an external tool does without.
[[nodiscard]] Folder folder_of(const Manifest& manifest);

// The release that a run and its gate mean: the manifest's, or the folder's digest.
[[nodiscard]] std::string release_of(const Manifest& manifest, const std::string& folder_digest);

class Target {
 public:
  // `manifest` must outlive the target. Throws what Database throws.
  Target(const Manifest& manifest, Folder folder);

  // Needed before history() and lease_request(): where no schema is given, the server knows it.
  void find_history(pg::Session& session);

  [[nodiscard]] const HistoryTable& history() const { return *history_; }
  [[nodiscard]] bool is_external() const { return settings.tool == Tool::command; }
  [[nodiscard]] bool has_history() const { return !is_external() || settings.prisma_history; }
  [[nodiscard]] LeaseRequest lease_request() const;
  // The schemas of names without one in scripts; never empty.
  [[nodiscard]] const std::vector<std::string>& search_path() const { return search_path_; }
  // For the start of a transaction that looks at what unqualified names mean to scripts.
  [[nodiscard]] std::string search_path_sql() const;

  const Manifest& manifest;
  Folder folder;
  Database database;
  Manifest::Migrations settings;  // the manifest's, with the schema of the URL filled in
  Bookkeeping bookkeeping;
  ReleaseId id;

 private:
  std::optional<HistoryTable> history_;
  std::vector<std::string> search_path_;
};

}  // namespace schemagate
