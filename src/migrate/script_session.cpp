#include "schemagate/migrate/script_session.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <set>

#include "schemagate/base/text.hpp"

namespace schemagate {

using namespace std::chrono_literals;

namespace {

// The script's session, read before it and after it. Qualified: it looks along the user's own path.
// What concerns this transaction only does not stay anyway.
constexpr const char* k_settings_of_session = R"sql(
SELECT name, setting FROM pg_catalog.pg_settings
 WHERE source OPERATOR(pg_catalog.=) 'session' AND name OPERATOR(pg_catalog.!~~) 'transaction%'
   AND name OPERATOR(pg_catalog.<>) 'application_name'
UNION ALL SELECT 'role', pg_catalog.current_setting('role'))sql";

Database::Settings our_settings(const Manifest::Migrations& settings,
                                const std::string& search_path) {
  return {
      {"client_encoding", "UTF8"},
      {"standard_conforming_strings", "on"},
      {"lock_timeout", std::to_string(settings.lock_timeout.count())},
      {"statement_timeout", std::to_string(settings.statement_timeout.count())},
      {"search_path", search_path},
  };
}

std::string set_config(const std::string& name, const std::string& value) {
  return fmt::format("SELECT pg_catalog.set_config({}, {}, false);", pg::quote_literal(name),
                     pg::quote_literal(value));
}

}  // namespace

pg::Session ScriptConnection::open() const {
  if (database.pooled()) return database.open_with("schemagate", {});
  auto defaults = our_settings(settings, search_path);
  // A server that does not look whether its client lives goes on with a killed client's statement,
  // and commits (PostgreSQL manual, 20.3).
  if (server_major_version >= 14) defaults.emplace_back("client_connection_check_interval", "2s");
  // The role's own limits are meant for sessions that were forgotten. Ours is idle while an
  // external command works or a lock is waited for.
  defaults.emplace_back("idle_in_transaction_session_timeout", "0");
  if (server_major_version >= 14) defaults.emplace_back("idle_session_timeout", "0");
  if (server_major_version >= 17) defaults.emplace_back("transaction_timeout", "0");
  defaults.insert(defaults.end(), {{"tcp_keepalives_idle", "5"},
                                   {"tcp_keepalives_interval", "3"},
                                   {"tcp_keepalives_count", "3"}});
  return database.open_with(lease.application_name(), defaults);
}

ScriptSession::ScriptSession(pg::Session& session, const ScriptConnection& connection,
                             const Stop& stop)
    : session_{session}, database_{connection.database}, lease_{connection.lease},
      settings_{connection.settings}, search_path_{connection.search_path}, stop_{stop},
      progress_{connection.database} {}

std::string ScriptSession::settings_sql() const {
  std::string sql;
  for (const auto& [name, value] : our_settings(settings_, search_path_))
    sql += fmt::format("SET LOCAL {} = {};", name,
                       name == "search_path" ? value : pg::quote_literal(value));
  return sql;
}

std::string ScriptSession::bookkeeping_prologue() const {
  auto sql = lease_.clean_sql();
  if (database_.pooled())  // a direct connection has begun with these
    sql += fmt::format("SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};",
                       settings_.lock_timeout.count(), settings_.statement_timeout.count());
  return sql;
}

// A pooled backend is another client's next. It gets back what it had, which is not what RESET
// would give: the pooler itself may have set something.
std::string ScriptSession::restore_sql() {
  std::map<std::string, std::string> before;
  std::set<std::string> touched;
  for (const auto& row : settings_before_) before[row.text(0)] = row.text(1);
  for (const auto& [name, value] : our_settings(settings_, search_path_)) touched.insert(name);
  for (const auto& row : session_.query_unguarded(k_settings_of_session))
    if (const auto was = before.find(row.text(0));
        was == before.end() || was->second != row.text(1))
      touched.insert(row.text(0));
  std::string sql = "RESET SESSION AUTHORIZATION;" + set_config("role", before["role"]);
  touched.erase("role");
  for (const auto& name : touched) {
    if (const auto was = before.find(name); was != before.end())
      sql += set_config(name, was->second);
    else sql += "SET " + pg::quote_identifier(name) + " TO DEFAULT;";
  }
  return sql;
}

void ScriptSession::execute(const Statement& statement, const std::string& label) {
  stop_.check();
  const auto limit = settings_.lock_timeout;
  const auto look_after =
      limit.count() == 0 ? Milliseconds{700} : std::min<Milliseconds>(700ms, limit / 2);
  progress_.started(session_.backend_pid(), fmt::format("{} line {}", label, statement.line),
                    look_after);
  try {
    session_.execute(statement.text);
  } catch (const pg::Error& e) {
    progress_.done();
    stop_.check();  // a cancelled statement: the reason is ours
    throw StatementFailed{e, &statement};
  }
  progress_.done();
}

std::string ScriptSession::prologue(const Segment& segment) const {
  // Direct: clean since conclude() or the roll-back that came before.
  auto sql = database_.pooled() ? lease_.name_sql() : std::string{};
  // A line of its own: the script's words may end with a comment.
  if (!segment.transaction_options.empty())
    sql += "SET TRANSACTION " + segment.transaction_options + "\n;";
  return sql;
}

void ScriptSession::begun() {
  if (database_.pooled()) settings_before_ = session_.query_unguarded(k_settings_of_session);
}

void ScriptSession::run(const Segment& segment, const std::string& label) {
  if (database_.pooled()) session_.execute(settings_sql());
  for (const auto& setting : segment.settings) execute(setting, label);
  for (const auto& statement : segment.statements) execute(statement, label);
}

// What the server says at the end is the script's doing: deferred constraints, for example.
template <class Work> auto ScriptSession::at_the_end(Work&& work) {
  stop_.check();
  try {
    if (!database_.pooled()) return work("SET CONSTRAINTS ALL IMMEDIATE;" + lease_.clean_sql());
    session_.execute("SET CONSTRAINTS ALL IMMEDIATE");
    return work(restore_sql() + bookkeeping_prologue());
  } catch (const pg::Error& e) {
    stop_.check();
    throw StatementFailed{e, nullptr};
  }
}

void ScriptSession::conclude(Fenced& transaction, const std::string& bookkeeping) {
  at_the_end([&](const std::string& end) { transaction.conclude(end + bookkeeping); });
}

pg::Rows ScriptSession::conclude_part(const std::string& bookkeeping) {
  return at_the_end([&](const std::string& end) { return session_.query(end + bookkeeping); });
}

void ScriptSession::clean() {
  if (!database_.pooled()) session_.execute(k_reset_session);
}

void ScriptSession::wait_without_limits() {
  if (!database_.pooled()) session_.execute("SET lock_timeout = 0; SET statement_timeout = 0");
}

void ScriptSession::apply_settings(const Segment& segment) {
  for (const auto& setting : segment.settings) {
    // A successor finds this connection by our name only, at every moment.
    if (lower_case(setting.text).find("application_name") != std::string::npos) continue;
    execute(setting, "setting");
  }
}

void ScriptSession::run_alone(const Segment& segment, const std::string& label) {
  const auto& statement = segment.statements.front();
  clean();
  // CONCURRENTLY waits for old transactions without blocking reads or writes; a lock_timeout would
  // only make it leave invalid indexes and half-detached partitions behind.
  if (!database_.pooled() && statement.what.find("CONCURRENTLY") != std::string::npos)
    session_.execute("SET lock_timeout = 0");
  lease_.check(session_);
  apply_settings(segment);
  execute(statement, label);
}

}  // namespace schemagate
