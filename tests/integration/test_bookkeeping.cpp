// Our own tables come into being once, however many runners begin at the same moment.

#include <doctest/doctest.h>

#include <barrier>
#include <thread>

#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/statements.hpp"
#include "schemagate/lease/tables.hpp"
#include "support/process.hpp"
#include "support/server.hpp"
#include "support/text.hpp"

using schemagate::Bookkeeping;
using namespace testing;

namespace {

// So many runners at once.
void check_all_succeed(const TestDatabase& database, int count) {
  std::barrier together{count};
  std::vector<std::string> errors(static_cast<std::size_t>(count));
  std::vector<std::thread> runners;
  for (auto& error : errors) {
    runners.emplace_back([&] {
      auto session = database.connect();
      const Bookkeeping bookkeeping{"schemagate"};
      together.arrive_and_wait();
      try {
        bookkeeping.create_if_missing(session);
        if (!bookkeeping.exists(session)) error = "not there";
      } catch (const std::exception& e) {
        error = e.what();
      }
    });
  }
  for (auto& runner : runners) runner.join();
  for (const auto& error : errors) CHECK(error == "");
}

}  // namespace

TEST_CASE("ten runners create the tables at once, and each finds them") {
  for (int round = 0; round < 5; ++round) {
    const TestDatabase database;
    check_all_succeed(database, 10);
    CHECK(database.value("SELECT count(*) FROM schemagate.version") == "1");
  }
}

TEST_CASE("ten runners make again at once what was dropped, as it was") {
  constexpr const char* k_columns =
      "SELECT string_agg(concat_ws(' ', table_name, ordinal_position, column_name, data_type, is_nullable, "
      "column_default, is_identity), E'\\n' ORDER BY table_name, ordinal_position) "
      "FROM information_schema.columns WHERE table_schema = 'schemagate'";
  constexpr const char* k_constraints =
      "SELECT string_agg(concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)), E'\\n' "
      "ORDER BY conname) FROM pg_constraint WHERE connamespace = 'schemagate'::regnamespace";
  const TestDatabase database;
  check_all_succeed(database, 1);
  const auto columns = database.value(k_columns);
  const auto constraints = database.value(k_constraints);
  for (const auto* dropped : {"lock", "run, schemagate.step", "marker", "version"}) {
    CAPTURE(dropped);
    database.execute(std::string{"DROP TABLE schemagate."} + dropped);
    check_all_succeed(database, 10);
    CHECK(database.value(k_columns) == columns);
    CHECK(database.value(k_constraints) == constraints);
  }
}

// to_regclass answers from a cache that is as old as the transaction: whoever waited for the lock
// looks, sees nothing, and creates the tables a second time (42P07). Here that is certain.
TEST_CASE("a runner that waited for another one's creation finds the tables") {
  const TestDatabase database;
  const Bookkeeping bookkeeping{"schemagate"};
  auto first = database.connect();
  std::string error;
  bool waited = false;
  std::thread second;
  {
    schemagate::pg::Transaction creating{first};
    creating.execute("CREATE SCHEMA schemagate");
    second = std::thread{[&] {
      try {
        auto session = database.connect();
        bookkeeping.create_if_missing(session);
      } catch (const std::exception& e) {
        error = e.what();
      }
    }};
    waited = testing::eventually([&] {
      return database.value(
                 "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND"
                 " wait_event = 'transactionid'") == "1";
    });
    creating.execute(bookkeeping.sql(schemagate::statements::k_create_tables));
    creating.commit();
  }
  second.join();
  REQUIRE(waited);
  CHECK(error == "");
}

TEST_CASE(
    "our tables live in the schema that was asked for, also one made beforehand by somebody else") {
  const TestDatabase database;
  auto session = database.connect();
  const Bookkeeping bookkeeping{"Deploy \"x\""};
  CHECK_FALSE(bookkeeping.exists(session));
  session.execute("CREATE SCHEMA \"Deploy \"\"x\"\"\"");
  CHECK_FALSE(bookkeeping.exists(session));
  bookkeeping.create_if_missing(session);
  bookkeeping.create_if_missing(session);
  CHECK(bookkeeping.exists(session));
  CHECK(database.value("SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables"
                       " WHERE schemaname = 'Deploy \"x\"'") ==
        "lock marker run snapshot step version");
}

TEST_CASE("tables that a newer schemagate made are refused") {
  const TestDatabase database;
  auto session = database.connect();
  const Bookkeeping bookkeeping{"schemagate"};
  bookkeeping.create_if_missing(session);
  session.execute("UPDATE schemagate.version SET version = 99");
  try {
    bookkeeping.create_if_missing(session);
    FAIL("accepted");
  } catch (const schemagate::Failure& failure) {
    CHECK(failure.code() == schemagate::ExitCode::refused);
    CHECK(failure.what() == contains("version 99"));
  }
}

TEST_CASE("tables of version 1 are brought up to date once, by whichever runner comes first") {
  const TestDatabase database;
  const Bookkeeping bookkeeping{"schemagate"};
  database.execute(
      "CREATE SCHEMA schemagate;" + bookkeeping.sql(schemagate::statements::k_create_tables) +
      "INSERT INTO schemagate.run (app, release, fence, mode, digest, tool_version, host)"
      " VALUES ('a', 'r', 1, 'prisma', 'd', '0.1', 'h')");
  check_all_succeed(database, 4);
  CHECK(database.value("SELECT version FROM schemagate.version") ==
        std::to_string(schemagate::statements::k_tables_version));
  CHECK(database.value("SELECT count(*) FROM schemagate.run WHERE note IS NULL") == "1");
}

TEST_CASE("older tables of another role are refused with the way out") {
  const TestDatabase database;
  const Bookkeeping bookkeeping{"schemagate"};
  database.execute(
      "CREATE SCHEMA schemagate;" + bookkeeping.sql(schemagate::statements::k_create_tables) +
      "CREATE ROLE sg_upgrade_reader_" + database.name() +
      " LOGIN;"
      "GRANT USAGE ON SCHEMA schemagate TO sg_upgrade_reader_" +
      database.name() + "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate TO sg_upgrade_reader_" +
      database.name());
  schemagate::pg::Session session{database.url_as("sg_upgrade_reader_" + database.name())};
  try {
    bookkeeping.create_if_missing(session);
    FAIL("it was not refused");
  } catch (const schemagate::Failure& failure) {
    CHECK(failure.code() == schemagate::ExitCode::refused);
    CHECK(failure.hint() == "run once as the role that owns them");
  }
  session = schemagate::pg::Session{database.url()};
  database.execute("DROP OWNED BY sg_upgrade_reader_" + database.name() +
                   "; DROP ROLE sg_upgrade_reader_" + database.name());
}

TEST_CASE("a marker of version 2 is of the only history of its kind, or else nobody's") {
  struct Row {
    std::string locks;  // what was ever worked on
    std::string mode;   // of the run that wrote the marker
    std::string scope;
  };
  for (const auto& [locks, mode, scope] : {
           Row{"prisma:public", "prisma", "prisma:public"},
           Row{"prisma:shop|app:other|django:public", "prisma", "prisma:shop"},
           Row{"prisma:shop|app:other|django:public", "django", "django:public"},
           Row{"prisma:tenant_a|prisma:tenant_b", "prisma", ""},
           Row{"named by the manifest", "prisma", ""},
           Row{"app:shop", "command", ""},
       }) {
    CAPTURE(locks);
    CAPTURE(mode);
    const TestDatabase database;
    const Bookkeeping bookkeeping{"schemagate"};
    std::string sql = "CREATE SCHEMA schemagate;" +
                      bookkeeping.sql(schemagate::statements::k_create_tables) +
                      bookkeeping.sql(schemagate::statements::k_upgrades.front());
    for (const auto& lock : schemagate::split(locks, '|'))
      sql += "INSERT INTO schemagate.lock VALUES ('" + lock +
             "', 'h', 1, 'shop', 'r', 'h', now(), now(), '-infinity');";
    database.execute(
        sql +
        "INSERT INTO schemagate.run (app, release, fence, mode, digest, tool_version, host)"
        " VALUES ('shop', 'r', 1, '" +
        mode +
        "', 'd', '0.2', 'h');"
        "INSERT INTO schemagate.marker (app, release, status, digest, run_id, completed_at)"
        " VALUES ('shop', 'r', 'complete', 'd', 1, '2026-01-02 03:04:05Z')");
    auto session = database.connect();
    bookkeeping.create_if_missing(session);
    CHECK(database.value("SELECT scope FROM schemagate.marker") == scope);
    CHECK(database.value("SELECT scope FROM schemagate.run") == scope);
    CHECK(database.value(
              "SELECT status || ' ' || (changed_at = completed_at) FROM schemagate.marker") ==
          "complete true");
  }
}

TEST_CASE("tables of any version are brought up to date where a publication has all tables") {
  for (std::size_t version = 1; version <= schemagate::statements::k_upgrades.size(); ++version) {
    CAPTURE(version);
    const TestDatabase database;
    const Bookkeeping bookkeeping{"schemagate"};
    std::string sql =
        "CREATE SCHEMA schemagate;" + bookkeeping.sql(schemagate::statements::k_create_tables);
    for (std::size_t step = 1; step < version; ++step)
      sql += bookkeeping.sql(schemagate::statements::k_upgrades.at(step - 1));
    // As version 1 was made: without a key.
    database.execute(sql +
                     "ALTER TABLE schemagate.version DROP CONSTRAINT version_pkey,"
                     " REPLICA IDENTITY DEFAULT; CREATE PUBLICATION all_tables FOR ALL TABLES");
    auto session = database.connect();
    bookkeeping.create_if_missing(session);
    CHECK(bookkeeping.is_current(session));
  }
}
