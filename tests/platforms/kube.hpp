#pragma once
// Kubernetes manifests in tests: read as JSON, checked by the real types, held against Pod
// Security.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/process.hpp"
#include "support/temp_dir.hpp"

namespace testing::kube {

using nlohmann::json;

// Says SKIPPED and why; a failure of the case where SCHEMAGATE_REQUIRE_KUBE is set.
void skipped(const std::string& why);

// helm and kubectl-validate, which tests/platforms/kube-tools builds. Where they cannot be had:
// skipped(), and false.
[[nodiscard]] bool tools_are_there();
using Arguments = std::vector<std::string>;
[[nodiscard]] Result helm(const Arguments& arguments);
// `helm template` of release "shop"; rendered() requires that it can.
[[nodiscard]] Result render(const std::filesystem::path& chart, const Arguments& arguments);
[[nodiscard]] std::string rendered(const std::filesystem::path& chart, const Arguments& arguments);

// A copy of helm/ in which helm/example is as a user has it after `helm dependency update`.
struct ExampleChart {
  TempDir directory;
  std::filesystem::path path = directory.path() / "example";

  ExampleChart();
  void update() const;
};

// Every document of a file, empty ones left out.
[[nodiscard]] std::vector<json> documents(const std::string& yaml);
[[nodiscard]] json only_document(const std::string& yaml);

// Holds the documents against the types of real Kubernetes releases: unknown and missing fields and
// wrong types make an exit code other than 0. It does not know which values a field takes.
[[nodiscard]] Result validate(const std::string& yaml);

struct Pod {
  std::string of;  // "Job shop"
  json spec;
};
[[nodiscard]] std::vector<Pod> pods(const std::vector<json>& documents);
[[nodiscard]] std::vector<json> containers(const json& pod_spec);  // init containers first

// What Pod Security "restricted" would refuse, one line each; and what we ask beyond that.
[[nodiscard]] std::vector<std::string> not_restricted(const json& pod_spec);
[[nodiscard]] std::vector<std::string> against_our_rules(const json& pod_spec);

// Checks both for every pod; fails if there is none.
void check_pods(const std::vector<json>& documents);
// Checks the rules of podFailurePolicy of a Job.
void check_failure_policy(const json& job);

}  // namespace testing::kube
