#pragma once
// The only door to PostgreSQL: no other file knows which client library is behind it (libpqxx 6.4
// and 7.x; the differences are in session.cpp). A Session never reconnects by itself: a new
// backend would have lost its settings and locks without telling. One thread at a time per Session,
// except for cancel(), which any thread may call.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "schemagate/base/wait.hpp"

namespace schemagate::pg {

using Value = std::optional<std::string>;  // SQL text or NULL

// One row of an answer. The getters know how libpq writes a value; NULL is empty, false, 0.
struct Row : std::vector<Value> {
  using std::vector<Value>::vector;
  [[nodiscard]] std::string text(std::size_t column) const { return at(column).value_or(""); }
  [[nodiscard]] bool flag(std::size_t column) const { return at(column) == "t"; }
  [[nodiscard]] std::int64_t number(std::size_t column) const;
};
using Rows = std::vector<Row>;

struct Position {  // 1-based, in the SQL text that was sent
  int line = 1;
  int column = 1;
};

// The server answered: no. The transaction is aborted, the session usable.
struct Error : std::runtime_error {
  Error(const std::string& text, std::string state)
      : std::runtime_error{text}, sqlstate{std::move(state)} {}

  std::string sqlstate;
  std::string message;  // first line, without severity
  std::string detail;
  std::string hint;
  std::string context;  // where inside a function it happened
  std::optional<Position> position;
  std::string role;  // that logged in, and where: for hints
  std::string database;
};

// The connection is gone; a transaction whose COMMIT was not sent is rolled back by the server.
struct ConnectionLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The connection went away while COMMIT was under way: read back whether it happened.
struct CommitInDoubt : ConnectionLost {
  using ConnectionLost::ConnectionLost;
};

// For as long as the transaction lasts: names mean PostgreSQL's own objects, whatever others
// planted along the session's search_path, and a policy that hides rows is an error (PostgreSQL
// manual 5.8).
inline constexpr const char* k_guard =
    "SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL row_security = off;";

// Back to what the session began with.
inline constexpr const char* k_unguard =
    "SET LOCAL search_path TO DEFAULT; SET LOCAL row_security TO DEFAULT;";

class Session {
 public:
  // Connects; throws ConnectionLost with the server's or libpq's reason. `conninfo` is a libpq
  // key=value string.
  explicit Session(const std::string& conninfo);
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  // One statement with $n parameters; autocommitted unless a Transaction is open on this session.
  Rows query(const std::string& sql, const std::vector<Value>& parameters = {});
  // After guard() each of these outside a Transaction is one message that begins with k_guard.
  // The same, for what answers with one row: that row.
  Row row(const std::string& sql, const std::vector<Value>& parameters = {});
  // The same as query(), but the server ends it after `limit`, waiting for locks included (57014 or
  // 55P03); where it does not answer even then, the connection is lost. One message, so that a
  // client that is paused half-way leaves nothing open. Not inside a Transaction.
  Rows query_within(Milliseconds limit, const std::string& sql,
                    const std::vector<Value>& parameters = {});
  // The same as query(), but inside a Transaction it is guarded, too, and neither its failure nor
  // the locks that it takes are the transaction's: all is taken back once it has answered.
  Rows query_aside(const std::string& sql);
  // One message of the simple protocol: several statements without parameters are one implicit
  // transaction; a statement that refuses transactions must be alone.
  // Never guarded.
  void execute(const std::string& sql);
  // One statement that is to find what a script of this session would find.
  Rows query_unguarded(const std::string& sql, const std::vector<Value>& parameters = {});
  // A user's own query, by this search_path and under the policies of the tables; in a Transaction
  // it is guarded again afterwards.
  Rows query_of_user(const std::string& search_path, const std::string& sql);

  // For sessions of our own: from now on what we ask is guarded.
  void guard();

  // From now on the connection is lost when an answer takes longer. 0: no limit, as at first.
  void limit_answers(Milliseconds limit);

  void cancel() noexcept;  // asks the server to cancel the running statement
  [[nodiscard]] int backend_pid() const;
  [[nodiscard]] int server_major_version() const;

  // NOTICE, WARNING and the like ("NOTICE:  text"), delivered on the thread that runs the
  // statement.
  void on_notice(std::function<void(std::string)> handler);

  void listen(const std::string& channel);
  // True when a notification arrived in time, on any channel listened to.
  [[nodiscard]] bool wait_for_notification(Milliseconds limit);

 private:
  friend class Transaction;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// BEGIN at construction, ROLLBACK at destruction unless commit() was called. The session's query()
// and execute() work inside it; nothing is guarded but by the prologue.
class Transaction {
 public:
  // read_write: READ COMMITTED, whatever the role's default is. snapshot: all of one moment, READ
  // ONLY, so that a standby begins it.
  enum class Kind { read_write, snapshot };
  // `prologue`: statements sent in the same message as BEGIN.
  explicit Transaction(Session& session, const std::string& prologue = {},
                       Kind kind = Kind::read_write);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  Rows query(const std::string& sql, const std::vector<Value>& parameters = {});
  void execute(const std::string& sql);
  void commit();  // may throw CommitInDoubt

 private:
  Session& session_;
  bool open_ = true;
};

[[nodiscard]] std::string quote_identifier(std::string_view name);
[[nodiscard]] std::string quote_literal(std::string_view text);
// As PostgreSQL reads an array of texts.
[[nodiscard]] std::string array_of(const std::vector<std::string>& texts);

// The statement with its $n replaced by literals: for messages of several statements.
[[nodiscard]] std::string with_values(const std::string& sql, const std::vector<Value>& values);

// Fills the fields of an Error from libpq's default error text and finds the position that its
// `LINE n:` excerpt points at in `sql`. Exposed for tests.
[[nodiscard]] Error parse_error(const std::string& text, std::string sqlstate,
                                std::string_view sql);

}  // namespace schemagate::pg
