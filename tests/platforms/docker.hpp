#pragma once
// The Docker Engine that ctest started for the platform tests (tests/platforms/docker), and what
// runs in it. Each test case has names of its own; what it made is gone with the objects.

#include <string>
#include <vector>

#include "support/process.hpp"
#include "support/temp_dir.hpp"

namespace testing {

class Docker {
 public:
  // False, with a loud message, where there is none; a failure of the case where
  // SCHEMAGATE_REQUIRE_DOCKER is set.
  [[nodiscard]] static bool is_there();

  // `docker ARGUMENTS...`
  [[nodiscard]] static Result run(const std::vector<std::string>& arguments,
                                  const ProcessOptions& options = {});
  [[nodiscard]] static Process start(const std::vector<std::string>& arguments,
                                     const ProcessOptions& options = {});
  // The same; throws with what it printed unless it ends with 0. Returns stdout without line end.
  static std::string must(const std::vector<std::string>& arguments,
                          const ProcessOptions& options = {});
  // For another program that calls docker.
  [[nodiscard]] static ProcessOptions with_engine(const ProcessOptions& options);
  [[nodiscard]] static std::string unique_name(const std::string& what);
};

// Image `name`, built from the files of `context`.
void build_image(const std::string& name, const TempDir& context);
// Built by whoever asks for it first, in whatever process: built again it would be another one of
// that name, and Compose would make the containers of tests beside this one anew.
void build_image_once(const std::string& name, const TempDir& context);

// A network with a PostgreSQL server named `db`, database `shop`, TLS with a CA of its own. With it
// go the containers that a case started in it.
class DockerNetwork {
 public:
  DockerNetwork();
  ~DockerNetwork();
  DockerNetwork(const DockerNetwork&) = delete;
  DockerNetwork& operator=(const DockerNetwork&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] static std::string url() { return "postgresql://postgres:geheim@db/shop"; }
  [[nodiscard]] std::string value(const std::string& sql) const;
  void execute(const std::string& sql) const { (void)value(sql); }
  [[nodiscard]] std::string ca_certificate() const;

 private:
  std::string name_;
  std::string server_;
};

// The arguments of a run as restricted as a cluster would make it.
[[nodiscard]] std::vector<std::string> hardened();

}  // namespace testing
