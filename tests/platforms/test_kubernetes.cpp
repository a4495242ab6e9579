// deploy/kubernetes, without a cluster: real types, Pod Security, and agreement with the program.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "kube.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "support/text.hpp"

using namespace testing;
using namespace testing::kube;

namespace {

const std::filesystem::path k_root = SCHEMAGATE_SOURCE_DIR;
const std::filesystem::path k_kubernetes = k_root / "deploy/kubernetes";

std::vector<std::filesystem::path> files(const std::string& extension) {
  std::vector<std::filesystem::path> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator{k_kubernetes})
    if (entry.path().extension() == extension) all.push_back(entry.path());
  std::sort(all.begin(), all.end());
  return all;
}

std::string text_of(const std::string& name) { return read_text(k_kubernetes / name); }
json document_of(const std::string& name) { return only_document(text_of(name)); }
json pod_of(const std::string& name) { return pods({document_of(name)}).at(0).spec; }

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const auto where = text.find(what);
  REQUIRE_MESSAGE(where != std::string::npos, what);
  return text.replace(where, what.size(), with);
}

// What a manifest that says nothing waits for.
schemagate::Manifest defaults() {
  return schemagate::parse_manifest("version: 1\ndatabase: {url: x}\nmigrations: {directory: x}\n",
                                    "schemagate.yaml", [](const auto&) { return std::nullopt; });
}

long seconds(schemagate::Milliseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

long seconds(const json& duration) {
  const auto parsed = schemagate::parse_duration(duration.get<std::string>());
  REQUIRE(parsed.has_value());
  return seconds(*parsed);
}

// No kind of Kubernetes itself, so the validator does not know it.
const std::string k_of_flux = "kustomizations.yaml";

const std::vector<std::string> k_jobs{"job.yaml", "argo-cd/job.yaml", "flux/job.yaml"};

}  // namespace

TEST_SUITE("Kubernetes manifests") {
  TEST_CASE("Kubernetes would accept every file of deploy/kubernetes") {
    if (!tools_are_there()) return;
    const auto all = files(".yaml");
    CHECK(all.size() >= 6);
    for (const auto& file : all) {
      if (file.filename() == k_of_flux) continue;  // has a case of its own
      const auto result = validate(read_text(file));
      CHECK_MESSAGE(result == exits(0), file << "\n" << result.out << result.err);
    }
  }

  TEST_CASE("a misspelt field, a wrong type or a missing field of a manifest would be noticed") {
    if (!tools_are_there()) return;
    const std::vector<std::vector<std::string>> mistakes{
        {"job.yaml", "backoffLimit:", "backofLimit:", "backofLimit"},
        {"job.yaml", "drop: [ALL]", "dropp: [ALL]", "dropp"},
        {"job.yaml", "containerName:", "container:", "container"},
        {"job.yaml", "backoffLimit: 6", "backoffLimit: six", "backoffLimit"},
        {"job.yaml", "  template:\n", "  templates:\n", "template"},
        {"deployment.yaml", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: shop\n",
         "", "selector"},
        {"deployment.yaml", "maxUnavailable:", "maxUnavaillable:", "maxUnavaillable"},
    };
    for (const auto& mistake : mistakes) {
      const auto result = validate(replaced(text_of(mistake[0]), mistake[1], mistake[2]));
      CHECK_MESSAGE(result != exits(0), mistake[2]);
      CHECK(result.out + result.err == contains(mistake[3]));
    }
  }

  TEST_CASE("every pod of deploy/kubernetes fits Pod Security restricted, and our own rules") {
    for (const auto& file : files(".yaml")) {
      if (file.filename() == k_of_flux) continue;  // no pods
      INFO(file);
      check_pods(documents(read_text(file)));
    }
  }

  TEST_CASE("what Pod Security restricted forbids would be noticed") {
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {"runAsNonRoot: true", "runAsNonRoot: false"},
        {"seccompProfile: {type: RuntimeDefault}", "seccompProfile: {type: Unconfined}"},
        {"allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true"},
        {"allowPrivilegeEscalation: false", "privileged: true"},
        {"capabilities: {drop: [ALL]}", "capabilities: {drop: [NET_RAW]}"},
        {"capabilities: {drop: [ALL]}", "capabilities: {drop: [ALL], add: [SYS_ADMIN]}"},
        {"runAsUser: 65532", "runAsUser: 0"},
        {"restartPolicy: Never", "volumes: [{name: x, hostPath: {path: /}}]"},
        {"restartPolicy: Never", "hostNetwork: true"},
        {"restartPolicy: Never", "hostPID: true"},
        {"command: [/opt/schemagate/bin/schemagate]", "ports: [{containerPort: 1, hostPort: 1}]"},
    };
    CHECK(not_restricted(pod_of("job.yaml")).empty());
    for (const auto& [what, with] : mistakes) {
      const auto job = only_document(replaced(text_of("job.yaml"), what, with));
      CHECK_MESSAGE(!not_restricted(pods({job}).at(0).spec).empty(), with);
    }
  }

  TEST_CASE("a Job gives up at once for exactly the exit codes that another try does not change") {
    for (const auto& name : k_jobs) {
      INFO(name);
      check_failure_policy(document_of(name));
    }
  }

  TEST_CASE("docs/exit-codes.md lists the same codes for podFailurePolicy") {
    const auto page = read_text(k_root / "docs/exit-codes.md");
    const auto begin = page.find("```yaml\n") + 8;
    const auto shown = only_document(page.substr(begin, page.find("```", begin) - begin));
    const auto& in_page = shown.at("podFailurePolicy").at("rules").at(1).at("onExitCodes");
    const auto job = document_of("job.yaml");
    const auto& in_job = job.at("spec").at("podFailurePolicy").at("rules").at(1);
    CHECK(in_page.at("values") == in_job.at("onExitCodes").at("values"));
    // And the table says "no" to another try; 31 is the gate's, 126 and 127 are of `-- CMD`.
    auto in_table = json::array();
    static const std::regex row{R"(\n\| ([0-9, ]+) \|[^\n]*\| no[^|\n]*\|(?=\n))"};
    for (std::sregex_iterator it{page.begin(), page.end(), row}, end; it != end; ++it) {
      const auto codes = (*it)[1].str();
      for (const auto& code : schemagate::split(codes, ','))
        if (const auto value = std::stoi(std::string{code}); value != 31 && value < 126)
          in_table.push_back(value);
    }
    CHECK(in_table == in_page.at("values"));
  }

  TEST_CASE("Kubernetes waits longer than schemagate does by itself") {
    const auto manifest = defaults();
    const auto run_waits = seconds(manifest.database.wait) + seconds(manifest.lease.wait) +
                           seconds(manifest.migrations.lock_retry);
    CHECK(run_waits == 14 * 60);  // as the comments say
    for (const auto& name : k_jobs) {
      CHECK(document_of(name).at("spec").at("activeDeadlineSeconds") > run_waits);
      // k_stop_bound of src/cli/ending.cpp
      CHECK(pod_of(name).at("terminationGracePeriodSeconds") > 15);
    }
    const auto progress = [](const std::string& name) {
      return document_of(name).at("spec").at("progressDeadlineSeconds");
    };
    CHECK(progress("deployment.yaml") > seconds(manifest.gate.timeout));
    CHECK(progress("init-only.yaml") > run_waits);

    const auto flux = documents(text_of("flux/kustomizations.yaml"));
    CHECK(seconds(flux.at(0).at("spec").at("timeout")) >
          document_of("flux/job.yaml").at("spec").at("activeDeadlineSeconds"));
    CHECK(seconds(flux.at(1).at("spec").at("timeout")) > progress("deployment.yaml"));
  }

  TEST_CASE("the Jobs for Argo CD and Flux are job.yaml but for name, hook and time to live") {
    auto plain = document_of("job.yaml");
    CHECK(plain.at("metadata").at("name") != "shop-migrate");
    CHECK(plain.at("spec").at("ttlSecondsAfterFinished") > 3600);
    plain["metadata"]["name"] = "shop-migrate";
    auto flux = plain;
    flux["spec"].erase("ttlSecondsAfterFinished");
    CHECK(document_of("flux/job.yaml") == flux);
    plain["metadata"]["annotations"] = {
        {"argocd.argoproj.io/hook", "Sync"},
        {"argocd.argoproj.io/sync-wave", "-1"},
        {"argocd.argoproj.io/hook-delete-policy", "BeforeHookCreation"}};
    CHECK(document_of("argo-cd/job.yaml") == plain);
  }

  TEST_CASE("the Kustomizations of Flux have the fields that Flux's own reference has, no others") {
    const std::map<std::string, std::string> fields{
        {"dependsOn", "array"},  {"force", "boolean"},
        {"interval", "string"},  {"path", "string"},
        {"prune", "boolean"},    {"retryInterval", "string"},
        {"sourceRef", "object"}, {"timeout", "string"},
        {"wait", "boolean"},     {"targetNamespace", "string"},
    };
    for (const auto& document : documents(text_of("flux/" + k_of_flux))) {
      CHECK(document.at("apiVersion") == "kustomize.toolkit.fluxcd.io/v1");
      CHECK(document.at("kind") == "Kustomization");
      const auto& spec = document.at("spec");
      for (const auto& [name, value] : spec.items()) {
        REQUIRE_MESSAGE(fields.count(name) == 1, name);
        CHECK_MESSAGE(fields.at(name) == value.type_name(), name);
      }
      for (const auto* needed : {"interval", "prune", "sourceRef"}) CHECK(spec.contains(needed));
      CHECK(spec.at("sourceRef") == json{{"kind", "GitRepository"}, {"name", "shop"}});
    }
  }

  TEST_CASE("Flux applies the app only after the migration, and makes the Job anew") {
    const auto flux = documents(text_of("flux/kustomizations.yaml"));
    REQUIRE(flux.size() == 2);
    const auto &migrate = flux[0].at("spec"), &app = flux[1].at("spec");
    CHECK(migrate.at("wait") == true);
    CHECK(migrate.at("force") == true);
    CHECK(app.at("dependsOn").at(0).at("name") == flux[0].at("metadata").at("name"));
    CHECK(app.at("sourceRef") == migrate.at("sourceRef"));  // else not for the same commit
  }

  TEST_CASE("the gate is the Job's image with the app's Secret, and no pod is missed meanwhile") {
    const auto job = containers(pod_of("job.yaml")).at(0);
    const auto app = document_of("deployment.yaml");
    const auto all = containers(pod_of("deployment.yaml"));
    REQUIRE(all.size() == 2);
    CHECK(job.at("args") == json::array({"run"}));
    CHECK(all[0].at("args") == json::array({"gate"}));
    CHECK(all[0].at("image") == job.at("image"));
    CHECK(all[0].at("env") == all[1].at("env"));
    CHECK(all[0].at("env") != job.at("env"));
    CHECK(app.at("spec").at("strategy").at("rollingUpdate").at("maxUnavailable") == 0);
  }

  TEST_CASE("without a Job the init container runs what the Job would, and the app is the same") {
    const auto job = containers(pod_of("job.yaml")).at(0);
    const auto all = containers(pod_of("init-only.yaml"));
    REQUIRE(all.size() == 2);
    CHECK(all[0].at("args") == json::array({"run", "--hold", "5m"}));
    for (const auto* same : {"image", "env", "command", "resources"})
      CHECK(all[0].at(same) == job.at(same));
    CHECK(all[1] == containers(pod_of("deployment.yaml")).at(1));
  }

  TEST_CASE("an autoscaler that empties a node lets a Job's pod end first") {
    for (const auto& name : k_jobs)
      CHECK(document_of(name).at("spec").at("template").at("metadata").at("annotations") ==
            json{{"cluster-autoscaler.kubernetes.io/safe-to-evict", "false"},
                 {"karpenter.sh/do-not-disrupt", "true"}});
  }

  TEST_CASE("the page says how many places of the files hold the release") {
    int places = 0;
    for (const auto* name : {"job.yaml", "deployment.yaml"}) {
      const auto text = text_of(name);
      for (auto at = text.find(":1.4.0"); at != std::string::npos; at = text.find(":1.4.0", at + 1))
        ++places;
    }
    CHECK(places == 3);
    CHECK(text_of("README.md") == contains("in three places"));
  }

  TEST_CASE("the README's lines that make a Job for status make one anew, that tries once") {
    const auto page = text_of("README.md");
    CHECK(page == contains("kubectl -n shop delete job shop-status --ignore-not-found\nsed '"));
    const auto begin = page.find("sed '");
    const auto line = page.substr(begin, page.find(" |\n", begin) - begin);
    const auto result = run({"sh", "-c", line}, {.environment = {}, .directory = k_root.string()});
    REQUIRE(result == exits(0));
    auto job = only_document(result.out);
    CHECK(job.at("metadata").at("name") == "shop-status");
    auto& container = job["spec"]["template"]["spec"]["containers"][0];
    CHECK(container.at("args") == json::array({"status"}));
    container["args"] = {"run"};
    CHECK(job["spec"]["backoffLimit"] == 0);
    job["spec"]["backoffLimit"] = 6;
    job["metadata"]["name"] = "shop-migrate-1-4-0";
    CHECK(job == document_of("job.yaml"));
  }

  TEST_CASE("every file that the pages about Kubernetes and Helm name is there") {
    auto pages = files(".md");
    for (const auto* name : {"helm/schemagate/README.md", "helm/example/README.md"})
      pages.push_back(k_root / name);
    static const std::regex link{R"(\]\(([^)#:]+)(#[^)]*)?\))"};
    for (const auto& page : pages) {
      const auto text = read_text(page);
      for (std::sregex_iterator it{text.begin(), text.end(), link}, end; it != end; ++it)
        CHECK_MESSAGE(std::filesystem::exists(page.parent_path() / (*it)[1].str()),
                      page << ": " << (*it)[1]);
    }
  }
}
