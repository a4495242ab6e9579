#include <doctest/doctest.h>

#include <csignal>
#include <memory>
#include <set>

#include "support/gate_project.hpp"
#include "support/pgbouncer.hpp"

using namespace testing;
namespace pg = schemagate::pg;

namespace {

const std::string k_first = "20240101000000_first";
const std::string k_second = "20240102000000_second";

constexpr const char* k_settings = R"sql(
SELECT pg_backend_pid(), current_setting('search_path'), current_setting('lock_timeout'),
       current_setting('statement_timeout'), current_setting('role'), session_user, current_user,
       current_setting('application_name'), current_setting('client_encoding'),
       current_setting('standard_conforming_strings'), current_setting('default_transaction_isolation'),
       current_setting('client_connection_check_interval', true))sql";

// Every backend of the pool, seen through the pool: one open transaction each.
std::vector<std::string> settings_of_all_backends(const PgBouncer& pooler,
                                                  const TestDatabase& database) {
  std::vector<pg::Session> sessions;
  std::vector<std::unique_ptr<pg::Transaction>> transactions;
  for (int i = 0; i < pooler.pool_size(); ++i)
    sessions.emplace_back(pooler.url(database) + "?application_name=probe");
  std::set<std::string> pids;
  std::vector<std::string> all;
  for (auto& session : sessions) {
    transactions.push_back(std::make_unique<pg::Transaction>(session));
    const auto row = session.query(k_settings).at(0);
    pids.insert(row.at(0).value_or(""));
    std::string settings;
    for (std::size_t i = 1; i < row.size(); ++i) settings += row[i].value_or("NULL") + "|";
    all.push_back(settings);
  }
  REQUIRE(static_cast<int>(pids.size()) == pooler.pool_size());
  return all;
}

// What is left on the server after a run: nothing but idle pooled backends as they were.

std::set<std::string> backends(const TestDatabase& database) {
  const auto pids =
      database.column("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND "
                      "pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1");
  return {pids.begin(), pids.end()};
}

// The server takes a moment to see that a connection was closed.
void check_nothing_is_left(const PgBouncer& pooler, const TestDatabase& database,
                           const std::vector<std::string>& before) {
  CHECK(settings_of_all_backends(pooler, database) == before);
  const auto there_is_none = [&](const std::string& what) {
    return eventually([&] { return database.value("SELECT count(*) FROM " + what) == "0"; });
  };
  CHECK(there_is_none("pg_locks WHERE locktype = 'advisory' AND database = "
                      "(SELECT oid FROM pg_database WHERE datname = current_database())"));
  CHECK(there_is_none("pg_stat_activity WHERE datname = current_database() AND "
                      "application_name LIKE 'schemagate:%'"));
  CHECK(there_is_none("pg_stat_activity WHERE datname = current_database() AND "
                      "state LIKE 'idle in transaction%'"));
}

std::string example() {
  return std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/example/schemagate.yaml";
}

// Scripts that leave session settings behind wherever nobody cleans up.
void leaky(GateProject& project) {
  project.migration(
      k_first,
      "SET search_path = pg_catalog;\nSET lock_timeout = '7s';\nSET statement_timeout = '99s';\n"
      "SET default_transaction_isolation = 'serializable';\nSET application_name = 'leaked';\n"
      "CREATE TABLE public.users (id integer);");
  project.migration(k_second, "SET ROLE pg_monitor; RESET ROLE; SET ROLE pg_read_all_stats;");
}

}  // namespace

TEST_SUITE_BEGIN("pooler");

TEST_CASE("a run with a pooled url and a direct one works on the direct one") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  const auto pooled = backends(project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  const auto manifest =
      project.files
          .write("example.yaml",
                 "version: 1\napp: shop\ndatabase: {url: \"${DATABASE_URL}\", direct_url: \"" +
                     project.database.url() +
                     "\"}\n"
                     "migrations: {directory: " +
                     std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/example/prisma/migrations}\n")
          .string();
  const auto result = testing::schemagate({"run", "-f", manifest}, project.options());
  CHECK(result == exits(0));
  CHECK(project.database.value(
            "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL") == "14");
  CHECK(testing::schemagate({"gate", "-f", manifest, "--once"}, project.options()) == exits(0));
  CHECK(result.err != contains("through a pooler"));
  check_nothing_is_left(pooler, project.database, before);
  CHECK(eventually([&] { return backends(project.database) == pooled; }));
}

TEST_CASE("through a pooler alone CONCURRENTLY is refused with a hint before anything is applied") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  CHECK(testing::schemagate({"run", "-f", example()}, project.options()) ==
        exits(24, "cannot be fenced through a pooler", "set database.direct_url"));
  CHECK(project.database.value("SELECT to_regclass('users')") == "NULL");
  CHECK(project.database.value("SELECT to_regclass('_prisma_migrations')") == "NULL");
  CHECK(testing::schemagate({"gate", "-f", example()}, project.options()) == exits(31));
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE(
    "a folder without CONCURRENTLY works through a pooler and leaves nothing set on its backends") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  leaky(project);
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  CHECK(project.run() == exits(0, "Prisma's own lock cannot be held"));
  CHECK(project.database.value("SELECT to_regclass('public.users')") == "users");
  check_nothing_is_left(pooler, project.database, before);
  CHECK(project.look() == 0);
  CHECK(project.run() == exits(0, "nothing to do"));
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE("a failed run through a pooler leaves nothing set on its backends") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  leaky(project);
  project.migration("20240103000000_third",
                    "SET search_path = nowhere; SET lock_timeout = '3s';\nSELECT nonsense;");
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  CHECK(project.run() == exits(21));
  CHECK(project.marker("status") == "failed");
  CHECK(project.look() == 31);
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE("the same is true of atomic release and of schema in the url") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer); SET lock_timeout = '3s';");
  project.migration(k_second, "ALTER TABLE users ADD COLUMN name text;")
      .set("migrations.atomic", "release");
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] =
      pooler.url(project.database) + "?pgbouncer=true&schema=shop&connection_limit=1";
  CHECK(project.run() == exits(0));
  CHECK(project.database.value("SELECT to_regclass('shop.users')") == "shop.users");
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE("a waiting gate works through a pooler and holds none of its backends") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);").set("gate.poll", "200ms");
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  std::vector<Process> gates;
  for (int i = 0; i < 10; ++i) gates.push_back(project.start_gate());  // five times the pool
  for (auto& gate : gates) REQUIRE(gate.says("gate closed"));
  CHECK(project.run() == exits(0));
  for (auto& gate : gates) CHECK(gate.wait() == exits(0));
  CHECK(project.database.value("SELECT count(*) FROM pg_listening_channels()") == "0");
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE("two runs at once through a pooler apply everything once") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  REQUIRE(project.set("release", "r0").run() == exits(0));  // our tables are there
  project.set("release", "r1");
  for (int i = 1; i <= 9; ++i) {
    const auto table = "t" + std::to_string(i);
    project.migration("2024020" + std::to_string(i) + "000000_" + table,
                      "CREATE TABLE " + table + " (id integer); SELECT pg_sleep(0.05);");
  }
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  auto first = project.start_run();
  auto second = project.start_run();
  const auto one = first.wait();
  const auto two = second.wait();
  CHECK(one == exits(0));
  CHECK(two == exits(0));
  CHECK(project.database.value(
            "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL") == "10");
  CHECK(project.database.value("SELECT count(*) FROM _prisma_migrations") == "10");
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE("a long run through a pooler renews its lease and ends normally") {
  if (!PgBouncer::is_there()) return;
  const PgBouncer pooler;
  // A machine that stands still for a third of it is too slow for a lease.
  for (const int ttl : {3, 9, 30}) {
    GateProject project;
    project.migration(k_first, "SELECT pg_sleep(" + std::to_string(ttl + 2) + ");")
        .set("lease.ttl", std::to_string(ttl) + "s");
    const auto before = settings_of_all_backends(pooler, project.database);
    project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
    const auto result = project.run();
    const bool is_renewed =
        result.exit_code != 12 && result.err != contains("could not be renewed");
    if (!is_renewed && ttl < 30) continue;
    CHECK(result == exits(0));
    CHECK(is_renewed);
    check_nothing_is_left(pooler, project.database, before);
    break;
  }
}

TEST_CASE("with lease.unfenced allow CONCURRENTLY works through a pooler and leaves nothing set") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);");
  project.migration(k_second, "CREATE INDEX CONCURRENTLY users_id ON users (id);");
  project.set("lease.unfenced", "allow");
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  CHECK(project.run() == exits(0));
  CHECK(project.database.value(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_id'::regclass") == "t");
  check_nothing_is_left(pooler, project.database, before);
}

TEST_CASE("SIGTERM to a run through a pooler leaves no open transaction on its backends") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  project.migration(k_first, "SET search_path = nowhere; SELECT pg_sleep(600);");
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
  auto process = project.start_run();
  REQUIRE(project.database.is_running("%pg_sleep(600)"));
  const auto result = process.terminate();
  CHECK(result == exits(128 + SIGTERM));
  CHECK(result.err != contains(k_last_resort));
  check_nothing_is_left(pooler, project.database, before);
}

// Nothing in the string says that there is a pooler: no ?pgbouncer=true, an ordinary host and port.
TEST_CASE("a pooler that nobody told us of is left clean all the same") {
  if (!PgBouncer::is_there()) return;
  GateProject project;
  leaky(project);
  const PgBouncer pooler;
  const auto before = settings_of_all_backends(pooler, project.database);
  project.environment["DATABASE_URL"] = pooler.url(project.database);
  CHECK(project.run() == exits(0));
  check_nothing_is_left(pooler, project.database, before);
}

TEST_SUITE_END();
