// deploy/package, without Docker.
#include <doctest/doctest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "support/process.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

using namespace testing;

namespace {

const std::string k_package = std::string{SCHEMAGATE_SOURCE_DIR} + "/deploy/package";
constexpr std::uintmax_t k_size_max = 30'000'000;

std::filesystem::path tarball_in(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator{directory})
    if (entry.path().extension() == ".gz") return entry.path();
  return {};
}

}  // namespace

TEST_SUITE_BEGIN("package");

TEST_CASE(
    "the same program gives the same tarball, with its checksum, and nothing else is touched") {
  const TempDir dir;
  dir.write("a/precious", "kept");
  std::string sums;
  for (const auto* name : {"a", "b", "a"}) {
    const auto made = run({k_package, testing::tested_program(), (dir.path() / name).string()},
                          {.environment = {{"SOURCE_DATE_EPOCH", "1700000000"}}, .directory = {}});
    REQUIRE(made == exits(0));
    const auto here = read_text(dir.path() / name / "SHA256SUMS");
    if (!sums.empty()) CHECK(here == sums);
    sums = here;
    CHECK(run({"sha256sum", "-c", "SHA256SUMS"},
              {.environment = {}, .directory = (dir.path() / name).string()}) == exits(0));
  }
  CHECK(read_text(dir.path() / "a/precious") == "kept");
  CHECK(std::filesystem::file_size(tarball_in(dir.path() / "a")) < k_size_max);
}

TEST_CASE("the tarball unpacks to a directory that runs where there is nothing else") {
  const TempDir dir;
  REQUIRE(run({k_package, testing::tested_program(), (dir.path() / "made").string()}) == exits(0));
  std::filesystem::create_directory(dir.path() / "root");
  REQUIRE(run({"tar", "-C", (dir.path() / "root").string(), "-xzf",
               tarball_in(dir.path() / "made").string()}) == exits(0));
  const auto started = run(
      {"chroot", (dir.path() / "root").string(), "/opt/schemagate/bin/schemagate", "--version"});
  CHECK(started == exits(0));
  CHECK_FALSE(started.out.empty());
}

TEST_CASE("the bill of materials says the licence of each part, or has its text") {
  const TempDir dir;
  REQUIRE(run({k_package, testing::tested_program(), dir.path().string()}) == exits(0));
  const auto bill =
      nlohmann::json::parse(read_text(dir.path() / "opt/schemagate/share/sbom.spdx.json"));
  std::set<std::string> texts;
  for (const auto& licence : bill["hasExtractedLicensingInfos"]) {
    texts.insert(licence["licenseId"]);
    CHECK(licence["extractedText"].get<std::string>().size() > 100);
  }
  CHECK(bill["packages"].size() > 10);
  for (const auto& package : bill["packages"]) {
    CAPTURE(package["name"].get<std::string>());
    for (const auto* field : {"licenseConcluded", "licenseDeclared"}) {
      const std::string licence = package[field];
      CHECK(licence != "NOASSERTION");
      CHECK((!licence.starts_with("LicenseRef-") || texts.contains(licence)));
    }
  }
}

TEST_CASE("deploy/package does not install into the root of this machine") {
  CHECK(run({k_package, testing::tested_program(), "/"}) == exits(2, "unpack the tarball"));
}
