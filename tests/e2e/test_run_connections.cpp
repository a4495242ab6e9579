// Through a proxy that counts connections and cuts them where it hurts most: around the COMMIT.

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <string_view>

#include "e2e/deployment.hpp"

using testing::Deployment;
using testing::holds;
using testing::joined;

namespace {

class Proxy {
 public:
  // The COMMIT that follows the history row: never cut, lost on its way there, or its answer lost.
  enum class Cut { never, request, answer };

  explicit Proxy(Cut cut) : cut_{cut} {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error{"cannot listen"};
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread{[this] { accept_connections(); }};
  }
  ~Proxy() {
    done_ = true;
    acceptor_.join();
    for (auto& pump : pumps_) pump.join();
    ::close(listener_);
  }
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  [[nodiscard]] std::string url_of(const testing::TestDatabase& database) const {
    return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database.name();
  }
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] bool has_cut() const { return has_cut_; }

 private:
  static sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
  }

  void accept_connections() {
    while (!done_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 50) <= 0) continue;
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      ++connections_;
      pumps_.emplace_back([this, client] { pump(client); });
    }
  }

  void pump(int client) {
    const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const auto address = loopback(std::stoi(testing::server_port()));
    if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
      forward(client, server);
    ::close(client);
    ::close(server);
  }

  void forward(int client, int server) {
    std::array<char, 65536> buffer{};
    bool row_is_written = false;
    bool swallow_answer = false;
    while (!done_) {
      std::array<pollfd, 2> both{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
      if (::poll(both.data(), both.size(), 50) <= 0) continue;
      const bool from_client = both[0].revents != 0;
      const auto size = ::recv(from_client ? client : server, buffer.data(), buffer.size(), 0);
      if (size <= 0) return;
      if (!from_client && swallow_answer) {
        has_cut_ = true;
        return;
      }
      if (from_client) {
        const std::string_view text{buffer.data(), static_cast<std::size_t>(size)};
        row_is_written =
            row_is_written ||
            text.find("INSERT INTO \"public\".\"_prisma_migrations\"") != std::string_view::npos;
        if (row_is_written && cut_ != Cut::never && !has_cut_ &&
            text.find("COMMIT") != std::string_view::npos) {
          swallow_answer = cut_ == Cut::answer;
          if (cut_ == Cut::request) {
            has_cut_ = true;
            return;
          }
        }
      }
      if (::send(from_client ? server : client, buffer.data(), static_cast<std::size_t>(size),
                 MSG_NOSIGNAL) != size)
        return;
    }
  }

  Cut cut_;
  int listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<bool> has_cut_ = false;
  std::atomic<bool> done_ = false;
  std::vector<std::thread> pumps_;
  std::thread acceptor_;
};

}  // namespace

TEST_CASE("a run with nothing to do opens exactly one connection") {
  const Proxy proxy{Proxy::Cut::never};
  Deployment shop;
  shop.settings.url = proxy.url_of(shop.database());
  shop.migration("1_init", "CREATE TABLE t (x int);");
  REQUIRE(shop.run().exit_code == 0);
  const int before = proxy.connections();
  const auto result = shop.run();
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK(proxy.connections() - before == 1);
}

TEST_CASE("a COMMIT whose answer is lost is read back as done, and the run goes on") {
  const Proxy proxy{Proxy::Cut::answer};
  Deployment shop;
  shop.settings.url = proxy.url_of(shop.database());
  SUBCASE("each migration in its own transaction") {}
  SUBCASE("all in one") { shop.settings.migrations = "atomic: release"; }
  shop.migration("1_init", "CREATE TABLE t (x int);");
  shop.migration("2_next", "CREATE TABLE u (x int);");
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(proxy.has_cut());
  CHECK(result.exit_code == 0);
  CHECK(holds(result.err, "the COMMIT had taken place"));
  CHECK(shop.tables() == "t, u");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_next 1 finished");
  CHECK(shop.database().value("SELECT status FROM schemagate.marker") == "complete");
}

TEST_CASE("a part's COMMIT whose answer is lost is read back as done, and no part runs twice") {
  const Proxy proxy{Proxy::Cut::answer};
  Deployment shop;
  shop.migration("1_init", "CREATE TABLE t (x int); CREATE TABLE calls (x int);");
  REQUIRE(shop.run().exit_code == 0);
  shop.settings.url = proxy.url_of(shop.database());
  shop.migration("2_parts",
                 "INSERT INTO calls VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (x);\n");
  // The first COMMIT after the row is that of the row itself: the run then cannot have done harm.
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(proxy.has_cut());
  CHECK((result.exit_code == 0 || result.exit_code == 14));
  CHECK(shop.run().exit_code == 0);
  CHECK(joined(shop.database().column("SELECT x FROM calls")) == "1");
  CHECK(shop.indexes(true) == "i");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_parts 1 finished");
}

TEST_CASE("a COMMIT that never arrives is read back as not done: 14, and the next run succeeds") {
  const Proxy proxy{Proxy::Cut::request};
  Deployment shop;
  shop.settings.url = proxy.url_of(shop.database());
  shop.migration("1_init", "CREATE TABLE t (x int);");
  const auto result = shop.run();
  INFO(result.err);
  REQUIRE(proxy.has_cut());
  CHECK(result.exit_code == 14);
  CHECK(shop.tables().empty());
  CHECK(joined(shop.history()).empty());
  const auto again = shop.run();
  INFO(again.err);
  CHECK(again.exit_code == 0);
  CHECK(joined(shop.history()) == "1_init 1 finished");
}
