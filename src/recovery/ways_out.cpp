#include "schemagate/recovery/ways_out.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <string_view>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Trace = Statement::Trace;

// In a DO block, a query or a function these lead out of the database, or may end somebody's work.
constexpr std::array k_ways_out = std::to_array<std::string_view>({"dblink",
                                                                   "http(",
                                                                   "http_get(",
                                                                   "http_post(",
                                                                   "http_put(",
                                                                   "http_patch(",
                                                                   "http_delete(",
                                                                   "http_head(",
                                                                   "net.http",
                                                                   "cron.",
                                                                   "pg_background",
                                                                   "_replication_slot",
                                                                   "pg_terminate_backend",
                                                                   "pg_cancel_backend",
                                                                   "pg_reload_conf",
                                                                   "pg_rotate_logfile",
                                                                   "pg_promote",
                                                                   "lo_export",
                                                                   "lo_import",
                                                                   "pg_read_",
                                                                   "pg_file_",
                                                                   "pg_ls_dir",
                                                                   "pg_switch_wal",
                                                                   "alter system",
                                                                   "from program",
                                                                   "to program",
                                                                   "create database",
                                                                   "alter database",
                                                                   "drop database",
                                                                   "tablespace "});

// Roles belong to the whole server, whoever makes them.
constexpr std::array<std::string_view, 7> k_role_commands = {
    "create role", "create user", "create group", "alter role",
    "alter user",  "drop role",   "drop user"};

template <class Words> bool holds_one(const std::string& text, const Words& words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const auto& word) { return text.find(word) != std::string::npos; });
}

// With one blank where there are several, and none before a parenthesis.
std::string in_words(const std::string& sql) {
  std::string words;
  for (const char c : lower_case(without_comments(sql))) {
    const bool is_blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (c == '(' && words.ends_with(' ')) words.pop_back();
    if (!is_blank) words += c;
    else if (!words.empty() && words.back() != ' ') words += ' ';
  }
  return words;
}

bool leads_outside(const std::string& words) {
  return holds_one(words, k_ways_out) || holds_one(words, k_role_commands);
}

bool makes_function(const std::string& words) {
  return words.starts_with("create") &&
         (words.find(" function ") < 30 || words.find(" procedure ") < 30);
}

// CREATE TABLE AS and the like execute a query.
bool makes_rows(const std::string& words) {
  return words.starts_with("create") &&
         holds_one(words,
                   std::to_array<std::string_view>({" as select", " as(select", " as with",
                                                    " as(with", " as execute", " as table"}));
}

}  // namespace

bool WaysOut::may_be_taken_by(const Statement& statement) {
  if (statement.trace == Trace::outside || statement.trace == Trace::nothing) return false;
  const auto words = in_words(statement.text);
  if (makes_function(words)) {
    has_dangerous_function_ = has_dangerous_function_ || leads_outside(words);
    return false;
  }
  if (statement.trace != Trace::data && !makes_rows(words)) return false;
  if (has_dangerous_function_) return true;
  // What stands between quotes is data, but for a DO block's body.
  return leads_outside(words.starts_with("do") ? words
                                               : in_words(without_constants(statement.text)));
}

}  // namespace schemagate
