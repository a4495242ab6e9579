#pragma once
// What the tests of a misbehaving server share: what is in the database, and a run that is held at
// an exact place.

#include <csignal>
#include <cstdlib>
#include <string>

#include "faults/door.hpp"
#include "schemagate/base/text.hpp"
#include "support/deployment.hpp"
#include "support/open_transaction.hpp"
#include "support/own_server.hpp"
#include "support/trials.hpp"

namespace testing {

// All that a run changes: "FINISHED MIGRATIONS | TABLES | MARKER of the newest run".
inline std::string state(const std::string& url) {
  schemagate::pg::Session session{url};
  const auto one = [&](const std::string& sql) {
    const auto rows = session.query(sql);
    return rows.empty() ? "none" : rows.at(0).at(0).value_or("none");
  };
  const auto is_there = [&](const std::string& table) {
    return one("SELECT to_regclass('" + table + "') IS NOT NULL") == "t";
  };
  const auto history =
      is_there("public._prisma_migrations")
          ? one("SELECT string_agg(migration_name || CASE WHEN finished_at IS NULL THEN"
                "        ' unfinished' ELSE '' END, ', ' ORDER BY started_at)"
                "  FROM _prisma_migrations WHERE rolled_back_at IS NULL")
          : "none";
  const auto tables = one("SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class"
                          " WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
                          "   AND relname <> '_prisma_migrations'");
  const auto marker = is_there("schemagate.marker")
                          ? one("SELECT status FROM schemagate.marker ORDER BY run_id DESC LIMIT 1")
                          : "none";
  return history + " | " + tables + " | " + marker;
}

inline bool tells(const Result& result, const std::string& cause, const std::string& hint) {
  return result.err == contains(cause) && result.err == contains("hint: ") &&
         result.err.find(hint, result.err.find("hint: ")) != std::string::npos;
}
inline bool keeps_secret(const Result& result) {
  return result.out + result.err != contains(k_password);
}

// An environment variable of the programs that are started while this lives.
class Exported {
 public:
  Exported(std::string name, const std::string& value) : name_{std::move(name)} {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Exported() { ::unsetenv(name_.c_str()); }
  Exported(const Exported&) = delete;
  Exported& operator=(const Exported&) = delete;

 private:
  std::string name_;
};

// The fault points that a run passes, one a line.
class Trace {
 public:
  explicit Trace(const Deployment& shop) {
    const auto file = shop.dir().path() / "trace";
    const Exported trace{"SCHEMAGATE_FAULT_TRACE", file.string()};
    REQUIRE(shop.run() == exits(0));
    for (const auto& line : schemagate::split(read_text(file), '\n')) lines_.push_back(line);
  }
  // The first point `name` ("postgres.send") with this text, after a point with the text `after`.
  [[nodiscard]] std::string point(const std::string& name, const std::string& text,
                                  const std::string& after = {}) const {
    bool reached = after.empty();
    for (const auto& line : lines_) {
      if (reached && line.starts_with(name + ":") && line == contains(text))
        return line.substr(0, line.find('\t'));
      reached = reached || line == contains(after);
    }
    FAIL("no such point: " << name << " " << text);
    return {};
  }
  // All points of that name.
  [[nodiscard]] std::vector<std::string> points(const std::string& name) const {
    std::vector<std::string> all;
    for (const auto& line : lines_)
      if (line.starts_with(name + ":")) all.push_back(line.substr(0, line.find('\t')));
    return all;
  }

 private:
  std::vector<std::string> lines_;
};

inline void expire_lease(const std::string& url) {
  schemagate::pg::Session session{url};
  expire_lease(session);
}

// A run that stops at a fault point until it may go on.
class HeldRun {
 public:
  HeldRun(const Deployment& shop, const std::string& point) : process_{started(shop, point)} {
    REQUIRE_MESSAGE(eventually([&] { return process_.is_stopped(); }),
                    "not reached: " << point << "\n"
                                    << process_.output_so_far());
  }
  [[nodiscard]] Result go_on() {
    process_.signal(SIGCONT);
    return process_.wait();
  }
  void let_go() const { process_.signal(SIGCONT); }
  [[nodiscard]] Process& process() { return process_; }

 private:
  static Process started(const Deployment& shop, const std::string& point) {
    const Exported fault{"SCHEMAGATE_FAULT", point + ":stop"};
    return shop.start();
  }

  Process process_;
};

// Ends backends of schemagate in the session's database and waits until they are gone. Returns how
// many there were.
inline std::string terminate(schemagate::pg::Session session, const std::string& which) {
  return session
      .query("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
             " WHERE datname = current_database() AND pid <> pg_backend_pid()"
             "   AND application_name LIKE 'schemagate%' AND " +
             which)
      .at(0)
      .at(0)
      .value_or("");
}

}  // namespace testing
