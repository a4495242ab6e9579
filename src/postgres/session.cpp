#include "schemagate/postgres/session.hpp"

// notification_receiver and errorhandler are deprecated in libpqxx 7.9+, but the only interface
// that 6.4 has; exec_params likewise the other way round.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#include <pqxx/pqxx>

#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "schemagate/base/fault.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate::pg {
namespace {

// The server ends a backend with these: admin shutdown, crash of another one, starting up.
bool ends_connection(const std::string& sqlstate) {
  return sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03";
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// libpqxx's own words for a connection that the server closed say nothing to a reader.
std::string lost_because(const std::string& text) {
  if (text.find("client encoding") != std::string::npos ||
      text.find("reactivation is inhibited") != std::string::npos)
    return "the server closed the connection (its log says why)";
  return trimmed(text);
}

template <class Type> bool is_a(const pqxx::failure& e) {
  return dynamic_cast<const Type*>(&e) != nullptr;
}

// Some of libpqxx's classes (which ones depends on its version) say by their type what it was.
std::string sqlstate_of(const pqxx::failure& e) {
  if (const auto* error = dynamic_cast<const pqxx::sql_error*>(&e);
      error != nullptr && !error->sqlstate().empty())
    return error->sqlstate();
  if (is_a<pqxx::insufficient_privilege>(e)) return "42501";
  if (is_a<pqxx::undefined_table>(e)) return "42P01";
  if (is_a<pqxx::undefined_column>(e)) return "42703";
  if (is_a<pqxx::undefined_function>(e)) return "42883";
  if (is_a<pqxx::syntax_error>(e)) return "42601";
  if (is_a<pqxx::deadlock_detected>(e)) return "40P01";
  if (is_a<pqxx::serialization_failure>(e)) return "40001";
  if (is_a<pqxx::transaction_rollback>(e)) return "40000";
  // Also what a statement reports about another server (class 08).
  if (is_a<pqxx::broken_connection>(e)) return "08000";
  return {};
}

constexpr auto k_grace = std::chrono::seconds{1};  // beyond a limit that the server keeps

// A peer may acknowledge what we send and yet never answer (a hung pooler): then the connection is
// given up.
class AnswerLimit {
 public:
  AnswerLimit(int socket, Milliseconds limit) {
    if (limit.count() == 0) return;
    thread_ = std::jthread{[socket, limit](const std::stop_token& done) {
      if (sleep(limit, done)) ::shutdown(socket, SHUT_RDWR);
    }};
  }

 private:
  std::jthread thread_;
};

template <class Work> auto translate(pqxx::connection& conn, std::string_view sql, Work&& work) {
  const auto fail = [&](const std::string& text, const std::string& sqlstate) {
    if (ends_connection(sqlstate) || !conn.is_open()) throw ConnectionLost{lost_because(text)};
    auto error = parse_error(text, sqlstate, sql);
    error.role = conn.username();
    error.database = conn.dbname();
    throw error;
  };
  try {
    return work();
  } catch (const pqxx::failure& e) {
    fail(e.what(), sqlstate_of(e));
  }
  throw std::logic_error{"unreachable"};
}

pqxx::result send(pqxx::transaction_base& tx, const std::string& sql,
                  const std::vector<Value>& values) {
  if (values.empty()) return tx.exec(sql);
#if PQXX_VERSION_MAJOR < 7
  return tx.exec_params(sql, pqxx::prepare::make_dynamic_params(values));
#else
  pqxx::params params;
  for (const auto& value : values) params.append(value);
#if PQXX_VERSION_MAJOR == 7 && PQXX_VERSION_MINOR < 9
  return tx.exec_params(sql, params);
#else
  return tx.exec(sql, params);
#endif
#endif
}

Rows to_rows(const pqxx::result& result) {
  Rows rows;
  rows.reserve(static_cast<std::size_t>(result.size()));
  for (const auto& source : result) {
    auto& row = rows.emplace_back();
    for (const auto& field : source)
      row.push_back(field.is_null() ? Value{} : Value{std::string{field.c_str(), field.size()}});
  }
  return rows;
}

class NoticeReceiver : public pqxx::errorhandler {
 public:
  explicit NoticeReceiver(pqxx::connection& conn) : pqxx::errorhandler{conn} {}
  bool operator()(const char text[]) noexcept override {
    try {
      if (handler) handler(trimmed(text));
    } catch (...) {  // a notice that cannot be shown must not end a migration
    }
    return false;  // or the default handler prints it to stderr as well
  }
  std::function<void(std::string)> handler;
};

class Listener : public pqxx::notification_receiver {
 public:
  using pqxx::notification_receiver::notification_receiver;
  void operator()(const std::string&, int) override { heard = true; }
  bool heard = false;
};

}  // namespace

std::int64_t Row::number(std::size_t column) const {
  return at(column) ? std::stoll(*at(column)) : 0;
}

struct Session::Impl {
  explicit Impl(const std::string& conninfo) : conn{conninfo}, notices{conn} {
#if PQXX_VERSION_MAJOR < 7
    conn.inhibit_reactivation(
        true);  // 6.x would reconnect silently: new pid, lost settings, no locks
#endif
  }
  void fault_point(std::string_view name, std::string_view sql = {}) const {
    if (fault::point(name, sql)) ::shutdown(conn.sock(), SHUT_RDWR);
  }

  Rows ask(Milliseconds limit, const std::string& sql, const std::vector<Value>& parameters) {
    fault_point("postgres.send", sql);
    auto rows = translate(conn, sql, [&] {
      const AnswerLimit within{conn.sock(), limit};
      // Transactions are ours to begin and end; libpqxx only carries the statements.
      pqxx::nontransaction carrier{conn};
      return to_rows(send(carrier, sql, parameters));
    });
    fault_point("postgres.answer", sql);
    return rows;
  }

  pqxx::connection conn;
  bool guarded = false;
  bool in_transaction = false;
  Milliseconds answer_limit{0};
  NoticeReceiver notices;
  std::unique_ptr<Listener> listener;
};

Session::Session(const std::string& conninfo) {
  if (fault::point("postgres.connect")) throw ConnectionLost{"cut before connecting"};
  try {
    impl_ = std::make_unique<Impl>(conninfo);
  } catch (const pqxx::failure& e) {
    throw ConnectionLost{trimmed(e.what())};
  }
  impl_->fault_point("postgres.connected");
}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;

Rows Session::query(const std::string& sql, const std::vector<Value>& parameters) {
  if (!impl_->guarded || impl_->in_transaction) return query_unguarded(sql, parameters);
  return query_unguarded(k_guard + with_values(sql, parameters));
}

Rows Session::query_aside(const std::string& sql) {
  if (!impl_->in_transaction) return query(sql);
  execute(std::string{"SAVEPOINT schemagate_aside;"} + k_guard);
  const auto take_back = [&] {
    execute("ROLLBACK TO SAVEPOINT schemagate_aside; RELEASE SAVEPOINT schemagate_aside");
  };
  try {
    auto rows = query(sql);
    take_back();
    return rows;
  } catch (const Error&) {
    take_back();
    throw;
  }
}

Rows Session::query_unguarded(const std::string& sql, const std::vector<Value>& parameters) {
  return impl_->ask(impl_->answer_limit, sql, parameters);
}

Rows Session::query_of_user(const std::string& search_path, const std::string& sql) {
  auto rows = query_unguarded(k_unguard + ("SET LOCAL search_path = " + search_path + ";" + sql));
  if (impl_->in_transaction) execute(k_guard);
  return rows;
}

void Session::guard() { impl_->guarded = true; }

Row Session::row(const std::string& sql, const std::vector<Value>& parameters) {
  return query(sql, parameters).at(0);
}

void Session::limit_answers(Milliseconds limit) { impl_->answer_limit = limit; }

void Session::execute(const std::string& sql) { query_unguarded(sql); }

void Session::cancel() noexcept {
  try {
    impl_->conn.cancel_query();
  } catch (const std::exception&) {  // the statement then ends with its connection
  }
}

int Session::backend_pid() const { return impl_->conn.backendpid(); }

int Session::server_major_version() const { return impl_->conn.server_version() / 10000; }

void Session::on_notice(std::function<void(std::string)> handler) {
  impl_->notices.handler = std::move(handler);
}

void Session::listen(const std::string& channel) {
  translate(impl_->conn, {}, [&] {
    const AnswerLimit within{impl_->conn.sock(), impl_->answer_limit};
    impl_->listener = std::make_unique<Listener>(impl_->conn, channel);
  });
}

bool Session::wait_for_notification(Milliseconds limit) {
  return translate(impl_->conn, {}, [&] {
    impl_->listener->heard = false;
    const auto ms = limit.count();
    impl_->conn.await_notification(ms / 1000, ms % 1000 * 1000);
    return impl_->listener->heard;
  });
}

Rows Session::query_within(Milliseconds limit, const std::string& sql,
                           const std::vector<Value>& parameters) {
  const auto ms = std::to_string(limit.count());
  return impl_->ask(limit + k_grace,
                    std::string{impl_->guarded ? k_guard : ""} +
                        "SET LOCAL statement_timeout = " + ms + "; SET LOCAL lock_timeout = " + ms +
                        ";" + with_values(sql, parameters),
                    {});
}

Transaction::Transaction(Session& session, const std::string& prologue, Kind kind)
    : session_{session} {
  session_.execute((kind == Kind::snapshot ? "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
                                           : "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;") +
                   prologue);
  session_.impl_->in_transaction = true;
}

Transaction::~Transaction() {
  if (!open_) return;
  session_.impl_->in_transaction = false;
  try {
    session_.execute("ROLLBACK");
  } catch (const std::exception&) {  // a dead connection rolls back by itself
  }
}

Rows Transaction::query(const std::string& sql, const std::vector<Value>& parameters) {
  return session_.query(sql, parameters);
}

void Transaction::execute(const std::string& sql) { session_.execute(sql); }

void Transaction::commit() {
  open_ = false;
  session_.impl_->in_transaction = false;
  try {
    session_.execute("COMMIT");
  } catch (const ConnectionLost& e) {
    throw CommitInDoubt{e.what()};
  }
}

std::string quote_identifier(std::string_view name) {
  std::string quoted{'"'};
  for (const char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string with_values(const std::string& sql, const std::vector<Value>& values) {
  std::string text;
  char quote = 0;  // a quoted name may hold a $1 of its own
  for (std::size_t i = 0; i < sql.size(); ++i) {
    if (sql[i] == quote) quote = 0;
    else if (quote == 0 && (sql[i] == '"' || sql[i] == '\'')) quote = sql[i];
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(sql.data() + i + 1, sql.data() + sql.size(), number);
    if (quote != 0 || sql[i] != '$' || error != std::errc{}) {
      text += sql[i];
      continue;
    }
    if (values.empty()) return sql;
    const auto& value = values.at(number - 1);
    text += value ? quote_literal(*value) : "NULL";
    i = static_cast<std::size_t>(end - sql.data()) - 1;
  }
  return text;
}

std::string quote_literal(std::string_view text) {
  std::string quoted{text.find('\\') == std::string_view::npos ? "'" : "E'"};
  for (const char c : text) quoted.append(c == '\'' || c == '\\' ? 2 : 1, c);
  return quoted + '\'';
}

std::string array_of(const std::vector<std::string>& texts) {
  std::vector<std::string> elements;
  for (const auto& text : texts) {
    std::string element;
    for (const char c : text) element.append(c == '"' || c == '\\' ? "\\" : "").append(1, c);
    elements.push_back('"' + element + '"');
  }
  return "{" + join(elements, ",") + "}";
}

}  // namespace schemagate::pg
