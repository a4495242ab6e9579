#pragma once
// A TCP proxy in front of the test cluster that knows where the messages of PostgreSQL's protocol
// begin and end. It counts them, and disturbs one connection or the whole network.

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "support/server.hpp"

namespace testing {

class Proxy {
 public:
  // A message of a client. Types as in the protocol ('Q', 'P', 'X', ...); those that have none
  // there are '0' start-up, '1' the question for TLS or GSS, '2' a request to cancel.
  struct Message {
    int number;      // over all connections, from 1
    int connection;  // from 1
    char type;
    std::string_view bytes;
  };
  // What happens to the connection at one message of its client.
  enum class Fault {
    none,
    request_lost,  // cut before the server sees the message
    answer_lost,   // the server has done what it says; cut before the client hears of it
    request_torn,  // half of the message arrives before the cut
    answer_torn,   // half of the answer's first message arrives before the cut
    frozen,        // the peer lives and acknowledges, but says nothing any more: a hung pooler
    black_hole,    // packets vanish in both directions: nothing is acknowledged
  };
  enum class Cut { fin, reset };
  struct Plan {
    Fault fault = Fault::none;
    std::function<bool(const Message&)> when;  // at the first message for which this is true
    Cut cut = Cut::fin;
  };
  // All connections, present and to come. Refusing: they are cut, and new ones refused.
  enum class Network { normal, frozen, black_hole, refusing };
  // Everything is forwarded in pieces of 1 to `size_max` bytes, each after a pause of up to
  // `pause`.
  struct Pace {
    std::chrono::microseconds pause{0};
    std::size_t size_max = 0;  // 0: as it comes
  };

  Proxy();
  explicit Proxy(Plan plan);
  explicit Proxy(Pace pace);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  [[nodiscard]] std::string url_of(const TestDatabase& database) const;

  // In force when this returns. Back to normal: what was frozen or held back goes on, the
  // connection that the plan disturbed included.
  void set(Network network);

  [[nodiscard]] bool has_struck() const { return has_struck_; }  // the plan's fault
  [[nodiscard]] int connections() const { return connections_; }
  [[nodiscard]] std::string client_messages() const;  // their types, in order
  [[nodiscard]] int server_messages() const { return server_messages_; }

 private:
  struct Connection;

  Proxy(Plan plan, Pace pace);
  void open_listener(int port);  // 0: any that is free
  void accept_connections();
  void pump(Connection& connection);
  bool pass_client_messages(Connection& connection);
  bool pass_server_messages(Connection& connection);
  bool strikes(const Message& message);
  [[nodiscard]] bool is_held(Connection& connection) const;
  void send(int socket, std::string_view bytes) const;

  const Plan plan_;
  const Pace pace_;
  int listener_ = -1;  // of the accepting thread
  int port_ = 0;
  std::atomic<Network> network_ = Network::normal;
  std::atomic<Network> network_in_force_ = Network::normal;
  std::atomic<bool> has_struck_ = false;
  std::atomic<int> healed_ = 0;  // how often the network came back
  std::atomic<int> connections_ = 0;
  std::atomic<int> server_messages_ = 0;
  std::atomic<bool> done_ = false;
  mutable std::mutex mutex_;
  std::string client_messages_;
  std::list<Connection> open_;  // of the accepting thread
  std::thread acceptor_;
};

}  // namespace testing
