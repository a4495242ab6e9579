// The scripts of deploy/ that order migration and deployment themselves, executed with stand-ins
// for the platform's programs; the migrations are real.

#include "e2e/host_fixture.hpp"

using namespace testing;

namespace {

// A job remembers its image, as the real one does.
constexpr const char* k_gcloud = R"sh(echo "gcloud $*" >>"$HOST/calls"
for last; do :; done
case $* in
"run jobs update shop-migrate --image "*) echo "$last" >"$HOST/image-of-job" ;;
"run jobs execute shop-migrate --wait")
  cd "$HOST/$(cat "$HOST/image-of-job")" && exec schemagate run ;;
"run deploy shop --image "*) ;;
*) echo "not a command of the page: $*" && exit 99 ;;
esac)sh";

// As `./dev package` makes it, with the binary under test in it.
constexpr const char* k_package = R"sh(set -e
name=schemagate
mkdir -p "tree/opt/$name/bin" vendor
ln -s "$BINARY" "tree/opt/$name/bin/schemagate"
tar -C tree -czf vendor/schemagate-0.1.0-linux-x86_64.tar.gz opt
cd vendor
sha256sum schemagate-0.1.0-linux-x86_64.tar.gz >SHA256SUMS
sed 's/x86_64/aarch64/' SHA256SUMS >other
cat other >>SHA256SUMS)sh";

// `ssh` and `scp` reach a directory of this machine, `docker` has the images "old" and "new".
constexpr const char* k_ssh = R"sh(echo "ssh $*" >>"$HOST/calls"
shift
exec env -u TAG -u VM sh -c "$*")sh";

constexpr const char* k_scp = R"sh(echo "scp $*" >>"$HOST/calls"
shift
for last; do :; done
for file; do [ "$file" = "$last" ] || cp -p "$file" "${last#*:}"; done)sh";

constexpr const char* k_docker = R"sh(echo "docker $*" >>"$HOST/calls"
case $* in
"build -t shop:${TAG-} .") ;;
"save shop:${TAG-}") [ ! -e "$HOST/save-fails" ] && echo "the image" ;;
load) [ "$(cat)" = "the image" ] ;;
"compose run -T --rm --no-deps migrate") cd "$HOST/$TAG" && exec schemagate run ;;
"compose up -d --wait") cd "$HOST/$TAG" && exec schemagate gate -- node server.js ;;
"compose run -T --rm migrate") cd "$HOST/$TAG" && exec schemagate run ;;
"compose up -d") echo "$TAG" >"$HOST/tag-of-app" ;;
*) echo "not a command of the page: $*" && exit 99 ;;
esac)sh";

struct CloudRun : Host {
  CloudRun() { program("gcloud", k_gcloud); }
};

Result deploy(const Host& host, const std::string& image) {
  return host.start(".",
                    std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/cloud-run/deploy.sh " + image);
}

struct Vercel : Host {
  Vercel() : Host{"deploy/vercel-neon/schemagate.yaml"} {
    std::filesystem::remove_all(root() / "opt");
    program("npm", "echo \"npm $*\" >>\"$HOST/calls\"\n[ ! -e \"$HOST/npm-fails\" ]");
    const auto made = start("new", k_package, {{"BINARY", tested_program()}});
    REQUIRE(made == exits(0));
  }
};

Result vercel_build(const Host& host, std::map<std::string, std::string> environment = {}) {
  environment["DATABASE_URL_UNPOOLED"] = host.database.url();
  const auto settings = Json::parse(source("deploy/vercel-neon/vercel.json"));
  host.files().write("new/vercel-build.sh",
                     replaced(host.here(source("deploy/vercel-neon/vercel-build.sh")), "-C /\n",
                              "-C " + host.root().string() + "\n"));
  return host.start("new", settings.at("buildCommand"), environment);
}

struct GitHub : Host {
  GitHub() {
    std::filesystem::create_directories(root() / "srv/shop");
    program("ssh", k_ssh);
    program("scp", k_scp);
    program("docker", k_docker);
    const std::filesystem::path directory{SCHEMAGATE_SOURCE_DIR "/deploy/github-actions"};
    for (const char* file : {"compose.yaml", "roll-out.sh"})
      std::filesystem::copy_file(directory / file, root() / "new" / file);
    for (const auto* where : {"new/.env", "srv/shop/.env"})
      files().write(where, "DATABASE_URL=" + database.url() + "\n");
  }
};

// deploy/compose on its VM.
struct Compose : Host {
  Compose() {
    program("docker", k_docker);
    std::filesystem::create_directories(root() / "vm");
    std::filesystem::copy_file(SCHEMAGATE_SOURCE_DIR "/deploy/compose/deploy.sh",
                               root() / "vm/deploy.sh");
    files().write("vm/.env", "TAG=none\nPOSTGRES_PASSWORD=geheim\n");
  }
};

// A script stops there until the other one of two_at_once() has said something.
void stop_at(const Host& host, const std::string& program) {
  host.program(program, "touch \"$HOST/at-work\"\n"
                        "until [ -e \"$HOST/go-on\" ]; do sleep 0.05; done\n"
                        "PATH=${PATH#*\"$HOST\"/bin:}\nexec " +
                            program + " \"$@\"");
}

// `SCRIPT old`, and `SCRIPT new` while it is at work.
std::string two_at_once(const std::string& script) {
  return "bash " + script +
         " old & old=$!\nuntil [ -e \"$HOST/at-work\" ]; do sleep 0.05; done\nbash " + script +
         R"sh( new 2>"$HOST/said" & new=$!
until [ -s "$HOST/said" ]; do sleep 0.05; done
touch "$HOST/go-on"
wait $new; code=$?
cat "$HOST/said"
wait $old && exit $code)sh";
}

// Executes the workflow's steps as GitHub does: each in a bash of its own, until one fails.
Result workflow(const Host& host, const std::string& tag) {
  std::map<std::string, std::string> values{
      {"${{ github.sha }}", tag},
      {"${{ vars.DEPLOY_VM }}", "deploy@vm.example.com"},
      {"${{ secrets.DEPLOY_SSH_KEY }}", "a key"},
      {"${{ secrets.DEPLOY_KNOWN_HOSTS }}", "vm ssh-ed25519 x"}};
  const auto job = YAML::Load(source("deploy/github-actions/deploy.yml"))["jobs"]["deploy"];
  std::map<std::string, std::string> environment{{"HOME", host.root().string()}};
  const auto add = [&](const YAML::Node& more) {
    for (const auto& entry : more)
      environment[entry.first.as<std::string>()] = values.at(entry.second.as<std::string>());
  };
  add(job["env"]);
  Result all{0, "", ""};
  for (const auto& step : job["steps"]) {
    if (!step["run"]) continue;
    add(step["env"]);
    host.files().write("step.sh", host.here(step["run"].as<std::string>()));
    const auto result = host.start("new", "bash -e \"$HOST/step.sh\"", environment);
    all = {result.exit_code, all.out + result.out, ""};
    if (result.exit_code != 0) break;
  }
  return all;
}

}  // namespace

TEST_SUITE_BEGIN("host scripts");

TEST_CASE("Cloud Run: the job gets the new image and ends before the service is deployed") {
  const CloudRun host;
  CHECK(deploy(host, "new") == exits(0));
  CHECK(host.calls() == "gcloud run jobs update shop-migrate --image new\n"
                        "gcloud run jobs execute shop-migrate --wait\n"
                        "gcloud run deploy shop --image new\n");
  CHECK(host.database.value("SELECT count(nickname) FROM users") == "0");
}

TEST_CASE("Cloud Run: the service is not deployed after a migration that failed") {
  const CloudRun host;
  host.break_new_release();
  CHECK(deploy(host, "new") == exits(21));
  CHECK(host.calls() != contains("run deploy"));
  CHECK(deploy(host, "") != exits(0));
}

TEST_CASE(
    "Vercel: the build ends with the migrations, from the tarball and by the direct address") {
  const Vercel host;
  const auto result =
      vercel_build(host, {{"DATABASE_URL", "postgresql://shop@x-pooler.example.com/shop"}});
  CHECK(result == exits(0));
  CHECK(host.calls() == "npm run build\n");
  CHECK(result.out == contains("is complete: 2 applied now"));
}

TEST_CASE("Vercel: a build that fails has not touched the database") {
  const Vercel host;
  host.files().write("npm-fails", "");
  CHECK(vercel_build(host) != exits(0));
  CHECK(host.database.value("SELECT to_regclass('users') IS NULL") == "t");
}

TEST_CASE("Vercel: a migration that fails fails the build") {
  const Vercel host;
  host.break_new_release();
  CHECK(vercel_build(host) == exits(21));
}

TEST_CASE("Vercel: a tarball that is not the one of SHA256SUMS is not executed") {
  const Vercel host;
  host.files().write("new/vendor/schemagate-0.1.0-linux-x86_64.tar.gz", "something else");
  CHECK(vercel_build(host) != exits(0));
  CHECK_FALSE(std::filesystem::exists(host.root() / "opt"));
}

TEST_CASE("Vercel: SCHEMAGATE_MODE keeps previews from production's database") {
  const Vercel host;
  CHECK(vercel_build(host, {{"SCHEMAGATE_MODE", "off"}}) == exits(0));
  CHECK(vercel_build(host, {{"SCHEMAGATE_MODE", "check"}}) == exits(20));
  CHECK(host.database.value("SELECT to_regclass('users') IS NULL") == "t");
}

TEST_CASE("GitHub Actions: the workflow copies the image, migrates, and then starts the app") {
  const GitHub host;
  const auto result = workflow(host, "new");
  CHECK(result == exits(0));
  CHECK(result.out == contains("is complete: 2 applied now"));
  CHECK(result.out == contains("the app runs: server.js"));
  CHECK(result.out == contains("roll-out: new is running"));
  const auto calls = host.calls();
  INFO(calls);
  CHECK(calls.find("docker load") < calls.find("docker compose run -T --rm --no-deps migrate"));
  CHECK(calls.find("docker compose run") < calls.find("docker compose up -d --wait"));
  const auto key = std::filesystem::status(host.root() / ".ssh/id_ed25519").permissions();
  CHECK(key == std::filesystem::perms{0600});
}

TEST_CASE("GitHub Actions: after a migration that failed the app is not touched") {
  const GitHub host;
  host.break_new_release();
  CHECK(workflow(host, "new") == exits(21));
  CHECK(host.calls() != contains("compose up"));
}

TEST_CASE("GitHub Actions: an image that did not arrive is not migrated with") {
  const GitHub host;
  host.files().write("save-fails", "");
  CHECK(workflow(host, "new") != exits(0));
  CHECK(host.calls() != contains("compose"));
}

TEST_CASE("GitHub Actions: roll-out.sh with the tag before is the roll-back") {
  const GitHub host;
  for (const std::string tag : {"old", "new", "old"}) {
    const auto result = host.start("new", "./roll-out.sh " + tag);
    CHECK(result == exits(0));
    CHECK(result.out == contains("the app runs: server.js"));
    // For whoever types `docker compose logs` later.
    CHECK(read_text(host.root() / "new/.env") ==
          "DATABASE_URL=" + host.database.url() + "\nTAG=" + tag + "\n");
  }
  CHECK(host.start("new", "./roll-out.sh") != exits(0));
}

TEST_CASE(
    "GitHub Actions: of two roll-outs at once one waits, and .env is of the one that came last") {
  const GitHub host;
  for (const auto* step : {"grep", "mv"}) stop_at(host, step);
  const auto result = host.start("new", two_at_once("./roll-out.sh"));
  CHECK(result == exits(0));
  CHECK(result.out == contains("roll-out: waiting for another one to end"));
  CHECK(result.out.find("roll-out: old is running") < result.out.find("roll-out: new is running"));
  CHECK(read_text(host.root() / "new/.env") ==
        "DATABASE_URL=" + host.database.url() + "\nTAG=new\n");
  CHECK(host.calls() == "docker compose run -T --rm --no-deps migrate\n"
                        "docker compose up -d --wait\n"
                        "docker compose run -T --rm --no-deps migrate\n"
                        "docker compose up -d --wait\n");
  for (const auto& entry : std::filesystem::directory_iterator{host.root() / "new"})
    CHECK_MESSAGE(!entry.path().filename().string().starts_with(".env."), entry.path());
}

TEST_CASE("GitHub Actions: a roll-out that was cancelled while it waited does nothing") {
  const GitHub host;
  const auto result = host.start("new", R"(
    flock .lock sh -c 'until [ -e ended ]; do sleep 0.05; done' &
    while flock -n .lock true; do sleep 0.05; done
    { ./roll-out.sh new 2>said; echo "$?" >ended-with; } | { exec <&-; touch deaf; } &
    until [ -s said ] && [ -e deaf ]; do sleep 0.05; done
    touch ended
    until [ -s ended-with ]; do sleep 0.05; done
    cat said)");
  INFO(result.out);
  CHECK(result.out == contains("roll-out: waiting for another one to end"));
  CHECK(host.calls().empty());
}

TEST_CASE("GitHub Actions: an .env that cannot be read again is left as it is") {
  const GitHub host;
  host.program("grep", "exit 2");
  CHECK(host.start("new", "./roll-out.sh new") != exits(0));
  CHECK(read_text(host.root() / "new/.env") == "DATABASE_URL=" + host.database.url() + "\n");
  CHECK(host.calls() != contains("compose up"));
}

TEST_CASE("GitHub Actions: the workflow's files wait for a roll-out that is under way") {
  const GitHub host;
  host.files().write("srv/shop/compose.yaml", "the old one");
  const auto lock = (host.root() / "srv/shop/.lock").string();
  // It ends a moment after the workflow has come to the lock.
  auto busy =
      Process{{"flock", lock, "sh", "-c",
               "until grep -q 'flock .lock' calls; do sleep 0.05; done 2>/dev/null; sleep 0.3; "
               "cat srv/shop/compose.yaml >seen"},
              {.environment = {}, .directory = host.root().string()}};
  REQUIRE(eventually([&] { return run({"flock", "-n", lock, "true"}) != exits(0); }));
  CHECK(workflow(host, "new") == exits(0));
  CHECK(busy.wait() == exits(0));
  CHECK(read_text(host.root() / "seen") == "the old one");
  CHECK(read_text(host.root() / "srv/shop/compose.yaml") ==
        source("deploy/github-actions/compose.yaml"));
  for (const auto* left : {"compose.yaml.new", "roll-out.sh.new"})
    CHECK_FALSE(std::filesystem::exists(host.root() / "srv/shop" / left));
}

TEST_CASE("Compose: deploy.sh says its release, whatever TAG the shell has") {
  const Compose host;
  const auto result = host.start("vm", "bash ./deploy.sh new", {{"TAG", "none"}});
  CHECK(result == exits(0));
  CHECK(read_text(host.root() / "tag-of-app") == "new\n");
  CHECK(read_text(host.root() / "vm/.env") == "TAG=new\nPOSTGRES_PASSWORD=geheim\n");
}

TEST_CASE("Compose: of two deploy.sh at once one waits, and app and .env are of one release") {
  const Compose host;
  stop_at(host, "sed");
  const auto result = host.start("vm", two_at_once("./deploy.sh"));
  CHECK(result == exits(0));
  CHECK(result.out == contains("deploy: waiting for another deployment to end"));
  CHECK(read_text(host.root() / "tag-of-app") == "new\n");
  CHECK(read_text(host.root() / "vm/.env") == "TAG=new\nPOSTGRES_PASSWORD=geheim\n");
  CHECK(host.calls() == "docker compose run -T --rm migrate\ndocker compose up -d\n"
                        "docker compose run -T --rm migrate\ndocker compose up -d\n");
}

TEST_SUITE_END();
