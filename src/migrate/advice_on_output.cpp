#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "schemagate/base/text.hpp"
#include "schemagate/migrate/advice.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {
namespace {

constexpr const char* k_right =
    "in database {1}, role {0} lacks the right or the ownership that the output names; its owner or a superuser gives "
    "it (psql -d {1} -v role={0} -f deploy/sql/run-role.sql gives what most migrations need)";
constexpr const char* k_timeout =
    "statement_timeout ended a statement: raise it where it is set (the tool, or as a superuser: ALTER ROLE {0} IN "
    "DATABASE {1} SET statement_timeout = 0)";
constexpr const char* k_lock =
    "somebody held a lock: run at a quieter time; who is in a transaction: {2}";
constexpr const char* k_exists =
    "something of it is there already, made by hand or by another tool: {3}";
constexpr const char* k_failed_before =
    "an earlier migration failed and stands in the history: look how far it came, then mark it as rolled back or as "
    "applied with the tool's own command";
constexpr const char* k_not_reached =
    "the command reaches no server: let it connect by DATABASE_URL, which schemagate sets";
constexpr const char* k_status = "compare the database with the migrations";

// A word of the output, in lower case, and what it means. What is all digits or a code stands
// alone.
struct Cause {
  std::string_view words;
  const char* hint;
};
constexpr std::array k_causes = {
    Cause{"42501", k_right},
    Cause{"permission denied for ", k_right},
    Cause{"permission denied to ", k_right},
    Cause{"must be owner of", k_right},
    Cause{"insufficient_privilege", k_right},
    Cause{"57014", k_timeout},
    Cause{"statement timeout", k_timeout},
    Cause{"55p03", k_lock},
    Cause{"lock timeout", k_lock},
    Cause{"40p01", k_lock},
    Cause{"deadlock detected", k_lock},
    Cause{"p1002", k_lock},
    Cause{
        "28p01",
        "the command logs in with another password than schemagate: let it connect by DATABASE_URL"},
    Cause{
        "p1000",
        "the command logs in with another password than schemagate: let it connect by DATABASE_URL"},
    Cause{
        "password authentication failed",
        "the command logs in with another password than schemagate: let it connect by DATABASE_URL"},
    Cause{"p1001", k_not_reached},
    Cause{"connection refused", k_not_reached},
    Cause{"econnrefused", k_not_reached},
    Cause{"enotfound", k_not_reached},
    Cause{
        "p3005",
        "the database has tables and no history: mark what is there as applied with the tool's own command "
        "(its baseline)"},
    Cause{"p3009", k_failed_before},
    Cause{
        "p3018",
        "a migration failed: correct its cause (the output names it), then mark it as rolled back with the "
        "tool's own command"},
    Cause{"53100", "the server's disk is full: free space, or enlarge its volume"},
    Cause{"no space left on device", "the disk is full: free space, or enlarge the volume"},
    Cause{"53300", "no connection is free: end idle ones, or raise the server's max_connections"},
    Cause{"too many clients",
          "no connection is free: end idle ones, or raise the server's max_connections"},
    Cause{
        "max_locks_per_transaction",
        "raise max_locks_per_transaction on the server (needs a restart), or split the migration"},
    Cause{"extension control file",
          "the server does not have this extension: install its package there, or choose an "
          "image or a service that has it"},
    Cause{"42p07", k_exists},
    Cause{"42701", k_exists},
    Cause{"42710", k_exists},
    Cause{"42p01", "something that it needs is not there: {3}"},
    Cause{"42703", "something that it needs is not there: {3}"},
    Cause{"23505", "rows that are there break a unique index or constraint: correct the data"},
    Cause{
        "23502",
        "rows that are there hold NULL where it is forbidden: fill them first, or give the column a DEFAULT"},
    Cause{"23503", "rows that are there refer to what is not there: correct the data"},
    Cause{"25006", "the database is read-only (a standby, a failover)"},
};

bool holds(const std::string& line, std::string_view words) {
  const auto is_word = [&](std::size_t at) {
    return at < line.size() && std::isalnum(static_cast<unsigned char>(line[at])) != 0;
  };
  for (auto at = line.find(words); at != std::string::npos; at = line.find(words, at + 1)) {
    const bool starts = at == 0 || !is_word(at - 1);
    if (starts && (words.size() != 5 || !is_word(at + words.size()))) return true;
  }
  return false;
}

}  // namespace

std::string advice_on_output(const std::string& line, const std::string& role,
                             const std::string& database) {
  const auto lower = lower_case(line);
  const auto found = std::find_if(k_causes.begin(), k_causes.end(),
                                  [&](const auto& cause) { return holds(lower, cause.words); });
  if (found == k_causes.end()) return {};
  return fmt::format(fmt::runtime(found->hint), written_name(role), written_name(database),
                     k_open_transactions, k_status);
}

}  // namespace schemagate
