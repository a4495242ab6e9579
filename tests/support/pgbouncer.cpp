#include "support/pgbouncer.hpp"

#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <random>
#include <stdexcept>

#include "support/skip.hpp"

namespace testing {
namespace {

// Debian keeps it out of an ordinary user's $PATH.
std::string program() {
  for (const auto* path : {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"})
    if (::access(path, X_OK) == 0) return path;
  return {};
}

}  // namespace

bool PgBouncer::is_there() {
  if (!program().empty()) return true;
  skip("there is no pgbouncer on this machine (Debian: apt install pgbouncer)");
  return false;
}

PgBouncer::PgBouncer(int pool_size, std::string settings, std::string server)
    : pool_size_{pool_size}, settings_{std::move(settings)},
      server_{server.empty() ? server_host() + ":" + server_port() : std::move(server)} {
  std::filesystem::permissions(files_.path(), std::filesystem::perms{0755});
  for (int attempt = 0; attempt < 20; ++attempt)
    if (start()) return;
  throw std::runtime_error{"pgbouncer does not start: " +
                           (process_ ? process_->output_so_far() : "")};
}

PgBouncer::~PgBouncer() = default;

// Only binding tells whether a port is free; the range is the one of the test cluster.
bool PgBouncer::start() {
  std::random_device random;
  port_ = 15000 + static_cast<int>(random() % 15000);
  return launch();
}

bool PgBouncer::launch() {
  const auto colon = server_.find(':');
  files_.write("users.txt", "\"postgres\" \"\"\n\"app\" \"\"\n");
  const auto ini = files_.write(
      "pgbouncer.ini",
      "[databases]\n* = host=" + server_.substr(0, colon) + " port=" + server_.substr(colon + 1) +
          "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + std::to_string(port_) +
          "\nunix_socket_dir =\nauth_type = trust\nauth_file = " +
          (files_.path() / "users.txt").string() +
          "\nadmin_users = postgres\npool_mode = transaction\ndefault_pool_size = " +
          std::to_string(pool_size_) + "\nmax_client_conn = 200\n" + settings_ + "\n");
  std::vector<std::string> argv{program(), ini.string()};
  if (::getuid() == 0)  // it refuses to run as root
    argv.insert(argv.begin(), {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"});
  process_ = std::make_unique<Process>(argv);
  return eventually([&] {
           if (!process_->is_running()) return true;
           return testing::run({"psql", "-AtXc", "SHOW VERSION", url("postgres", "pgbouncer")})
                      .exit_code == 0;
         }) &&
         process_->is_running();
}

void PgBouncer::kill() {
  process_->signal(SIGKILL);
  (void)process_->wait();
}

void PgBouncer::restart() {
  if (!launch()) throw std::runtime_error{"pgbouncer does not start again"};
}

std::string PgBouncer::admin(const std::string& command) const {
  const auto result = testing::run({"psql", "-AtXc", command, url("postgres", "pgbouncer")});
  if (result.exit_code != 0) throw std::runtime_error{command + ": " + result.err};
  return result.out;
}

std::string PgBouncer::url(const TestDatabase& database) const {
  return url("postgres", database.name());
}

std::string PgBouncer::url(const std::string& user, const std::string& database) const {
  return "postgresql://" + user + "@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

}  // namespace testing
