// The door to PostgreSQL, against a real server.

#include <doctest/doctest.h>

#include <thread>

#include "schemagate/postgres/session.hpp"
#include "support/process.hpp"
#include "support/server.hpp"

using schemagate::pg::ConnectionLost;
using schemagate::pg::Error;
using schemagate::pg::Session;
using schemagate::pg::Transaction;
using namespace testing;

namespace {

std::string sqlstate_of(Session& session, const std::string& sql) {
  try {
    session.execute(sql);
  } catch (const Error& e) {
    return e.sqlstate;
  }
  return "no error";
}

void terminate(const TestDatabase& database, const Session& session) {
  database.execute("SELECT pg_terminate_backend(" + std::to_string(session.backend_pid()) + ")");
}

}  // namespace

TEST_CASE("a session whose backend was ended says so, again and again, and never reconnects") {
  const TestDatabase database;
  auto session = database.connect();
  session.execute("SET application_name = 'mine'");
  SUBCASE("between statements") {
    terminate(database, session);
    CHECK_THROWS_AS(session.query("SELECT 1"), ConnectionLost);
  }
  SUBCASE("during a statement") {
    std::thread terminator{[&] {
      (void)eventually([&] {
        return database.value(
                   "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
                   " AND datname = current_database()") == "1";
      });
      terminate(database, session);
    }};
    CHECK_THROWS_AS(session.query("SELECT pg_sleep(60)"), ConnectionLost);
    terminator.join();
  }
  SUBCASE("inside a transaction") {
    Transaction transaction{session};
    transaction.execute("CREATE TABLE t (x int)");
    terminate(database, session);
    CHECK_THROWS_AS(transaction.query("SELECT 1"), ConnectionLost);
  }
  CHECK_THROWS_AS(session.query("SELECT 1"), ConnectionLost);
  CHECK_THROWS_AS(session.execute("SELECT 1"), ConnectionLost);
  CHECK_THROWS_AS(Transaction{session}, ConnectionLost);
  CHECK(database.value("SELECT to_regclass('t') IS NULL") == "t");
}

TEST_CASE("a transaction that is not committed is rolled back, also after an error in it") {
  const TestDatabase database;
  auto session = database.connect();
  {
    Transaction transaction{session};
    transaction.execute("CREATE TABLE t (x int)");
    CHECK(sqlstate_of(session, "SELECT 1 / 0") == "22012");
  }
  CHECK(database.value("SELECT to_regclass('t') IS NULL") == "t");
  CHECK(session.query("SELECT 42").at(0).at(0) == "42");
}

TEST_CASE("a cancelled statement is an error, and the session goes on") {
  const TestDatabase database;
  auto session = database.connect();
  std::thread canceller{[&] {
    (void)eventually([&] {
      return database.value(
                 "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
                 " AND datname = current_database()") == "1";
    });
    session.cancel();
  }};
  CHECK(sqlstate_of(session, "SELECT pg_sleep(60)") == "57014");
  canceller.join();
  CHECK(session.query("SELECT 42").at(0).at(0) == "42");
}

TEST_CASE("several statements in one message are one transaction") {
  const TestDatabase database;
  auto session = database.connect();
  CHECK(sqlstate_of(session, "CREATE TABLE t (x int); SELECT 1 / 0") == "22012");
  CHECK(database.value("SELECT to_regclass('t') IS NULL") == "t");
}

TEST_CASE("NULL and the empty text are told apart, both ways") {
  const TestDatabase database;
  auto session = database.connect();
  const auto row =
      session.query("SELECT $1::text, $2::text, $3::text", {std::nullopt, "", "a'\\b"}).at(0);
  CHECK_FALSE(row.at(0).has_value());
  CHECK(row.at(1) == "");
  CHECK(row.at(2) == "a'\\b");
}

TEST_CASE("an error carries the server's SQLSTATE") {
  const TestDatabase database;
  auto session = database.connect();
  session.execute(
      "CREATE TABLE p (x int PRIMARY KEY, y int NOT NULL CHECK (y > 0), z int REFERENCES p)");
  session.execute("INSERT INTO p VALUES (1, 1)");
  for (const auto& [sqlstate, sql] : std::vector<std::pair<std::string, std::string>>{
           {"42P01", "SELECT * FROM nowhere"},
           {"42703", "SELECT nope"},
           {"42883", "SELECT nope()"},
           {"42P07", "CREATE TABLE p (x int)"},
           {"23505", "INSERT INTO p VALUES (1, 1)"},
           {"23502", "INSERT INTO p VALUES (2, NULL)"},
           {"23503", "INSERT INTO p VALUES (2, 1, 7)"},
           {"23514", "INSERT INTO p VALUES (2, -1)"},
           {"22012", "SELECT 1 / 0"},
           {"P0001", "DO $$ BEGIN RAISE EXCEPTION 'no'; END $$"},
           {"40001", "DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"},
           {"40P01", "DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$"},
           {"55P03", "DO $$ BEGIN RAISE SQLSTATE '55P03'; END $$"},
           {"53100", "DO $$ BEGIN RAISE SQLSTATE '53100'; END $$"},
           {"25006", "DO $$ BEGIN RAISE SQLSTATE '25006'; END $$"}}) {
    CAPTURE(sql);
    CHECK(sqlstate_of(session, sql) == sqlstate);
  }
}

// libpqxx 6.4 throws these without their code.
TEST_CASE("a syntax error and a missing privilege carry the server's SQLSTATE, too") {
  const TestDatabase database;
  auto session = database.connect();
  CHECK(sqlstate_of(session, "SELEKT 1") == "42601");
  CHECK(sqlstate_of(session, "DO $$ BEGIN RAISE SQLSTATE '42501'; END $$") == "42501");
}
