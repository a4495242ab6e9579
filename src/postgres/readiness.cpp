#include "schemagate/postgres/readiness.hpp"

#include <fmt/core.h>

#include <array>
#include <utility>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_look_within = 5s;  // the first query

constexpr const char* k_no_connection =
    "no connection is free: end idle ones, or raise the server's max_connections (or the limit of the role, "
    "the database or the pooler)";

struct Pattern {
  std::string_view text;
  const char* hint;
};
// libpq's words, before it has sent anything, and the server's on the start-up parameters.
constexpr const char* k_correct =
    "correct it in database.url (or in the PG... variables of the environment)";
constexpr const char* k_files =
    "the file belongs to the machine or container that runs schemagate: mount it there, or "
    "correct its name in database.url";
constexpr std::array k_mistakes = {
    Pattern{"invalid integer value", k_correct},
    Pattern{"invalid port number", k_correct},
    Pattern{" value: \"", k_correct},  // invalid sslmode value: "x"
    Pattern{"\" invalid when", k_correct},
    Pattern{"could not match ", k_correct},
    Pattern{"could not parse network address", k_correct},
    Pattern{"definition of service", k_correct},
    Pattern{"service file", k_correct},
    Pattern{"weak sslmode", k_correct},
    Pattern{"host name must be specified", k_correct},
    Pattern{"socket path", k_correct},  // is too long
    Pattern{"channel binding required",
            "the server does not offer channel binding: it needs TLS and a password "
            "of scram-sha-256; or leave channel_binding=require out"},
    Pattern{"authentication method requirement",
            "the server asks for another way to log in than require_auth allows"},
    Pattern{"unrecognized configuration parameter",
            "correct \"options\" in database.url (or PGOPTIONS)"},
    Pattern{"invalid value for parameter", "correct \"options\" in database.url (or PGOPTIONS)"},
    Pattern{"invalid command-line argument", "correct \"options\" in database.url (or PGOPTIONS)"},
    Pattern{"root certificate file",
            "give the CA of the server's certificate with sslrootcert=FILE"},
    Pattern{"certificate file", k_files},
    Pattern{"private key file", k_files},
    Pattern{"could not open certificate", k_files},
};
// The server's, and on TLS.
constexpr std::array k_refusals = {
    Pattern{"password authentication failed", "check user and password of database.url"},
    Pattern{"no password supplied", "the connection string has no password; add one"},
    Pattern{"no pg_hba.conf entry",
            "the server's pg_hba.conf does not let this user in from here (or wants TLS: "
            "sslmode=require)"},
    Pattern{"is not permitted to log in", "a superuser types: ALTER ROLE {0} LOGIN"},
    Pattern{"permission denied for database",
            "the database's owner or a superuser types: GRANT CONNECT ON DATABASE {1} TO {0}"},
    Pattern{"server does not support SSL",
            "the connection string asks for TLS that the server does not offer"},
    Pattern{"certificate verify failed",
            "the server's certificate is not signed by a known authority: give its CA "
            "with sslrootcert=FILE"},
    Pattern{"does not match host name",
            "the server's certificate is for another name; connect by that name"},
};

constexpr const char* k_state = R"sql(
SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', current_database(),
       current_setting('server_version_num')::integer / 10000)sql";

// Empty when it can be worked with; else what is in the way.
std::string not_writable(const pg::Row& state) {
  if (state.flag(0)) return "the server is in recovery (a standby, or still starting)";
  if (state.flag(1)) return "the database is read-only (default_transaction_read_only is on)";
  return {};
}

void check_expected(const pg::Row& state, const Manifest::Database::Expect& expect) {
  const auto name = state.text(2);
  const int version = static_cast<int>(state.number(3));
  if (!expect.name.empty() && name != expect.name) {
    throw Failure{
        ExitCode::refused,
        fmt::format("refused: connected to database \"{}\", but database.expect.name is \"{}\"",
                    name, expect.name),
        "is this the right DATABASE_URL for this environment?"};
  }
  if (version < expect.min_version) {
    throw Failure{
        ExitCode::refused,
        fmt::format("refused: the server is PostgreSQL {}, but database.expect.min_version is {}",
                    version, expect.min_version),
        "is this the right DATABASE_URL for this environment?"};
  }
}

// From the first maintenance database that lets us in.
void create_database(const Database& database) {
  const auto name = database.address().database();
  std::string last_error;
  for (const auto* maintenance : {"postgres", "template1"}) {
    try {
      auto session = database.open_maintenance(maintenance);
      session.execute("CREATE DATABASE " + pg::quote_identifier(name));
      log::info(fmt::format("created the database \"{}\"", name));
      return;
    } catch (const pg::ConnectionLost& e) {
      last_error = e.what();
    } catch (const pg::Error& e) {
      // 42P04 and 23505: another runner was faster.
      if (e.sqlstate == "42P04" || e.sqlstate == "23505") return;
      throw Failure{ExitCode::not_ready,
                    fmt::format("cannot create the database \"{}\": {}", name, e.message),
                    "create it by hand, or give the role CREATEDB"};
    }
  }
  throw Failure{ExitCode::not_ready,
                fmt::format("cannot create the database \"{}\": {}", name, last_error)};
}

// libpq's text without the address, which we print ourselves.
std::string short_reason(const std::string& error) {
  const auto fatal = error.rfind("FATAL:  ");
  const auto failed = error.find("failed: ");
  const auto start = fatal != std::string::npos    ? fatal + 8
                     : failed != std::string::npos ? failed + 8
                                                   : 0;
  auto reason = error.substr(start);
  for (auto& c : reason)
    if (c == '\n' || c == '\t') c = ' ';
  return reason;
}

// PostgreSQL's words, and PgBouncer's.
bool is_out_of_connections(const std::string& error) {
  const auto says = [&](const char* part) { return error.find(part) != std::string::npos; };
  return says("too many") || says("remaining connection slots") || says("no more connections");
}

class Waiter {
 public:
  Waiter(Database& database, const Manifest::Database& settings, Stop& stop)
      : database_{database}, settings_{settings}, stop_{stop} {}

  pg::Session read() {
    stop_.check();
    if (auto session = attempt()) return std::move(*session);
    throw Failure{
        ExitCode::not_ready,
        fmt::format("the database {} cannot be read: {}", database_.address().display(), reason_),
        is_out_of_connections(reason_) ? k_no_connection : "check the server and the network"};
  }

  pg::Session wait() {
    for (;;) {
      stop_.check();
      auto session = attempt();
      if (session && reason_.empty()) return std::move(*session);
      if (std::exchange(created_, false)) continue;
      if (deadline_.passed()) {
        throw Failure{
            ExitCode::not_ready,
            fmt::format("the database {} is not ready after {}: {}", database_.address().display(),
                        for_people(settings_.wait), reason_),
            is_out_of_connections(reason_)
                ? std::string{k_no_connection} + "; database.wait sets how long to wait"
                : "check the server (is it the primary?) and the network; database.wait sets how long to wait"};
      }
      tell();
      sleep(std::min(backoff_.next(), deadline_.remaining() + 10ms), stop_);
    }
  }

 private:
  // Connected; `reason_` says what is in the way of writing, if anything.
  std::optional<pg::Session> attempt() {
    try {
      auto session = database_.connect("schemagate");
      const auto state = session.query_within(k_look_within, k_state).at(0);
      check_expected(state, settings_.expect);
      reason_ = not_writable(state);
      return session;
    } catch (const pg::ConnectionLost& e) {
      reason_ = short_reason(e.what());
      fail_if_hopeless(e.what());
    } catch (const pg::Error& e) {
      reason_ = e.message;  // poolers answer queries with errors while their server is away
    }
    return std::nullopt;
  }

  void fail_if_hopeless(const std::string& error) {
    const auto diagnosis =
        diagnose(error, database_.address().value("user"), database_.address().database());
    if (diagnosis.database_missing && settings_.create) {
      create_database(database_);
      created_ = true;
      return;
    }
    if (diagnosis.hint.empty()) return;
    throw Failure{diagnosis.is_mistake ? ExitCode::usage : ExitCode::not_ready,
                  fmt::format("{} {}: {}",
                              diagnosis.is_mistake
                                  ? "there is a mistake in the connection string of"
                                  : "the server of",
                              database_.address().display(),
                              diagnosis.is_mistake ? reason_ : "refuses us: " + reason_),
                  diagnosis.hint};
  }

  void tell() {
    if (!reminder_.is_due(reason_)) return;
    log::info(
        fmt::format("waiting for the database {}: {}", database_.address().display(), reason_),
        {{"reason", reason_}});
  }

  Database& database_;
  const Manifest::Database& settings_;
  Stop& stop_;
  Deadline deadline_{settings_.wait};
  Backoff backoff_{200ms, 2s};
  bool created_ = false;  // just now: worth another attempt at once
  std::string reason_;
  Reminder reminder_;
};

}  // namespace

void check_expected(pg::Session& session, const Manifest::Database::Expect& expect) {
  if (expect.name.empty() && expect.min_version == 0) return;
  check_expected(session.query_within(k_look_within, k_state).at(0), expect);
}

Diagnosis diagnose(const std::string& error, const std::string& role, const std::string& database) {
  const auto holds = [&](std::string_view part) { return error.find(part) != std::string::npos; };
  if (holds("database \"") && holds("\" does not exist"))
    return {.database_missing = true, .hint = "create the database, or set database.create: true"};
  if (holds("role \"") && holds("\" does not exist"))
    return {.hint = "create the role, or check the user of database.url"};
  for (const auto& pattern : k_refusals)
    if (holds(pattern.text))
      return {.hint = fmt::format(fmt::runtime(pattern.hint), written_name(role),
                                  written_name(database))};
  for (const auto& pattern : k_mistakes)
    if (holds(pattern.text)) return {.is_mistake = true, .hint = pattern.hint};
  return {};
}

std::string remedy_of(const std::string& error) {
  if (is_out_of_connections(error)) return k_no_connection;
  if (auto hint = diagnose(error).hint; !hint.empty()) return hint;
  const bool has_answered = error.find("FATAL:") != std::string::npos;
  return has_answered ? ""
                      : "check DATABASE_URL, and the network from this container to the server";
}

pg::Session connect_to_read(Database& database, const Manifest::Database& settings, Stop& stop) {
  return Waiter{database, settings, stop}.read();
}

pg::Session wait_until_ready(Database& database, const Manifest::Database& settings, Stop& stop) {
  return Waiter{database, settings, stop}.wait();
}

}  // namespace schemagate
