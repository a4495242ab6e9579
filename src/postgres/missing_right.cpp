#include "schemagate/postgres/missing_right.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

#include "schemagate/base/text.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {
namespace {

// What follows `words` in the message, up to the next blank or between quotes.
std::optional<std::string> behind(const std::string& message, std::string_view words) {
  const auto at = message.find(words);
  if (at == std::string::npos) return std::nullopt;
  auto rest = message.substr(at + words.size());
  if (rest.empty()) return rest;
  if (!rest.starts_with('"')) return rest.substr(0, rest.find_first_of(" \n"));
  return rest.substr(1, rest.find('"', 1) - 1);
}

// The message leaves the schema out; the statement may have it.
std::string as_in_statement(const std::string& name, const std::string& statement) {
  for (const auto& written : {name, pg::quote_identifier(name)}) {
    const auto at = statement.find("." + written);
    if (at == std::string::npos || at == 0) continue;
    const auto start = statement[at - 1] == '"' ? statement.rfind('"', at - 2)
                                                : statement.find_last_of(" \t\n(,", at) + 1;
    if (start < at) return statement.substr(start, at - start) + "." + written;
  }
  return written_name(name);
}

std::string right_on_table(const std::string& statement) {
  if (statement.empty()) return "SELECT, INSERT, UPDATE";
  auto upper = statement;
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (const auto* right : {"SELECT", "TRUNCATE"})
    if (upper.starts_with(right)) return right;
  for (const auto* right : {"INSERT", "UPDATE", "DELETE"})
    if (upper.starts_with(right)) return std::string{"SELECT, "} + right;
  if (upper.find("REFERENCES") != std::string::npos) return "REFERENCES";
  if (upper.find("TRIGGER") != std::string::npos) return "TRIGGER";
  return "SELECT";
}

// {0} the object, {1} the role, {2} what the statement needs of a table, {3} of a schema.
struct Rule {
  std::string_view words;  // before the object's name in the server's message
  const char* who;
  const char* sql;
};
constexpr const char* k_owner = "the owner of {0} or a superuser";
constexpr const char* k_superuser = "a superuser";
constexpr std::array k_rules = {
    Rule{
        "row-level security policy for table ", k_superuser,
        "ALTER ROLE {1} BYPASSRLS; or, as the table's owner: ALTER TABLE {0} DISABLE ROW LEVEL SECURITY"},
    Rule{"permission denied for schema ", k_owner, "GRANT {3} ON SCHEMA {0} TO {1}"},
    Rule{"permission denied for database ", k_owner, "GRANT CREATE ON DATABASE {0} TO {1}"},
    Rule{"permission denied for table ", k_owner, "GRANT {2} ON {0} TO {1}"},
    Rule{"permission denied for view ", k_owner, "GRANT {2} ON {0} TO {1}"},
    Rule{"permission denied for materialized view ", k_owner, "GRANT {2} ON {0} TO {1}"},
    Rule{"permission denied for foreign table ", k_owner, "GRANT {2} ON {0} TO {1}"},
    Rule{"permission denied for relation ", k_owner, "GRANT {2} ON {0} TO {1}"},
    Rule{"permission denied for sequence ", k_owner, "GRANT USAGE, SELECT ON SEQUENCE {0} TO {1}"},
    Rule{"permission denied for function ", k_owner, "GRANT EXECUTE ON FUNCTION {0} TO {1}"},
    Rule{"permission denied for procedure ", k_owner, "GRANT EXECUTE ON PROCEDURE {0} TO {1}"},
    Rule{"permission denied for type ", k_owner, "GRANT USAGE ON TYPE {0} TO {1}"},
    Rule{"permission denied for language ", k_owner, "GRANT USAGE ON LANGUAGE {0} TO {1}"},
    Rule{"permission denied for tablespace ", k_owner, "GRANT CREATE ON TABLESPACE {0} TO {1}"},
    Rule{"permission denied for foreign server ", k_owner,
         "GRANT USAGE ON FOREIGN SERVER {0} TO {1}"},
    Rule{"permission denied to create extension ", k_superuser,
         "CREATE EXTENSION IF NOT EXISTS {0}"},
    Rule{"permission denied to create role", k_superuser, "ALTER ROLE {1} CREATEROLE"},
    Rule{"permission denied to create database", k_superuser, "ALTER ROLE {1} CREATEDB"},
    Rule{"permission denied to set role ", k_superuser, "GRANT {0} TO {1}"},
    Rule{"must be able to SET ROLE ", k_superuser, "GRANT {0} TO {1}"},
    Rule{"must be member of role ", k_superuser, "GRANT {0} TO {1}"},
    Rule{"must be owner of table ", k_superuser, "ALTER TABLE {0} OWNER TO {1}"},
    Rule{"must be owner of relation ", k_superuser, "ALTER TABLE {0} OWNER TO {1}"},
    Rule{"must be owner of view ", k_superuser, "ALTER VIEW {0} OWNER TO {1}"},
    Rule{"must be owner of materialized view ", k_superuser,
         "ALTER MATERIALIZED VIEW {0} OWNER TO {1}"},
    Rule{"must be owner of sequence ", k_superuser, "ALTER SEQUENCE {0} OWNER TO {1}"},
    Rule{"must be owner of type ", k_superuser, "ALTER TYPE {0} OWNER TO {1}"},
    Rule{"must be owner of function ", k_superuser, "ALTER FUNCTION {0} OWNER TO {1}"},
    Rule{"must be owner of schema ", k_superuser, "ALTER SCHEMA {0} OWNER TO {1}"},
};

}  // namespace

std::string remedy_of_missing_right(const pg::Error& error, const std::string& statement) {
  for (const auto& [words, who, sql] : k_rules) {
    const auto name = behind(error.message, words);
    if (!name) continue;
    const bool is_to_create = lower_case(statement).starts_with("create");
    const auto object = as_in_statement(*name, statement);
    return fmt::format(
        "in database {}, as {}: {}", error.database, fmt::format(fmt::runtime(who), object),
        fmt::format(fmt::runtime(sql), object, written_name(error.role), right_on_table(statement),
                    is_to_create ? "USAGE, CREATE" : "USAGE"));
  }
  return fmt::format(
      "role {} lacks a right in database {}, which an owner or a superuser can GRANT there: psql -d "
      "{} -v role={} -f deploy/sql/run-role.sql gives all that a run needs",
      error.role, error.database, shell_word(error.database), shell_word(error.role));
}

}  // namespace schemagate
