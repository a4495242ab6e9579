#include "support/own_server.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <random>
#include <stdexcept>

#include "schemagate/base/text.hpp"
#include "support/server.hpp"
#include "support/skip.hpp"

namespace testing {
namespace {

const auto k_script = std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/postgres";

std::filesystem::path new_directory() {
  auto name = (std::filesystem::temp_directory_path() / "schemagate-own-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr)
    throw std::runtime_error{"cannot make a temporary directory"};
  std::filesystem::permissions(name, std::filesystem::perms{0755});
  return name;
}

// As the user that the server runs as, with the server's own programs.
Result as_server(std::vector<std::string> argv) {
  if (::getuid() == 0)
    argv.insert(argv.begin(), {"setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"});
  return run(argv, {.environment = {}, .directory = "/"});
}

std::string program(const std::string& name) {
  static const auto directory = schemagate::trim(
      run({"bash", "-c",
           "echo \"${SCHEMAGATE_PG_BIN:-$(printf '%s\\n' /usr/lib/postgresql/*/bin | "
           "sort -V | tail -n 1)}\""})
          .out);
  return directory + "/" + name;
}

void demand(const Result& result, const std::string& what) {
  if (result.exit_code != 0) throw std::runtime_error{what + " failed: " + result.err + result.out};
}

}  // namespace

SmallDisk::SmallDisk(int size_mb) : path_{new_directory()} {
  const auto options = "mode=0755,size=" + std::to_string(size_mb) + "m";
  if (::mount("schemagate", path_.c_str(), "tmpfs", 0, options.c_str()) != 0)
    throw std::runtime_error{"cannot mount a tmpfs"};
}

SmallDisk::~SmallDisk() {
  ::umount2(path_.c_str(), MNT_DETACH);
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

bool SmallDisk::is_possible() {
  const auto directory = new_directory();
  const bool mounted = ::mount("schemagate", directory.c_str(), "tmpfs", 0, "size=1m") == 0;
  if (mounted) ::umount2(directory.c_str(), MNT_DETACH);
  std::filesystem::remove(directory);
  if (mounted) return true;
  skip("this user may not mount a small file system (run the tests as root)");
  return false;
}

void SmallDisk::fill(std::uintmax_t left_bytes) const {
  const auto filler = path_ / "filler";
  std::ofstream stream{filler, std::ios::binary};
  const std::string page(4096, 'x');
  while (stream << page << std::flush) {
  }
  stream.close();
  std::filesystem::resize_file(filler, std::filesystem::file_size(filler) - left_bytes);
}

void SmallDisk::free() const { std::filesystem::remove(path_ / "filler"); }

OwnServer::OwnServer(const OwnServerOptions& options)
    : directory_{options.directory.empty() ? new_directory() : options.directory},
      data_{directory_ / "data"} {
  std::vector<std::string> argv;
  if (!options.environment.empty()) argv = {"env", options.environment};
  argv.insert(argv.end(), {k_script, "start", directory_.string(), "--parent",
                           std::to_string(::getpid()), "max_wal_senders=4"});
  argv.insert(argv.end(), options.settings.begin(), options.settings.end());
  const auto result = run(argv);
  demand(result, "starting a server");
  const auto end = result.out.rfind('/');
  const auto colon = result.out.rfind(':', end);
  port_ = result.out.substr(colon + 1, end - colon - 1);
  make_shop();
}

void OwnServer::make_shop() const {
  schemagate::pg::Session session{"postgresql://postgres@127.0.0.1:" + port_ + "/postgres"};
  session.execute("DROP DATABASE IF EXISTS shop WITH (FORCE)");
  session.execute("CREATE DATABASE shop");
}

OwnServer::OwnServer(std::filesystem::path directory, std::filesystem::path data, std::string port)
    : directory_{std::move(directory)}, data_{std::move(data)}, port_{std::move(port)} {}

std::unique_ptr<OwnServer> OwnServer::standby_of(const OwnServer& primary) {
  const auto data = primary.directory_ / "standby";
  demand(as_server({program("pg_basebackup"), "-R", "-c", "fast", "-D", data.string(), "-d",
                    "postgresql://postgres@127.0.0.1:" + primary.port_ + "/postgres"}),
         "pg_basebackup");
  std::random_device random;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const auto port = std::to_string(15000 + random() % 15000);
    std::unique_ptr<OwnServer> standby{new OwnServer{{}, data, port}};
    if (standby->control({"start", "-w", "-s", "-o", "-p " + port}).exit_code == 0) return standby;
  }
  throw std::runtime_error{"the standby does not start"};
}

OwnServer::~OwnServer() {
  if (directory_.empty()) (void)control({"stop", "-m", "immediate", "-s"});
  else (void)run({k_script, "stop", directory_.string()});
}

Result OwnServer::control(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv{program("pg_ctl"), "-D", data_.string(), "-l",
                                (data_.parent_path() / "server.log").string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return as_server(argv);
}

void OwnServer::stop(const std::string& mode) const {
  demand(control({"stop", "-m", mode, "-s"}), "stopping the server");
}

void OwnServer::start(bool wait) const {
  demand(control({"start", wait ? "-w" : "-W", "-s", "-o", "-p " + port_}),
         "starting the server again");
}

std::string OwnServer::url(const std::string& role) const {
  return "postgresql://" + role + ":" + k_password + "@127.0.0.1:" + port_ + "/shop";
}

schemagate::pg::Session OwnServer::connect(const std::string& role) const {
  return schemagate::pg::Session{url(role)};
}

std::string OwnServer::value(const std::string& sql) const {
  const auto rows = connect().query(sql);
  return rows.empty() ? "(no row)" : rows.at(0).at(0).value_or("NULL");
}

void OwnServer::execute(const std::string& sql) const { connect().execute(sql); }

void OwnServer::set(const std::string& name, const std::string& value) const {
  const auto before = this->value("SHOW " + name);
  execute("ALTER SYSTEM " + (value.empty()
                                 ? "RESET " + name
                                 : "SET " + name + " = " + schemagate::pg::quote_literal(value)));
  execute("SELECT pg_reload_conf()");
  if (!eventually([&] { return this->value("SHOW " + name) != before; }))
    throw std::runtime_error{"the server does not take over " + name};
}

}  // namespace testing
