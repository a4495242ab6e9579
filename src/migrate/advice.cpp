#include "schemagate/migrate/advice.hpp"

#include <fmt/core.h>

#include <array>

#include "schemagate/base/text.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/postgres/missing_right.hpp"

namespace schemagate {
namespace {

bool says(const pg::Error& e, std::string_view words) {
  return (e.message + '\n' + e.detail + '\n' + e.hint).find(words) != std::string::npos;
}

std::string first_quoted(const std::string& message) {
  const auto parts = split(message, '"');
  return parts.size() > 2 ? parts[1] : "";
}

// Extensions that migrations rely on most, and words of what they bring.
struct Extension {
  const char* name;
  std::string_view words;  // separated by blanks
};
constexpr std::array k_extensions = {
    Extension{"citext", "citext"},
    Extension{"vector", "vector halfvec sparsevec hnsw ivfflat"},
    Extension{"hstore", "hstore"},
    Extension{"ltree", "ltree lquery ltxtquery"},
    Extension{"postgis", "geometry geography box2d box3d"},
    Extension{
        "\"uuid-ossp\"",
        "uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5"},
    Extension{"pgcrypto",
              "gen_random_uuid gen_random_bytes gen_salt crypt digest hmac pgp_sym_encrypt"},
    Extension{"pg_trgm", "gin_trgm_ops gist_trgm_ops similarity word_similarity"},
    Extension{"btree_gin", "btree_gin"},
    Extension{"unaccent", "unaccent"},
    Extension{"tablefunc", "crosstab"},
    Extension{"cube", "cube"},
};

// "type "citext" does not exist", "function public.uuid_generate_v4() does not exist"
std::string extension_of(const std::string& message) {
  for (const auto& [name, words] : k_extensions)
    for (const auto& word : split(words, ' '))
      for (const auto& written :
           {'"' + word + '"', ' ' + word + '(', '.' + word + '(', '.' + word + '"'})
        if (message.find(written) != std::string::npos) return name;
  return {};
}

Hint missing_extension(const pg::Error& e, const std::string& file) {
  const auto name = extension_of(e.message);
  const auto make = "CREATE EXTENSION IF NOT EXISTS " + (name.empty() ? "NAME" : name);
  return fmt::format(
             "where an extension makes it, the database {} does not have that, or has it in a schema outside "
             "the search_path (psql: \\dx): {} before {}, or its schema before the name; else ",
             e.database, make, file) +
         own_command("status") + " tells whether the history claims what is not there";
}

struct Cause {
  std::string_view sqlstate;  // or its first characters; empty: any
  std::string_view words;     // in what the server says; empty: whatever it says
  const char* hint;           // {0} the file, {1} what the message has between quotes first
};

// Where neither the file nor the data is to blame, or where more can be said than "fix it".
constexpr std::array k_causes = {
    Cause{
        "53200", "max_locks_per_transaction",
        "one transaction touches more objects than the server has locks for: raise max_locks_per_transaction (needs "
        "a restart), or split {0} into migrations of fewer objects (atomic: release puts them together again)"},
    Cause{
        "53400", "",
        "raise that limit on the server (temp_file_limit: ALTER ROLE, by a superuser), or let {0} do less at a time"},
    Cause{"53100", "",
          "the server's disk is full: free what is missing, or enlarge its volume, then run again"},
    Cause{"53", "", "free what is missing on the server, then run again"},
    Cause{
        "57014", "statement timeout",
        "raise migrations.statement_timeout (or the role's own), or let {0} do less at a time; then run again"},
    Cause{
        "57014", "",
        "somebody or a timeout ended the statement: run again, or raise migrations.statement_timeout"},
    Cause{
        "25006", "",
        "the database is read-only (a standby, a failover, or the script itself): run again once it can be written to"},
    Cause{
        "", "extension control file",
        "the server does not have the files of this extension: install its package there, or choose an image or a "
        "service that has it; then run again"},
    Cause{
        "0A000", "is not available",
        "the server does not have this extension: install its package there, or choose an image or a service that has "
        "it; then run again"},
    Cause{"", "allow-listed",
          "allow the extension {1} in the settings of the server, then run again"},
    Cause{
        "", "shared_preload_libraries",
        "the server has to load it: add it to shared_preload_libraries, restart the server, then run again"},
    Cause{
        "42704", "required extension",
        "put CREATE EXTENSION IF NOT EXISTS {1} before it in {0}, or CASCADE behind it, and deploy again"},
    Cause{
        "2BP01", "some objects depend on it",
        "the role owns or may use objects (the detail names them): put REASSIGN OWNED BY {1} TO CURRENT_USER and DROP "
        "OWNED BY {1} before it in {0}; then deploy again"},
    Cause{
        "2BP01", "",
        "others depend on it (the detail names them): drop or change them before it in {0}, or write "
        "CASCADE there, which drops them too; then deploy again"},
    Cause{"0A000", "used by a view",
          "a view depends on it (the detail names it): in {0}, drop the view before it and create "
          "it again behind it; then deploy again"},
    Cause{
        "42804", "USING",
        "write in {0} how to convert what is there: ALTER COLUMN ... TYPE ... USING (expression); then deploy again"},
    Cause{
        "42804", "default for column",
        "in {0}, DROP DEFAULT before the change of type and SET DEFAULT behind it; then deploy again"},
    Cause{
        "55P04", "",
        "a new enum value can be used only after a COMMIT: put ALTER TYPE ... ADD VALUE into a migration of "
        "its own before {0} (and not atomic: release); then deploy again"},
    Cause{
        "42830", "",
        "what the foreign key refers to needs a primary key or UNIQUE first: add it in {0} and deploy again"},
    Cause{"55000", "replica identity",
          "a publication covers the table: give it a primary key, or put ALTER TABLE ... REPLICA "
          "IDENTITY FULL before it in {0}; then deploy again"},
};

bool is_about_role(const pg::Error& e) { return e.message.starts_with("role \""); }

Hint exists_already(const Migration& migration, const pg::Error& e, const std::string& file) {
  if (is_about_role(e))
    return "roles belong to the server, not to a database, and another one may have made it: let " +
           file + " create it only where it is missing, and deploy again";
  return "if a `db push` or a person made it: " +
         own_command("resolve " + shell_word(migration.name) + " --auto") + "; else fix " + file +
         " and deploy again";
}

Hint does_not_exist(const pg::Error& e, const std::string& file) {
  if (is_about_role(e))
    return fmt::format(
        "roles belong to the server, not to a database: a superuser types CREATE ROLE {}, then run again; or "
        "take the role out of {}",
        pg::quote_identifier(first_quoted(e.message)), file);
  if (e.sqlstate == "42704" || e.sqlstate == "42883") return missing_extension(e, file);
  return own_command("status") + " tells whether the history claims what is not there; else fix " +
         file + " and deploy again";
}

Hint violated(const StatementFailed& failure, const std::string& file) {
  const auto& e = failure.error;
  const auto query = failure.statement == nullptr ? "" : offending_rows(*failure.statement, e);
  const auto rows =
      query.empty() ? ""
                    : fmt::format("; the rows in the way, in database {}: {}", e.database, query);
  if (e.sqlstate == "23502")  // not_null_violation
    return "fix " + file +
           " (fill the column first, or give it a DEFAULT) and deploy again; where " + file +
           " is applied already in another environment, correct the data, then: " +
           own_command("run") + rows;
  return "correct the data, then: " + own_command("run") + "; or, where " + file +
         " is applied in no other environment: fix it and deploy again" + rows;
}

bool is_one_of(const std::string& sqlstate, std::initializer_list<std::string_view> states) {
  return std::find(states.begin(), states.end(), sqlstate) != states.end();
}

}  // namespace

// Class 53, insufficient resources.
bool lacks_resource(const pg::Error& error) {
  return error.sqlstate.starts_with("53") && error.sqlstate != "53400" &&
         !says(error, "max_locks_per_transaction");
}

Hint advice(const Migration& migration, const StatementFailed& failure) {
  const auto& e = failure.error;
  const auto file = display_path(migration);
  const auto* statement = failure.statement;
  if (e.sqlstate == "42501")
    return remedy_of_missing_right(e, statement == nullptr ? "" : statement->text) +
           "; then run again";
  for (const auto& cause : k_causes)
    if (e.sqlstate.starts_with(cause.sqlstate) && says(e, cause.words))
      return fmt::format(fmt::runtime(cause.hint), file, first_quoted(e.message));
  // 42P06 schema, 42P07 relation, 42701 column, 42710 constraint, type, ..., 42723 function
  if (is_one_of(e.sqlstate, {"42P06", "42P07", "42701", "42710", "42723"}))
    return exists_already(migration, e, file);
  // 42P01 relation, 42703 column, 3F000 schema, 42704 role, type, ..., 42883 function
  if (is_one_of(e.sqlstate, {"42P01", "42703", "3F000", "42704", "42883"}))
    return does_not_exist(e, file);
  if (e.sqlstate.starts_with("23")) return violated(failure, file);
  // 22001 string too long, 22003 number out of range, 22007 date, 22P02 text of a type
  if (is_one_of(e.sqlstate, {"22001", "22003", "22007", "22P02"}))
    return "fix " + file + ", or the data that is there: a value does not fit; then deploy again";
  if (e.sqlstate == "P0001" && !e.context.empty())
    return fmt::format(
        "a function raised this (the context names it): where it is somebody else's trigger, ask its owner to let "
        "role {} deploy, then run again; else fix {} and deploy again",
        e.role, file);
  return "fix " + file + " and deploy again";
}

}  // namespace schemagate
