// deploy/kubernetes as it is, played for real by podman with the real image. (Podman knows pods,
// but no Job controller: backoffLimit and podFailurePolicy are not tried here.)
#include <doctest/doctest.h>

#include <cstdlib>

#include "kube.hpp"
#include "schemagate/base/text.hpp"
#include "support/own_server.hpp"
#include "support/text.hpp"

using namespace testing;
using namespace testing::kube;

namespace {

const std::filesystem::path k_root = SCHEMAGATE_SOURCE_DIR;
const std::string k_script = (k_root / "tests/platforms/podman").string();

class Podman {
 public:
  // `broken`: the last migration cannot work.
  explicit Podman(bool broken = false) {
    const auto example = k_root / "deploy/example", image = directory_.path() / "migrate";
    std::filesystem::create_directory(image);
    for (const auto* name : {"schemagate.yaml", "prisma"})
      std::filesystem::copy(example / name, image / name, std::filesystem::copy_options::recursive);
    if (broken)
      directory_.write("migrate/prisma/migrations/20250801000000_broken/migration.sql",
                       "SELECT 1/0;");
    if (const char* docker = std::getenv("SCHEMAGATE_TEST_DOCKER"); docker == nullptr)
      why_not_ = "no Docker Engine for the image (SCHEMAGATE_TEST_DOCKER)";
    else if (const auto result =
                 testing::run({k_script, "start", directory_.path().string(), docker});
             result.exit_code != 0)
      why_not_ = result.err;
  }
  ~Podman() { (void)testing::run({k_script, "stop", directory_.path().string()}); }
  Podman(const Podman&) = delete;
  Podman& operator=(const Podman&) = delete;

  [[nodiscard]] bool is_there() const {
    if (!why_not_.empty()) skipped("podman cannot be had: " + why_not_);
    return why_not_.empty();
  }

  [[nodiscard]] Process start(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {k_script, "in", directory_.path().string()});
    return Process{arguments};
  }
  [[nodiscard]] Result run(const std::vector<std::string>& arguments) const {
    return start(arguments).wait();
  }

  // Returns when the pod has started: after its init containers.
  [[nodiscard]] Process play(const std::string& name, const std::string& yaml) const {
    directory_.write(name, yaml);
    return start({"kube", "play", "--network", "host", "/mnt/" + name});
  }
  void must_play(const std::string& name, const std::string& yaml) const {
    REQUIRE(play(name, yaml).wait() == exits(0));
  }

  [[nodiscard]] json inspect(const std::string& container) const {
    const auto result = run({"container", "inspect", container});
    return result.exit_code == 0 ? json::parse(result.out).at(0) : json{};
  }
  [[nodiscard]] std::string state(const std::string& container) const {
    const auto found = inspect(container);
    return found.is_null() ? "" : found.at("State").at("Status").get<std::string>();
  }
  [[nodiscard]] bool comes_to(const std::string& container, const std::string& state) const {
    return eventually([&] { return this->state(container) == state; }, std::chrono::seconds{100});
  }
  [[nodiscard]] std::string log(const std::string& container) const {
    const auto result = run({"logs", container});
    return result.out + result.err;
  }

 private:
  TempDir directory_;
  std::string why_not_;
};

std::string manifest(const std::string& name) {
  return read_text(k_root / "deploy/kubernetes" / name);
}

void sql_script(const OwnServer& server, const std::string& name, const std::string& role) {
  const auto file = (k_root / "deploy/sql" / name).string();
  REQUIRE(run({"psql", "-qX", server.url(), "-v", "role=" + role, "-f", file}) == exits(0));
}

// As the README says: roles, then Secrets.
void prepare(const Podman& podman, const OwnServer& server) {
  server.execute("CREATE ROLE shop_migrator LOGIN");
  server.execute("CREATE ROLE shop_app LOGIN");
  sql_script(server, "run-role.sql", "shop_migrator");
  const auto secret = [&](const std::string& name, const std::string& role) {
    return "---\napiVersion: v1\nkind: Secret\nmetadata: {name: " + name +
           "}\nstringData: {url: \"" + server.url(role) + "\"}\n";
  };
  podman.must_play("secrets.yaml", secret("shop-migrate-database", "shop_migrator") +
                                       secret("shop-database", "shop_app"));
}

// Some templates of the example chart, with a manifest that is not the image's.
std::string chart(const ExampleChart& example, const Arguments& templates) {
  Arguments arguments{"--set-json",
                      R"(schemagate.manifest={"version": 1, "app": "of-the-chart",
                          "database": {"url": "${DATABASE_URL}"},
                          "migrations": {"directory": "/app/prisma/migrations"}})"};
  for (const auto& name : templates) {
    arguments.emplace_back("--show-only");
    arguments.push_back(name);
  }
  return rendered(example.path, arguments);
}

const std::string k_job = "shop-migrate-1-4-0-pod-schemagate";
const std::string k_gate = "shop-pod-gate";
const std::string k_app = "shop-pod-shop";

}  // namespace

TEST_SUITE("Kubernetes manifests played by podman") {
  TEST_CASE("the app waits at the gate until the Job has migrated and its role may look") {
    const Podman podman;
    if (!podman.is_there()) return;
    const OwnServer server;
    prepare(podman, server);

    auto app = podman.play("deployment.yaml", manifest("deployment.yaml"));
    REQUIRE(podman.comes_to(k_gate, "running"));
    podman.must_play("job.yaml", manifest("job.yaml"));
    REQUIRE(podman.comes_to(k_job, "exited"));
    INFO(podman.log(k_job));
    const auto job = podman.inspect(k_job);
    CHECK(job.at("State").at("ExitCode") == 0);
    CHECK(server.value("SELECT count(*) > 10 FROM _prisma_migrations") == "t");
    // What the manifest asks for was in force.
    CHECK(job.at("HostConfig").at("ReadonlyRootfs") == true);
    CHECK(job.at("Config").at("User") == "65532:65532");
    CHECK(job.at("EffectiveCaps").empty());
    CHECK(job.at("HostConfig").at("SecurityOpt").dump() == contains("no-new-privileges"));

    CHECK(podman.state(k_gate) == "running");  // nobody has let the app's role look
    CHECK(podman.state(k_app) == "created");
    CHECK(eventually([&] {  // once it has looked after the Job
      return podman.log(k_gate) == contains("gate closed: permission denied for schema schemagate");
    }));
    sql_script(server, "gate-role.sql", "shop_app");
    CHECK(app.wait() == exits(0));
    CHECK(podman.comes_to(k_app, "running"));
  }

  TEST_CASE("a migration that fails ends the Job with 21 and the gate with 31, and no app starts") {
    const Podman podman{true};
    if (!podman.is_there()) return;
    const OwnServer server;
    prepare(podman, server);
    podman.must_play("job.yaml", manifest("job.yaml"));
    REQUIRE(podman.comes_to(k_job, "exited"));
    CHECK(podman.inspect(k_job).at("State").at("ExitCode") == 21);
    CHECK(podman.log(k_job) == contains("20250801000000_broken"));
    CHECK(podman.log(k_job) == contains("division by zero"));

    sql_script(server, "gate-role.sql", "shop_app");
    const auto app = podman.play("deployment.yaml", manifest("deployment.yaml")).wait();
    CHECK(app != exits(0));
    CHECK(app.err == contains("31"));
    CHECK(podman.state(k_app) != "running");
  }

  TEST_CASE("init-only.yaml migrates, and then starts the app") {
    const Podman podman;
    if (!podman.is_there()) return;
    const OwnServer server;
    prepare(podman, server);
    podman.must_play("init-only.yaml", manifest("init-only.yaml"));
    CHECK(podman.comes_to(k_app, "running"));
    CHECK(server.value("SELECT count(*) > 10 FROM _prisma_migrations") == "t");
  }

  TEST_CASE("what the chart makes runs as well: Job, gate, and the Pod of helm test") {
    if (!tools_are_there()) return;
    const Podman podman;
    if (!podman.is_there()) return;
    const OwnServer server;
    prepare(podman, server);
    const ExampleChart example;
    const std::string templates = "charts/schemagate/templates/";
    const auto job = chart(example, {templates + "configmap.yaml", templates + "job.yaml"});
    podman.must_play("job.yaml", job);
    const auto name = documents(job).back().at("metadata").at("name").get<std::string>();
    REQUIRE(podman.comes_to(name + "-pod-schemagate", "exited"));
    CHECK(podman.inspect(name + "-pod-schemagate").at("State").at("ExitCode") == 0);
    CHECK(server.value("SELECT app FROM schemagate.marker") == "of-the-chart");

    sql_script(server, "gate-role.sql", "shop_app");
    podman.must_play("app.yaml",
                     chart(example, {templates + "configmap.yaml", "templates/deployment.yaml"}));
    CHECK(podman.comes_to(k_app, "running"));
    podman.must_play("status.yaml", chart(example, {templates + "configmap.yaml",
                                                    templates + "tests/status.yaml"}));
    REQUIRE(podman.comes_to("shop-schemagate-status-schemagate", "exited"));
    CHECK(podman.inspect("shop-schemagate-status-schemagate").at("State").at("ExitCode") == 0);
  }
}
