#include "support/server.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "schemagate/base/text.hpp"
#include "support/process.hpp"
#include "support/temp_dir.hpp"

namespace testing {
namespace {

using schemagate::trim;

// postgresql://postgres@127.0.0.1:PORT/postgres
const std::string& server_url() {
  static const std::string url = [] {
    if (const char* file = std::getenv("SCHEMAGATE_TEST_URL_FILE")) {
      const auto text = trim(read_text(file));
      if (text.empty()) throw std::runtime_error{std::string{"no server address in "} + file};
      return text;
    }
    const auto script = std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/postgres";
    const auto result = run({"sh", "-c",
                             script + " start \"$(mktemp -d)\" --parent " +
                                 std::to_string(::getpid()) + " max_connections=200"});
    if (result.exit_code != 0) throw std::runtime_error{"cannot start PostgreSQL: " + result.err};
    return trim(result.out);
  }();
  return url;
}

std::string between(const std::string& text, const std::string& after, char end) {
  const auto start = text.find(after) + after.size();
  return text.substr(start, text.find(end, start) - start);
}

}  // namespace

std::string server_host() { return between(server_url(), "@", ':'); }
std::string server_port() { return between(server_url(), server_host() + ":", '/'); }

TestDatabase::TestDatabase(bool create) {
  static std::atomic<int> count{0};
  name_ = "t" + std::to_string(::getpid()) + "_" + std::to_string(++count);
  if (!create) return;
  schemagate::pg::Session session{server_url()};
  // Four times as fast for an empty database; known since PostgreSQL 15.
  const bool can_choose = session.server_major_version() >= 15;
  session.execute("CREATE DATABASE " + name_ + (can_choose ? " STRATEGY file_copy" : ""));
}

TestDatabase::~TestDatabase() {
  try {
    schemagate::pg::Session{server_url()}.execute("DROP DATABASE IF EXISTS " + name_ +
                                                  " WITH (FORCE)");
  } catch (const std::exception&) {  // the cluster goes away soon
  }
}

std::string TestDatabase::url() const { return url_as("postgres"); }

std::string TestDatabase::url_as(const std::string& role) const {
  return "postgresql://" + role + "@" + server_host() + ":" + server_port() + "/" + name_;
}

schemagate::pg::Session TestDatabase::connect() const { return schemagate::pg::Session{url()}; }

std::string TestDatabase::value(const std::string& sql) const {
  const auto rows = connect().query(sql);
  return rows.empty() ? "(no row)" : rows.at(0).at(0).value_or("NULL");
}

std::vector<std::string> TestDatabase::column(const std::string& sql) const {
  std::vector<std::string> values;
  for (const auto& row : connect().query(sql)) values.push_back(row.at(0).value_or("NULL"));
  return values;
}

void TestDatabase::execute(const std::string& sql) const {
  auto session = connect();
  session.execute(sql);
  // Its backend may outlive the session for a while, and what it shows as its last statement must
  // not be one of a migration, or `status` takes it for somebody at work.
  session.execute("SELECT 1");
}

bool TestDatabase::is_running(const std::string& statement) const {
  return eventually([&] {
    return value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                 "   AND pid <> pg_backend_pid() AND state = 'active'"
                 "   AND query LIKE '" +
                 statement + "%'") != "0";
  });
}

std::string TestDatabase::dump_schema() const {
  const auto result = run({"pg_dump", "--schema-only", "--no-owner", "--exclude-schema=schemagate",
                           "--exclude-table=*._prisma_migrations", url()});
  if (result.exit_code != 0) {
    if (result.err.find("server version mismatch") != std::string::npos &&
        std::getenv("SCHEMAGATE_REQUIRE_POSTGRES") == nullptr)
      MESSAGE(
          "SKIPPED: pg_dump is older than the server (tests/support/postgres-binaries has one)");
    throw std::runtime_error{"pg_dump: " + result.err};
  }
  std::string dump;
  for (const auto& line : schemagate::split(result.out, '\n'))
    if (!line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")) dump += line + "\n";
  return dump;
}

}  // namespace testing
