// deploy/ and the pages that people are sent to, as files: each parses, each manifest is accepted,
// each link leads somewhere.

#include <algorithm>
#include <cctype>
#include <fstream>
#include <regex>
#include <set>

#include "e2e/host_fixture.hpp"

using namespace testing;

namespace {

const std::filesystem::path k_top{SCHEMAGATE_SOURCE_DIR};

std::vector<std::filesystem::path> files_below(const std::string& directory,
                                               const std::set<std::string>& extensions) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{k_top / directory})
    if (entry.is_regular_file() && extensions.contains(entry.path().extension()))
      files.push_back(entry.path());
  REQUIRE_FALSE(files.empty());
  return files;
}

std::vector<std::filesystem::path> pages() {
  auto all = files_below("deploy", {".md"});
  for (const char* page :
       {"README.md", "docs/platforms.md", "docs/verification.md", "docs/recovery.md",
        "docs/guarantees.md", "docs/internals.md", "docs/prisma.md", "docs/backup.md",
        "docs/rollback.md", "docs/plan.md", "docs/policies.md", "docs/rehearse.md"})
    all.push_back(k_top / page);
  return all;
}

// As GitHub makes it of a heading.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0)
      anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    else if (c == ' ' || c == '-') anchor += '-';
  }
  return anchor;
}

bool has_anchor(std::filesystem::path page, const std::string& anchor) {
  if (std::filesystem::is_directory(page)) page /= "README.md";
  std::ifstream file{page};
  for (std::string line; std::getline(file, line);) {
    const auto text = line.find_first_not_of("# ");
    if (line.starts_with("#") && text != std::string::npos &&
        anchor_of(line.substr(text)) == anchor)
      return true;
  }
  return false;
}

// Not 2: the manifest is understood, whatever the database says.
bool is_accepted(const std::string& manifest) {
  const TestDatabase database;
  const TempDir files;
  files.write("schemagate.yaml", manifest);
  files.write("prisma/migrations/20261101_users/migration.sql", "CREATE TABLE users (id int);");
  const auto result =
      testing::schemagate({"status"}, {.environment = {{"DATABASE_URL", database.url()},
                                                       {"DATABASE_URL_UNPOOLED", database.url()},
                                                       {"DIRECT_URL", database.url()}},
                                       .directory = files.path().string()});
  CHECK(result == exits(20));  // a migration is pending
  return result.exit_code != 2;
}

}  // namespace

TEST_SUITE_BEGIN("deploy pages");

TEST_CASE("every YAML, JSON and TOML file of the hosts parses") {
  for (const std::string host : {"one-image", "railway", "render", "fly", "heroku", "cloud-run",
                                 "vercel-neon", "github-actions", "compose", "coolify"}) {
    for (const auto& file :
         files_below("deploy/" + host, {".md", ".yaml", ".yml", ".json", ".toml"})) {
      INFO(file.string());
      const auto path = std::filesystem::relative(file, k_top).string();
      if (file.extension() == ".json") CHECK(Json::accept(source(path)));
      if (file.extension() == ".toml") (void)toml(path);
      if (file.extension() == ".yaml" || file.extension() == ".yml")
        CHECK_NOTHROW((void)YAML::LoadAll(source(path)));
    }
  }
}

TEST_CASE("every manifest of the hosts, and every one that a page shows, is accepted") {
  for (const std::string host : {"one-image", "vercel-neon"}) {
    INFO(host);
    CHECK(is_accepted(source("deploy/" + host + "/schemagate.yaml")));
  }
  for (const auto& page : pages()) {
    const auto path = std::filesystem::relative(page, k_top).string();
    for (const auto& section : sections_of(path))
      for (const auto& block : section.blocks) {
        if (block.language != "yaml" || !block.text().starts_with("version: 1\n")) continue;
        INFO(path);
        CHECK(is_accepted(block.text()));
      }
  }
}

TEST_CASE("every link of the pages leads somewhere") {
  for (const auto& page : pages()) {
    const auto text = read_text(page);
    const std::regex link{"\\]\\(([^)#]*)(#([^)]*))?\\)"};
    for (std::sregex_iterator it{text.begin(), text.end(), link}, end; it != end; ++it) {
      const auto target = (*it)[1].str();
      if (target.starts_with("http")) continue;
      const auto file = target.empty() ? page : (page.parent_path() / target).lexically_normal();
      const auto path = std::filesystem::relative(file, k_top).string();
      INFO(page.string() << " -> " << (*it)[0].str());
      CHECK(std::filesystem::exists(file));
      if ((*it)[3].matched) CHECK(has_anchor(file, (*it)[3].str()));
    }
  }
}

TEST_CASE("the page of the platforms links every directory of deploy/ that is for a platform") {
  const auto page = source("docs/platforms.md");
  for (const auto& entry : std::filesystem::directory_iterator{k_top / "deploy"}) {
    const auto name = entry.path().filename().string();
    if (!std::filesystem::exists(entry.path() / "README.md") || name == "example") continue;
    INFO(name);
    CHECK(page == contains("(../deploy/" + name + "/README.md)"));
  }
}

TEST_CASE("the workflow is for GitHub, and the Compose project for Compose") {
  const auto workflow = YAML::Load(source("deploy/github-actions/deploy.yml"));
  CHECK(workflow["on"]["push"]["branches"][0].as<std::string>() == "main");
  CHECK(workflow["concurrency"]["cancel-in-progress"].as<bool>() == false);
  const auto compose = YAML::Load(source("deploy/github-actions/compose.yaml"));
  CHECK(compose["services"]["migrate"]["restart"].as<std::string>() == "no");
  const auto result =
      run({"docker", "compose", "--file",
           std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/github-actions/compose.yaml", "version"});
  if (result.exit_code != 0) {
    MESSAGE("SKIPPED: no `docker compose` to check compose.yaml with");
    return;
  }
  const TempDir files;
  files.write("compose.yaml", source("deploy/github-actions/compose.yaml"));
  files.write(".env", "DATABASE_URL=postgresql://shop@db.example.com/shop\n");
  const auto config = run({"docker", "compose", "--profile", "migrate", "config", "--quiet"},
                          {.environment = {{"TAG", "1"}}, .directory = files.path().string()});
  CHECK(config == exits(0));
}

TEST_SUITE_END();
