#include "schemagate/bookkeeping.hpp"

#include <fmt/core.h>

#include "schemagate/error.hpp"
#include "schemagate/statements.hpp"

namespace schemagate {

Bookkeeping::Bookkeeping(const std::string& schema)
    : name_{schema}, schema_{pg::quote_identifier(schema) + "."} {}

std::string Bookkeeping::sql(const char* statement) const {
  constexpr std::string_view k_default = "schemagate.";
  std::string text{statement};
  for (auto at = text.find(k_default); at != std::string::npos;
       at = text.find(k_default, at + schema_.size()))
    text.replace(at, k_default.size(), schema_);
  return text;
}

bool Bookkeeping::exists(pg::Session& session) const {
  // Not to_regclass: its cache may miss what another runner committed while we waited for the lock.
  return !session
              .query("SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                     "WHERE n.nspname = $1 AND c.relname = 'version'",
                     {name_})
              .empty();
}

void Bookkeeping::create_if_missing(pg::Session& session) const {
  try {
    if (!exists(session)) create(session);
    const auto rows = session.query(sql(statements::k_read_version));
    const int version = std::stoi(rows.at(0).at(0).value_or("0"));
    if (version > statements::k_tables_version) {
      throw Failure{
          ExitCode::refused,
          fmt::format(
              "the tables in schema {} are of version {}, written by a newer schemagate; this "
              "one knows version {}",
              name_, version, statements::k_tables_version),
          "use the newer schemagate for this deploy too"};
    }
  } catch (const pg::Error& e) {
    if (e.sqlstate == "42P07" || e.sqlstate == "42P01" || e.sqlstate == "42703") {
      throw Failure{ExitCode::refused,
                    fmt::format("the schema {} holds something else than schemagate's tables: {}",
                                name_, e.message),
                    "choose another one: database.bookkeeping_schema"};
    }
    if (e.sqlstate != "42501") throw;
    throw Failure{
        ExitCode::refused,
        fmt::format("the role may not use or create schemagate's own tables: {}", e.message),
        fmt::format("GRANT CREATE ON DATABASE to the role, or create the schema for it: "
                    "CREATE SCHEMA {} AUTHORIZATION <role>",
                    name_)};
  }
}

// One message and one implicit transaction: a runner that is paused here holds nobody up.
void Bookkeeping::create(pg::Session& session) const {
  // IF NOT EXISTS asks for CREATE on the database even where the schema is there.
  const auto schema = session.query("SELECT 1 FROM pg_namespace WHERE nspname = $1", {name_});
  std::string text = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;"
                     "SET LOCAL lock_timeout = '30s';";
  text += sql(statements::k_lock_tables) + ";";
  if (schema.empty()) text += "CREATE SCHEMA IF NOT EXISTS " + pg::quote_identifier(name_) + ";";
  try {
    session.execute(text + sql(statements::k_create_tables));
  } catch (const pg::Error&) {
    if (!exists(session)) throw;  // else another runner was first
  }
}

}  // namespace schemagate
