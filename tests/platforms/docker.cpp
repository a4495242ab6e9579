#include "docker.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <boost/interprocess/sync/file_lock.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>

#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "schemagate/base/text.hpp"
#include "support/skip.hpp"

namespace testing {
namespace {

std::string without_line_end(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Written by tests/platforms/docker: what makes `docker` find the engine, or why there is none.
std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> found;
  const char* file = std::getenv("SCHEMAGATE_TEST_DOCKER");
  if (file == nullptr || !std::filesystem::exists(file)) return found;
  for (const auto& line : schemagate::split(read_text(file), '\n'))
    if (const auto equals = line.find('='); equals != std::string::npos)
      found[line.substr(0, equals)] = line.substr(equals + 1);
  return found;
}

std::vector<std::string> docker(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {"docker"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

}  // namespace

bool Docker::is_there() {
  const auto found = environment();
  if (found.contains("DOCKER_HOST")) return true;
  const auto why = found.contains("why") ? found.at("why") : "ctest did not start it";
  skip("there is no Docker Engine: " + why, "SCHEMAGATE_REQUIRE_DOCKER");
  return false;
}

ProcessOptions Docker::with_engine(const ProcessOptions& options) {
  auto all = options;
  for (const auto& [name, value] : environment()) all.environment[name] = value;
  return all;
}

Result Docker::run(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return testing::run(docker(arguments), with_engine(options));
}

Process Docker::start(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return Process{docker(arguments), with_engine(options)};
}

std::string Docker::must(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  const auto result = run(arguments, options);
  if (result.exit_code != 0)
    throw std::runtime_error{"docker " + arguments.front() + ": " + result.out + result.err};
  return without_line_end(result.out);
}

std::string Docker::unique_name(const std::string& what) {
  static int count = 0;
  return "sg-" + what + "-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

void build_image(const std::string& name, const TempDir& context) {
  // Without the cache: its layers may belong to an image that another test removes just now.
  Docker::must({"build", "-q", "--no-cache", "-t", name, context.path().string()});
}

void build_image_once(const std::string& name, const TempDir& context) {
  const auto lock =
      std::filesystem::path{std::getenv("SCHEMAGATE_TEST_DOCKER")}.parent_path() / "images.lock";
  std::ofstream{lock, std::ios::app};
  boost::interprocess::file_lock locked{lock.c_str()};
  const boost::interprocess::scoped_lock guard{locked};
  if (Docker::run({"image", "inspect", name}).exit_code != 0) build_image(name, context);
}

DockerNetwork::DockerNetwork() : name_{Docker::unique_name("net")} {
  Docker::must({"network", "create", name_});
  server_ = Docker::unique_name("db");
  Docker::must({"run", "-d", "--name", server_, "--network", name_, "--network-alias", "db", "-e",
                "POSTGRES_PASSWORD=geheim", "-e", "POSTGRES_DB=shop", "postgres:17"});
  const auto accepts = [&] {
    return Docker::run({"exec", server_, "psql", "-qAtX", "-d",
                        "postgresql://postgres:geheim@127.0.0.1/shop", "-c", "SELECT 1"})
               .exit_code == 0;
  };
  if (!eventually(accepts, std::chrono::seconds{120}))
    throw std::runtime_error{"the server does not start: " + Docker::run({"logs", server_}).err};
}

DockerNetwork::~DockerNetwork() {
  const auto left = Docker::run({"ps", "-aq", "--filter", "network=" + name_}).out;
  std::vector<std::string> remove = {"rm", "-fv"};
  for (const auto& container : schemagate::split(left, '\n'))
    if (!container.empty()) remove.push_back(container);
  (void)Docker::run(remove);
  (void)Docker::run({"network", "rm", name_});
}

std::string DockerNetwork::value(const std::string& sql) const {
  return Docker::must({"exec", server_, "psql", "-qAtXU", "postgres", "-d", "shop", "-v",
                       "ON_ERROR_STOP=1", "-c", sql});
}

std::string DockerNetwork::ca_certificate() const {
  return Docker::must({"exec", server_, "cat", "/var/lib/postgresql/data/ca.crt"}) + "\n";
}

std::vector<std::string> hardened() {
  return {"--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user",
          "65532:65532", "--memory",   "128m"};
}

}  // namespace testing
