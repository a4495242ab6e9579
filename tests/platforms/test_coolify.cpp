// deploy/coolify. Coolify itself is not here: what it does to containers and to a Compose file (as
// its sources of 2026-08 have it) is done to real ones.
#include <doctest/doctest.h>

#include <csignal>
#include <regex>

#include "shop.hpp"

using namespace testing;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr const char* k_page = "deploy/coolify/README.md";
constexpr const char* k_program = "/opt/schemagate/bin/schemagate";

// The Dockerfile from HEALTHCHECK on. A look each second, for there is no time for ten.
std::string image_lines() {
  const auto dockerfile = source("deploy/coolify/Dockerfile");
  const auto at = dockerfile.find("\nHEALTHCHECK ");
  REQUIRE(at != std::string::npos);
  return std::regex_replace(dockerfile.substr(at + 1), std::regex{"--interval=10s"},
                            "--interval=1s");
}

// The container of an app with one: restarted whenever it ends, as Coolify writes it.
class AppContainer {
 public:
  AppContainer(const DockerNetwork& network, const std::string& release,
               const std::vector<std::string>& command = {},
               const std::string& url = DockerNetwork::url())
      : name_{Docker::unique_name("app")} {
    std::vector<std::string> all = {"run",
                                    "-d",
                                    "--name",
                                    name_,
                                    "--restart",
                                    "unless-stopped",
                                    "--label",
                                    "coolify.applicationId=" + network.name(),
                                    "--network",
                                    network.name(),
                                    "-e",
                                    "DATABASE_URL=" + url,
                                    shop_image(release, image_lines())};
    all.insert(all.end(), command.begin(), command.end());
    Docker::must(all);
  }
  ~AppContainer() { (void)Docker::run({"rm", "-f", name_}); }
  AppContainer(const AppContainer&) = delete;
  AppContainer& operator=(const AppContainer&) = delete;

  [[nodiscard]] std::string log() const { return container_log(name_); }
  [[nodiscard]] std::string inspect(const std::string& format) const {
    return Docker::must({"inspect", "--format", format, name_});
  }
  [[nodiscard]] int restarts() const { return std::stoi(inspect("{{.RestartCount}}")); }
  [[nodiscard]] bool becomes_healthy() const {
    return eventually([&] { return inspect("{{.State.Health.Status}}") == "healthy"; }, 120s);
  }
  [[nodiscard]] bool says(const std::string& text) const {
    return eventually([&] { return log() == contains(text); }, 120s);
  }
  // Both streams, which come into the log each by itself.
  [[nodiscard]] bool shows(const Block& block) const {
    return eventually([&] { return missing_in(log(), block).empty(); }, 120s);
  }
  // As Coolify executes a pre-deployment command.
  [[nodiscard]] Result before_deployment(const std::string& command) const {
    return Docker::run({"exec", name_, "sh", "-c", command});
  }
  // `docker stop` with Coolify's grace period; false when that passed, after which Docker kills.
  [[nodiscard]] bool ends_when_told() const {
    Docker::must({"stop", "--time=30", name_});
    return inspect("{{.State.ExitCode}}") != "137";
  }

 private:
  std::string name_;
};

// What Coolify's parser makes of a Compose file: `restart` where there is none, names, labels, its
// network and variables; exclude_from_hc goes, depends_on stays. `build` was done by then.
json as_coolify_writes_it(json compose, const std::string& uuid, const std::string& image) {
  for (auto& [name, service] : compose["services"].items()) {
    service.erase("exclude_from_hc");
    service["container_name"] = name + "-" + uuid;
    service["restart"] = service.value("restart", "unless-stopped");
    service["labels"] = {"coolify.managed=true", "coolify.applicationId=1"};
    service["networks"] = {{uuid, nullptr}};
    service["env_file"] = {".env"};
    service.erase("build");
    service["image"] = image;
  }
  compose["networks"][uuid] = {{"name", uuid}, {"external", true}};
  return compose;
}

// The network's name is what Coolify uses as the app's id.
class ComposeApp : public ComposeProject {
 public:
  ComposeApp(const DockerNetwork& network, const std::string& release,
             const json& compose = compose_file("deploy/coolify/compose.yaml"))
      : ComposeProject{
            as_coolify_writes_it(compose, network.name(), shop_images() + ":" + release)} {
    write(".env", "DATABASE_URL=" + DockerNetwork::url() + "\n");
  }
};

}  // namespace

TEST_SUITE_BEGIN("coolify");

TEST_CASE("coolify: the new container migrates beside the old one, and becomes the app") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const AppContainer old{network, "1"};
  REQUIRE(old.becomes_healthy());
  {
    const AppContainer fresh{network, "2"};
    CHECK(fresh.becomes_healthy());
    CHECK_MESSAGE(fresh.shows(shown(k_page, "What you see").at(0)), fresh.log());
    CHECK(fresh.says("the app runs: server.js"));
    CHECK(fresh.restarts() == 0);
  }
  CHECK(old.ends_when_told());
  const AppContainer back{network, "1"};
  CHECK(back.becomes_healthy());
  CHECK_MESSAGE(back.shows(shown(k_page, "Roll-back").at(0)), back.log());
}

TEST_CASE("coolify: --hold keeps a failing release from being restarted, and ends with SIGTERM") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const AppContainer old{network, "2"};
  REQUIRE(old.becomes_healthy());
  const AppContainer held{network, "3"};
  CHECK_MESSAGE(held.shows(shown(k_page, "What you see").at(1)), held.log());

  // The same without --hold: five restarts, and Docker waits longer before each.
  const AppContainer loops{network, "3", {k_program, "run", "--", "node", "server.js"}};
  CHECK(eventually([&] { return loops.restarts() >= 5; }, 100s));
  CHECK(held.restarts() == 0);
  CHECK(held.inspect("{{.State.Health.Status}}") != "healthy");
  CHECK(old.inspect("{{.State.Health.Status}}") == "healthy");
  // "rolling back to the old container"
  CHECK(held.ends_when_told());
  CHECK(held.inspect("{{.State.ExitCode}}") == "21");
}

TEST_CASE("coolify: what may pass is held for a minute, however long --hold is") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const AppContainer app{network, "1", {}, "postgresql://postgres:wrong@db/shop"};
  CHECK_MESSAGE(app.says("exit code 10 follows in 1 min (--hold)"), app.log());
  CHECK(app.restarts() == 0);
  CHECK(app.ends_when_told());
}

TEST_CASE(
    "coolify: the pre-deployment command finds nothing to do in the old container, and says so") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  // Before the first deployment there is nothing to execute it in, and Coolify goes on without.
  CHECK(Docker::must({"ps", "-aq", "--filter", "label=coolify.applicationId=" + network.name()}) ==
        "");
  const AppContainer old{network, "1"};
  REQUIRE(old.becomes_healthy());
  const auto has_nickname = [&] {
    return network.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass "
                         "AND attname = 'nickname'") == "1";
  };
  const auto before = old.before_deployment(std::string{k_program} + " run");
  CHECK(before == exits(0));
  const auto warning = shown(k_page, "The pre-deployment command").at(0);
  CHECK_MESSAGE(missing_in(before.err, warning) == "", before.err);
  CHECK_FALSE(has_nickname());

  const AppContainer fresh{network, "2"};
  CHECK(fresh.becomes_healthy());
  CHECK(has_nickname());
  CHECK(fresh.log() != contains("docker exec"));
  CHECK(old.before_deployment(std::string{k_program} + " run").err ==
        contains("was completed later"));
}

TEST_CASE("coolify: a status in the pre-deployment command must not stop the release that mends") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const AppContainer old{network, "1"};
  REQUIRE(old.becomes_healthy());
  const auto status = std::string{k_program} + " status";
  CHECK(old.before_deployment(status) == exits(0));
  network.execute("INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at) "
                  "VALUES ('x', 'x', '20261121_fails', now())");
  CHECK(old.before_deployment(status) == exits(20));
  REQUIRE(source(k_page) == contains("`" + status + " || true`"));
  CHECK(old.before_deployment(status + " || true") == exits(0));
  // No `|| true` helps where there is no process to execute it in.
  CHECK(old.ends_when_told());
  CHECK(old.before_deployment(status + " || true") != exits(0));
}

TEST_CASE("coolify: Compose as Coolify rewrites the file migrates, then starts the app") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  {
    const ComposeApp app{network, "2"};
    app.must({"up", "-d"});
    CHECK(app.app_runs());
    CHECK(app.log("migrate") == contains("is complete: 2 applied now"));
    CHECK(eventually([&] { return app.log("app") == contains("gate open: release "); }));
    CHECK(app.inspect("app", "{{.State.StartedAt}}") >
          app.inspect("migrate", "{{.State.FinishedAt}}"));
    app.must({"restart", "-t", "5"});
    CHECK(app.app_runs());
  }
  // All old containers are gone by now, as Coolify has it.
  const ComposeApp failing{network, "3"};
  const auto up = failing.run({"up", "-d"});
  CHECK(up == exits(1));
  CHECK(missing_in(up.err, shown(k_page, "Docker Compose").at(0)) == "");
  CHECK(failing.status("app") == "created");
  // Started by hand: refused, and held like any other.
  Docker::must({"start", failing.container("app")});
  const auto held = [&] {
    return failing.log("app") == contains("exit code 31 follows in 60 min (--hold)");
  };
  CHECK_MESSAGE(eventually(held, 120s), failing.log("app"));
  CHECK(failing.inspect("app", "{{.RestartCount}}") == "0");
}

TEST_CASE("coolify: Compose without restart: \"no\" hangs, though the migrations are applied") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  auto compose = compose_file("deploy/coolify/compose.yaml");
  CHECK(compose["services"]["migrate"]["restart"] == "no");
  compose["services"]["migrate"].erase("restart");
  const ComposeApp app{network, "1", compose};
  auto up = app.start({"up", "-d"});
  const auto loops = [&] {
    const auto id = app.container("migrate");
    return !id.empty() &&
           std::stoi(Docker::must({"inspect", "--format", "{{.RestartCount}}", id})) >= 4;
  };
  CHECK(eventually(loops, 120s));
  CHECK(network.value("SELECT count(*) FROM users") == "0");
  CHECK(up.is_running());
  CHECK(app.status("app") == "created");
}

TEST_CASE("coolify: the raw file differs by what Coolify would do, and Compose takes it as it is") {
  const auto usual = compose_file("deploy/coolify/compose.yaml");
  const auto raw = compose_file("deploy/coolify/compose.raw.yaml");
  auto rewritten = usual;
  for (auto& [name, service] : rewritten["services"].items()) {
    service.erase("exclude_from_hc");
    service["env_file"] = ".env";
  }
  CHECK(rewritten == raw);

  if (!Docker::is_there()) return;
  const ComposeProject accepted{raw};
  accepted.write(".env", "");
  accepted.must({"config", "--quiet"});
  const ComposeProject refused{usual};
  const auto result = refused.run({"config", "--quiet"});
  CHECK(result != exits(0));
  CHECK(result.err == contains("exclude_from_hc"));
}

TEST_CASE("coolify: Nixpacks' start command becomes the app, which gets the signals") {
  if (!Docker::is_there()) return;
  std::smatch match;
  const auto plan = source("deploy/coolify/nixpacks.toml");
  REQUIRE(std::regex_search(plan, match, std::regex{"\ncmd = \"([^\"]*)\""}));
  const DockerNetwork network;
  // Nixpacks' images have the ENTRYPOINT ["/bin/bash", "-l", "-c"].
  const AppContainer app{network, "1", {"/bin/bash", "-l", "-c", match[1].str()}};
  CHECK(app.becomes_healthy());
  CHECK(app.says("the app runs: server.js"));
  CHECK(app.before_deployment("cat /proc/1/comm").out == "node\n");
  CHECK(app.ends_when_told());
  CHECK(app.inspect("{{.State.ExitCode}}") == "0");
}

TEST_CASE(
    "coolify: its health check finds its numbers in the Dockerfile, and they are long enough") {
  const auto dockerfile = source("deploy/coolify/Dockerfile");
  const auto number = [&](const std::string& pattern) {
    std::smatch match;
    REQUIRE(std::regex_search(dockerfile, match, std::regex{"\nHEALTHCHECK [^\n]*" + pattern}));
    return std::stol(match[1].str());
  };
  const auto start = number("--start-period=([0-9]+)s");
  const auto interval = number("--interval=([0-9]+)s");
  const auto timeout = number("--timeout=([0-9]+)s");
  const auto retries = number("--retries=([0-9]+)");
  const auto page = source(k_page);
  CHECK(page == contains("start period " + std::to_string(start) + ", interval " +
                         std::to_string(interval) + ", timeout " + std::to_string(timeout) +
                         ", retries " + std::to_string(retries)));
  CHECK(page == contains("waits of 4 minutes"));
  CHECK(start + interval * retries > 4 * 60 + 3 * 60);
  // A container that is restarted each minute must not come to ten restarts in that time.
  CHECK(start + interval * retries < 10 * 60);
}

TEST_SUITE_END();
