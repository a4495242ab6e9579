// deploy/compose, with the real Engine and Compose: order, failures, restarts, roll-back.
#include <doctest/doctest.h>

#include "shop.hpp"

using namespace testing;
using namespace std::chrono_literals;

namespace {

constexpr const char* k_page = "deploy/compose/README.md";

// compose.yaml with the images of the test and no port of this machine.
nlohmann::json with_own_database() {
  auto compose = compose_file("deploy/compose/compose.yaml");
  for (const char* service : {"migrate", "app"}) {
    CHECK(compose["services"][service]["image"] == "shop:${TAG:?}");
    compose["services"][service]["image"] = shop_images() + ":${TAG:?}";
  }
  compose["services"]["app"].erase("ports");
  // The stand-in for the well-known image lacks its data directory, which a volume needs.
  const TempDir context;
  context.write("Dockerfile", "FROM postgres:17\nUSER root\n"
                              "RUN install -d -o postgres /var/lib/postgresql/data\n"
                              "USER postgres\n");
  build_image_once("schemagate-test-postgres", context);
  compose["services"]["db"]["image"] = "schemagate-test-postgres";
  return compose;
}

// What the comment in the file tells those to remove whose database is elsewhere.
nlohmann::json with_database_in(const DockerNetwork& network) {
  auto compose = with_own_database();
  compose["services"].erase("db");
  compose["services"]["migrate"].erase("depends_on");
  compose.erase("volumes");
  compose["networks"]["default"] = {{"name", network.name()}, {"external", true}};
  return compose;
}

// The VM of the page: compose.yaml, deploy.sh, .env and app.env.
class Vm : public ComposeProject {
 public:
  explicit Vm(nlohmann::json compose) : ComposeProject{std::move(compose)} {
    write(".env", "TAG=none\nPOSTGRES_PASSWORD=geheim\n");
    write("app.env", "DATABASE_URL=" + DockerNetwork::url() + "\n");
    write("deploy.sh", source("deploy/compose/deploy.sh"));
  }
  explicit Vm(const DockerNetwork& network) : Vm{with_database_in(network)} {}

  // Both streams, as on a screen.
  [[nodiscard]] Result deploy(const std::string& tag) const {
    return testing::run({"bash", "-c", "exec bash deploy.sh " + tag + " 2>&1"},
                        Docker::with_engine({.environment = {}, .directory = directory()}));
  }
};

bool never_started(const ComposeProject& project) {
  return project.status("app") == "created" &&
         project.inspect("app", "{{.State.StartedAt}}") == "0001-01-01T00:00:00Z";
}

}  // namespace

TEST_SUITE_BEGIN("compose");

TEST_CASE("compose: deploy.sh migrates while the old app serves, and says what its page shows") {
  if (!Docker::is_there()) return;
  const Vm vm{with_own_database()};
  REQUIRE(vm.deploy("1") == exits(0));
  CHECK(vm.app_runs());
  const auto old_app = vm.container("app");

  // The old app is there while the new release's migration takes its time.
  Process slow{{"bash", "deploy.sh", "slow"},
               Docker::with_engine({.environment = {}, .directory = vm.directory()})};
  REQUIRE(slow.says("1 of 2 migrations to apply"));
  CHECK(vm.container("app") == old_app);
  CHECK(vm.status("app") == "running");
  Docker::must({"exec", vm.container("db"), "psql", "-qAtXU", "postgres", "-d", "shop", "-c",
                k_let_slow_go});
  CHECK(slow.wait() == exits(0));
  CHECK(vm.app_runs());
  CHECK(vm.container("app") != old_app);
  CHECK(eventually([&] { return vm.log("app") == contains("gate open: release "); }));
  CHECK(read_text(vm.directory() + "/.env") == contains("TAG=slow\nPOSTGRES_PASSWORD=geheim\n"));

  const auto back = vm.deploy("1");
  CHECK(back == exits(0));
  CHECK_MESSAGE(missing_in(back.out, shown(k_page, "Roll-back").at(0)) == "", back.out);
  CHECK(vm.app_runs());
}

TEST_CASE(
    "compose: deploy.sh works on a terminal, and a TAG in the shell does not win over its own") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const Vm vm{network};
  const auto result = testing::run(
      {"script", "-qec", "bash deploy.sh 1 2>&1", "/dev/null"},
      Docker::with_engine({.environment = {{"TAG", "none"}}, .directory = vm.directory()}));
  CHECK(result == exits(0));
  CHECK(result.out == contains("is complete: 1 applied now"));
  CHECK(vm.app_runs());
  CHECK(vm.inspect("app", "{{.Config.Image}}") == contains(":1"));
}

TEST_CASE("compose: a failing migration leaves the old app and .env alone, as the page shows") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const Vm vm{network};
  REQUIRE(vm.deploy("1") == exits(0));
  const auto good = vm.deploy("2");
  CHECK_MESSAGE(missing_in(good.out, shown(k_page, "What you see").at(0)) == "", good.out);
  CHECK(good.out == contains("app-1  Started"));
  REQUIRE(vm.app_runs());
  const auto app = vm.container("app");

  const auto failed = vm.deploy("3");
  CHECK(failed == exits(21));
  CHECK(missing_in(failed.out, shown(k_page, "When it fails").at(0)) == "");
  CHECK(vm.container("app") == app);
  CHECK(vm.status("app") == "running");
  CHECK(read_text(vm.directory() + "/.env") == contains("TAG=2\n"));
  CHECK(network.value("SELECT to_regclass('half') IS NULL") == "t");
}

TEST_CASE("compose: `up` with a migration that fails returns 1, and never starts the app") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const Vm vm{network};
  vm.release("1");
  vm.must({"up", "-d"});
  REQUIRE(vm.app_runs());

  vm.release("3");
  const auto up = vm.run({"up", "-d"});
  CHECK(up == exits(1));
  CHECK(missing_in(up.err, shown(k_page, "When it fails").at(1)) == "");
  CHECK(never_started(vm));  // and the old one is gone
  CHECK(vm.status("migrate") == "exited");
  CHECK(vm.inspect("migrate", "{{.State.ExitCode}}") == "21");

  // Whoever starts it all the same meets the gate.
  vm.must({"restart"});
  const auto refused = [&] {
    return missing_in(vm.log("app"), shown(k_page, "Restarts and reboots").at(0)) == "";
  };
  CHECK_MESSAGE(eventually(refused, 120s), vm.log("app"));
  CHECK(vm.log("app") != contains("the app runs"));

  // The way back, and the way on.
  CHECK(vm.deploy("1") == exits(0));
  CHECK(vm.app_runs());
  CHECK(vm.deploy("2") == exits(0));
  CHECK(vm.app_runs());
}

TEST_CASE("compose: two projects that come up at once migrate their one database once") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const Vm one{network};
  const Vm two{network};
  one.release("slow");
  two.release("slow");
  auto first = one.start({"up", "-d"});
  auto second = two.start({"up", "-d"});
  const auto one_waits = [&] {
    return one.log("migrate") + two.log("migrate") == contains("waiting for the lease");
  };
  CHECK(eventually(one_waits, 100s));
  network.execute(k_let_slow_go);
  CHECK(first.wait() == exits(0));
  CHECK(second.wait() == exits(0));
  CHECK(one.app_runs());
  CHECK(two.app_runs());
  const auto logs = one.log("migrate") + two.log("migrate");
  INFO(logs);
  CHECK(logs.find("applied 20261120_nickname") == logs.rfind("applied 20261120_nickname"));
  CHECK(network.value("SELECT count(*) FROM _prisma_migrations") == "2");
  CHECK(network.value("SELECT count(*) FROM schemagate.run WHERE applied > 0") == "1");
}

TEST_CASE("compose: the app starts after its migrations: at `up`, and at a second `up`") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const Vm vm{network};
  vm.release("slow");
  auto up = vm.start({"up", "-d"});
  REQUIRE(up.says("migrate-1  Waiting"));
  const auto migrates = [&] { return vm.log("migrate") == contains("2 of 2 migrations to apply"); };
  CHECK(eventually(migrates, 100s));
  CHECK(never_started(vm));
  CHECK(vm.status("migrate") == "running");
  network.execute(k_let_slow_go);
  CHECK(up.wait() == exits(0));
  CHECK(vm.app_runs());
  CHECK(vm.inspect("app", "{{.State.StartedAt}}") > vm.inspect("migrate", "{{.State.FinishedAt}}"));

  const auto app = vm.container("app");
  const auto started = vm.inspect("app", "{{.State.StartedAt}}");
  vm.must({"up", "-d"});
  CHECK(vm.container("app") == app);
  CHECK(vm.inspect("app", "{{.State.StartedAt}}") == started);
  CHECK(vm.log("migrate") == contains("nothing to do: release "));
}

TEST_CASE("compose: restarts in any order do not let the app start before its migrations") {
  if (!Docker::is_there()) return;
  const DockerNetwork network;
  const Vm vm{network};
  vm.release("2");
  // Created by hand, in the wrong order: the gate waits, and opens by itself after the job.
  vm.must({"up", "-d", "--no-deps", "app"});
  const auto waits = [&] { return vm.log("app") == contains("gate closed: no run has happened"); };
  CHECK_MESSAGE(eventually(waits, 120s), vm.log("app"));
  vm.must({"restart"});
  Docker::must({"restart", "-t", "5", vm.container("app")});
  CHECK(vm.log("app") != contains("the app runs"));
  CHECK(network.value("SELECT to_regclass('users') IS NULL") == "t");
  vm.must({"run", "--rm", "migrate"});
  CHECK(vm.app_runs());

  // Again in each order, with a database that was put back to before the release.
  vm.must({"up", "-d"});
  for (const bool app_first : {true, false}) {
    CAPTURE(app_first);
    Docker::must({"stop", "-t", "5", vm.container("app")});
    network.execute("DROP TABLE users, _prisma_migrations; DROP SCHEMA schemagate CASCADE");
    const auto app = vm.container("app");
    const auto job = vm.container("migrate");
    Docker::must({"restart", app_first ? app : job});
    Docker::must({"restart", app_first ? job : app});
    const auto has_users = [&] {
      return network.value("SELECT to_regclass('users') IS NULL") == "f";
    };
    CHECK(eventually(has_users, 120s));
    CHECK(vm.app_runs());
  }
  // Everything there is: one go of all, and each alone.
  vm.must({"restart", "-t", "5"});
  CHECK(vm.app_runs());
  Docker::must({"restart", "-t", "5", vm.container("app")});
  CHECK(vm.app_runs());
}

TEST_SUITE_END();
