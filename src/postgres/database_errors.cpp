#include "schemagate/postgres/database_errors.hpp"

#include <fmt/core.h>

#include <array>

#include "schemagate/base/error.hpp"
#include "schemagate/postgres/missing_right.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {
namespace {

struct Cause {
  std::string_view sqlstate;  // or its first characters
  std::string_view words;     // in the message or the server's hint; empty: whatever it says
  ExitCode code;
  const char* hint;
};

// The first that fits. What is not here, and no class of our own mistakes, is the server's or
// somebody else's doing: refused.
constexpr std::array k_causes = {
    Cause{"25006", "", ExitCode::connection_lost,
          "the database has become read-only (a failover?): run again once its primary is back"},
    Cause{"53100", "", ExitCode::connection_lost,
          "the server's disk is full: free what is missing, or enlarge its volume, then run again"},
    Cause{"53200", "max_locks_per_transaction", ExitCode::connection_lost,
          "the server's lock table is full: run again; if it happens again, raise "
          "max_locks_per_transaction (needs a restart)"},
    Cause{
        "53300", "", ExitCode::connection_lost,
        "no connection is free: end idle ones, or raise the server's max_connections, then run again"},
    Cause{"53", "", ExitCode::connection_lost,
          "free what is missing on the server, then run again"},
    Cause{
        "57014", "", ExitCode::connection_lost,
        "somebody, or a statement_timeout of the role, the database or a pooler, ended the statement: run again, or "
        "raise it"},
    Cause{"57", "", ExitCode::connection_lost, "run again"},
    Cause{"58030", "", ExitCode::connection_lost, "see the server's log, then run again"},
    Cause{"08", "", ExitCode::connection_lost, "run again"},
    Cause{
        "55000", "replica identity", ExitCode::refused,
        "a publication covers the table of the message: its owner types ALTER TABLE ... REPLICA IDENTITY FULL, or "
        "takes it out of the publication (FOR ALL TABLES covers every new table)"},
    Cause{
        "42P10", "publication", ExitCode::refused,
        "a publication with a column list or a WHERE covers the table of the message: its owner takes the table out "
        "(ALTER PUBLICATION ... DROP TABLE), or the list and the WHERE"},
    Cause{
        "42703", "", ExitCode::refused,
        "a table is not as schemagate or the migration tool makes it: put back what was changed; a table of "
        "schemagate's own may be dropped by its owner instead: a run makes it again"},
    Cause{"42P01", "", ExitCode::refused,
          "somebody dropped it meanwhile: run again, which makes schemagate's own tables again"},
    Cause{
        "0A000", "", ExitCode::refused,
        "a proxy or pooler does not pass everything on: give the server's own address as database.direct_url"},
    Cause{"22P05", "", ExitCode::refused,
          "the database's encoding lacks a character: use a database with encoding UTF8"},
    Cause{"XX001", "", ExitCode::refused,
          "the server's data is damaged: see its log, restore from a backup"},
    Cause{"XX002", "", ExitCode::refused, "an index is damaged: REINDEX it, see the server's log"},
};

// Syntax, undefined and misused things, transaction states, the server's internal errors.
bool is_our_mistake(const std::string& sqlstate) {
  for (const auto* ours : {"42", "XX", "25", "26", "34", "0B", "2F"})
    if (sqlstate.starts_with(ours)) return true;
  return false;
}

// "PL/pgSQL function no_ddl() line 1 at RAISE": somebody's trigger. None of our statements calls
// one.
std::string function_in(const pg::Error& e) {
  const auto at = e.context.find(" function ");
  if (at == std::string::npos) return {};
  const auto start = at + std::string_view{" function "}.size();
  return e.context.substr(start, e.context.find_first_of(" \n", start) - start);
}

// An error of our own bookkeeping, not of a script: what it means for the one who reads it.
Failure explained(const pg::Error& e) {
  const auto error = fmt::format("ERROR {}: {}{}", e.sqlstate, e.message,
                                 e.detail.empty() ? "" : " (" + e.detail + ")");
  const auto text = "the database refused our own bookkeeping: " + error;
  if (const auto function = function_in(e); !function.empty() || e.sqlstate.starts_with("P0"))
    return {ExitCode::refused, text,
            fmt::format(
                "a trigger of somebody else's ({}) stands in the way: ask its owner to let role {} "
                "deploy, or a superuser to switch it off meanwhile",
                function.empty() ? "an event trigger, or one on the table" : "function " + function,
                e.role)};
  if (e.sqlstate == "42501") return {ExitCode::refused, text, remedy_of_missing_right(e)};
  // 55P03 lock_not_available, 40P01 deadlock_detected, 40001 serialization_failure
  if (e.sqlstate == "55P03" || e.sqlstate.starts_with("40") ||
      (e.sqlstate == "XX000" && e.message.find("tuple concurrently") != std::string::npos))
    return {ExitCode::lock_timeout,
            "somebody holds a lock on the history or on schemagate's own tables: " + error,
            std::string{"see who is in a transaction: "} + k_open_transactions +
                "; then run again"};
  for (const auto& cause : k_causes)
    if (e.sqlstate.starts_with(cause.sqlstate) &&
        (e.message + e.detail + e.hint).find(cause.words) != std::string::npos)
      return {cause.code, text, cause.hint};
  if (is_our_mistake(e.sqlstate))
    return {ExitCode::internal, text, "please report this with the log"};
  return {
      ExitCode::refused, text,
      fmt::format(
          "the server's words say what is in the way of role {} in database {}; change that, then run again",
          e.role, e.database)};
}

}  // namespace

void explaining_database_errors(const Stop& stop, const std::function<void()>& work) {
  try {
    work();
  } catch (const pg::Error& e) {
    stop.check();
    throw explained(e);
  } catch (const pg::ConnectionLost& e) {
    stop.check();
    throw Failure{ExitCode::connection_lost,
                  fmt::format("connection lost while working: {}; what was not committed is rolled "
                              "back",
                              e.what()),
                  "run again: what is missing will be done then"};
  }
}

}  // namespace schemagate
