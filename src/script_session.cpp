#include "schemagate/script_session.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/log.hpp"

namespace schemagate {

using namespace std::chrono_literals;

ScriptSession::ScriptSession(pg::Session& session, const ApplyContext& context)
    : session_{session}, context_{context}, progress_{context.database} {}

// Rule 2 of lease.hpp. Pooled backends are shared: there the name is only in the connection string.
std::string ScriptSession::own_name() const {
  if (context_.database.pooled()) return {};
  return fmt::format("SET application_name = {};",
                     pg::quote_literal(context_.lease.application_name()));
}

std::string ScriptSession::reset() const {
  return "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;" + own_name();
}

std::string ScriptSession::limits(Scope scope, Milliseconds lock_timeout) const {
  const char* set = scope == Scope::transaction ? "SET LOCAL" : "SET";
  auto sql = fmt::format(
      "{0} client_encoding = 'UTF8'; {0} lock_timeout = {1}; {0} statement_timeout = {2};", set,
      lock_timeout.count(), context_.settings.statement_timeout.count());
  if (!context_.settings.schema
           .empty())  // given explicitly; else the role's own search_path holds, as under Prisma
    sql += fmt::format("{} search_path = {};", set, pg::quote_identifier(context_.settings.schema));
  return sql;
}

void ScriptSession::execute(const Statement& statement, const std::string& label) {
  context_.stop.check();
  const auto limit = context_.settings.lock_timeout;
  const auto look_after =
      limit.count() == 0 ? Milliseconds{700} : std::min<Milliseconds>(700ms, limit / 2);
  progress_.started(session_.backend_pid(), fmt::format("{} line {}", label, statement.line),
                    look_after);
  try {
    session_.execute(statement.text);
  } catch (const pg::Error& e) {
    progress_.done();
    context_.stop.check();  // a cancelled statement: the reason is ours
    throw StatementFailed{e, &statement};
  }
  progress_.done();
}

void ScriptSession::run_in_transaction(const Segment& segment, const std::string& label) {
  std::string prologue = reset();
  if (!segment.transaction_options.empty())
    prologue += "SET TRANSACTION " + segment.transaction_options + ";";
  session_.execute(prologue + limits(Scope::transaction, context_.settings.lock_timeout));
  for (const auto& setting : segment.settings) execute(setting, label);
  for (const auto& statement : segment.statements) execute(statement, label);
  try {
    session_.execute("SET CONSTRAINTS ALL IMMEDIATE;" + reset());
  } catch (const pg::Error& e) {
    context_.stop.check();
    throw StatementFailed{e, nullptr};
  }
}

void ScriptSession::prepare_alone(const Segment& segment) {
  // CONCURRENTLY waits for old transactions without blocking reads or writes; a lock_timeout would
  // only make it leave invalid indexes behind.
  const auto lock_timeout = segment.statements.front().index ? 0ms : context_.settings.lock_timeout;
  session_.execute(reset() + limits(Scope::session, lock_timeout));
  for (const auto& setting : segment.settings) session_.execute(setting.text);
  session_.execute(own_name());  // a script may have chosen another one
}

void ScriptSession::run_alone(const Statement& statement, const std::string& label) {
  execute(statement, label);
}

}  // namespace schemagate
