#include "schemagate/catalogue/scratch.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <random>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/missing_right.hpp"

namespace schemagate {
namespace {

constexpr const char* k_prefix = "schemagate_scratch_";
constexpr const char* k_kept_prefix = "schemagate_kept_";

// What CREATE DATABASE takes over. ICU's locale has had three names (PostgreSQL 15, 17).
constexpr const char* k_encoding_and_locale = R"sql(
SELECT pg_encoding_to_char(encoding), datcollate, datctype, coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', '')
  FROM pg_database d WHERE datname = current_database())sql";

// What ALTER DATABASE ... SET gave it; the search_path is the scripts' own.
constexpr const char* k_settings = R"sql(
SELECT split_part(one, '=', 1), substr(one, strpos(one, '=') + 1)
  FROM pg_db_role_setting, unnest(setconfig) AS one
 WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND one !~ '^(search_path|.*_preload_libraries|temp_tablespaces|default_tablespace)=')sql";

constexpr const char* k_extensions = R"sql(
SELECT extname, nspname, extversion FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
 WHERE extname <> 'plpgsql' ORDER BY pg_extension.oid)sql";

// $1 the prefix of a key's scratches. Their names end with the second in which they were made, and
// a number by chance.
constexpr const char* k_left = R"sql(
SELECT datname FROM pg_database d
 WHERE starts_with(datname, $1)
   AND CASE WHEN substr(datname, length($1) + 1) ~ '^[0-9]{9,11}_[0-9]+$'
            THEN split_part(substr(datname, length($1) + 1), '_', 1)::bigint < extract(epoch FROM clock_timestamp()) - 60
            ELSE false END
   AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datname = d.datname))sql";

std::string prefix_of(const std::string& key) { return k_prefix + key + "_"; }

std::string drop_sql(const std::string& name) {
  return "DROP DATABASE IF EXISTS " + pg::quote_identifier(name) + " WITH (FORCE)";
}

Hint what_helps(const std::string& here) {
  return here +
         ", or name a server of the same version for it in the manifest: scratch: {url: ...}";
}

}  // namespace

Scratch::Scratch(pg::Session& live, OpenSession open, const std::string& key,
                 const std::vector<std::string>& made_by_scripts)
    : open_{std::move(open)} {
  try {
    server_ = std::make_unique<pg::Session>(open_(""));
    drop_scratches_left(*server_, key);
    const auto second =
        server_->row("SELECT extract(epoch FROM clock_timestamp())::bigint").text(0);
    name_ = fmt::format("{}{}_{}", prefix_of(key), second, std::random_device{}() % 100000);
    if (live.server_major_version() != server_->server_major_version())
      throw CannotTell{fmt::format("the server of scratch.url is PostgreSQL {}, the database's is "
                                   "{}, and they print things differently",
                                   server_->server_major_version(), live.server_major_version()),
                       "name a server of the same major version, or leave scratch.url out"};
    create(live);
    session_ = std::make_unique<pg::Session>(open_(name_));
    copy_environment(live, made_by_scripts);
  } catch (const pg::Error& e) {
    throw CannotTell{fmt::format("no scratch database can be made: {}", e.message),
                     what_helps(e.sqlstate == "42501" ? remedy_of_missing_right(e)
                                                      : "correct that on the server")};
  } catch (const pg::ConnectionLost& e) {
    throw CannotTell{fmt::format("no scratch database can be connected to: {}", trim(e.what())),
                     what_helps("correct that on the server")};
  }
}

// Another server may not know the locale; nothing that is compared depends on it.
void Scratch::create(pg::Session& live) {
  const auto row = live.row(k_encoding_and_locale);
  const auto begin = fmt::format("CREATE DATABASE {} TEMPLATE template0 ENCODING {}",
                                 pg::quote_identifier(name_), pg::quote_literal(row.text(0)));
  auto with_locale =
      begin + fmt::format(" LC_COLLATE {} LC_CTYPE {}", pg::quote_literal(row.text(1)),
                          pg::quote_literal(row.text(2)));
  if (row.text(3) == "i")
    with_locale +=
        fmt::format(" LOCALE_PROVIDER icu ICU_LOCALE {}", pg::quote_literal(row.text(4)));
  else if (row.text(3) == "b")
    with_locale +=
        fmt::format(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", pg::quote_literal(row.text(4)));
  try {
    server_->execute(with_locale);
  } catch (const pg::Error& e) {
    if (e.sqlstate == "42501") throw;
    server_->execute(begin);
  }
}

// What a platform or a person made before the first migration. What cannot be copied shows when a
// script misses it.
void Scratch::copy_environment(pg::Session& live, const std::vector<std::string>& made_by_scripts) {
  const auto tolerantly = [&](pg::Session& session, const std::string& sql) {
    try {
      session.execute(sql);
      return true;
    } catch (const pg::Error& e) {
      log::debug(fmt::format("scratch: {}: {}", sql, e.message));
      return false;
    }
  };
  const auto settings = live.query(k_settings);
  for (const auto& row : settings)
    tolerantly(*server_,
               fmt::format("ALTER DATABASE {} SET {} TO {}", pg::quote_identifier(name_),
                           pg::quote_identifier(row.text(0)), pg::quote_literal(row.text(1))));
  if (!settings.empty()) *session_ = open_(name_);
  for (const auto& row : live.query(k_extensions)) {
    if (std::find(made_by_scripts.begin(), made_by_scripts.end(), row.text(0)) !=
        made_by_scripts.end())
      continue;
    const auto schema = pg::quote_identifier(row.text(1));
    const auto make = fmt::format("CREATE EXTENSION IF NOT EXISTS {} SCHEMA {}",
                                  pg::quote_identifier(row.text(0)), schema);
    if (row.text(1) != "pg_catalog") tolerantly(*session_, "CREATE SCHEMA IF NOT EXISTS " + schema);
    if (!tolerantly(*session_, make + " VERSION " + pg::quote_literal(row.text(2)) + " CASCADE"))
      tolerantly(*session_, make + " CASCADE");
  }
}

std::int64_t Scratch::size_bytes() {
  return server_->row("SELECT pg_database_size($1)", {name_}).number(0);
}

std::string Scratch::keep() {
  session_.reset();
  const auto kept = k_kept_prefix + name_.substr(std::string_view{k_prefix}.size());
  server_->execute(fmt::format("ALTER DATABASE {} RENAME TO {}", pg::quote_identifier(name_),
                               pg::quote_identifier(kept)));
  name_.clear();
  return kept;
}

Scratch::~Scratch() {
  session_.reset();
  if (name_.empty()) return;
  try {
    if (server_) server_->execute(drop_sql(name_));
  } catch (const std::exception& e) {
    try {
      open_("").execute(drop_sql(name_));
    } catch (const std::exception&) {  // the next one of this key drops it
      log::debug(fmt::format("scratch database {} is left for later: {}", name_, e.what()));
    }
  }
}

void drop_scratches_left(pg::Session& session, const std::string& key) noexcept {
  try {
    for (const auto& row : session.query(k_left, {prefix_of(key)})) {
      session.execute(drop_sql(row.text(0)));
      log::info(fmt::format("dropped {}, which a run that was killed had left", row.text(0)));
    }
  } catch (const std::exception& e) {
    log::debug(fmt::format("a scratch database that was left cannot be dropped: {}", e.what()));
  }
}

}  // namespace schemagate
