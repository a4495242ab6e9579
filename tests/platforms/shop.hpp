#pragma once
// Releases of a shop as images, and Compose projects that run them. The app is a shell script under
// the name `node`, so that the files of deploy/ can be used as they are.

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "docker.hpp"
#include "support/page.hpp"
#include "support/text.hpp"

namespace testing {

// A file of this repository.
[[nodiscard]] std::string source(const std::string& path);

// For a database in which a migration of release `slow` waits.
inline constexpr const char* k_let_slow_go = "CREATE SCHEMA go";

// An image of the shop's app with what a release of it brings:
//   1: table users   2: and a column   3: and a migration that fails
//   slow: 1 and 2, which waits for k_let_slow_go
// `image_lines`: the end of its Dockerfile, CMD at least. What was built stays for the next test.
[[nodiscard]] std::string shop_image(const std::string& release,
                                     const std::string& image_lines = {});
// Without a tag, for `image: NAME:${TAG}`; all releases are built, with the CMD of
// deploy/one-image.
[[nodiscard]] std::string shop_images();

// Of "```text" blocks of a page, those below this heading.
[[nodiscard]] std::vector<Block> shown(const std::string& page, const std::string& heading);
// The first line of the block that the log lacks or has too early; empty if it has them all. Times
// of day, levels and milliseconds may differ.
[[nodiscard]] std::string missing_in(const std::string& log, const Block& block);

// A YAML file as JSON, which Compose reads as well: what was quoted stays a string.
[[nodiscard]] nlohmann::json compose_file(const std::string& path);

// A Compose project in a directory of its own; taken down at destruction.
class ComposeProject {
 public:
  explicit ComposeProject(nlohmann::json compose);
  ~ComposeProject();
  ComposeProject(const ComposeProject&) = delete;
  ComposeProject& operator=(const ComposeProject&) = delete;

  void write(const std::string& file, const std::string& text) const { files_.write(file, text); }
  void release(const std::string& tag) const { write(".env", "TAG=" + tag + "\n"); }

  // `docker compose ARGUMENTS...`
  [[nodiscard]] Result run(const std::vector<std::string>& arguments) const;
  [[nodiscard]] Process start(const std::vector<std::string>& arguments) const;
  // The same; the case fails with what it printed unless it ends with 0.
  void must(const std::vector<std::string>& arguments) const;

  // The id of the service's container, which may have ended; empty if there is none.
  [[nodiscard]] std::string container(const std::string& service) const;
  // `docker inspect --format FORMAT`
  [[nodiscard]] std::string inspect(const std::string& service, const std::string& format) const;
  [[nodiscard]] std::string status(const std::string& service) const {
    return inspect(service, "{{.State.Status}}");
  }
  // stderr (schemagate's), then stdout (the app's).
  [[nodiscard]] std::string log(const std::string& service) const;
  [[nodiscard]] bool app_runs() const;  // waits for it

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string directory() const { return files_.path().string(); }

 private:
  TempDir files_;
  std::string name_;
};

// stderr, then stdout of a container.
[[nodiscard]] std::string container_log(const std::string& container);

}  // namespace testing
