// The charts of helm/, rendered by the real Helm: what is in them, and what they refuse.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <regex>

#include "kube.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/base/version.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "support/text.hpp"

using namespace testing;
using namespace testing::kube;

namespace {

const std::filesystem::path k_helm = std::filesystem::path{SCHEMAGATE_SOURCE_DIR} / "helm";
const std::filesystem::path k_chart = k_helm / "schemagate";
const Arguments k_modes{"job", "hook", "initContainer"};

std::string values_file(const std::string& name) {
  return (k_chart / "ci" / (name + "-values.yaml")).string();
}

Arguments values_files() {
  Arguments all;
  for (const auto& entry : std::filesystem::directory_iterator{k_chart / "ci"})
    all.push_back(entry.path().string());
  std::sort(all.begin(), all.end());
  REQUIRE(all.size() >= 5);
  return all;
}

std::vector<json> of_kind(const std::vector<json>& documents, const std::string& kind) {
  std::vector<json> all;
  for (const auto& document : documents)
    if (document.at("kind") == kind) all.push_back(document);
  return all;
}

json only(const std::vector<json>& documents, const std::string& kind) {
  const auto all = of_kind(documents, kind);
  REQUIRE_MESSAGE(all.size() == 1, all.size() << " of kind " << kind);
  return all.front();
}

// The chart with the values of ci/job-values.yaml and more.
std::vector<json> chart(const Arguments& more, const std::string& values = "job") {
  Arguments arguments{"-f", values_file(values)};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return documents(rendered(k_chart, arguments));
}

std::string name_of(const json& document) { return document.at("metadata").at("name"); }
std::string job_name(const Arguments& more, const std::string& values = "job") {
  return name_of(only(chart(more, values), "Job"));
}

json annotations(const json& document) {
  return document.at("metadata").value("annotations", json::object());
}

// The documents of release `name`.
std::vector<json> release(const std::string& name, const std::filesystem::path& path,
                          const Arguments& more) {
  Arguments argv{"template", name, path.string(), "--kube-version", "1.31.0"};
  argv.insert(argv.end(), more.begin(), more.end());
  const auto result = helm(argv);
  REQUIRE(result == exits(0));
  CHECK(validate(result.out) == exits(0));
  return documents(result.out);
}

void edit(const ExampleChart& example, const std::string& file, const char* what,
          const std::string& with) {
  const auto text = read_text(example.path / file);
  const auto changed = std::regex_replace(text, std::regex{what}, with);
  REQUIRE_MESSAGE(changed != text, what);
  example.directory.write("example/" + file, changed);
}

// Two dependencies, `billing` and `orders`, with a gate each.
void give_two_databases(const ExampleChart& example) {
  const auto twice = [](const std::string& what) {
    return "        {{- include \"" + what + "\" .Subcharts.billing | nindent 8 }}\n" +
           "        {{- include \"" + what + "\" .Subcharts.orders | nindent 8 }}\n";
  };
  edit(example, "Chart.yaml", R"(  - name: schemagate\n)",
       "  - name: schemagate\n    alias: billing\n    version: 0.1.0\n"
       "    repository: file://../schemagate\n  - name: schemagate\n    alias: orders\n");
  const std::string deployment = "templates/deployment.yaml";
  edit(example, deployment, R"( *\{\{- include "schemagate.gate"[^\n]*\n)",
       twice("schemagate.gate"));
  edit(example, deployment, R"( *\{\{- include "schemagate.volumes"[^\n]*\n)",
       twice("schemagate.volumes"));
  edit(example, deployment, R"(\.Values\.schemagate\.image\.tag)", ".Values.orders.image.tag");
  edit(example, "values.yaml", R"(\nschemagate:)", "\norders: &both\n  manifest: {app: both}");
  example.directory.write("example/values.yaml",
                          read_text(example.path / "values.yaml") + "\nbilling: *both\n");
  example.update();
}

// README's table: value -> default.
std::map<std::string, json> table() {
  const auto page = read_text(k_chart / "README.md");
  std::map<std::string, json> values;
  static const std::regex row{R"(\n\| `([^`]+)` \| `([^`]+)` \|(?=[^\n]*\|))"};
  for (std::sregex_iterator it{page.begin(), page.end(), row}, end; it != end; ++it) {
    const auto is_new =
        values.emplace((*it)[1], only_document("v: " + (*it)[2].str()).at("v")).second;
    CHECK_MESSAGE(is_new, (*it)[1].str() << " is there twice");
  }
  return values;
}

json schema() { return json::parse(read_text(k_chart / "values.schema.json")); }

json resolved(const json& node) {
  if (!node.contains("$ref")) return node;
  return schema().at(json::json_pointer{node.at("$ref").get<std::string>().substr(1)});
}

// The values as the schema divides them: value -> default.
void collect(const json& properties, const json& values, const std::string& prefix,
             std::map<std::string, json>& all) {
  for (const auto& [name, property] : properties.items()) {
    const auto node = resolved(property);
    const bool is_section = node.contains("properties");
    if (is_section) CHECK_MESSAGE(node.value("additionalProperties", true) == false, name);
    if (prefix.empty() && name == "global") continue;  // Helm's own
    REQUIRE_MESSAGE(values.contains(name), "values.yaml lacks " << prefix << name);
    if (is_section) collect(node.at("properties"), values.at(name), prefix + name + ".", all);
    else all[prefix + name] = values.at(name);
  }
  for (const auto& [name, value] : values.items())
    CHECK_MESSAGE(properties.contains(name), "values.schema.json lacks " << prefix << name);
}

}  // namespace

TEST_SUITE("Helm chart") {
  TEST_CASE("helm lint --strict finds nothing in the charts") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    const auto lint = [](const std::filesystem::path& path, const Arguments& more) {
      Arguments argv{"lint", "--strict", "--kube-version", "1.31.0", path.string()};
      argv.insert(argv.end(), more.begin(), more.end());
      CHECK(helm(argv) == exits(0));
    };
    for (const auto& values : values_files()) lint(k_chart, {"-f", values});
    lint(example.path, {});
  }

  TEST_CASE(
      "Kubernetes would accept what the charts make, in every mode; every pod is restricted") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    std::map<std::string, std::string> all;
    for (const auto& values : values_files()) all[values] = rendered(k_chart, {"-f", values});
    for (const auto& mode : k_modes)
      for (const auto* manifest : {"{}", R"({"migrations": {"directory": "/app/m"}})"})
        all["example, " + mode + ", manifest " + manifest] =
            rendered(example.path, {"--set", "schemagate.mode=" + mode, "--set-json",
                                    std::string{"schemagate.manifest="} + manifest});
    for (const auto& [of, yaml] : all) {
      INFO(of);
      CHECK(validate(yaml) == exits(0));
      check_pods(documents(yaml));
      for (const auto& document : documents(yaml)) CHECK(name_of(document).size() <= 63);
    }
    const auto broken =
        std::regex_replace(all.begin()->second, std::regex{"backoffLimit"}, "tries");
    CHECK(validate(broken) != exits(0));
  }

  TEST_CASE(
      "the Job gives up at once for exactly the exit codes that another try does not change") {
    if (!tools_are_there()) return;
    for (const auto* values : {"job", "hook", "all", "argo-cd"})
      check_failure_policy(only(chart({}, values), "Job"));
  }

  TEST_CASE("the Job has a new name for whatever else it runs, and only then") {
    if (!tools_are_there()) return;
    const auto name = job_name({});
    CHECK(name == job_name({"--is-upgrade"}));
    CHECK(name == job_name({"--set", "gateSecret.name=other,initContainer.hold=1m"}));
    CHECK(name == job_name({"--set", "job.annotations.a=b"}));
    CHECK(name.substr(0, 16) == "shop-schemagate-");
    std::map<std::string, std::string> names{{name, "none"}};
    for (const Arguments& change : std::vector<Arguments>{
             {"--set", "image.tag=1.4.1"},
             {"--set", "image.repository=registry.example.com/shop/other"},
             {"--set", "image.digest=sha256:" + std::string(64, 'a')},
             {"--set", "databaseSecret.name=other"},
             {"--set", "databaseSecret.key=other"},
             {"--set", "env[0].name=RELEASE,env[0].value=one"},
             {"--set", "env[0].name=RELEASE,env[0].value=two"},
             {"--set", "job.env[0].name=DIRECT_URL,job.env[0].value=x"},
             {"--set", "manifest.app=one"},
             {"--set", "manifest.app=two"},
             {"--set", "job.activeDeadlineSeconds=60"},
         }) {
      const auto other = job_name(change);
      CHECK_MESSAGE(names.emplace(other, change[1]).second, change[1] << ": " << names[other]);
    }
  }

  TEST_CASE("no template asks for the number of the revision, and nothing is left to chance") {
    static const std::regex comment{R"(\{\{-?\s*/\*[\s\S]*?\*/)"};
    static const std::regex unstable{R"(Revision|now|rand|uuid|lookup|genSelf)"};
    for (const auto& entry : std::filesystem::recursive_directory_iterator{k_chart / "templates"}) {
      if (!entry.is_regular_file() || entry.path().extension() == ".txt") continue;
      const auto code = std::regex_replace(read_text(entry.path()), comment, "");
      CHECK_MESSAGE(!std::regex_search(code, unstable), entry.path());
    }
  }

  TEST_CASE("what the Job, the hook and the gates mount is a hook that comes before all of them") {
    if (!tools_are_there()) return;
    for (const auto& mode : k_modes) {
      const auto all = chart({"--set", "mode=" + mode}, "hook");
      const auto config_map = only(all, "ConfigMap");  // one, for whatever mounts it
      const auto hook = annotations(config_map);
      CHECK(hook.at("helm.sh/hook") == "pre-install,pre-upgrade,pre-rollback");
      // It stays: a pod of the release before may start again. It may be there already.
      CHECK(hook.at("helm.sh/hook-delete-policy") == "before-hook-creation");
      // As an object of the release it would have to be kept, and a roll-back to it fails with
      // Helm up to 3.21 ("no ConfigMap with the name ... found").
      CHECK(!hook.contains("helm.sh/resource-policy"));
      for (const auto& [of, spec] : pods(all)) {
        CHECK(!spec.contains("serviceAccountName"));
        CHECK(spec.at("volumes").at(0).at("configMap").at("name") == name_of(config_map));
      }
      if (mode != "hook") continue;
      const auto job = annotations(only(all, "Job"));
      CHECK(job.at("helm.sh/hook") == "pre-install,pre-upgrade");
      CHECK(job.at("helm.sh/hook-delete-policy") == "before-hook-creation");
      const auto weight = [](const json& of) {
        return std::stoi(of.at("helm.sh/hook-weight").get<std::string>());
      };
      CHECK(weight(hook) < weight(job));
    }
  }

  TEST_CASE("for Argo CD the manifest's ConfigMap is a hook of its Sync phase, before the Job") {
    if (!tools_are_there()) return;
    const auto all = chart({}, "argo-cd");
    const auto job = annotations(only(all, "Job"));
    auto before = annotations(only(all, "ConfigMap"));
    const std::string of_argo = "argocd.argoproj.io/";
    CHECK(before.at(of_argo + "sync-wave") == "-2");
    CHECK(job.at(of_argo + "sync-wave") == "-1");
    for (const auto* same : {"hook", "hook-delete-policy"})
      CHECK(before.at(of_argo + same) == job.at(of_argo + same));
    const auto plain =
        only_document(read_text(k_helm.parent_path() / "deploy/kubernetes/argo-cd/job.yaml"));
    CHECK(job == annotations(plain));
  }

  TEST_CASE("in no mode does the chart make a Secret, a ServiceAccount or a right") {
    if (!tools_are_there()) return;
    for (const auto& values : values_files())
      for (const auto& document : documents(rendered(k_chart, {"-f", values}))) {
        const auto kind = document.at("kind").get<std::string>();
        CHECK_MESSAGE((kind == "Job" || kind == "ConfigMap" || kind == "Pod"), kind);
        // No hook but for mode hook and the test.
        if (kind == "Job" && values != values_file("hook"))
          CHECK(!annotations(document).contains("helm.sh/hook"));
      }
  }

  TEST_CASE("helm test runs status in a pod that the chart does not otherwise start") {
    if (!tools_are_there()) return;
    for (const auto& mode : k_modes) {
      const auto pod = only(chart({"--set", "mode=" + mode}), "Pod");
      CHECK(annotations(pod).at("helm.sh/hook") == "test");
      CHECK(containers(pod.at("spec")).at(0).at("args") == json::array({"status"}));
    }
  }

  TEST_CASE("the manifest of the values is one that schemagate reads, mounted where it looks") {
    if (!tools_are_there()) return;
    const auto all = chart({}, "all");
    const auto config_map = only(all, "ConfigMap");
    CHECK(config_map.at("immutable") == true);
    const auto text = config_map.at("data").at("schemagate.yaml").get<std::string>();
    const auto manifest =
        schemagate::parse_manifest(text, "/etc/schemagate/schemagate.yaml",
                                   [](const std::string& name) -> std::optional<std::string> {
                                     if (name == "SCHEMAGATE_MODE") return std::nullopt;
                                     return "of " + name;
                                   });
    CHECK(manifest.release == "of RELEASE");
    CHECK(manifest.migrations.directory == "/app/prisma/migrations");
    for (const auto& [of, spec] : pods(all)) {
      const auto container = containers(spec).back();
      const json variable{{"name", "SCHEMAGATE_MANIFEST"},
                          {"value", "/etc/schemagate/schemagate.yaml"}};
      const auto& env = container.at("env");
      CHECK(std::find(env.begin(), env.end(), variable) != env.end());
      CHECK(container.at("volumeMounts").at(0).at("mountPath") == "/etc/schemagate");
      CHECK(spec.at("volumes").at(0).at("configMap").at("name") == name_of(config_map));
    }
  }

  TEST_CASE("an app that includes the gate is held back by the image that migrates") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    for (const auto* mode : {"job", "hook"}) {
      const auto all =
          documents(rendered(example.path, {"--set", std::string{"schemagate.mode="} + mode}));
      const auto deployment = only(all, "Deployment");
      CHECK(deployment.at("spec").at("strategy").at("rollingUpdate").at("maxUnavailable") == 0);
      const auto spec = pods({deployment}).at(0).spec;
      REQUIRE(spec.at("initContainers").size() == 1);
      const auto& gate = spec.at("initContainers").at(0);
      const auto job = containers(pods({only(all, "Job")}).at(0).spec).at(0);
      CHECK(gate.at("args") == json::array({"gate"}));
      CHECK(gate.at("image") == job.at("image"));
      CHECK(gate.at("env").dump() == contains("shop-database"));
      CHECK(job.at("env").dump() == contains("shop-migrate-database"));
    }
  }

  TEST_CASE("with mode initContainer the same include migrates, and there is no Job") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    const auto all = documents(rendered(example.path, {"--set", "schemagate.mode=initContainer"}));
    CHECK(of_kind(all, "Job").empty());
    const auto spec = pods({only(all, "Deployment")}).at(0).spec;
    const auto& init = spec.at("initContainers").at(0);
    CHECK(init.at("args") == json::array({"run", "--hold", "5m"}));
    CHECK(init.at("env").dump() == contains("shop-migrate-database"));
  }

  TEST_CASE("two databases are two aliases, each with a Job and a gate of its own") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    give_two_databases(example);
    const auto yaml = rendered(example.path, {});
    CHECK(validate(yaml) == exits(0));
    const auto all = documents(yaml);
    const auto jobs = of_kind(all, "Job");
    REQUIRE(jobs.size() == 2);
    CHECK(name_of(jobs[0]).substr(0, 13) == "shop-billing-");
    CHECK(name_of(jobs[1]).substr(0, 12) == "shop-orders-");
    const auto spec = pods({only(all, "Deployment")}).at(0).spec;
    CHECK(spec.at("initContainers").at(0).at("name") == "billing-gate");
    CHECK(spec.at("initContainers").at(1).at("name") == "orders-gate");
    CHECK(spec.at("volumes").size() == 3);
  }

  TEST_CASE("whatever the release is called, names are valid, and two databases have two of each") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    give_two_databases(example);
    const std::regex valid{"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"};
    const std::string longest(53, 'a');
    for (const std::string& name :
         {std::string{"orders-billing"}, std::string{"123"}, std::string{"1e5"}, longest,
          std::string{"orders.billing"}, "orders." + std::string(40, 'b') + ".cdef",
          std::string(46, 'a') + ".b.c.d", std::string(36, 'a') + ".b.c.d.e.f"}) {
      CAPTURE(name);
      std::map<std::string, int> times;
      for (const auto& documents_of :
           {release(name, example.path, {}), release(name, k_chart, {"-f", values_file("hook")})})
        for (const auto& document : documents_of) {
          const auto its = name_of(document);  // not a number, or this throws
          CAPTURE(its);
          CHECK(std::regex_match(its, valid));
          CHECK(its.size() <= 63);
          CHECK(++times[document.at("kind").get<std::string>() + its] == 1);
          for (const auto& [label, value] : document.at("metadata").at("labels").items())
            CHECK_MESSAGE(value.is_string(), label);
        }
    }
    // No longer than needed where the release says it already.
    CHECK(name_of(only(release("my-schemagate", k_chart, {"-f", values_file("job")}), "Job"))
              .substr(0, 14) == "my-schemagate-");
  }

  TEST_CASE("the example's release is one value, for the images of app, gate and Job") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    const auto all = documents(rendered(example.path, {"--set", "schemagate.image.tag=1.5.0"}));
    int images = 0;
    for (const auto& [of, spec] : pods(all))
      for (const auto& container : containers(spec)) {
        const auto image = container.at("image").get<std::string>();
        CHECK_MESSAGE(image.substr(image.rfind(':')) == ":1.5.0", of << ": " << image);
        ++images;
      }
    CHECK(images == 4);  // app, gate, Job, and the Pod of helm test
    const auto refused = render(example.path, {"--set", "image.tag=1.5.0"});
    CHECK(refused != exits(0));
    CHECK(refused.err == contains("set schemagate.image.tag"));
  }

  TEST_CASE("the example takes a volume `tmp` for the gate, and leaves replicas to an autoscaler") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    const auto all = documents(rendered(
        example.path, {"--set-json", R"(schemagate.volumes=[{"name":"tmp","emptyDir":{}}])",
                       "--set", "replicas=null"}));
    const auto deployment = only(all, "Deployment");
    CHECK(!deployment.at("spec").contains("replicas"));
    std::map<std::string, int> times;
    const auto spec = pods({deployment}).at(0).spec;
    for (const auto& volume : spec.at("volumes")) CHECK(++times[volume.at("name")] == 1);
    CHECK(times.size() == 2);
  }

  TEST_CASE(
      "a side car of job.initContainers is in the pods of Job and test, and above nothing else") {
    if (!tools_are_there()) return;
    const auto all = chart({}, "all");
    int pods_with_it = 0;
    for (const auto& [of, spec] : pods(all)) {
      CAPTURE(of);
      REQUIRE(spec.at("initContainers").size() == 1);
      const auto& proxy = spec.at("initContainers").at(0);
      CHECK(proxy.at("name") == "cloud-sql-proxy");
      CHECK(proxy.at("restartPolicy") == "Always");  // else the run never begins
      ++pods_with_it;
    }
    CHECK(pods_with_it == 2);
    for (const auto& [of, spec] : pods(chart({}))) CHECK(!spec.contains("initContainers"));
  }

  TEST_CASE("autoscalers let the Job's pod end, unless the values say otherwise") {
    if (!tools_are_there()) return;
    const auto of_pod = [](const json& job) { return annotations(job.at("spec").at("template")); };
    const auto plain =
        only_document(read_text(k_helm.parent_path() / "deploy/kubernetes/job.yaml"));
    const auto unless_told = of_pod(only(chart({}), "Job"));
    CHECK(unless_told == of_pod(plain));
    CHECK(unless_told.size() == 2);
    CHECK(of_pod(only(chart({}, "all"), "Job")) ==
          json{{"cluster-autoscaler.kubernetes.io/safe-to-evict", "false"},
               {"linkerd.io/inject", "disabled"}});
  }

  TEST_CASE("a condition in another chart switches the dependency off, and never half of it") {
    if (!tools_are_there()) return;
    const ExampleChart example;
    edit(example, "Chart.yaml", R"(  - name: schemagate\n)",
         "  - name: schemagate\n    condition: schemagate.enabled\n");
    const auto with_if = [](const std::string& line) {
      return "        {{- if .Values.schemagate.enabled }}\n" + line + "        {{- end }}\n";
    };
    const std::string gate =
        "        {{- include \"schemagate.gate\" .Subcharts.schemagate | nindent 8 }}\n";
    const std::string volumes =
        "        {{- include \"schemagate.volumes\" .Subcharts.schemagate | nindent 8 }}\n";
    edit(example, "templates/deployment.yaml", R"( *\{\{- include "schemagate.gate"[^\n]*\n)",
         with_if(gate));
    edit(example, "templates/deployment.yaml", R"( *\{\{- include "schemagate.volumes"[^\n]*\n)",
         with_if(volumes));
    example.update();
    const auto on = documents(rendered(example.path, {}));
    CHECK(pods({only(on, "Deployment")}).at(0).spec.at("initContainers").size() == 1);
    const auto off = documents(rendered(example.path, {"--set", "schemagate.enabled=false"}));
    CHECK(off.size() == 1);
    CHECK(pods({only(off, "Deployment")}).at(0).spec.at("initContainers").is_null());
    // Without the condition it would make the Job all the same: refused.
    const auto alone = render(k_chart, {"-f", values_file("job"), "--set", "enabled=false"});
    CHECK(alone != exits(0));
    CHECK(alone.err == contains("`condition: schemagate.enabled`"));
  }

  TEST_CASE("the example's page waits longer than the Job may take") {
    const auto values = only_document(read_text(k_chart / "values.yaml"));
    const auto page = read_text(k_helm / "example/README.md");
    static const std::regex timeout{R"(--timeout ([0-9]+)m)"};
    int times = 0;
    for (std::sregex_iterator it{page.begin(), page.end(), timeout}, end; it != end; ++it, ++times)
      CHECK(std::stoi((*it)[1]) * 60 > values.at("job").at("activeDeadlineSeconds"));
    CHECK(times > 0);
  }

  TEST_CASE("values that cannot be meant are refused, in words that say which") {
    if (!tools_are_there()) return;
    const std::vector<std::pair<Arguments, std::string>> mistakes{
        {{"--set", "mode=hooks"}, "'/mode': value must be one of 'job', 'hook', 'initContainer'"},
        {{"--set", "jobs.ttl=1"}, "additional properties 'jobs' not allowed"},
        {{"--set", "job.ttlSeconds=1"}, "'/job': additional properties 'ttlSeconds' not allowed"},
        {{"--set", "image.name=x"}, "'/image': additional properties 'name' not allowed"},
        {{"--set", "image.repository=shop:1.4.0"}, "'/image/repository'"},
        {{"--set-string", "job.backoffLimit=3"}, "'/job/backoffLimit': got string, want integer"},
        {{"--set", "job.ttlSecondsAfterFinished=0"}, "'/job/ttlSecondsAfterFinished'"},
        {{"--set", "job.terminationGracePeriodSeconds=5"}, "'/job/terminationGracePeriodSeconds'"},
        {{"--set", "runAsUser=0"}, "'/runAsUser'"},
        {{"--set", "initContainer.hold=5"}, "'/initContainer/hold'"},
        {{"--set-json", R"(volumes=[{"name": "x", "hostPath": {"path": "/"}}])"}, "'hostPath'"},
        {{"--set-json", R"(env=[{"value": "x"}])"}, "missing property 'name'"},
        {{"--set", "image.repository="}, "set image.repository: the image with schemagate.yaml"},
        {{"--set", "image.tag="}, "set image.tag or image.digest: the release to migrate to"},
        {{"--set", "image.tag=latest"}, "image.tag \"latest\" moves"},
        {{"--set", "image.tag=main"}, "its migrations are never run"},
        {{"--set", "image.tag=master"}, "set the tag of one release, or image.digest"},
        {{"--set", "enabled=false"}, "enabled: false does nothing by itself"},
        {{"--set-json", R"(job.initContainers=[{"image": "x"}])"}, "missing property 'name'"},
        {{"--set", "databaseSecret.name="}, "set databaseSecret.name: the Secret that holds"},
        {{"--set", "manifest.migrations.directory=prisma/migrations"}, "as an absolute path"},
    };
    for (const auto& [arguments, words] : mistakes) {
      auto argv = arguments;
      argv.insert(argv.begin(), {"-f", values_file("job")});
      const auto result = render(k_chart, argv);
      CHECK_MESSAGE(result != exits(0), arguments[1]);
      CHECK(result.err == contains(words));
    }
    // A digest decides, whatever the tag beside it.
    CHECK(render(k_chart, {"-f", values_file("job"), "--set",
                           "image.tag=main,image.digest=sha256:" + std::string(64, 'a')}) ==
          exits(0));
    const ExampleChart example;
    std::filesystem::remove_all(example.path / "charts/schemagate-0.1.0.tgz");
    example.directory.write("example/templates/typo.yaml",
                            "{{ include \"schemagate.gate\" .Subcharts.schemgate }}");
    example.update();
    const auto result = render(example.path, {});
    CHECK(result.err == contains("no such dependency here"));
  }

  TEST_CASE("the notes say what happens next, and where a hook must not be used") {
    if (!tools_are_there()) return;
    const ExampleChart copy;
    copy.directory.write("schemagate/templates/notes.yaml",
                         "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata:\n  text: "
                         "{{ include (print .Template.BasePath \"/NOTES.txt\") . | toJson }}\n");
    const auto notes = [&](const std::string& mode) -> std::string {
      const auto yaml = rendered(copy.directory.path() / "schemagate",
                                 {"-f", values_file("job"), "--set", "mode=" + mode});
      for (const auto& document : documents(yaml))
        if (name_of(document) == "notes") return document.at("data").at("text");
      return "";
    };
    CHECK(notes("job") == contains("logs -f job/" + job_name({})));
    CHECK(notes("hook") == contains("Do not use mode \"hook\""));
    CHECK(notes("hook") == contains("Secret \"shop-migrate-database\""));
    CHECK(notes("initContainer") == contains("No Job"));
    for (const auto& mode : k_modes)
      CHECK(notes(mode) == contains("helm -n default test shop --logs"));
  }

  TEST_CASE("the README's table, values.yaml and values.schema.json know the same values") {
    std::map<std::string, json> values;
    collect(schema().at("properties"), only_document(read_text(k_chart / "values.yaml")), "",
            values);
    const auto shown = table();
    for (const auto& [name, value] : values) {
      REQUIRE_MESSAGE(shown.count(name) == 1, "README.md lacks " << name);
      CHECK_MESSAGE(shown.at(name) == value, name);
    }
    for (const auto& [name, value] : shown)
      CHECK_MESSAGE(values.count(name) == 1, "README.md knows a " << name);
    CHECK(values.size() > 20);
    CHECK(schema().at("additionalProperties") == false);
  }

  TEST_CASE("the README's lines for another chart are those of the example") {
    const auto page = read_text(k_chart / "README.md");
    const auto deployment = read_text(k_helm / "example/templates/deployment.yaml");
    for (const auto* line :
         {R"({{- include "schemagate.gate" .Subcharts.schemagate | nindent 8 }})",
          R"({{- include "schemagate.volumes" .Subcharts.schemagate | nindent 8 }})"}) {
      CHECK(page == contains(line));
      CHECK(deployment == contains(line));
    }
    const auto begin = page.find("dependencies:\n");
    const auto shown = only_document(page.substr(begin, page.find("```", begin) - begin));
    const auto example = only_document(read_text(k_helm / "example/Chart.yaml"));
    CHECK(shown.at("dependencies") == example.at("dependencies"));
  }

  TEST_CASE("the chart is of this version of schemagate") {
    const auto meta = only_document(read_text(k_chart / "Chart.yaml"));
    CHECK(meta.at("appVersion") == schemagate::k_version);
    const auto example = only_document(read_text(k_helm / "example/Chart.yaml"));
    CHECK(example.at("dependencies").at(0).at("version") == meta.at("version"));
  }
}
