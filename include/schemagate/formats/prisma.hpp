#pragma once
// Prisma 7's migrations, and the only place that knows them: the folder, the table
// `_prisma_migrations`, the lock, the codes. Prisma's own engine must find nothing unusual. Facts:
// Prisma 7.10: listMigrations.ts, checksum.rs, migrations_directory.rs, flavour/postgres.rs,
// sql_migration_persistence.rs; docs/prisma.md lists them.
//
// Every direct subdirectory is a migration (hidden ones included; no symbolic links, but those of a
// Kubernetes volume, and nothing that begins with ".."), ordered like JavaScript's localeCompare,
// its script is migration.sql decoded as UTF-8, its checksum the SHA-256 of the decoded text.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "schemagate/formats/format.hpp"

namespace schemagate::prisma {

[[nodiscard]] std::shared_ptr<const Format> format();

// Throws Failure: as Format::read_folder() says, and (history) where migration_lock.toml names
// another database than PostgreSQL (P3019).
[[nodiscard]] Folder read_folder(const std::filesystem::path& directory, bool allow_empty);
// Equal, or equal but for line endings.
[[nodiscard]] bool same_content(const Migration& migration, const std::string& checksum);
// The order of migration directories: JavaScript's localeCompare, that is the ICU root collation,
// for printable ASCII. Other characters sort after these, by code point.
[[nodiscard]] bool locale_less(std::string_view a, std::string_view b);

// What Prisma's engine adds to a failed row's logs (advice, colours, its own state) is left out.
[[nodiscard]] std::vector<std::string> reason_in(const std::string& logs);

class Table : public WritableHistory {
 public:
  // `bookkeeping` and `folder` must outlive this. Of a history of very many rows, what is applied
  // and not in the folder is read in part: the last of it.
  Table(const std::string& schema, const Bookkeeping& bookkeeping, const Folder& folder);

  [[nodiscard]] History read(pg::Session& session, Times times = Times::unfinished) const override;

  void create_if_missing(Fenced& transaction) const override;
  [[nodiscard]] std::string create_sql() const override;
  [[nodiscard]] std::string insert_applied_sql(const std::string& id, const std::string& name,
                                               const std::string& checksum,
                                               const std::string& started_at) const override;
  [[nodiscard]] std::string finish_sql(const std::string& id,
                                       const std::string& checksum) const override;
  void insert_started(Fenced& transaction, const std::string& id, const std::string& name,
                      const std::string& checksum) const override;
  void insert_rolled_back(Fenced& transaction, const std::string& id, const std::string& name,
                          const std::string& checksum, const std::string& logs) const override;
  void set_failed(Fenced& transaction, const std::string& id,
                  const std::string& logs) const override;
  void forget_logs(Fenced& transaction, const std::string& id) const override;
  void set_rolled_back(Fenced& transaction, const std::string& id,
                       const std::string& logs) const override;
  // As `migrate resolve` writes them (mark_migration_applied.rs, mark_migration_rolled_back.rs).
  void mark_applied(Fenced& transaction, const std::string& name,
                    const std::string& checksum) const override;
  void mark_rolled_back(Fenced& transaction, const std::string& id) const override;
  void set_checksum(Fenced& transaction, const std::string& id,
                    const std::string& checksum) const override;
  [[nodiscard]] bool is_finished(pg::Session& session, const std::string& id) const override;

 private:
  [[nodiscard]] std::string only_what_matters_sql() const;

  TableName name_;
  std::string table_;  // qualified and quoted: scripts may leave any search_path behind
  const Bookkeeping& bookkeeping_;
  const Folder& folder_;
};

// Throws Failure (refused) for prisma db push, migrate dev, migrate reset, --force-reset and
// --accept-data-loss, also inside `sh -c "..."`.
void refuse_destructive_command(const std::vector<std::string>& argv);

}  // namespace schemagate::prisma
