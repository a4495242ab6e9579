#include "schemagate/postgres/database.hpp"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

// Our own statements wait for 30 s at most, and the server ends them then.
constexpr std::chrono::seconds k_answer_within{35};

ConnectionString understood(const std::string& key, const std::string& text) {
  try {
    return ConnectionString{text}.completed();
  } catch (const ConnectionStringError& e) {
    throw Failure{ExitCode::usage, fmt::format("{}: {}", key, e.what()),
                  "the forms that are understood are in docs/manifest.md"};
  }
}

ConnectionString choose(const Manifest::Database& settings, Database::Purpose purpose) {
  if (settings.url.empty() && settings.direct_url.empty()) {
    throw Failure{ExitCode::usage, "database.url is missing or empty",
                  "set it in the manifest: database: {url: \"${DATABASE_URL}\"}"};
  }
  std::vector<ConnectionString> known;
  if (!settings.url.empty()) known.push_back(understood("database.url", settings.url));
  if (!settings.direct_url.empty())
    known.push_back(understood("database.direct_url", settings.direct_url));
  for (const auto& address : known)
    for (const auto& secret : address.secrets()) log::keep_secret(secret);
  const bool wants_direct = purpose == Database::Purpose::work && known.front().is_pooler();
  return wants_direct ? known.back() : known.front();
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

}  // namespace

Database::Database(const Manifest::Database& settings, Purpose purpose)
    : address_{choose(settings, purpose)}, connect_timeout_{settings.connect_timeout},
      pooled_{address_.is_pooler()} {
  for (const auto& warning : address_.warnings()) log::warn(warning);
  check_host(address_, settings.expect.hosts);
}

pg::Session Database::open(const std::string& application_name) const {
  pg::Session session{address_.conninfo(
      {.application_name = application_name, .connect_timeout = connect_timeout_})};
  session.limit_answers(k_answer_within);
  return session;
}

pg::Session Database::open_with(const std::string& application_name,
                                const Settings& defaults) const {
  return pg::Session{address_.conninfo({.application_name = application_name,
                                        .connect_timeout = connect_timeout_,
                                        .defaults = defaults})};
}

pg::Session Database::open_maintenance(const std::string& database) const {
  return pg::Session{address_.with_database(database).conninfo(
      {.application_name = "schemagate", .connect_timeout = connect_timeout_})};
}

std::string current_schema(pg::Session& session) {
  return session.row("SELECT coalesce(current_schema(), 'public')").text(0);
}

}  // namespace schemagate
