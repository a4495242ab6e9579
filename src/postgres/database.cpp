#include "schemagate/postgres/database.hpp"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <tuple>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

// Our own statements wait for 30 s at most, and the server ends them then.
constexpr std::chrono::seconds k_answer_within{35};
constexpr std::chrono::seconds k_look_within{5};  // the first query

// All that the manifest gives: url, then direct_url.
std::vector<ConnectionString> all_of(const Manifest::Database& settings) {
  if (settings.url.empty() && settings.direct_url.empty()) {
    throw Failure{ExitCode::usage, "database.url is missing or empty",
                  "set it in the manifest: database: {url: \"${DATABASE_URL}\"}"};
  }
  std::vector<ConnectionString> known;
  if (!settings.url.empty()) known.push_back(connection_string("database.url", settings.url));
  if (!settings.direct_url.empty())
    known.push_back(connection_string("database.direct_url", settings.direct_url));
  return known;
}

// No ?schema= and ?schema=public mean the same to the tools that write such URLs.
std::string schema_of(const std::vector<ConnectionString>& addresses) {
  const auto& first = addresses.front().schema();
  const auto& second = addresses.back().schema();
  if (first == second) return first;
  for (const auto& [one, other] : {std::pair{first, second}, {second, first}})
    if (one.empty() && other == "public") return other;
  const auto told = [](const std::string& schema) {
    return schema.empty() ? std::string{"none"} : "?schema=" + schema;
  };
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: database.url and database.direct_url disagree about the "
                  "schema: {} and {}",
                  told(first), told(second)),
      "give both the same ?schema=: what the migrations make must be where the app looks"};
}

void check_host(const ConnectionString& address, const std::vector<std::string>& patterns) {
  if (patterns.empty()) return;
  for (const auto& host : address.hosts()) {
    const bool allowed = std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
      return ::fnmatch(pattern.c_str(), host.c_str(), 0) == 0;
    });
    if (allowed) continue;
    throw Failure{
        ExitCode::refused,
        fmt::format("refused: the host is \"{}\", but database.expect.host allows only {}", host,
                    join(patterns, ", ")),
        "is this the right DATABASE_URL for this environment?"};
  }
}

// Every function is qualified, and nothing is compared: the first session is not guarded yet.
constexpr const char* k_look_around = R"sql(
SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('schemagate.session', true),
       pg_catalog.current_setting('search_path'), schema
  FROM (VALUES (0)) AS one
       LEFT JOIN pg_catalog.unnest(pg_catalog.current_schemas(false)) AS schema ON true)sql";

Surroundings surroundings_in(const pg::Rows& rows) {
  Surroundings seen{.search_path = rows.at(0).text(2), .schemas = {}};
  for (const auto& row : rows)
    if (row[3]) seen.schemas.push_back(*row[3]);
  return seen;
}

// What a session is told to have at its start, to see whether start-up options reach the server.
const Database::Settings k_sign = {{"schemagate.session", "ours"}};

// PgBouncer, RDS Proxy and others have words of their own for that.
bool refuses_options(const std::string& error) {
  const auto lower = lower_case(error);
  const auto says = [&](const char* part) { return lower.find(part) != std::string::npos; };
  return says("startup parameter") || says("start-up parameter") || says("command-line option") ||
         says("options");
}

// What tells servers apart. The first needs a right that some services do not give (PostgreSQL
// manual 9.27, control data).
constexpr const char* k_identifier = "(SELECT system_identifier FROM pg_control_system())";
constexpr const char* k_start = "pg_postmaster_start_time()";

using Identity = std::vector<std::string>;  // name, oid, server

// Both by the same: url and direct_url may be of different roles.
std::pair<Identity, Identity> identities(pg::Session& one, pg::Session& other) {
  const auto both_by = [&](const char* server) {
    const auto ask = [&](pg::Session& session) {
      const auto row = session.row(fmt::format(
          "SELECT current_database(), (SELECT oid FROM pg_database WHERE datname = current_database()), {}",
          server));
      return Identity{row.text(0), row.text(1), row.text(2)};
    };
    return std::pair{ask(one), ask(other)};
  };
  try {
    return both_by(k_identifier);
  } catch (const pg::Error&) {
    return both_by(k_start);
  }
}

}  // namespace

ConnectionString connection_string(const std::string& key, const std::string& text) {
  try {
    auto understood = ConnectionString{text}.completed();
    for (const auto& secret : understood.secrets()) log::keep_secret(secret);
    return understood;
  } catch (const ConnectionStringError& e) {
    throw Failure{ExitCode::usage, fmt::format("{}: {}", key, e.what()),
                  "the forms that are understood are in docs/manifest.md"};
  }
}

Database::Database(const Manifest::Database& settings, Purpose purpose)
    : Database{settings, purpose, all_of(settings)} {}

Database::Database(const Manifest::Database& settings, Purpose purpose,
                   const std::vector<ConnectionString>& known)
    : address_{known.front()}, hosts_{settings.expect.hosts},
      connect_timeout_{settings.connect_timeout}, schema_{schema_of(known)},
      pooled_{address_.is_pooler()} {
  if (purpose == Purpose::work && known.size() > 1) direct_ = known.back();
  if (pooled_ && direct_) use_direct();
  else check_host(address_, hosts_);
  for (const auto& warning : address_.warnings()) log::warn(warning);
}

void Database::use_direct() {
  pooler_ = std::exchange(address_, *std::exchange(direct_, std::nullopt));
  pooled_ = address_.is_pooler();
  check_host(address_, hosts_);
}

pg::Session Database::session(const std::string& application_name, const Settings& defaults) const {
  return pg::Session{address_.conninfo({.application_name = application_name,
                                        .connect_timeout = connect_timeout_,
                                        .defaults = defaults})};
}

pg::Session Database::connect(const std::string& application_name) {
  std::optional<pg::Session> first;
  try {
    first.emplace(session(application_name, pooled_ ? Settings{} : k_sign));
  } catch (const pg::ConnectionLost& e) {
    if (pooled_ || !refuses_options(e.what())) throw;
    pooled_ = true;
    if (!direct_) first.emplace(session(application_name, {}));
  }
  if (first) look_around(*first);
  if (pooled_ && direct_) {
    log::debug("database.url leads through a pooler: working on database.direct_url");
    use_direct();
    return connect(application_name);
  }
  first->limit_answers(k_answer_within);
  first->guard();
  return std::move(*first);
}

void Database::look_around(pg::Session& session) {
  const auto rows = session.query_within(k_look_within, k_look_around);
  const auto& row = rows.at(0);
  if (row.number(0) != session.backend_pid() || row.text(1) != k_sign.front().second)
    pooled_ = true;
  surroundings_ = surroundings_in(rows);
}

pg::Session Database::open(const std::string& application_name) const {
  auto opened = session(application_name, {});
  opened.limit_answers(k_answer_within);
  opened.guard();
  return opened;
}

pg::Session Database::open_with(const std::string& application_name,
                                const Settings& defaults) const {
  auto opened = session(application_name, defaults);
  opened.guard();
  return opened;
}

pg::Session Database::open_maintenance(const std::string& database) const {
  return pg::Session{address_.with_database(database).conninfo(
      {.application_name = "schemagate", .connect_timeout = connect_timeout_})};
}

std::optional<Surroundings> Database::check_that_urls_agree(pg::Session& session) const {
  if (!pooler_) return std::nullopt;
  Identity direct;
  Identity other;
  Surroundings surroundings;
  try {
    pg::Session through{
        pooler_->conninfo({.application_name = "schemagate", .connect_timeout = connect_timeout_})};
    through.limit_answers(k_look_within);
    surroundings = surroundings_in(through.query_within(k_look_within, k_look_around));
    through.guard();
    std::tie(direct, other) = identities(session, through);
  } catch (const pg::ConnectionLost& e) {
    log::warn(fmt::format("database.url ({}) cannot be reached from here, so that nobody can "
                          "tell whether it leads to the same database as direct_url: {}",
                          pooler_->display(), e.what()));
    return std::nullopt;
  }
  if (direct != other)
    throw Failure{ExitCode::refused,
                  fmt::format("refused: database.url ({}) and database.direct_url ({}) lead to "
                              "different databases: \"{}\" and \"{}\"{}",
                              pooler_->display(), address_.display(), other[0], direct[0],
                              other[0] == direct[0] ? " of another server" : ""),
                  "the app looks at url, migrations would go to direct_url: correct one of them"};
  return surroundings;
}

}  // namespace schemagate
