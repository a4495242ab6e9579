#pragma once
// The migration tools whose histories `migrations.history` knows, for real, and images of apps that
// use them (tests/tools holds the app, a case adds the migrations).

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/skip.hpp"

namespace testing {

struct MigrationFile {
  std::string path;  // in the image
  std::string content;
  std::string key;  // its row in the tool's own table
};

struct HistoryTool {
  std::string preset;
  std::string runtime;                                 // as tests/support/history-tools calls it
  std::string command;                                 // YAML
  std::string directory;                               // where its migrations are, in the image
  std::function<MigrationFile(int number)> migration;  // each makes a table, so none can run twice

  // The directory of its programs; empty, with a loud message, when they cannot be had on this
  // machine: where SCHEMAGATE_REQUIRE_POSTGRES is set, that is a failure of the case.
  [[nodiscard]] std::string programs() const;
};

inline std::string HistoryTool::programs() const {
  if (const char* why = std::getenv("SCHEMAGATE_WITHOUT_TOOLS")) {
    MESSAGE("SKIPPED: no migration tools wanted: " << why);
    return "";
  }
  static std::map<std::string, Result> answers;
  if (!answers.contains(runtime))
    answers[runtime] = testing::run(
        {std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/support/history-tools", runtime});
  const auto& answer = answers.at(runtime);
  if (answer.exit_code == 0) return schemagate::trim(answer.out);
  skip("the tool of preset " + preset + " cannot be had: " + answer.err);
  return "";
}

// One image of an app. Those of its other releases have the same database.
class Image : public GateProject {
 public:
  explicit Image(const HistoryTool& tool, const std::string& programs = {}) : tool_{&tool} {
    copy(std::filesystem::path{SCHEMAGATE_SOURCE_DIR} / "tests/tools" / tool.preset);
    set("migrations.tool", "command").set("migrations.command", tool.command);
    set("migrations.directory", tool.directory).set("migrations.history", tool.preset);
    set("gate.match", "migrations");
    environment["PATH"] = programs + ":" + std::getenv("PATH");
    environment["NODE_PATH"] = std::filesystem::path{programs}.parent_path().string();
  }
  // The next release: the same files, until some are added or changed, and the same database
  // (`database` is one of its own, which nobody uses).
  Image(const Image& older, const std::string& release) : tool_{older.tool_} {
    copy(older.files.path());
    manifest_ = older.manifest_;
    environment = older.environment;
    set("release", release);
  }

  Image& add(int number) {
    const auto migration = tool_->migration(number);
    return add(migration.path, migration.content);
  }
  Image& add(const std::string& path, const std::string& content) {
    files.write(path, content);
    return *this;
  }
  [[nodiscard]] std::string key(int number) const { return tool_->migration(number).key; }

 private:
  void copy(const std::filesystem::path& from) const {
    std::filesystem::copy(from, files.path(), std::filesystem::copy_options::recursive);
  }

  const HistoryTool* tool_;
};

}  // namespace testing
