// The workflow of deploy/github-actions that tells what a pull request's migrations would do,
// executed with a stand-in for docker.

#include "e2e/host_fixture.hpp"
#include "schemagate/base/text.hpp"

using namespace testing;

namespace {

// A clone of a repository as GitHub checks it out, with "old" as its base and "new" on top.
struct PullRequest : Host {
  PullRequest() {
    program("docker", R"sh(echo "docker $*" >>"$HOST/calls"
while [ "$1" != image ]; do shift; done
shift
exec schemagate "$@")sh");
    std::filesystem::copy_file(SCHEMAGATE_SOURCE_DIR "/deploy/github-actions/plan.sh",
                               root() / "new/plan.sh");
    files().write("new/schemagate.yaml", "version: 1\ndatabase:\n  url: ${DATABASE_URL}\n"
                                         "migrations:\n  directory: prisma/migrations\n");
    std::filesystem::rename(root() / "new/prisma/migrations/20261120_nickname", root() / "aside");
    git("git init -q && git config user.name a && git config user.email a && git add . && git "
        "commit -qm base && git tag base");
    std::filesystem::rename(root() / "aside", root() / "new/prisma/migrations/20261120_nickname");
  }

  void git(const std::string& commands) const { REQUIRE(start("new", commands) == exits(0)); }
  void commit() const { git("git add . && git commit -qm more --allow-empty"); }

  [[nodiscard]] Result plan(const std::string& url) const {
    const auto job = YAML::Load(source("deploy/github-actions/plan.yml"))["jobs"]["plan"];
    CHECK(job["env"]["BASE"].as<std::string>() == "${{ github.event.pull_request.base.sha }}");
    files().write("summary", "");
    for (const auto& step : job["steps"])
      if (step["run"])
        return start("new", "bash -e -c '" + step["run"].as<std::string>() + "'",
                     {{"IMAGE", "image"},
                      {"BASE", "base"},
                      {"DATABASE_URL", url},
                      {"GITHUB_STEP_SUMMARY", (root() / "summary").string()}});
    FAIL("no step");
    return {};
  }
  [[nodiscard]] std::string summary() const { return read_text(root() / "summary"); }
};

}  // namespace

TEST_SUITE_BEGIN("plan of a pull request");

TEST_CASE("GitHub: a pull request's summary tells its migrations without a database") {
  const PullRequest host;
  host.commit();
  CHECK(host.plan("") == exits(0));
  CHECK(host.summary() == contains("## What the migrations would do\n\n    app "));
  CHECK(host.summary() == contains("    prisma/migrations: 2 migrations, 1 pending\n"));
  CHECK(host.summary() == contains("20261120_nickname/migration.sql"));
  CHECK(host.calls() == contains("plan --offline --after=20261101_users"));
}

TEST_CASE("GitHub: a new migration that sorts before the base's last one is told as well") {
  const PullRequest host;
  host.git("git add . && git commit -qm more && git tag -f base");
  host.migration("new", "20261102_between", "CREATE TABLE between (id int);");
  host.migration("new", "20261102-between", "CREATE TABLE early (id int);");
  host.commit();
  CHECK(host.plan("") == exits(0));
  CHECK(host.calls() == contains("--after=20261101_users"));
  CHECK(host.summary() == contains("20261102_between/migration.sql"));
  CHECK(host.summary() == contains("20261102-between/migration.sql"));
}

TEST_CASE(
    "GitHub: without a new migration there is no plan, and the first one has nothing before") {
  const PullRequest host;
  host.git("rm -r prisma/migrations/20261120_nickname");
  host.commit();
  CHECK(host.plan("").out == contains("plan: no migration is new"));
  CHECK(host.summary().empty());
  host.migration("new", "20260101_first", "CREATE TABLE first (id int);");
  host.commit();
  CHECK(host.plan("") == exits(0));
  CHECK(host.calls() != contains("--after"));
  CHECK(host.summary() == contains("2 migrations, 2 pending\n"));
}

TEST_CASE(
    "GitHub: with a database the summary is of that, a refusal fails the step, and no text of a "
    "script is a command to GitHub or Markdown") {
  const PullRequest host;
  host.migration("new", "20261121_odd", "ALTER TABLE users ADD \"\n::error::x\n```\n# y\" int;");
  host.commit();
  const auto seen = host.plan(host.database.url());
  CHECK(seen == exits(0));
  CHECK(host.summary() == contains("    prisma/migrations: 3 migrations, 3 pending\n"));
  for (const auto& line : schemagate::split(host.summary(), '\n'))
    CHECK((line.empty() || line.starts_with("    ") || line == "## What the migrations would do"));
  for (const auto& line : schemagate::split(seen.out, '\n'))
    CHECK((line.empty() || line.starts_with("| ")));
  host.database.execute("CREATE TABLE of_somebody (id int)");
  CHECK(host.plan(host.database.url()).exit_code == 20);
  CHECK(host.summary() == contains("hint: "));
}

TEST_SUITE_END();
