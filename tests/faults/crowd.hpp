#pragma once
// Many runners at once, of which some are ended in the middle.

#include <csignal>
#include <cstdlib>
#include <random>

#include "support/deployment.hpp"

namespace testing {

// To be told with INFO. SCHEMAGATE_SEED repeats an earlier one.
inline unsigned any_seed() {
  const char* wanted = std::getenv("SCHEMAGATE_SEED");
  return wanted != nullptr ? static_cast<unsigned>(std::stoul(wanted)) : std::random_device{}();
}

inline int between(std::mt19937& random, int least, int most) {
  return std::uniform_int_distribution<int>{least, most}(random);
}

inline void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds{ms}); }

class CrowdOfRuns {
 public:
  struct Kill {
    std::string fence;
    std::string at;  // by the server's clock
  };

  CrowdOfRuns(const Deployment& shop, std::mt19937& random) : shop_{shop}, random_{random} {}

  void start(int count) {
    for (int i = 0; i < count; ++i) runs_.push_back(shop_.start());
  }
  // SIGKILL, and another one is started, as a platform would do. False: it had ended before.
  bool replace(std::size_t index) {
    runs_[index].signal(SIGKILL);
    if (runs_[index].wait().exit_code != 128 + SIGKILL) return false;
    killed_.push_back(std::to_string(runs_[index].pid()));
    expire_leases_of_the_killed();
    runs_.push_back(shop_.start());
    return true;
  }
  void replace_any() {
    replace(static_cast<std::size_t>(between(random_, 0, static_cast<int>(runs_.size()) - 1)));
  }
  // The runner that holds the lease; waits until there is one, or nobody is left running.
  void replace_the_holder() {
    auto session = shop_.database().connect();
    (void)eventually([&] {
      if (session.query("SELECT to_regclass('schemagate.lock')").at(0).at(0)) {
        const auto rows = session.query(
            "SELECT fence, substring(holder from '-([0-9]+)-[0-9a-f]+$'), clock_timestamp()"
            "  FROM schemagate.lock WHERE expires_at > clock_timestamp()");
        for (std::size_t i = 0; i < runs_.size() && !rows.empty(); ++i) {
          if (std::to_string(runs_[i].pid()) != rows[0][1].value_or("") || !replace(i)) continue;
          holders_killed_.push_back({rows[0][0].value_or(""), rows[0][2].value_or("")});
          return true;
        }
      }
      for (auto& run : runs_)
        if (run.is_running()) return false;
      return true;
    });
  }
  // Of every one that was not killed.
  [[nodiscard]] std::vector<Result> wait() {
    std::vector<Result> results;
    for (auto& run : runs_)
      if (auto result = run.wait(); result.exit_code != 128 + SIGKILL)
        results.push_back(std::move(result));
    expire_leases_of_the_killed();  // what they had sent may have come to the server after them
    return results;
  }
  [[nodiscard]] std::size_t killed() const { return killed_.size(); }
  [[nodiscard]] const std::vector<Kill>& holders_killed() const { return holders_killed_; }
  [[nodiscard]] std::vector<Process>& runs() { return runs_; }

 private:
  // As if their ttl had passed: one that is short enough to be waited for would pass for a runner
  // that lives, too, on a machine that is busy enough.
  void expire_leases_of_the_killed() const {
    if (killed_.empty() ||
        shop_.database().value("SELECT to_regclass('schemagate.lock') IS NULL") == "t")
      return;
    shop_.database().execute(
        "UPDATE schemagate.lock SET expires_at = '-infinity'"
        " WHERE substring(holder from '-([0-9]+)-[0-9a-f]+$') = ANY (string_to_array('" +
        joined(killed_) + "', ', '))");
  }

  const Deployment& shop_;
  std::mt19937& random_;
  std::vector<Process> runs_;
  std::vector<Kill> holders_killed_;
  std::vector<std::string> killed_;  // their pids
};

// --- what to deploy: every script leaves a row in `calls` each time its work was committed

inline Deployment release_one(const std::string& lease, const std::string& migrations = {}) {
  return Deployment{{.database = {},
                     .lease = lease,
                     .migrations = migrations,
                     .rest = "release: r1\n",
                     .url = {}}};
}

inline constexpr const char* k_init =
    "CREATE TABLE calls (what text);\n"
    "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (2);\n"
    // Makes an index that takes its time.
    "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE "
    "plpgsql AS $$BEGIN PERFORM pg_sleep(0.1); RETURN $1; END $$;\n"
    "INSERT INTO calls VALUES ('1');\n";

inline void plain_folder(const Deployment& shop) {
  shop.migration("1_init", k_init);
  for (const auto* n : {"2", "3", "4", "5"})
    shop.migration(n + std::string{"_step"},
                   "INSERT INTO calls VALUES ('" + std::string{n} + "'); SELECT pg_sleep(0.2);");
}

inline void concurrent_folder(const Deployment& shop) {
  shop.migration("1_init", k_init);
  shop.migration("2_index", "CREATE INDEX CONCURRENTLY i2 ON t (slow(x));");
  shop.migration("3_step", "INSERT INTO calls VALUES ('3');");
  shop.migration("4_index", "CREATE INDEX CONCURRENTLY i4 ON t (slow(x));");
  shop.migration("5_step", "INSERT INTO calls VALUES ('5');");
}

inline void mixed_folder(const Deployment& shop) {
  shop.migration("1_init", k_init);
  shop.migration("2_mixed",
                 "INSERT INTO calls VALUES ('2a');\nCREATE INDEX CONCURRENTLY i2 ON t (slow(x));\n"
                 "INSERT INTO calls VALUES ('2b');\n");
  shop.migration("3_enum", "CREATE TYPE kind AS ENUM ('a'); INSERT INTO calls VALUES ('3');");
  shop.migration("4_mixed", "INSERT INTO calls VALUES ('4a');\nALTER TYPE kind ADD VALUE 'b';\n"
                            "CREATE TABLE k (k kind DEFAULT 'b');\nSELECT pg_sleep(0.2);\n"
                            "CREATE INDEX CONCURRENTLY i4 ON t (slow(x));\n"
                            "INSERT INTO calls VALUES ('4b');\n");
}

inline std::string calls(const Deployment& shop) {
  return joined(shop.database().column("SELECT what FROM calls ORDER BY what"));
}

// --- afterwards

// Two runs of one lease never overlap, by the server's clock.
inline std::string overlapping_runs(const TestDatabase& database) {
  return database.value(
      "SELECT count(*) FROM (SELECT started_at, lag(finished_at) OVER (ORDER BY fence) AS before"
      "                        FROM schemagate.run) r WHERE started_at < before");
}

// The server takes a moment to see that a client is gone.
inline bool no_backend_is_left(const TestDatabase& database) {
  return eventually([&] {
    return database.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                          "   AND pid <> pg_backend_pid() AND backend_type = 'client backend'") ==
           "0";
  });
}

}  // namespace testing
