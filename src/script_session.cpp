#include "schemagate/script_session.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/log.hpp"

namespace schemagate {

using namespace std::chrono_literals;

namespace {

// A server that does not look whether its client lives goes on with a killed client's statement,
// and commits. client_connection_check_interval: PostgreSQL 14 and newer, 19.3 in the manual.
constexpr const char* k_notice_dead_clients =
    "SET client_connection_check_interval = '2s'; SET tcp_keepalives_idle = 5;"
    "SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3;";

}  // namespace

ScriptSession::ScriptSession(pg::Session& session, const Database& database, const Lease& lease,
                             const Manifest::Migrations& settings, const Stop& stop)
    : session_{session}, database_{database}, lease_{lease}, settings_{settings}, stop_{stop},
      progress_{database} {
  if (database.pooled()) return;  // the client is the pooler there
  try {
    session_.execute(k_notice_dead_clients);
    notice_dead_clients_ = k_notice_dead_clients;
  } catch (const pg::Error& e) {
    log::debug(fmt::format("the server cannot watch its clients: {}", e.message));
  }
}

// Rule 2 of lease.hpp. Pooled backends are shared: there the name is only in the connection string.
std::string ScriptSession::own_name() const {
  if (database_.pooled()) return {};
  return fmt::format("SET application_name = {};", pg::quote_literal(lease_.application_name()));
}

std::string ScriptSession::reset() const {
  return "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;" + own_name() + notice_dead_clients_;
}

std::string ScriptSession::limits(Scope scope, Milliseconds lock_timeout) const {
  const char* set = scope == Scope::transaction ? "SET LOCAL" : "SET";
  auto sql = fmt::format("{0} client_encoding = 'UTF8'; {0} standard_conforming_strings = on;"
                         "{0} lock_timeout = {1}; {0} statement_timeout = {2};",
                         set, lock_timeout.count(), settings_.statement_timeout.count());
  // Given explicitly; else the role's own search_path holds, as under Prisma.
  if (!settings_.schema.empty())
    sql += fmt::format("{} search_path = {};", set, pg::quote_identifier(settings_.schema));
  return sql;
}

// CONCURRENTLY waits for old transactions without blocking reads or writes; a lock_timeout would
// only make it leave invalid indexes and half-detached partitions behind.
Milliseconds ScriptSession::lock_timeout(const Statement& statement) const {
  const bool concurrent = statement.what.find("CONCURRENTLY") != std::string::npos;
  return concurrent ? 0ms : settings_.lock_timeout;
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
  auto sql = reset();
  // A line of its own: the script's words may end with a comment.
  if (!segment.transaction_options.empty())
    sql += "SET TRANSACTION " + segment.transaction_options + "\n;";
  return sql + limits(Scope::transaction, settings_.lock_timeout);
}

void ScriptSession::run(const Segment& segment, const std::string& label) {
  for (const auto& setting : segment.settings) execute(setting, label);
  for (const auto& statement : segment.statements) execute(statement, label);
}

void ScriptSession::conclude(const std::string& bookkeeping) {
  stop_.check();
  try {
    // SAVEPOINT fails unless the transaction is still open, whatever the script did.
    lease_.judge(session_.query(fmt::format(
        "SAVEPOINT schemagate; RELEASE schemagate; {}; {} SET LOCAL lock_timeout = {}; SET LOCAL client_encoding = 'UTF8';"
        "SET LOCAL standard_conforming_strings = on; {}; {}",
        k_check_deferred_constraints, reset(), settings_.lock_timeout.count(), bookkeeping,
        lease_.check_sql())));
  } catch (const pg::Error& e) {
    stop_.check();
    throw StatementFailed{e, nullptr};
  }
}

std::string ScriptSession::bookkeeping_prologue() const {
  return reset() + limits(Scope::transaction, settings_.lock_timeout);
}

void ScriptSession::clean() {
  session_.execute(reset() + limits(Scope::session, settings_.lock_timeout));
}

void ScriptSession::leave() { session_.execute(reset()); }

void ScriptSession::apply_settings(const Segment& segment) {
  for (const auto& setting : segment.settings) execute(setting, "setting");
}

void ScriptSession::run_alone(const Segment& segment, const std::string& label) {
  const auto& statement = segment.statements.front();
  session_.execute(reset() + limits(Scope::session, lock_timeout(statement)));
  lease_.check(session_);
  apply_settings(segment);
  session_.execute(own_name());  // a script may have chosen another one
  execute(statement, label);
}

}  // namespace schemagate
