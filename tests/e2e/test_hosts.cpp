// The platforms of deploy/ that start a command of the new image before the new app: what their
// files say is executed, with the built binary and a real server. The platforms themselves are not
// here; what they do with an exit code is taken from their documentation.

#include <functional>
#include <regex>

#include "e2e/host_fixture.hpp"

using namespace testing;

namespace {

struct Platform {
  std::string name;
  std::string before;  // the command before the app; empty: the file could not be read here
  std::string app;
};

// The image's CMD as one would type it.
std::string image_command() {
  std::smatch match;
  const auto dockerfile = source("deploy/one-image/Dockerfile");
  REQUIRE(std::regex_search(dockerfile, match, std::regex{"\nCMD (\\[.*\\])"}));
  std::string command;
  for (const auto& word : Json::parse(match[1].str()))
    command += (command.empty() ? "" : " ") + word.get<std::string>();
  return command;
}

std::vector<Platform> platforms() {
  const auto railway = Json::parse(source("deploy/railway/railway.json"));
  const auto render = YAML::Load(source("deploy/render/render.yaml"));
  const auto heroku = YAML::Load(source("deploy/heroku/heroku.yml"));
  const auto fly = toml("deploy/fly/fly.toml");
  return {
      {"railway", railway.at("deploy").at("preDeployCommand").at(0), image_command()},
      {"render", render["services"][0]["preDeployCommand"].as<std::string>(), image_command()},
      {"heroku", heroku["release"]["command"][0].as<std::string>(),
       heroku["run"]["web"].as<std::string>()},
      {"fly", fly.is_null() ? "" : fly.at("deploy").at("release_command").get<std::string>(),
       image_command()},
  };
}

void on_each(const std::function<void(const Platform&, const Host&)>& test) {
  for (const auto& platform : platforms()) {
    if (platform.before.empty()) continue;  // said loudly by toml()
    INFO(platform.name);
    test(platform, Host{});
  }
}

long seconds(const YAML::Node& duration) {
  const auto text = duration.as<std::string>();
  REQUIRE(std::regex_match(text, std::regex{"[0-9]+[sm]"}));
  return std::stol(text) * (text.back() == 'm' ? 60 : 1);
}

long waits_of(const std::string& manifest) {
  const auto yaml = YAML::Load(source(manifest));
  return seconds(yaml["database"]["wait"]) + seconds(yaml["lease"]["wait"]) +
         seconds(yaml["migrations"]["lock_retry"]);
}

}  // namespace

TEST_SUITE_BEGIN("hosts");

TEST_CASE("hosts: the command before the deployment migrates, and the app starts after it") {
  on_each([](const Platform& platform, const Host& host) {
    const auto early = host.start("new", "timeout 2 " + platform.app);
    CHECK(early == exits(124));
    CHECK(early.out != contains("the app runs"));

    const auto before = host.start("new", platform.before);
    CHECK(before == exits(0));
    CHECK(before.out == contains("2 of 2 migrations to apply"));
    CHECK(before.out == contains("is complete: 2 applied now, 2 migrations in all"));

    const auto app = host.start("new", platform.app);
    CHECK(app == exits(0));
    CHECK(app.out == contains("gate open: release "));
    CHECK(app.out == contains("the app runs: server.js"));
  });
}

TEST_CASE(
    "hosts: a migration that fails stops the deployment, and the old release starts as ever") {
  on_each([](const Platform& platform, const Host& host) {
    REQUIRE(host.start("old", platform.before) == exits(0));
    host.break_new_release();

    CHECK(host.start("new", platform.before) == exits(21));
    // Even if somebody starts the new app all the same.
    const auto app = host.start("new", platform.app);
    CHECK(app == exits(31));
    CHECK(app.out != contains("the app runs"));

    CHECK(host.start("old", platform.app).out == contains("the app runs"));
    CHECK(host.database.value("SELECT to_regclass('half') IS NULL") == "t");
  });
}

TEST_CASE("hosts: a roll-back runs the old command on the newer database, and starts the old app") {
  on_each([](const Platform& platform, const Host& host) {
    REQUIRE(host.start("old", platform.before) == exits(0));
    REQUIRE(host.start("new", platform.before) == exits(0));

    // A release that was here before has nothing to do; one that was not warns of what is ahead.
    CHECK(host.start("old", platform.before) == exits(0));
    CHECK(host.start("old", platform.app).out == contains("the app runs"));
    host.database.execute("DELETE FROM schemagate.marker");
    const auto unknown = host.start("old", platform.before);
    CHECK(unknown == exits(0));
    CHECK(unknown.out == contains("warning migration 20261120_nickname is applied, but not in"));
    CHECK(host.start("old", platform.app).out == contains("the app runs"));
    CHECK(host.database.value("SELECT count(nickname) FROM users") == "0");
  });
}

TEST_CASE("hosts: a gate as ENTRYPOINT before the release command waits for itself") {
  const Host host;
  host.files().write("new/schemagate.yaml",
                     replaced(source("deploy/one-image/schemagate.yaml"), "45s", "1s"));
  CHECK(host.start("new",
                   "/opt/schemagate/bin/schemagate gate -- /opt/schemagate/bin/schemagate run") ==
        exits(30));
  CHECK(host.database.value("SELECT to_regclass('users') IS NULL") == "t");
}

TEST_CASE(
    "hosts: with SCHEMAGATE_MODE=off a preview touches nothing, starts by `run`, and not by a gate") {
  const Host host;
  host.files().write("new/schemagate.yaml",
                     replaced(source("deploy/one-image/schemagate.yaml"), "45s", "1s"));
  const auto preview = [&](const std::string& command) {
    return host.start("new", "/opt/schemagate/bin/schemagate " + command,
                      {{"SCHEMAGATE_MODE", "off"}});
  };
  CHECK(preview("run") == exits(0));
  CHECK(preview("run -- node server.js").out == contains("the app runs: server.js"));
  CHECK(preview("gate -- node server.js") == exits(30));
  CHECK(host.database.value("SELECT to_regclass('users') IS NULL") == "t");
}

TEST_CASE("hosts: with SCHEMAGATE_MODE=check the gate opens by the history, not by a marker") {
  const Host host;
  REQUIRE(host.start("new", "/opt/schemagate/bin/schemagate run") == exits(0));
  // A branch without the newest migration, which nobody has run here.
  const auto manifest = replaced(source("deploy/one-image/schemagate.yaml"), "45s", "1s");
  host.files().write("old/schemagate.yaml", manifest);
  const auto preview = [&](const std::string& image, const std::string& command) {
    return host
        .start(image, "/opt/schemagate/bin/schemagate " + command, {{"SCHEMAGATE_MODE", "check"}})
        .exit_code;
  };
  CHECK(preview("old", "run") == 0);
  CHECK(preview("old", "gate") == 30);
  host.files().write("old/schemagate.yaml",
                     replaced(manifest, "gate:\n", "gate:\n  match: migrations\n"));
  CHECK(preview("old", "gate") == 0);
  host.migration("old", "20261122_more", "CREATE TABLE more (id int);");
  CHECK(preview("old", "run") == 20);
  CHECK(preview("old", "gate") == 30);
  CHECK(host.database.value("SELECT to_regclass('more') IS NULL") == "t");
}

TEST_CASE("hosts: Render's command of the page migrates, but not in a service preview") {
  std::smatch match;
  const auto page = source("deploy/render/README.md");
  REQUIRE(std::regex_search(page, match, std::regex{"\n    preDeployCommand: ([^\n]*)"}));
  const Host host;
  CHECK(host.start("new", match[1].str(), {{"IS_PULL_REQUEST", "true"}}) == exits(0));
  CHECK(host.database.value("SELECT to_regclass('users') IS NULL") == "t");
  CHECK(host.start("new", match[1].str(), {{"IS_PULL_REQUEST", "false"}}) == exits(0));
  CHECK(host.database.value("SELECT count(nickname) FROM users") == "0");
  host.break_new_release();
  CHECK(host.start("new", match[1].str()) == exits(21));
}

TEST_CASE("hosts: the waits of the manifests add up to less than each platform's limit") {
  const auto waits = waits_of("deploy/one-image/schemagate.yaml");
  CHECK(waits == 4 * 60);  // as the pages say
  const auto fly = toml("deploy/fly/fly.toml");
  if (!fly.is_null()) {
    CHECK(fly.at("deploy").at("release_command_timeout") == "15m");
    CHECK(waits < 15 * 60);
  }
  CHECK(waits < 5 * 60);  // Fly's, without that line
  CHECK(source("deploy/cloud-run/README.md") == contains("--task-timeout 30m"));
  CHECK(waits < 30 * 60);
  CHECK(waits < 60 * 60);  // Heroku's release phase
  const auto workflow = YAML::Load(source("deploy/github-actions/deploy.yml"));
  CHECK(waits < workflow["jobs"]["deploy"]["timeout-minutes"].as<long>() * 60);
  CHECK(waits_of("deploy/vercel-neon/schemagate.yaml") == 12 * 60);
  CHECK(12 * 60 < 45 * 60);

  const auto gate =
      seconds(YAML::Load(source("deploy/one-image/schemagate.yaml"))["gate"]["timeout"]);
  CHECK(gate < 60);   // Heroku: a web dyno must listen by then
  CHECK(gate < 240);  // Cloud Run's default startup probe
}

TEST_SUITE_END();
