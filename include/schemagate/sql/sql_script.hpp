#pragma once
// Reads an SQL script into statements that know what they mean for transactions (libpg_query, the
// PostgreSQL 15 grammar). Pure. What that grammar does not know (newer
// syntax, or a mistake) stays one opaque statement and is left for the server to judge; only its
// first words are looked at then.
// Which statements refuse transaction blocks: PreventInTransactionBlock in PostgreSQL's utility.c.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace schemagate {

struct Statement {
  enum class Kind {
    ordinary,     // can be part of a transaction
    alone,        // refuses transaction blocks; `what` says why
    begin,        // BEGIN, START TRANSACTION; `options` holds isolation level and the like
    commit,       // COMMIT, END
    rollback,     // ROLLBACK, ABORT (not ROLLBACK TO)
    setting,      // SET, RESET for the session: later statements of the script rely on it
    unsupported,  // cannot work in a migration file; `what` says why
  };
  // An index that a CONCURRENTLY statement creates, drops or rebuilds.
  struct Index {
    enum class Action { create, drop, rebuild } action;
    std::string schema;  // empty: by search_path
    std::string name;    // empty: PostgreSQL chooses
    std::string table;   // only for create; with `schema`
  };

  // What to do about a statement that stands alone and was interrupted before its end was recorded.
  enum class Rerun {
    repeat,    // doing it twice is as good as once (VACUUM)
    existing,  // do it again; "exists already" or "does not exist" means it was done (CREATE
               // DATABASE)
    unknown,   // nobody can tell how far it came (a DO block with its own COMMIT)
  };

  // Where one can see afterwards that it was executed.
  enum class Trace {
    catalogue,  // in the database's catalogues, if anywhere: executed again, it fails or is the
                // same
    data,       // in rows, or wherever a function leaves it: executed again, it is done twice
    nothing,    // nowhere, and executed again it does no harm
    outside,    // beyond the database: roles, databases, files, other servers
  };

  Kind kind = Kind::ordinary;
  Trace trace = Trace::data;
  Rerun rerun = Rerun::repeat;  // indexes are judged by the catalogue instead
  std::string text;             // without surrounding blanks, comments and semicolon
  int line = 1;                 // 1-based, of the first character in the file
  int column = 1;               // in characters
  std::string what;
  std::string options;
  std::optional<Index> index;
  bool ends_at_commit = false;       // SET LOCAL, ON COMMIT DROP, ...: gone after the next COMMIT
  bool needs_commit_before = false;  // which only the server can tell
};

// `sql` must be valid UTF-8; a byte order mark is skipped, as psql does.
[[nodiscard]] std::vector<Statement> parse_script(std::string_view sql);

// The statement's text without comments: for finding characters that matter.
[[nodiscard]] std::string without_comments(const std::string& sql);

// A name as PostgreSQL's quote_ident writes it: in quotes only where it needs them.
[[nodiscard]] std::string written_name(const std::string& name);

// With … in the place of each constant. A text that is no SQL ends with its first quote or digit.
[[nodiscard]] std::string without_constants(const std::string& sql);

}  // namespace schemagate
