#pragma once
// A machine as the pages of deploy/ promise it: /opt/schemagate, images with their manifest and
// migrations, and stand-ins for the programs of the platform. Paths of the real machine are
// replaced by ones below a directory of the test.

#include <doctest/doctest.h>
#include <yaml-cpp/yaml.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "support/json.hpp"
#include "support/page.hpp"
#include "support/process.hpp"
#include "support/server.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

namespace testing {

inline std::string source(const std::string& path) {
  auto text = read_text(std::string{SCHEMAGATE_SOURCE_DIR} + "/" + path);
  REQUIRE_MESSAGE(!text.empty(), path);
  return text;
}

inline std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

// By python3, because nothing else here reads TOML. Empty, with a loud message, where it cannot.
inline Json toml(const std::string& path) {
  const auto result = run({"python3", "-c",
                           "import json, sys, tomllib\n"
                           "json.dump(tomllib.load(open(sys.argv[1], 'rb')), sys.stdout)",
                           std::string{SCHEMAGATE_SOURCE_DIR} + "/" + path});
  if (result.exit_code == 0) return Json::parse(result.out);
  if (result.exit_code == 127 || result.err == contains("'tomllib'"))
    MESSAGE("SKIPPED: no python3 with tomllib (3.11) to read " << path);
  else FAIL(path << ": " << result.err);
  return {};
}

class Host {
 public:
  explicit Host(const std::string& manifest = "deploy/one-image/schemagate.yaml")
      : manifest_{source(manifest)} {
    std::filesystem::create_directories(root() / "opt/schemagate/bin");
    std::filesystem::create_symlink(tested_program(), root() / "opt/schemagate/bin/schemagate");
    program("node", "echo \"the app runs: $*\"");
    add_image("old");
    add_image("new");
    migration("new", "20261120_nickname", "ALTER TABLE users ADD COLUMN nickname text;");
  }

  void program(const std::string& name, const std::string& script) const {
    const auto file = files_.write("bin/" + name, "#!/bin/sh\nset -eu\n" + script + "\n");
    std::filesystem::permissions(file, std::filesystem::perms{0755});
  }
  void migration(const std::string& image, const std::string& name, const std::string& sql) const {
    files_.write(image + "/prisma/migrations/" + name + "/migration.sql", sql);
  }
  void break_new_release() const {
    migration("new", "20261121_fails", "CREATE TABLE half (id int); SELECT 1/0;");
  }

  // A text of deploy/ with the paths of this machine.
  [[nodiscard]] std::string here(const std::string& text) const {
    return replaced(replaced(text, "/opt/schemagate", (root() / "opt/schemagate").string()),
                    "/srv/shop", (root() / "srv/shop").string());
  }
  // A command of deploy/, started in the image's WORKDIR.
  [[nodiscard]] Result start(const std::string& image, const std::string& command,
                             std::map<std::string, std::string> environment = {}) const {
    environment.insert({{"DATABASE_URL", database.url()},
                        {"PATH", (root() / "bin").string() + ":" + std::getenv("PATH")},
                        {"HOST", root().string()}});
    return shell(here(command),
                 {.environment = environment, .directory = (root() / image).string()});
  }
  [[nodiscard]] std::filesystem::path root() const { return files_.path(); }
  [[nodiscard]] const TempDir& files() const { return files_; }
  [[nodiscard]] std::string calls() const { return read_text(root() / "calls"); }

  TestDatabase database;

 private:
  void add_image(const std::string& image) const {
    files_.write(image + "/schemagate.yaml", manifest_);
    migration(image, "20261101_users", "CREATE TABLE users (id int PRIMARY KEY, name text);");
  }

  TempDir files_;
  std::string manifest_;
};

}  // namespace testing
