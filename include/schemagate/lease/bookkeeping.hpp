#pragma once
// Our own tables: which schema they are in, and how they come into being.

#include <optional>
#include <string>

#include "schemagate/postgres/session.hpp"

namespace schemagate {

// A table as it is called, not as it is written in SQL.
struct TableName {
  std::string schema;
  std::string name;

  [[nodiscard]] std::string quoted() const {
    return pg::quote_identifier(schema) + "." + pg::quote_identifier(name);
  }
};

class Bookkeeping {
 public:
  explicit Bookkeeping(const std::string& schema);

  // A text of statements.hpp with "schemagate." replaced by the configured schema.
  [[nodiscard]] std::string sql(const char* statement) const;

  [[nodiscard]] const std::string& schema_name() const { return name_; }

  // One look, changes nothing: false where the tables do not exist yet.
  [[nodiscard]] bool exists(pg::Session& session) const;
  // Whether the table exists and this role may read it.
  [[nodiscard]] bool may_read(pg::Session& session, const std::string& table) const;
  // Throws Failure (refused) where what our tables or `history` say cannot be believed, and before
  // any of it is read: one of them is no ordinary table, bears somebody's trigger or rule, hides
  // rows from this role by a policy, or belongs to somebody else, as our schema might. To work: to
  // a role that is neither ours (we are a member of it, and not only as a superuser is of all), nor
  // the database's owner, nor a superuser. To read, where nobody can tell whose it should be: that,
  // nor one who may write the history or, where there is none, create in its schema; and
  // then its columns are of PostgreSQL's own types. `worker`: as it is to that role, or to this
  // one.
  enum class Trust { to_work, to_read };
  void refuse_untrusted(pg::Session& session, const std::optional<TableName>& history, Trust trust,
                        const std::string& worker = {}) const;
  // Whether the tables are those of this version, or their markers say whose they are (version 3).
  // Ask for no right to read them.
  [[nodiscard]] bool is_current(pg::Session& session) const;
  [[nodiscard]] bool has_scopes(pg::Session& session) const;
  // Creates the tables if they do not exist, brings older ones up to date, and makes again what
  // somebody has dropped of them; any number of runners may do so at once. Nobody else may write
  // them, whatever default privileges say. Throws what refuse_untrusted() throws, and Failure
  // (refused) when a newer schemagate made them or the role may not create them.
  void create_if_missing(pg::Session& session) const;
  // Throws Failure (refused), with the GRANT, when the role lacks a right on one of our tables or
  // on `history`, a table that it is to write; better now than between two migrations. Where that
  // does not exist yet, the right to create it. Throws pg::Error where somebody's publication lets
  // one of them not be updated.
  void check_rights(pg::Session& session, const std::optional<TableName>& history) const;

 private:
  void create(pg::Session& session) const;
  void make_missing_again(pg::Session& session) const;
  [[nodiscard]] std::string create_sql() const;
  [[nodiscard]] std::string keep_from_others_sql(pg::Session& session,
                                                 const std::string& table) const;
  void upgrade(pg::Session& session, int version) const;
  [[nodiscard]] int version_by_columns(pg::Session& session) const;
  [[nodiscard]] std::string owner_sql(pg::Session& session, const std::string& table) const;
  [[nodiscard]] int read_version(pg::Session& session) const;

  std::string name_;
  std::string schema_;  // quoted where necessary
};

}  // namespace schemagate
