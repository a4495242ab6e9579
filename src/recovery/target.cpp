#include "schemagate/recovery/target.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

// The schema as given explicitly: in the manifest, else as ?schema= of the URL.
Manifest::Migrations with_schema(Manifest::Migrations settings, const Database& database) {
  if (settings.schema.empty()) settings.schema = database.schema();
  return settings;
}

// The schemas in which something is looked for and made.
std::vector<std::string> path_of(const Surroundings& surroundings) {
  auto path = surroundings.schemas;
  std::erase_if(path, [](const auto& schema) { return schema.starts_with("pg_"); });
  if (path.empty()) path = {"public"};  // where it will be looked for
  return path;
}

// A schema may hold two histories of one tool, in tables that the manifests name.
std::string scope_of(const Format& format, const std::string& schema,
                     const Manifest::Migrations& settings) {
  const auto& table = settings.history.table;
  return fmt::format("{}:{}{}", format.name(), schema,
                     settings.history.preset.empty() || table.empty() ? "" : ":" + table);
}

// The scope as far as the manifest tells it. A connection string that cannot be read is another's
// to refuse.
std::string told_scope(const Manifest& manifest) {
  const auto format = format_of(manifest.migrations);
  if (!format) return {};
  const auto table = format->table();
  const auto dot = table.find('.');
  auto schema = dot == std::string::npos ? manifest.migrations.schema : table.substr(0, dot);
  if (schema.empty() && !manifest.database.url.empty()) try {
      schema = ConnectionString{manifest.database.url}.schema();
    } catch (const ConnectionStringError&) {
    }
  return schema.empty() ? "" : scope_of(*format, schema, manifest.migrations);
}

// The text with the user taken out of each URL in it.
std::string without_user(std::string text) {
  for (auto at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    const auto end = std::min(text.find_first_of("/?# '\"", at + 3), text.size());
    const auto host = text.rfind('@', end);
    if (host != std::string::npos && host > at) text.erase(at + 3, host - at - 2);
  }
  return text;
}

// Of an external command: what it is told, but not with which password it is told it. A run of
// another command is other work, though the release may be called the same.
std::string digest_of_command(const Manifest::Migrations& settings) {
  std::string text;
  const auto add = [&](const std::string& part) {
    const auto told = without_user(part);
    text += fmt::format("{}:{};", told.size(), told);
  };
  for (const auto& argument : settings.command) add(argument);
  for (const auto& [name, value] : settings.env) add(name + "=" + value);
  return sha256_hex(text).substr(0, 12);
}

}  // namespace

Folder folder_of(const Manifest& manifest) {
  const auto& settings = manifest.migrations;
  if (settings.directory.empty())
    return {.directory = {}, .migrations = {}, .digest = digest_of({})};
  return read_folder(settings);
}

ReleaseId release_of(const Manifest& manifest, const std::string& folder_digest) {
  return {.app = manifest.app,
          .release = manifest.release.empty() ? "migrations-" + folder_digest.substr(0, 12)
                                              : manifest.release,
          .scope = told_scope(manifest)};
}

Target::Target(const Manifest& the_manifest, Folder the_folder, Database::Purpose purpose)
    : manifest{the_manifest}, folder{std::move(the_folder)}, database{manifest.database, purpose},
      settings{with_schema(manifest.migrations, database)},
      bookkeeping{manifest.database.bookkeeping_schema}, id{release_of(manifest, folder.digest)},
      format_{format_of(settings)} {}

void Target::find_history(pg::Session& session) {
  const auto& surroundings = database.surroundings();
  search_path_ = path_of(surroundings);
  search_path_setting_ = surroundings.search_path.empty() ? "''" : surroundings.search_path;
  if (!settings.schema.empty()) {
    search_path_ = {settings.schema};
    search_path_setting_ = pg::quote_identifier(settings.schema);
  }
  if (format_) {
    const auto found = find_table(session, format_->table(), search_path_);
    history_table_ = found;
    // A schema that came later must not shadow it.
    const auto at = std::find(search_path_.begin(), search_path_.end(), found.name.schema);
    if (at != search_path_.end()) std::rotate(search_path_.begin(), at, at + 1);
    history_ = format_->history(search_path_, bookkeeping, folder);
  }
  // What scripts make belongs beside the history.
  if (settings.schema.empty() &&
      (surroundings.schemas.empty() || surroundings.schemas.front() != schema()))
    search_path_setting_ = pg::quote_identifier(schema()) + ", " + search_path_setting_;
  id.scope = scope();
}

std::string Target::scope() const {
  if (format_) return scope_of(*format_, history_table_->name.schema, settings);
  return fmt::format("command:{}:{}", schema(), digest_of_command(settings));
}

// By what their roles and databases set, where neither says it.
void Target::check_that_urls_agree(pg::Session& session) const {
  const auto through = database.check_that_urls_agree(session);
  // Who may use no schema at all yet cannot be asked.
  if (!through || through->schemas.empty() || !settings.schema.empty()) return;
  const auto path = path_of(*through);
  const auto there =
      format_ ? find_table(session, format_->table(), path).name.schema : path.front();
  const auto here = history_table_ ? history_table_->name.schema : schema();
  if (there == here) return;
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: database.url and database.direct_url lead to different schemas, by the "
                  "search_path that their roles have: \"{}\" and \"{}\"",
                  there, here),
      "give both the same ?schema=, or set migrations.schema: what the migrations make must be where "
      "the app looks"};
}

void Target::refuse_untrusted(pg::Session& session, Bookkeeping::Trust trust,
                              const std::string& worker) const {
  bookkeeping.refuse_untrusted(
      session, history_table_ ? history_table_->name : TableName{schema(), ""}, trust, worker);
}

std::vector<std::string> Target::missing_for_gate(pg::Session& session) const {
  if (history_ || !folder.format) return missing_in_history(session);
  const auto history = folder.format->history(search_path_, bookkeeping, folder);
  return not_applied(folder, history->read(session), settings.edited);
}

std::vector<std::string> Target::missing_in_history(pg::Session& session) const {
  if (!history_) return {};
  return not_applied(folder, history_->read(session), settings.edited);
}

LeaseRequest Target::lease_request() const {
  const auto what = format_ ? id.scope : fmt::format("app:{}", manifest.app);
  return {.name = manifest.lease.name.empty() ? what : manifest.lease.name,
          .app = id.app,
          .release = id.release,
          .ttl = manifest.lease.ttl,
          .wait = manifest.lease.wait};
}

Expectation expectation_of(const Target& target) {
  return {.folder = target.folder,
          .history = target.history(),
          .checks = target.manifest.verify,
          .variables = target.manifest.variables,
          .schema = target.schema(),
          .search_path = target.search_path_setting(),
          .edited = target.settings.edited};
}

}  // namespace schemagate
