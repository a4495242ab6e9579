#include "schemagate/recovery/target.hpp"

#include <fmt/core.h>

#include "schemagate/migrate/verify.hpp"

namespace schemagate {
namespace {

// The schema as given explicitly: in the manifest, else as ?schema= of the URL.
Manifest::Migrations with_schema(Manifest::Migrations settings, const Database& database) {
  if (settings.schema.empty()) settings.schema = database.address().schema();
  return settings;
}

}  // namespace

Folder folder_of(const Manifest& manifest) {
  const auto& settings = manifest.migrations;
  if (settings.directory.empty())
    return {.directory = {}, .migrations = {}, .digest = digest_of({})};
  return read_folder(settings);
}

ReleaseId release_of(const Manifest& manifest, const std::string& folder_digest) {
  return {manifest.app, manifest.release.empty() ? "migrations-" + folder_digest.substr(0, 12)
                                                 : manifest.release};
}

Target::Target(const Manifest& the_manifest, Folder the_folder, Database::Purpose purpose)
    : manifest{the_manifest}, folder{std::move(the_folder)}, database{manifest.database, purpose},
      settings{with_schema(manifest.migrations, database)},
      bookkeeping{manifest.database.bookkeeping_schema}, id{release_of(manifest, folder.digest)},
      format_{format_of(settings)} {
  // A gate by migrations reads what the folder speaks of, whatever tool applies it.
  if (purpose == Database::Purpose::look && !format_) format_ = folder.format;
}

void Target::find_history(pg::Session& session) {
  search_path_.clear();
  if (!settings.schema.empty()) search_path_ = {settings.schema};
  else
    for (const auto& row : session.query("SELECT unnest(current_schemas(false))"))
      search_path_.push_back(row.text(0));
  if (search_path_.empty()) search_path_ = {"public"};  // where it will be looked for
  if (format_) history_ = format_->history(search_path_, bookkeeping, folder);
}

std::vector<std::string> Target::missing_in_history(pg::Session& session) const {
  if (!history_) return {};
  return not_applied(folder, history_->read(session), settings.edited);
}

LeaseRequest Target::lease_request() const {
  const auto what = format_ ? fmt::format("{}:{}", format_->name(), schema())
                            : fmt::format("app:{}", manifest.app);
  return {.name = manifest.lease.name.empty() ? what : manifest.lease.name,
          .app = id.app,
          .release = id.release,
          .ttl = manifest.lease.ttl,
          .wait = manifest.lease.wait};
}

std::string Target::search_path_sql() const {
  return settings.schema.empty()
             ? ""
             : "SET LOCAL search_path = " + pg::quote_identifier(settings.schema) + ";";
}

}  // namespace schemagate
