#include "support/proxy.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <random>
#include <stdexcept>

namespace testing {
namespace {

constexpr int k_tick_ms = 5;  // how soon a change of the network is seen

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

void set_option(int socket, int level, int name, const void* value, std::size_t size) {
  if (::setsockopt(socket, level, name, value, static_cast<socklen_t>(size)) != 0)
    throw std::runtime_error{std::string{"setsockopt: "} + std::strerror(errno)};
}

void set_flag(int socket, int level, int name) {
  const int on = 1;
  set_option(socket, level, name, &on, sizeof on);
}

// A packet filter that lets nothing in: the kernel neither sees nor acknowledges what arrives.
void drop_packets(int socket, bool drop) {
  sock_filter nothing = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &nothing};
  const int unused = 0;
  if (drop) set_option(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  else ::setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

std::uint32_t number_at(std::string_view bytes, std::size_t offset) {
  std::uint32_t number = 0;
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return ntohl(number);
}

// What one side has sent, cut into messages (PostgreSQL manual, 55.2 and 55.7).
class Framer {
 public:
  struct Frame {
    char type;
    std::string bytes;
  };
  explicit Framer(bool has_started) : has_started_{has_started} {}

  // False at the end of the stream.
  bool receive(int socket) {
    std::array<char, 65536> buffer{};
    const auto size = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (size <= 0) return false;
    buffer_.append(buffer.data(), static_cast<std::size_t>(size));
    return true;
  }
  // The server's answer to a question for TLS is one letter.
  void expect_letter() { ++letters_; }

  std::optional<Frame> next() {
    if (letters_ > 0 && !buffer_.empty()) {
      --letters_;
      return take('1', 1);
    }
    if (has_started_) {
      if (buffer_.size() < 5) return std::nullopt;
      return take(buffer_[0], 1 + std::size_t{number_at(buffer_, 1)});
    }
    if (buffer_.size() < 8) return std::nullopt;
    const auto code = number_at(buffer_, 4);
    const bool asks = code == 80877103 || code == 80877104;
    const char type = asks ? '1' : code == 80877102 ? '2' : '0';
    auto frame = take(type, number_at(buffer_, 0));
    has_started_ = frame && type == '0';
    return frame;
  }

 private:
  std::optional<Frame> take(char type, std::size_t size) {
    if (buffer_.size() < size) return std::nullopt;
    Frame frame{type, buffer_.substr(0, size)};
    buffer_.erase(0, size);
    return frame;
  }

  bool has_started_;
  int letters_ = 0;
  std::string buffer_;
};

}  // namespace

struct Proxy::Connection {
  Connection(int number_, int client_) : number{number_}, client{client_} {}
  const int number;
  const int client;
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Framer from_client{false};
  Framer from_server{true};
  Fault fault = Fault::none;  // struck here
  int healed_before = 0;      // when it struck
  std::atomic<bool> is_over = false;
  std::thread thread;
};

Proxy::Proxy() : Proxy{Plan{}, Pace{}} {}
Proxy::Proxy(Plan plan) : Proxy{std::move(plan), Pace{}} {}
Proxy::Proxy(Pace pace) : Proxy{Plan{}, pace} {}

Proxy::Proxy(Plan plan, Pace pace) : plan_{std::move(plan)}, pace_{pace} {
  open_listener(0);
  acceptor_ = std::thread{[this] { accept_connections(); }};
}

Proxy::~Proxy() {
  done_ = true;
  acceptor_.join();
  for (auto& connection : open_) connection.thread.join();
  ::close(listener_);
}

std::string Proxy::url_of(const TestDatabase& database) const {
  return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database.name();
}

void Proxy::set(Network network) {
  if (network == Network::normal) ++healed_;
  network_ = network;
  while (network_in_force_ != network) std::this_thread::sleep_for(std::chrono::milliseconds{1});
}

std::string Proxy::client_messages() const {
  const std::lock_guard lock{mutex_};
  return client_messages_;
}

// Below the ports that the kernel gives to outgoing connections, or one of these might have it when
// it is to be opened again.
void Proxy::open_listener(int port) {
  std::random_device random;
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  set_flag(listener_, SOL_SOCKET, SO_REUSEADDR);
  for (int attempt = 0; attempt < 20; ++attempt) {
    port_ = port != 0 ? port : 15000 + static_cast<int>(random() % 15000);
    const auto address = loopback(port_);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        ::listen(listener_, 64) == 0)
      return;
    if (errno != EADDRINUSE) break;
  }
  throw std::runtime_error{std::string{"cannot listen: "} + std::strerror(errno)};
}

void Proxy::accept_connections() {
  while (!done_) {
    const Network network = network_;
    if (network == Network::refusing && listener_ >= 0) {
      ::close(listener_);
      listener_ = -1;
    }
    if (network != Network::refusing) {
      if (listener_ < 0) open_listener(port_);
      drop_packets(listener_, network == Network::black_hole);
    }
    network_in_force_ = network;
    pollfd waiting{listener_, POLLIN, 0};  // a negative one is not looked at
    if (::poll(&waiting, 1, k_tick_ms) <= 0) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    open_.remove_if([](Connection& connection) {
      if (!connection.is_over) return false;
      connection.thread.join();
      return true;
    });
    auto& connection = open_.emplace_back(++connections_, client);
    connection.thread = std::thread{[this, &connection] {
      pump(connection);
      connection.is_over = true;
    }};
  }
}

void Proxy::pump(Connection& connection) {
  const auto [client, server] = std::pair{connection.client, connection.server};
  const auto address = loopback(std::stoi(server_port()));
  bool goes_on =
      ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  for (const int socket : {client, server}) set_flag(socket, IPPROTO_TCP, TCP_NODELAY);
  while (goes_on && !done_ && network_ != Network::refusing) {
    if (is_held(connection)) {
      std::this_thread::sleep_for(std::chrono::milliseconds{k_tick_ms});
      continue;
    }
    // What was held back goes first.
    goes_on = pass_client_messages(connection) && pass_server_messages(connection);
    if (!goes_on || is_held(connection)) continue;
    std::array<pollfd, 2> both{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
    if (::poll(both.data(), both.size(), k_tick_ms) <= 0) continue;
    if (both[0].revents != 0) goes_on = connection.from_client.receive(client);
    // The last words of a server that ends the connection are in its buffer before the end.
    else if (both[1].revents != 0) goes_on = connection.from_server.receive(server);
  }
  const bool reset = plan_.cut == Cut::reset && connection.fault != Fault::none;
  for (const int socket : {client, server}) {
    const linger at_once{1, 0};
    if (reset) set_option(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(socket);
  }
}

// False when the connection is to be cut.
bool Proxy::pass_client_messages(Connection& connection) {
  while (const auto frame = connection.from_client.next()) {
    int number = 0;
    {
      const std::lock_guard lock{mutex_};
      client_messages_ += frame->type;
      number = static_cast<int>(client_messages_.size());
    }
    if (frame->type == '1') connection.from_server.expect_letter();
    if (strikes({number, connection.number, frame->type, frame->bytes})) {
      connection.fault = plan_.fault;
      connection.healed_before = healed_;
      if (plan_.fault == Fault::request_lost) return false;
      if (plan_.fault == Fault::request_torn) {
        send(connection.server, frame->bytes.substr(0, frame->bytes.size() / 2));
        return false;
      }
    }
    while (is_held(connection) && !done_)
      std::this_thread::sleep_for(std::chrono::milliseconds{k_tick_ms});
    if (done_) return false;
    send(connection.server, frame->bytes);
  }
  return true;
}

bool Proxy::pass_server_messages(Connection& connection) {
  while (const auto frame = connection.from_server.next()) {
    ++server_messages_;
    if (connection.fault == Fault::answer_torn) {
      send(connection.client, frame->bytes.substr(0, (frame->bytes.size() + 1) / 2));
      connection.fault = Fault::answer_lost;
    }
    if (connection.fault == Fault::answer_lost) {
      // The server is ready for the next one (or answers with a letter): it has done this one.
      if (frame->type == 'Z' || frame->type == '1') return false;
    } else {
      send(connection.client, frame->bytes);
    }
  }
  return true;
}

bool Proxy::strikes(const Message& message) {
  const std::lock_guard lock{mutex_};
  if (plan_.fault == Fault::none || has_struck_ || !plan_.when(message)) return false;
  has_struck_ = true;
  return true;
}

// Packets vanish on the way to us by a filter, and on the way from us because we send none.
bool Proxy::is_held(Connection& connection) const {
  const Network network = network_;
  const bool alone = connection.healed_before == healed_;
  const bool dropped =
      network == Network::black_hole || (alone && connection.fault == Fault::black_hole);
  for (const int socket : {connection.client, connection.server}) drop_packets(socket, dropped);
  return dropped || network == Network::frozen || (alone && connection.fault == Fault::frozen);
}

void Proxy::send(int socket, std::string_view bytes) const {
  thread_local std::mt19937 random{std::random_device{}()};
  const auto up_to = [](auto most) {
    return std::uniform_int_distribution{decltype(most){1}, most};
  };
  while (!bytes.empty()) {
    const auto size =
        pace_.size_max == 0 ? bytes.size() : std::min(bytes.size(), up_to(pace_.size_max)(random));
    if (pace_.pause.count() > 0)
      std::this_thread::sleep_for(std::chrono::microseconds{up_to(pace_.pause.count())(random)});
    const auto sent = ::send(socket, bytes.data(), size, MSG_NOSIGNAL);
    if (sent <= 0) return;  // the end is seen by the one who receives
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace testing
