#pragma once
// A release whose only way to the database is PgBouncer, neighbours that keep the pool busy, and
// everything that a run could leave behind on a pooled backend.

#include <doctest/doctest.h>

#include <csignal>
#include <memory>
#include <mutex>
#include <set>
#include <thread>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/lease.hpp"
#include "support/pgbouncer.hpp"

namespace testing {

namespace pg = schemagate::pg;

// What is set, prepared, listened to, locked or temporary in one backend. Of the settings that
// PgBouncer itself keeps for each client the values count, of all others that they were set at all.
constexpr const char* k_session_state = R"sql(
SELECT (SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') FROM pg_settings
         WHERE (source = 'session' AND name NOT IN ('DateStyle', 'TimeZone'))
            OR name IN ('application_name', 'client_encoding', 'standard_conforming_strings',
                        'search_path', 'lock_timeout', 'statement_timeout'))
       || ' user ' || session_user || ' as ' || current_user
       || ', prepared ' || (SELECT count(*) FROM pg_prepared_statements)
       || ', cursors ' || (SELECT count(*) FROM pg_cursors WHERE name <> '')
       || ', temporary ' || (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema())
       || ', listening ' || (SELECT count(*) FROM pg_listening_channels())
       || ', advisory ' || (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'))sql";

class Pooled {
 public:
  explicit Pooled(int pool_size = 3, const std::string& settings = {})
      : pooler{pool_size, settings} {
    project.environment["DATABASE_URL"] = pooler.url(project.database) + "?pgbouncer=true";
    project.set("database.wait", "1m").set("gate.timeout", "10m");
  }

  // Each backend of the pool, seen from inside.
  [[nodiscard]] std::set<std::string> backends() const {
    std::vector<pg::Session> sessions;
    std::vector<std::unique_ptr<pg::Transaction>> transactions;
    std::set<std::string> pids;
    std::set<std::string> states;
    for (int i = 0; i < pooler.pool_size(); ++i)
      sessions.emplace_back(pooler.url(project.database) + "?application_name=probe");
    for (auto& session : sessions) {
      transactions.push_back(std::make_unique<pg::Transaction>(session));
      pids.insert(session.query("SELECT pg_backend_pid()").at(0).at(0).value_or(""));
      states.insert(session.query(k_session_state).at(0).at(0).value_or(""));
    }
    REQUIRE(static_cast<int>(pids.size()) == pooler.pool_size());
    return states;
  }
  [[nodiscard]] std::string count_backends(const std::string& condition) const {
    return project.database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND " +
        condition);
  }

  GateProject project;
  PgBouncer pooler;
};

// Nothing but idle backends, each as it would be had nobody of ours used it.
inline std::string joined(const std::set<std::string>& parts) {
  std::string all;
  for (const auto& part : parts) all += (all.empty() ? "" : "; ") + part;
  return all;
}

inline void check_nothing_is_left(const Pooled& pooled, const std::set<std::string>& fresh) {
  // First, because the look from inside gives them another name. What is left on a backend of the
  // pool stays; the backend of a killed client takes a moment to end.
  CHECK(eventually(
      [&] { return pooled.count_backends("application_name LIKE 'schemagate:%'") == "0"; }));
  CHECK(pooled.backends() == fresh);
  CHECK(eventually([&] {
    return pooled.project.database.value(
               "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
               "(SELECT oid FROM pg_database WHERE datname = current_database())") == "0";
  }));
  CHECK(eventually(
      [&] { return pooled.count_backends("state LIKE 'idle in transaction%'") == "0"; }));
}

// Other clients of the same pool, in short transactions the whole time. They give no
// application_name, so they get the one that PgBouncer's client before them left. Each of them
// sees to it that its backend is as it should be.
class Neighbours {
 public:
  Neighbours(const Pooled& pooled, int how_many) {
    for (int i = 0; i < how_many; ++i)
      threads_.emplace_back([this, url = pooled.pooler.url(pooled.project.database)](
                                const std::stop_token& done) { work(url, done); });
  }

  // What was not as it should have been.
  std::set<std::string> troubles() {
    threads_.clear();
    return troubles_;
  }

 private:
  void work(const std::string& url, const std::stop_token& done) {
    while (!done.stop_requested()) {
      try {
        pg::Session session{url};
        while (!done.stop_requested()) {
          pg::Transaction transaction{session};
          const auto state = session.query(
              "SELECT concat_ws(' ', current_setting('search_path'), "
              "current_setting('lock_timeout'), current_setting('statement_timeout'), "
              "current_setting('default_transaction_isolation'), session_user, "
              "current_user), pg_sleep(0.003)");
          transaction.commit();
          if (const auto text = state.at(0).at(0).value_or("");
              text != "\"$user\", public 0 0 read committed postgres postgres")
            trouble(text);
        }
      } catch (const std::exception& e) {
        trouble(e.what());
      }
    }
  }
  void trouble(const std::string& text) {
    const std::lock_guard lock{mutex_};
    troubles_.insert(text);
  }

  std::mutex mutex_;
  std::set<std::string> troubles_;
  std::vector<std::jthread> threads_;
};

// Plain, with a transaction of its own, and one that sets whatever can be set.
inline void three_kinds(GateProject& project) {
  project.migration("20240101000000_plain",
                    "CREATE TABLE users (id integer PRIMARY KEY);\nINSERT INTO users VALUES (1);");
  project.migration("20240102000000_own_transaction",
                    "BEGIN;\nALTER TABLE users ADD COLUMN name text;\nCOMMIT;\n"
                    "INSERT INTO users VALUES (2, 'two');");
  project.migration("20240103000000_settings",
                    "SET search_path = pg_catalog;\nSET lock_timeout = '7s';\n"
                    "SET statement_timeout = '99s';\nSET default_transaction_isolation = "
                    "'serializable';\nSET ROLE pg_read_all_stats;\nRESET ROLE;\n"
                    "INSERT INTO public.users VALUES (3, 'three');\n"
                    "CREATE TEMP TABLE scratch ON COMMIT DROP AS SELECT 1;\n"
                    "SET ROLE pg_monitor;");
}

// Schema, rows and history of the project, in one line.
inline std::string outcome(const TestDatabase& database) {
  return database.value(
      "SELECT (SELECT string_agg(attname || ' ' || atttypid::regtype, ', ' ORDER BY attnum)"
      "          FROM pg_attribute WHERE attrelid = to_regclass('public.users') AND attnum > 0)"
      "    || ' | ' || (SELECT string_agg(u::text, ' ' ORDER BY id) FROM users u)"
      "    || ' | ' || (SELECT string_agg(concat_ws(' ', migration_name, applied_steps_count,"
      "                        finished_at IS NOT NULL, rolled_back_at IS NULL), ', '"
      "                        ORDER BY migration_name) FROM _prisma_migrations)"
      "    || ' | ' || (SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class"
      "                  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')"
      "    || ' | ' || (SELECT string_agg(status, ' ') FROM schemagate.marker)");
}

}  // namespace testing
