#pragma once
// What a command works on: the manifest's tool, folder, database, history and release, put together
// once. The same for every command, so that `status` and the gate see what `run` would see.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/formats/format.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/lease/marker.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/migrate/verify.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

// The manifest's migrations; no folder at all where an external tool does without.
[[nodiscard]] Folder folder_of(const Manifest& manifest);

// The release that a run and its gate mean: the manifest's, or the folder's digest. Its scope is
// left empty where only the server knows it.
[[nodiscard]] ReleaseId release_of(const Manifest& manifest, const std::string& folder_digest);

class Target {
 public:
  // `manifest` must outlive the target. Throws what Database throws.
  Target(const Manifest& manifest, Folder folder,
         Database::Purpose purpose = Database::Purpose::work);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  // Needed before the following, on a session of `database` after its connect(): which history is
  // ours, and with it the scope of `id`. Without a schema given, it is found as the tool itself
  // finds it: along the search_path, and where there is none yet, in the first schema of it.
  void find_history(pg::Session& session);

  // Throws Failure (refused) where url and direct_url lead to different databases, or to different
  // histories there. After find_history().
  void check_that_urls_agree(pg::Session& session) const;

  // Null: an external command of which nobody can tell what it has done.
  [[nodiscard]] const HistoryTable* history() const { return history_.get(); }
  // Null also where only the tool itself may write it.
  [[nodiscard]] const WritableHistory* writable_history() const {
    return history_ ? history_->writable() : nullptr;
  }
  // Of the folder that cannot be seen in the history as applied with its content; nothing where
  // there is no history to look into.
  [[nodiscard]] std::vector<std::string> missing_in_history(pg::Session& session) const;
  // The same for gate.match: migrations, which also reads what the folder speaks of where the tool
  // is an external command without a history.
  [[nodiscard]] std::vector<std::string> missing_for_gate(pg::Session& session) const;
  [[nodiscard]] LeaseRequest lease_request() const;
  // The schemas of names without one in scripts, the history's first; never empty, but before
  // find_history().
  [[nodiscard]] const std::vector<std::string>& search_path() const { return search_path_; }
  [[nodiscard]] const std::string& schema() const { return search_path_.front(); }
  // The same as a setting, as SQL; other schemas may be named in it.
  [[nodiscard]] const std::string& search_path_setting() const { return search_path_setting_; }
  // The history's table, as find_history() found it; nothing where nobody can tell what was done.
  [[nodiscard]] const std::optional<FoundTable>& history_table() const { return history_table_; }
  // Throws what Bookkeeping::refuse_untrusted() throws, for our tables and the history.
  void refuse_untrusted(pg::Session& session, Bookkeeping::Trust trust,
                        const std::string& worker = {}) const;

  const Manifest& manifest;
  Folder folder;
  Database database;
  Manifest::Migrations settings;  // the manifest's, with the schema of the URL filled in
  Bookkeeping bookkeeping;
  ReleaseId id;

 private:
  [[nodiscard]] std::string scope() const;

  std::shared_ptr<const Format> format_;
  std::optional<FoundTable> history_table_;
  std::unique_ptr<HistoryTable> history_;
  std::vector<std::string> search_path_;
  std::string search_path_setting_;
};

// What a complete release must be like. `target` must outlive it.
[[nodiscard]] Expectation expectation_of(const Target& target);

}  // namespace schemagate
