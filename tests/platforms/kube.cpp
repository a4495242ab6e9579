#include "kube.hpp"

#include <doctest/doctest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <regex>
#include <set>
#include <stdexcept>

#include "schemagate/base/error.hpp"
#include "schemagate/base/text.hpp"
#include "support/skip.hpp"

namespace testing::kube {
namespace {

using namespace std::chrono_literals;

// The first time it builds them, which takes minutes.
const Result& tools() {
  static const auto result = [] {
    Process process{{std::string{SCHEMAGATE_SOURCE_DIR} + "/tests/platforms/kube-tools"}};
    if (!eventually([&] { return !process.is_running(); }, 800s))
      return Result{.exit_code = 1, .out = {}, .err = "kube-tools: not ready after 800 s"};
    return process.wait();
  }();
  return result;
}

std::filesystem::path tool(const std::string& name) {
  return std::filesystem::path{schemagate::trim(tools().out)} / name;
}

json scalar(const YAML::Node& node) {
  const auto& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text == "true" || text == "false") return text == "true";
  if (text.empty() || text == "null" || text == "~") return nullptr;
  static const std::regex integer{"-?(0|[1-9][0-9]*)"};
  if (std::regex_match(text, integer)) return std::stoll(text);
  return text;
}

json as_json(const YAML::Node& node) {
  if (node.IsMap()) {
    auto object = json::object();
    for (const auto& entry : node) object[entry.first.Scalar()] = as_json(entry.second);
    return object;
  }
  if (node.IsSequence()) {
    auto array = json::array();
    for (const auto& entry : node) array.push_back(as_json(entry));
    return array;
  }
  return node.IsScalar() ? scalar(node) : json(nullptr);
}

json at(const json& object, const std::string& pointer) {
  const json::json_pointer where{pointer};
  return object.contains(where) ? object.at(where) : json(nullptr);
}

// A container's own setting wins over its pod's.
json effective(const json& pod_spec, const json& container, const std::string& setting) {
  auto own = at(container, "/securityContext/" + setting);
  return own.is_null() ? at(pod_spec, "/securityContext/" + setting) : own;
}

void not_restricted(const json& pod_spec, const json& container,
                    const std::function<void(const std::string&)>& complain) {
  if (at(container, "/securityContext/allowPrivilegeEscalation") != false)
    complain("allowPrivilegeEscalation is not false");
  if (at(container, "/securityContext/capabilities/drop") != json::array({"ALL"}))
    complain("capabilities.drop is not [ALL]");
  for (const auto* setting : {"privileged", "procMount", "seLinuxOptions", "windowsOptions"})
    if (!effective(pod_spec, container, setting).is_null()) complain(setting);
  if (!at(container, "/securityContext/capabilities/add").is_null()) complain("capabilities.add");
  if (effective(pod_spec, container, "runAsNonRoot") != true) complain("runAsNonRoot is not true");
  if (effective(pod_spec, container, "runAsUser") == 0) complain("runAsUser is 0");
  if (effective(pod_spec, container, "seccompProfile") != json{{"type", "RuntimeDefault"}})
    complain("seccompProfile is not RuntimeDefault");
  for (const auto& port : container.value("ports", json::array()))
    if (port.contains("hostPort")) complain("hostPort");
}

}  // namespace

void skipped(const std::string& why) { skip(why, "SCHEMAGATE_REQUIRE_KUBE"); }

bool tools_are_there() {
  if (tools().exit_code == 0) return true;
  skipped("helm and kubectl-validate cannot be had: " + tools().err);
  return false;
}

Result helm(const Arguments& arguments) {
  const TempDir home;  // nothing of the person's own settings, and no cluster
  const auto below = [&](const char* name) { return (home.path() / name).string(); };
  Arguments argv{tool("helm").string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv, {.environment = {{"HELM_CACHE_HOME", below("cache")},
                                    {"HELM_CONFIG_HOME", below("config")},
                                    {"HELM_DATA_HOME", below("data")},
                                    {"KUBECONFIG", "/dev/null"}},
                    .directory = {}});
}

Result render(const std::filesystem::path& chart, const Arguments& arguments) {
  Arguments argv{"template", "shop", chart.string(), "--kube-version", "1.31.0"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return helm(argv);
}

std::string rendered(const std::filesystem::path& chart, const Arguments& arguments) {
  const auto result = render(chart, arguments);
  REQUIRE(result == exits(0));
  return result.out;
}

ExampleChart::ExampleChart() {
  std::filesystem::copy(std::filesystem::path{SCHEMAGATE_SOURCE_DIR} / "helm", directory.path(),
                        std::filesystem::copy_options::recursive);
  update();
}

void ExampleChart::update() const {
  REQUIRE(helm({"dependency", "update", path.string()}) == exits(0));
}

std::vector<json> documents(const std::string& yaml) {
  std::vector<json> all;
  for (const auto& node : YAML::LoadAll(yaml))
    if (auto document = as_json(node); !document.is_null()) all.push_back(std::move(document));
  return all;
}

json only_document(const std::string& yaml) {
  const auto all = documents(yaml);
  if (all.size() != 1) throw std::runtime_error{"not exactly one document:\n" + yaml};
  return all.front();
}

Result validate(const std::string& yaml) {
  const TempDir directory;
  const auto file = directory.write("manifests.yaml", yaml);
  // The oldest that we support and the newest that it knows.
  Result result;
  for (const auto* version : {"1.29", "1.30"}) {
    result = run({tool("kubectl-validate").string(), "--version", version, file.string()},
                 {.environment = {{"KUBECONFIG", "/dev/null"}}, .directory = {}});
    if (result.exit_code != 0) break;
  }
  return result;
}

std::vector<Pod> pods(const std::vector<json>& documents) {
  std::vector<Pod> all;
  for (const auto& document : documents) {
    const auto of = document.at("kind").get<std::string>() + " " +
                    document.at("metadata").at("name").get<std::string>();
    if (document.at("kind") == "Pod") all.push_back({of, document.at("spec")});
    else if (const auto spec = at(document, "/spec/template/spec"); !spec.is_null())
      all.push_back({of, spec});
  }
  return all;
}

std::vector<json> containers(const json& pod_spec) {
  std::vector<json> all;
  for (const auto* kind : {"initContainers", "containers", "ephemeralContainers"})
    for (const auto& container : pod_spec.value(kind, json::array())) all.push_back(container);
  return all;
}

std::vector<std::string> not_restricted(const json& pod_spec) {
  std::vector<std::string> problems;
  for (const auto* host : {"hostNetwork", "hostPID", "hostIPC", "hostUsers"})
    if (pod_spec.contains(host)) problems.emplace_back(host);
  if (at(pod_spec, "/securityContext/sysctls") != nullptr) problems.emplace_back("sysctls");
  static const std::set<std::string> allowed{"name",
                                             "configMap",
                                             "csi",
                                             "downwardAPI",
                                             "emptyDir",
                                             "ephemeral",
                                             "persistentVolumeClaim",
                                             "projected",
                                             "secret"};
  const auto volumes = at(pod_spec, "/volumes");
  for (const auto& volume : volumes.is_null() ? json::array() : volumes)
    for (const auto& [kind, value] : volume.items())
      if (allowed.count(kind) == 0) problems.push_back("volume " + kind);
  for (const auto& container : containers(pod_spec))
    not_restricted(pod_spec, container, [&](const std::string& what) {
      problems.push_back(container.at("name").get<std::string>() + ": " + what);
    });
  return problems;
}

std::vector<std::string> against_our_rules(const json& pod_spec) {
  std::vector<std::string> problems;
  if (pod_spec.value("automountServiceAccountToken", true)) problems.emplace_back("gets a token");
  if (pod_spec.contains("serviceAccountName")) problems.emplace_back("wants a ServiceAccount");
  for (const auto& container : containers(pod_spec)) {
    const auto complain = [&](const std::string& what) {
      problems.push_back(container.at("name").get<std::string>() + ": " + what);
    };
    if (at(container, "/securityContext/readOnlyRootFilesystem") != true)
      complain("its root is not read-only");
    if (at(container, "/resources/requests/memory").is_null()) complain("no memory requested");
    const auto command = container.value("command", json::array());
    if (command.empty()) continue;  // the app
    if (command != json::array({"/opt/schemagate/bin/schemagate"})) complain("not our program");
    if (container.value("terminationMessagePolicy", "") != "FallbackToLogsOnError")
      complain("no message of a failure");
  }
  return problems;
}

void check_pods(const std::vector<json>& documents) {
  const auto all = pods(documents);
  CHECK(!all.empty());
  for (const auto& [of, spec] : all) {
    for (const auto& problem : not_restricted(spec)) FAIL_CHECK(of << ": " << problem);
    for (const auto& problem : against_our_rules(spec)) FAIL_CHECK(of << ": " << problem);
  }
}

void check_failure_policy(const json& job) {
  const auto& spec = job.at("spec");
  CHECK(spec.at("podReplacementPolicy") == "Failed");
  CHECK(spec.at("template").at("spec").at("restartPolicy") == "Never");
  const auto& rules = spec.at("podFailurePolicy").at("rules");
  REQUIRE(rules.size() == 2);
  CHECK(rules[0] ==
        json{{"action", "Ignore"},
             {"onPodConditions", {{{"type", "DisruptionTarget"}, {"status", "True"}}}}});
  CHECK(rules[1].at("action") == "FailJob");
  const auto& on = rules[1].at("onExitCodes");
  CHECK(on.at("operator") == "In");
  CHECK(on.at("containerName") == spec.at("template").at("spec").at("containers").at(0).at("name"));

  // The codes of the enum that stay what they are however often the run is tried.
  const auto header =
      read_text(std::filesystem::path{SCHEMAGATE_SOURCE_DIR} / "include/schemagate/base/error.hpp");
  static const std::regex code{R"(\n  \w+ = (\d+),)"};
  auto expected = json::array();
  for (std::sregex_iterator it{header.begin(), header.end(), code}, end; it != end; ++it) {
    const auto value = schemagate::ExitCode{std::stoi((*it)[1])};
    if (is_permanent(value) || value == schemagate::ExitCode::usage)
      expected.push_back(static_cast<int>(value));
  }
  CHECK(on.at("values") == expected);
}

}  // namespace testing::kube
