// The image `schemagate` and the directory in it, as Dockerfile.job makes them.
#include <doctest/doctest.h>

#include <csignal>
#include <set>

#include "docker.hpp"
#include "support/text.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

constexpr const char* k_program = "/opt/schemagate/bin/schemagate";
constexpr const char* k_table = "CREATE TABLE users (id int PRIMARY KEY);";
constexpr long k_image_size_max = 30'000'000;

// The user's own job image: FROM schemagate, the manifest, the migrations.
class JobImage {
 public:
  explicit JobImage(const std::string& sql = k_table, const std::string& more_manifest = {})
      : name_{Docker::unique_name("job")} {
    context_.write("schemagate.yaml",
                   "version: 1\ndatabase: {url: \"${DATABASE_URL}\", wait: 20s}\nmigrations: "
                   "{directory: prisma/migrations}\n" +
                       more_manifest);
    context_.write("prisma/migrations/20260101000000_init/migration.sql", sql);
    context_.write("Dockerfile", "FROM schemagate\nCOPY schemagate.yaml ./\nCOPY prisma/migrations "
                                 "prisma/migrations\n");
    build_image(name_, context_);
  }
  ~JobImage() { (void)Docker::run({"rmi", "-f", name_}); }
  JobImage(const JobImage&) = delete;
  JobImage& operator=(const JobImage&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
  TempDir context_;
};

// `docker run`, hardened, in that network.
std::vector<std::string> arguments(const DockerNetwork& network, const std::string& image,
                                   const std::vector<std::string>& command = {},
                                   const std::string& url = DockerNetwork::url(),
                                   const std::vector<std::string>& more = {}) {
  std::vector<std::string> all = {"run",          "--rm", "--network",
                                  network.name(), "-e",   "DATABASE_URL=" + url};
  for (const auto& list : {hardened(), more, std::vector<std::string>{image}, command})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("image");

TEST_CASE("a job image run without root, rights and a writable disk migrates the database") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const JobImage image;
  CHECK(Docker::run(arguments(network, image.name(), {"gate", "--once"})) == exits(30));

  CHECK(Docker::run(arguments(network, image.name())) == exits(0));
  CHECK(network.value("SELECT count(*) FROM users") == "0");
  const auto second = Docker::run(arguments(network, image.name()));
  CHECK(second == exits(0, "nothing to do"));
  CHECK(second.err != contains("docker exec"));
  CHECK(Docker::run(arguments(network, image.name(), {"gate", "--once"})) == exits(0));
  CHECK(Docker::run(arguments(network, image.name(), {"status"})) == exits(0));
}

TEST_CASE("the job's container ends with each documented exit code") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const auto code_of = [&](const std::string& sql, const std::string& more_manifest,
                           const std::string& url = DockerNetwork::url()) {
    const JobImage image{sql, more_manifest};
    const auto result = Docker::run(arguments(network, image.name(), {}, url));
    INFO(result.err);
    if (result.exit_code != 0) CHECK(result.err == contains("hint:"));
    return result.exit_code;
  };
  CHECK(code_of(k_table, "no_such_key: 1\n") == 2);
  CHECK(code_of(k_table, "", "postgresql://postgres:wrong@db/shop") == 10);
  CHECK(code_of("SELECT 1/0;", "") == 21);
  network.execute("DROP TABLE _prisma_migrations; DROP SCHEMA schemagate CASCADE");
  CHECK(code_of(k_table, "verify: [{sql: select false}]\n") == 23);
  CHECK(code_of("SELECT 2;", "") == 20);  // the history has it with another content
  CHECK(code_of(k_table, "", "postgresql://postgres:geheim@db/postgres?pgbouncer=true") == 0);
}

TEST_CASE("SIGTERM in the middle of a long statement ends it, gives the lease back and exits 143") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const JobImage image{"CREATE TABLE half (id int); SELECT pg_sleep(600);"};
  const auto name = Docker::unique_name("job");
  auto job =
      Docker::start(arguments(network, image.name(), {}, DockerNetwork::url(), {"--name", name}));
  const auto sleeps = [&] {
    return network.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query "
                         "LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()") != "0";
  };
  REQUIRE(eventually(sleeps, 60s));
  Docker::must({"stop", "-t", "30", name});
  const auto result = job.wait();
  CHECK(result == exits(143));
  // It was not killed, nor did it give up waiting for the server.
  CHECK(result.err != contains("giving up"));
  CHECK_FALSE(sleeps());
  CHECK(network.value("SELECT to_regclass('half') IS NULL") == "t");
  CHECK(network.value("SELECT count(*) FROM schemagate.lock WHERE expires_at > now()") == "0");
}

TEST_CASE("the image holds nothing but schemagate, and is small") {
  if (!Docker::is_there()) return;
  CHECK(std::stol(Docker::must({"image", "inspect", "-f", "{{.Size}}", "schemagate"})) <
        k_image_size_max);
  const auto text = [](const std::string& format) {
    return Docker::must({"image", "inspect", "-f", format, "schemagate"});
  };
  CHECK(text("{{.Config.User}}") == "65532:65532");
  CHECK(text("{{.Config.Entrypoint}}") == "[/opt/schemagate/bin/schemagate]");
  CHECK(text("{{index .Config.Labels \"org.opencontainers.image.licenses\"}}") == "Apache-2.0");
  CHECK(Docker::run({"run", "--rm", "--entrypoint", "/bin/sh", "schemagate"}) != exits(0));
}

namespace {

void copy_out(const std::string& path, const TempDir& dir) {
  const auto container = Docker::must({"create", "schemagate"});
  Docker::must({"cp", container + ":" + path, dir.path().string()});
  Docker::must({"rm", container});
}

}  // namespace

TEST_CASE("the program in the image is hardened") {
  if (!Docker::is_there()) return;
  const TempDir dir;
  copy_out(k_program, dir);
  const auto shown = [&](const char* what) {
    const auto result = run({"readelf", "-W", what, (dir.path() / "schemagate").string()});
    REQUIRE(result == exits(0));
    return result.out;
  };
  CHECK(shown("-h") == contains("DYN"));
  CHECK(shown("-d") == contains("BIND_NOW"));
  CHECK(shown("-l") == contains("GNU_RELRO"));
  CHECK(shown("-l") == contains("GNU_STACK"));
  CHECK(shown("-l") != contains("RWE"));
  CHECK(shown("--dyn-syms") == contains("__stack_chk_fail"));
  CHECK(shown("--dyn-syms") == contains("_chk@"));  // _FORTIFY_SOURCE
  CHECK(shown("--dyn-syms") == contains("__glibcxx_assert_fail"));
}

TEST_CASE("every library in the image is in its bill of materials, with its licence") {
  if (!Docker::is_there()) return;
  const TempDir dir;
  copy_out("/opt/schemagate/share", dir);
  const auto bill = read_text(dir.path() / "share/sbom.spdx.json");
  for (const auto* package : {"libpq5", "libc6", "libssl3t64", "libpqxx-7.10", "libyaml-cpp0.8",
                              "libpg-query-dev", "libcli11-dev"}) {
    INFO(package);
    CHECK(bill == contains("\"name\": \"" + std::string{package} + "\""));
    CHECK(std::filesystem::file_size(dir.path() / "share/licenses" / package) > 0);
  }
}

namespace {

// An image with /opt/schemagate in it, as an app would have it.
std::string image_with_directory(const std::string& base, const TempDir& context,
                                 const std::string& more_lines = "") {
  const auto name = Docker::unique_name("app");
  context.write("Dockerfile", "FROM " + base +
                                  "\nCOPY --from=schemagate /opt/schemagate /opt/schemagate\n"
                                  "WORKDIR /app\nCOPY . .\n" +
                                  more_lines);
  context.write("prisma/migrations/20260101000000_init/migration.sql", k_table);
  context.write("schemagate.yaml", "version: 1\ndatabase: {url: \"${DATABASE_URL}\", wait: 20s}\n"
                                   "migrations: {directory: prisma/migrations}\n");
  build_image(name, context);
  return name;
}

void expect_verified_run(const std::string& base) {
  const DockerNetwork network;
  const TempDir context;
  context.write("ca.crt", network.ca_certificate());
  const auto image = image_with_directory(base, context);
  const auto url = DockerNetwork::url() + "?sslmode=verify-full&sslrootcert=";
  // The server's certificate is not signed by any of the world's authorities.
  CHECK(Docker::run(arguments(network, image, {k_program, "run"}, url + "system")) ==
        exits(10, "certificate verify failed"));
  const auto other_name = Docker::run(arguments(
      network, image, {k_program, "run"},
      "postgresql://postgres:geheim@" +
          Docker::must({"inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
                        Docker::must({"ps", "-q", "--filter", "network=" + network.name()})}) +
          "/shop?sslmode=verify-full&sslrootcert=/app/ca.crt"));
  CHECK(other_name == exits(10));

  const auto run = Docker::run(arguments(network, image, {k_program, "run"}, url + "/app/ca.crt"));
  CHECK(run == exits(0));
  const auto gate = Docker::run(arguments(
      network, image, {k_program, "gate", "--", k_program, "--version"}, url + "/app/ca.crt"));
  CHECK(gate == exits(0));
  CHECK_FALSE(gate.out.empty());
  (void)Docker::run({"rmi", "-f", image});
}

}  // namespace

TEST_CASE("the directory runs in an empty image, over TLS with verify-full") {
  if (!Docker::is_there()) return;
  expect_verified_run("scratch");
}

TEST_CASE("the directory runs in a Debian image, over TLS with verify-full") {
  if (!Docker::is_there()) return;
  expect_verified_run("debian:trixie-slim");
}

TEST_CASE("sslrootcert=system trusts the authorities that the image has") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const TempDir context;
  context.write("ca.crt", network.ca_certificate());
  const auto image = image_with_directory("debian:trixie-slim", context,
                                          "COPY ca.crt /etc/ssl/certs/ca-certificates.crt\n");
  const auto gate =
      Docker::run(arguments(network, image, {k_program, "gate", "--once"},
                            DockerNetwork::url() + "?sslmode=verify-full&sslrootcert=system"));
  CHECK(gate == exits(30, "no run has happened on this database yet"));
  (void)Docker::run({"rmi", "-f", image});
}

TEST_CASE("an image's LD_LIBRARY_PATH does not replace the directory's libraries") {
  if (!Docker::is_there()) return;
  const TempDir context;
  for (const auto* library : {"libpq.so.5", "libc.so.6", "libstdc++.so.6"})
    context.write(std::string{"odd/"} + library, "this is no library");
  const auto image = image_with_directory("scratch", context);
  CHECK(Docker::run({"run", "--rm", "-e", "LD_LIBRARY_PATH=/app/odd", image, k_program,
                     "--version"}) == exits(0));
  (void)Docker::run({"rmi", "-f", image});
}
