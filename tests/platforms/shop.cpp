#include "shop.hpp"

#include <doctest/doctest.h>

#include <map>
#include <regex>

namespace testing {
namespace {

using nlohmann::json;

constexpr const char* k_users = "CREATE TABLE users (id int PRIMARY KEY, name text);";
constexpr const char* k_nickname = "ALTER TABLE users ADD COLUMN nickname text;";
constexpr const char* k_fails = "CREATE TABLE half (id int); SELECT 1/0;";
constexpr const char* k_slow =
    "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'go')"
    " LOOP PERFORM pg_sleep(0.1); END LOOP; END $$; ";

// In place of Node: serves nobody, but says that it runs, and is healthy from then on.
constexpr const char* k_app = R"(#!/bin/sh
if [ "$1" = -e ]; then
  exec test -e /tmp/serving
fi
echo "the app runs: $*"
touch /tmp/serving
trap 'exit 0' TERM
while :; do
  sleep 1000 &
  wait $!
done
)";

std::string last_lines_of_one_image() {
  const auto dockerfile = source("deploy/one-image/Dockerfile");
  return dockerfile.substr(dockerfile.rfind("CMD "));
}

void add_migration(const TempDir& context, const std::string& name, const std::string& sql) {
  context.write("prisma/migrations/" + name + "/migration.sql", sql);
}

void add_migrations(const TempDir& context, const std::string& release) {
  add_migration(context, "20261101_users", k_users);
  if (release == "1") return;
  add_migration(context, "20261120_nickname",
                release == "slow" ? std::string{k_slow} + k_nickname : k_nickname);
  if (release == "3") add_migration(context, "20261121_fails", k_fails);
}

json as_json(const YAML::Node& node) {
  if (node.IsNull()) return nullptr;
  if (node.IsSequence()) {
    auto list = json::array();
    for (const auto& item : node) list.push_back(as_json(item));
    return list;
  }
  if (node.IsMap()) {
    auto map = json::object();
    for (const auto& item : node) map[item.first.as<std::string>()] = as_json(item.second);
    return map;
  }
  if (node.Tag() == "!") return node.as<std::string>();  // quoted
  bool truth = false;
  if (YAML::convert<bool>::decode(node, truth)) return truth;
  long number = 0;
  if (YAML::convert<long>::decode(node, number)) return number;
  return node.as<std::string>();
}

}  // namespace

std::string source(const std::string& path) {
  auto text = read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/" + path);
  REQUIRE_MESSAGE(!text.empty(), path);
  return text;
}

std::string shop_image(const std::string& release, const std::string& image_lines) {
  const auto lines = image_lines.empty() ? last_lines_of_one_image() : image_lines;
  const auto manifest = source("deploy/one-image/schemagate.yaml");
  const auto program = Docker::must({"image", "inspect", "-f", "{{.Id}}", "schemagate"});
  const auto dockerfile = "FROM debian:trixie-slim\n"
                          "COPY --from=schemagate /opt/schemagate /opt/schemagate\n"
                          "WORKDIR /app\n"
                          "COPY . .\n"
                          "RUN install -m 755 node /usr/local/bin/\n" +
                          lines;
  const auto content =
      dockerfile + manifest + program + k_app + k_users + k_nickname + k_fails + k_slow;
  const auto name = "schemagate-test-shop-" + std::to_string(std::hash<std::string>{}(content));
  const TempDir context;
  context.write("schemagate.yaml", manifest);
  context.write("node", k_app);
  add_migrations(context, release);
  context.write("Dockerfile", dockerfile);
  build_image_once(name + ":" + release, context);
  return name + ":" + release;
}

std::string shop_images() {
  static const auto name = [] {
    std::string image;
    for (const char* release : {"1", "2", "3", "slow"}) image = shop_image(release);
    return image.substr(0, image.rfind(':'));
  }();
  return name;
}

std::vector<Block> shown(const std::string& page, const std::string& heading) {
  std::vector<Block> blocks;
  for (const auto& section : sections_of(page))
    for (const auto& block : section.blocks)
      if (section.heading == heading && block.language == "text") blocks.push_back(block);
  REQUIRE_MESSAGE(!blocks.empty(), page << ": " << heading);
  return blocks;
}

std::string missing_in(const std::string& log, const Block& block) {
  std::vector<std::string> patterns;
  for (const auto& line : block.lines)
    patterns.push_back("…" + std::regex_replace(line, std::regex{"[0-9]+ ms"}, "… ms") + "…");
  return missing_line(log, patterns);
}

json compose_file(const std::string& path) { return as_json(YAML::Load(source(path))); }

ComposeProject::ComposeProject(json compose) : name_{Docker::unique_name("shop")} {
  compose["name"] = name_;
  write("compose.yaml", compose.dump(2));
}

ComposeProject::~ComposeProject() {
  (void)run({"--profile", "*", "down", "--volumes", "--timeout", "0", "--remove-orphans"});
}

Result ComposeProject::run(const std::vector<std::string>& arguments) const {
  return start(arguments).wait();
}

Process ComposeProject::start(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all = {"compose"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Docker::start(all, {.environment = {}, .directory = directory()});
}

void ComposeProject::must(const std::vector<std::string>& arguments) const {
  REQUIRE(run(arguments) == exits(0));
}

std::string ComposeProject::container(const std::string& service) const {
  return Docker::must({"ps", "-aq", "--filter", "label=com.docker.compose.project=" + name_,
                       "--filter", "label=com.docker.compose.service=" + service, "--filter",
                       "label=com.docker.compose.oneoff=False"});
}

std::string ComposeProject::inspect(const std::string& service, const std::string& format) const {
  return Docker::must({"inspect", "--format", format, container(service)});
}

std::string ComposeProject::log(const std::string& service) const {
  return container_log(container(service));
}

bool ComposeProject::app_runs() const {
  const auto runs = [&] {
    return status("app") == "running" && log("app") == contains("the app runs");
  };
  return eventually(runs, std::chrono::seconds{120});
}

std::string container_log(const std::string& container) {
  const auto result = Docker::run({"logs", container});
  return result.err + result.out;
}

}  // namespace testing
