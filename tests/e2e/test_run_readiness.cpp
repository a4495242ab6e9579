// Before any work: is the database there, is it the right one, can it be written to?

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/deployment.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;

// Bound but not listening: whoever connects is refused, and nobody else can take the port.
class ClosedPort {
 public:
  ClosedPort() : socket_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error{"cannot bind a port"};
    port_ = ntohs(address.sin_port);
  }
  ~ClosedPort() { ::close(socket_); }
  ClosedPort(const ClosedPort&) = delete;
  ClosedPort& operator=(const ClosedPort&) = delete;
  [[nodiscard]] std::string text() const { return std::to_string(port_); }

 private:
  int socket_;
  int port_ = 0;
};

Deployment deployment(const std::string& database_settings, const std::string& url = {}) {
  return Deployment{
      {.database = database_settings, .lease = {}, .migrations = {}, .rest = {}, .url = url}};
}

// As soon as the server has said so; after database.wait the words are others.
bool is_told_at_once(const testing::Result& result) {
  return result.err == contains(" refuses us: ") && result.err != contains("is not ready after");
}

}  // namespace

TEST_CASE("a host that does not answer is waited for, then the last reason is told with 10") {
  const ClosedPort port;
  const Deployment shop =
      deployment("wait: 2s", "postgresql://postgres@127.0.0.1:" + port.text() + "/shop");
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto start = Clock::now();
  const auto result = shop.run();
  const auto took = Clock::now() - start;
  CHECK(result == exits(10));
  CHECK(took >= 2s);
  CHECK(took < 60s);
  CHECK(result.err ==
        contains("waiting for the database postgres@127.0.0.1:" + port.text() + "/shop"));
  CHECK(result.err == contains("not ready after 2 s"));
  CHECK(result.err == contains("Connection refused"));
}

TEST_CASE("a wrong password is told at once, and never printed") {
  // The cluster trusts everybody: one role is made to need its password.
  const Deployment plain;
  const auto role = "secret_" + plain.database().name();
  const auto file = plain.database().value("SHOW hba_file");
  const auto edit = [&](const std::string& script) {
    // Nothing to write: a program that has ended before would break the server's pipe.
    plain.database().execute("COPY (SELECT WHERE false) TO PROGRAM 'cat; sed -i \"" + script +
                             "\" " + file + "'");
    plain.database().execute("SELECT pg_reload_conf()");
  };
  plain.database().execute("CREATE ROLE " + role + " LOGIN PASSWORD 'the right one'");
  edit("1i host all " + role + " 127.0.0.1/32 scram-sha-256");
  REQUIRE(eventually([&] {
    try {
      schemagate::pg::Session{plain.database().url_as(role)};
      return false;
    } catch (const schemagate::pg::ConnectionLost&) {
      return true;
    }
  }));
  const Deployment shop =
      deployment("wait: 60s", plain.database().url_as(role + ":not%20the%20right%20one"));
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  edit("/ " + role + " /d");
  plain.database().execute("DROP ROLE " + role);
  CHECK(result == exits(10));
  CHECK(is_told_at_once(result));
  CHECK(result.err == contains("password authentication failed"));
  CHECK(result.err == contains(role + "@"));
  CHECK(result.err != contains("right one"));
  CHECK(result.err != contains("right%20one"));
}

TEST_CASE("a role that does not exist is told at once") {
  const Deployment plain;
  const Deployment shop = deployment("wait: 60s", plain.database().url_as("nobody_at_all"));
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  CHECK(result == exits(10));
  CHECK(is_told_at_once(result));
  CHECK(result.err == contains("role \"nobody_at_all\" does not exist"));
  CHECK(result.err == contains("create the role"));
}

TEST_CASE("a database that does not exist is told at once, and created where that is allowed") {
  const testing::TestDatabase missing{false};
  Deployment shop = deployment("wait: 60s", missing.url());
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  CHECK(result == exits(10));
  CHECK(is_told_at_once(result));
  CHECK(result.err == contains("database \"" + missing.name() + "\" does not exist"));
  CHECK(result.err == contains("database.create: true"));

  shop.settings.database = "wait: 60s, create: true";
  CHECK(shop.run() == exits(0));
  CHECK(missing.value("SELECT count(*) FROM t") == "0");
}

TEST_CASE("four runs at once on a database that does not exist create it together") {
  const testing::TestDatabase missing{false};
  const Deployment shop = deployment("wait: 60s, create: true", missing.url());
  shop.migration("1_init", "CREATE TABLE t (x int);");
  std::vector<testing::Process> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(shop.start());
  for (auto& run : runs) CHECK(run.wait() == exits(0));
  CHECK(missing.value("SELECT count(*) FROM _prisma_migrations") == "1");
}

TEST_CASE("a database other than the expected one is refused and not touched") {
  Deployment shop = deployment({});
  shop.migration("1_init", "CREATE TABLE t (x int);");
  std::string words;
  SUBCASE("by name") {
    shop.settings.database = "expect: {name: production}";
    words = "connected to database \"" + shop.database().name() +
            "\", but database.expect.name is \"production\"";
  }
  SUBCASE("by host") {
    shop.settings.database = "expect: {host: [\"*.internal\", \"db\"]}";
    words = "the host is \"127.0.0.1\", but database.expect.host allows only *.internal, db";
  }
  SUBCASE("by version") {
    shop.settings.database = "expect: {min_version: 99}";
    words = "database.expect.min_version is 99";
  }
  CHECK(shop.run() == exits(24, words));
  CHECK(shop.tables().empty());
  CHECK(shop.database().value("SELECT to_regnamespace('schemagate') IS NULL") == "t");
}

TEST_CASE("the expected database is accepted") {
  Deployment shop = deployment({});
  shop.settings.database = "expect: {name: " + shop.database().name() +
                           ", host: [\"*.internal\", \"127.0.0.*\"], min_version: 13}";
  shop.migration("1_init", "CREATE TABLE t (x int);");
  CHECK(shop.run() == exits(0));
}

TEST_CASE("a read-only database is waited for, with the reason, and used once it is writable") {
  Deployment shop = deployment("wait: 60s");
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto alter = "ALTER DATABASE " + shop.database().name();
  shop.database().execute(alter + " SET default_transaction_read_only = on");
  auto deploy = shop.start();
  CHECK(deploy.says("read-only"));
  CHECK(deploy.is_running());
  shop.database().execute("SET default_transaction_read_only = off; BEGIN READ WRITE; " + alter +
                          " RESET default_transaction_read_only; COMMIT");
  CHECK(deploy.wait() == exits(0));
}

TEST_CASE("a database that stays read-only ends the wait with 10 and the reason") {
  const Deployment shop = deployment("wait: 1s");
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.database().execute("ALTER DATABASE " + shop.database().name() +
                          " SET default_transaction_read_only = on");
  CHECK(shop.run() == exits(10, "default_transaction_read_only"));
}

TEST_CASE("a role that may not create our tables is refused with the GRANT it needs") {
  const Deployment plain;
  const auto role = "role_" + plain.database().name();
  plain.database().execute("CREATE ROLE " + role + " LOGIN; REVOKE CREATE ON DATABASE " +
                           plain.database().name() + " FROM public");
  const Deployment shop = deployment({}, plain.database().url_as(role));
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  plain.database().execute("DROP ROLE " + role);
  CHECK(result == exits(24, "GRANT CREATE ON DATABASE"));
}

TEST_CASE("a mistake in the connection string ends the run at once with 2 and is named") {
  Deployment shop = deployment("wait: 10m");
  const auto with = [&](const std::string& parameters) {
    return shop.database().url() + "?" + parameters;
  };
  std::string url;
  std::string word;
  SUBCASE("a value") {
    url = with("sslmode=Require");
    word = "Require";
  }
  SUBCASE("a variable") {
    url = "postgresql://u:secret-77@$DB_HOST/shop";
    word = "$DB_HOST";
  }
  SUBCASE("start-up options that the server does not know") {
    url = with("options=-cserch_path%3Dx");
    word = "serch_path";
  }
  SUBCASE("a security promise in other letters") {
    url = with("SSLMODE=verify-full");
    word = "SSLMODE";
  }
  shop.settings.url = url;
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  CHECK(result == exits(2, word));
  CHECK(result.err != contains("secret-77"));
}

TEST_CASE("the host that is expected is the one that the environment leads to") {
  Deployment shop = deployment({});
  shop.settings.database = "expect: {host: [\"127.0.0.1\"]}";
  shop.settings.environment = {{"PGHOSTADDR", "127.0.0.2"}};
  shop.migration("1_init", "CREATE TABLE t (x int);");
  CHECK(shop.run() == exits(24, "the host is \"127.0.0.2\""));
  shop.settings.environment = {{"PGHOSTADDR", "127.0.0.1"}};
  CHECK(shop.run() == exits(0, "PGHOSTADDR"));
}

TEST_CASE("schemas of odd names are used as they are written, ours and the history's") {
  for (const std::string name : {"my-shop ü X", "it's", "a\\\"b", "x'||(select 1)||'", "1"}) {
    CAPTURE(name);
    Deployment shop = deployment("bookkeeping_schema: \"our " + name + "\"");
    shop.settings.migrations = "schema: \"" + name + "\"";
    shop.migration("1_init", "CREATE TABLE t (x int);");
    CHECK(shop.run() == exits(0, "applied 1_init"));
    CHECK(shop.run() == exits(0, "nothing to do"));
    CHECK(shop.call({"gate", "--once"}) == exits(0));
    CHECK(shop.call({"status"}) == exits(0));
  }
}
