#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/base/version.hpp"
#include "support/gate_project.hpp"
#include "support/json.hpp"

using namespace testing;
using schemagate::split;

namespace {

const std::string k_first = "20240101000000_first";
const std::string k_second = "20240102000000_second";
constexpr const char* k_secret = "Zaunk0enig-77";

Result cli(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
  return testing::schemagate(arguments, options);
}

void simple(GateProject& project) {
  project.migration(k_first, "CREATE TABLE users (id integer);");
}

std::string with_password(std::string url, const std::string& password = k_secret) {
  return url.replace(url.find('@'), 1, ":" + password + "@");
}

std::vector<std::string> lines_of(const std::string& text) {
  auto lines = split(text, '\n');
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// Everything that a run leaves in the database, as text.
std::string all_data(const TestDatabase& database) {
  const auto dump = run({"pg_dump", database.url()});
  REQUIRE(dump == exits(0));
  return dump.out;
}

}  // namespace

TEST_SUITE_BEGIN("cli");

TEST_CASE("help and version exit with 0 and print to stdout") {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"-h"},
                                                                     {"--help"},
                                                                     {"run", "-h"},
                                                                     {"run", "--help"},
                                                                     {"gate", "-h"},
                                                                     {"gate", "--help"},
                                                                     {"help"},
                                                                     {"help", "run"}}) {
    const auto result = cli(arguments);
    CHECK(result == exits(0));
    CHECK(result.out == contains("--help"));
    CHECK(result.err.empty());
  }
  CHECK(cli({"--help"}).out == contains("gate"));
  CHECK(cli({"gate", "--help"}).out == contains("--marker-file"));
  CHECK(cli({"run", "--help"}).out == contains("-- CMD"));
  const auto version = cli({"--version"});
  CHECK(version == exits(0));
  CHECK(version.out == std::string{schemagate::k_version} + "\n");
}

TEST_CASE("without arguments the help is printed to stderr, and nothing is done: exit 2") {
  const auto result = cli({});
  CHECK(result.exit_code == 2);
  CHECK(result.out.empty());
  CHECK(result.err == cli({"--help"}).out);
}

TEST_CASE("a mistake on the command line is told like any other failure, with where help is") {
  const auto result = cli({"rnu", "--frobnicate"});
  CHECK(result.exit_code == 2);
  CHECK(result.err == contains("error unknown command \"rnu\"; did you mean \"run\"?"));
  CHECK(result.err == contains("error hint: schemagate --help"));
  const auto missing = cli({"run", "node", "server.js"});
  CHECK(missing.exit_code == 2);
  CHECK(missing.err == contains("error hint: schemagate run -- node server.js"));
}

TEST_CASE("help works without a manifest and whatever the environment says") {
  const TempDir empty;
  CHECK(cli({"run", "--help"}, {.environment = {{"SCHEMAGATE_MANIFEST", "/no/such"}},
                                .directory = empty.path().string()}) == exits(0));
}

TEST_CASE("unknown options, subcommands and values are exit 2 with a message on stderr") {
  GateProject project;
  simple(project);
  const auto manifest = project.manifest();
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"migrate"},
                                             {"--frobnicate"},
                                             {"run", "--frobnicate"},
                                             {"run", "--once"},
                                             {"gate", "surplus"},
                                             {"run", "surplus"},
                                             {"run", "gate"},
                                             {"run", "-f"},
                                             {"run", "-f", manifest, "--log-format", "xml"},
                                             {"run", "-f", manifest, "--log-level", "loud"}}) {
    const auto result = cli(arguments, project.options());
    CAPTURE(schemagate::join(arguments, " "));
    CHECK(result == exits(2));
    CHECK(result.out.empty());
    CHECK(!result.err.empty());
  }
  CHECK(project.is_untouched());
}

TEST_CASE("the manifest is what -f names, else SCHEMAGATE_MANIFEST, else schemagate.yaml") {
  const TempDir files;
  files.write("schemagate.yaml", "from: default\n");
  files.write("other.yaml", "from: environment\n");
  files.write("third.yaml", "from: option\n");
  ProcessOptions options{.environment = {}, .directory = files.path().string()};
  const auto names = [&](const std::vector<std::string>& arguments, const std::string& file) {
    CHECK(cli(arguments, options) == exits(2, file + ":1:1: unknown key \"from\""));
  };
  names({"run"}, "schemagate.yaml");
  names({"gate"}, "schemagate.yaml");
  options.environment["SCHEMAGATE_MANIFEST"] = "";
  names({"run"}, "schemagate.yaml");
  options.environment["SCHEMAGATE_MANIFEST"] = (files.path() / "other.yaml").string();
  names({"run"}, "other.yaml");
  names({"gate"}, "other.yaml");
  names({"run", "-f", "third.yaml"}, "third.yaml");
  names({"run", "--file", "third.yaml"}, "third.yaml");
  names({"gate", "--file=third.yaml"}, "third.yaml");
  options.environment["SCHEMAGATE_MANIFEST"] = "/no/such/file.yaml";
  CHECK(cli({"run"}, options) == exits(2, "cannot read the manifest /no/such/file.yaml", "hint: "));
  CHECK(cli({"run", "-f", files.path().string()}, options) == exits(2));  // a directory
}

TEST_CASE("the migrations folder is relative to the manifest, not to where we are started") {
  GateProject project;
  simple(project);
  CHECK(cli({"run", "-f", project.manifest()},
            {.environment = project.environment, .directory = "/"}) == exits(0));
}

TEST_CASE(
    "run --json prints one document, alone on stdout, with exit code and applied migrations") {
  GateProject project;
  project.migration(k_first, "CREATE TABLE users (id integer);")
      .migration(k_second, "SELECT nonsense;");
  auto result = project.run({"--json"});
  CHECK(result == exits(21));
  auto document = Json::parse(result.out);
  CHECK(document["app"] == "shop");
  CHECK(document["release"] == "r1");
  CHECK(document["status"] == "failed");
  CHECK(document["exit_code"] == 21);
  CHECK(document["applied"] == Json::array({k_first}));
  CHECK(document["error"].get<std::string>() == contains("nonsense"));
  CHECK(document["hint"].get<std::string>() == contains("fix "));
  CHECK(result.err == contains("nonsense"));

  project.migration(k_second, "SELECT 1;");
  result = project.run({"--json"});
  CHECK(result == exits(0));
  document = Json::parse(result.out);
  CHECK(document["status"] == "complete");
  CHECK(document["exit_code"] == 0);
  CHECK(document["nothing_to_do"] == false);
  CHECK(document["applied"] == Json::array({k_second}));
  CHECK_FALSE(document.contains("error"));

  document = Json::parse(project.run({"--json"}).out);
  CHECK(document["nothing_to_do"] == true);
  CHECK(document["applied"] == Json::array());
  CHECK(document["exit_code"] == 0);
}

TEST_CASE(
    "run --json is a document also when the manifest is wrong or the server cannot be reached") {
  GateProject project;
  simple(project);
  project.set("nonsense", "1");
  auto result = project.run({"--json"});
  CHECK(result == exits(2));
  auto document = Json::parse(result.out);
  CHECK(document["exit_code"] == 2);
  CHECK(document["status"] == "failed");
  CHECK(document["applied"] == Json::array());
  CHECK(document["error"].get<std::string>() == contains("nonsense"));

  project.set("nonsense", "").set("database.wait", "0");
  project.environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/nothing";
  result = project.run({"--json"});
  CHECK(result == exits(10));
  document = Json::parse(result.out);
  CHECK(document["exit_code"] == 10);
  CHECK(document["release"] == "r1");
}

TEST_CASE("gate --json prints one document, alone on stdout, with exit code and error") {
  GateProject project;
  project.migration(k_first, "SELECT nonsense;");
  const auto look = [&](int exit_code) {
    const auto result = project.gate({"--once", "--json"});
    CHECK(result == exits(exit_code));
    auto document = Json::parse(result.out);
    CHECK(document["exit_code"] == exit_code);
    CHECK(document["open"] == (exit_code == 0));
    return document;
  };
  CHECK(look(30)["error"].get<std::string>() == contains("no run has happened"));
  REQUIRE(project.run() == exits(21));
  CHECK(look(31)["error"].get<std::string>() == contains("nonsense"));
  simple(project);
  REQUIRE(project.run() == exits(0));
  look(0);
}

TEST_CASE(
    "every document of a failure has exit code, error and hint, whichever command printed it") {
  GateProject project;
  simple(project);
  project.set("nonsense", "1");
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"run"}, {"gate"}, {"status"}, {"resolve", k_first, "--auto"}, {"baseline", k_first}}) {
    auto all = arguments;
    all.insert(all.end(), {"-f", project.manifest(), "--json"});
    const auto result = cli(all, project.options());
    CAPTURE(arguments.front());
    CHECK(result.exit_code == 2);
    const auto document = Json::parse(result.out);
    CHECK(document["exit_code"] == 2);
    CHECK(document["error"].get<std::string>() == contains("nonsense"));
    CHECK(document["hint"].get<std::string>() == contains("docs/manifest.md"));
  }
}

TEST_CASE(
    "--log-format json writes valid JSON lines with time, level and message, also by environment") {
  GateProject project;
  project.migration(k_first,
                    "DO $$ BEGIN RAISE NOTICE 'a \"quoted\" %', E'line\\nand tab\\t\\\\'; END $$;");
  project.migration(k_second, "SELECT nonsense;");
  const auto check = [&](const std::string& log) {
    const auto lines = lines_of(log);
    REQUIRE(lines.size() > 2);
    for (const auto& line : lines) {
      REQUIRE_MESSAGE(Json::accept(line), line);
      const auto document = Json::parse(line);
      REQUIRE_MESSAGE(document.is_object(), line);
      CHECK(document["time"].get<std::string>().size() ==
            std::string{"2024-01-01T00:00:00.000Z"}.size());
      CHECK(document["level"].is_string());
      CHECK(document["message"].is_string());
    }
  };
  const auto failed = project.run({"--log-format", "json"});
  CHECK(failed == exits(21));
  check(failed.err);
  CHECK(failed.err == contains(R"(\"quoted\")"));
  CHECK(failed.err == contains(R"("exit_code":"21")"));
  project.environment["SCHEMAGATE_LOG_FORMAT"] = "json";
  check(project.run().err);
  check(project.run({"--log-level", "debug"}).err);
}

TEST_CASE("--log-level keeps lesser messages away") {
  GateProject project;
  simple(project);
  CHECK(project.run({"--log-level", "warn"}).err.empty());
  project.set("release", "r2");
  CHECK(project.gate({"--once", "--log-level", "error"}) == exits(30));
  CHECK(project.run({"--log-level", "debug"}).err == contains(" debug "));
  project.set("release", "r3");
  project.environment["SCHEMAGATE_LOG_LEVEL"] = "error";
  CHECK(project.run().err.empty());
}

namespace {

GateProject& with_secret_and_marker_file(GateProject& project) {
  project.environment["DATABASE_URL"] = with_password(project.database.url());
  return project.set("marker.file", project.file("marker.json"));
}

}  // namespace

TEST_CASE("the password of the URL is in no output and in nothing that a run leaves behind") {
  GateProject project;
  const std::string secret{k_secret};
  project.environment["DATABASE_URL"] = with_password(project.database.url());
  project.migration(k_first, "DO $$ BEGIN RAISE NOTICE 'logging in with " + secret +
                                 "'; END $$; SELECT pg_sleep(1);");
  project.migration(k_second, "DO $$ BEGIN RAISE EXCEPTION 'cannot log in with " + secret +
                                  "' USING DETAIL = 'with " + secret + "', HINT = 'not " + secret +
                                  "'; END $$;");
  project.set("marker.file", project.file("marker.json"));
  auto process = project.start_run({"--json", "--log-level", "debug"});
  REQUIRE(process.says("logging in with ***"));
  CHECK(run({"ps", "axww"}).out != contains(secret));
  CHECK(project.database.value("SELECT string_agg(application_name, ',') FROM pg_stat_activity") !=
        contains(secret));
  auto result = process.wait();
  CHECK(result == exits(21, "cannot log in with ***"));
  CHECK(result.err != contains(secret));
  CHECK(result.out != contains(secret));
  CHECK(result.out == contains("***"));
  CHECK(project.marker("error") == contains("cannot log in with ***"));
  CHECK(all_data(project.database) != contains(secret));
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"--once"}, {"--json", "--log-format", "json"}}) {
    result = project.gate(arguments);
    CHECK(result == exits(31));
    CHECK(result.err + result.out != contains(secret));
  }
}

TEST_CASE("the password of the URL is not in the marker file of a failed run") {
  GateProject project;
  const std::string secret{k_secret};
  with_secret_and_marker_file(project);
  project.migration(k_first,
                    "DO $$ BEGIN RAISE EXCEPTION 'cannot log in with " + secret + "'; END $$;");
  REQUIRE(project.run() == exits(21));
  CHECK(read_text(project.file("marker.json")) == contains("cannot log in with"));
  CHECK(read_text(project.file("marker.json")) != contains(secret));
}

TEST_CASE("the password of the URL is not in the marker file of a failed check") {
  GateProject project;
  simple(project);
  with_secret_and_marker_file(project).set("verify", "[{sql: \"SELECT 'got " +
                                                         std::string{k_secret} + "'\"}]");
  REQUIRE(project.run() == exits(23, "check returned got ***"));
  CHECK(project.marker("error") == contains("check returned got ***"));
  CHECK(read_text(project.file("marker.json")) == contains("check returned got"));
  CHECK(read_text(project.file("marker.json")) != contains(k_secret));
}

TEST_CASE("the password of a failing external command is not in the marker file") {
  GateProject project;
  with_secret_and_marker_file(project).command("echo $DATABASE_URL; exit 1\n");
  REQUIRE(project.run() == exits(25));
  CHECK(read_text(project.file("marker.json")) == contains("postgresql://"));
  CHECK(read_text(project.file("marker.json")) != contains(k_secret));
}

TEST_CASE("the password of the URL is not in the messages of connections that fail") {
  GateProject project;
  simple(project);
  project.set("database.wait", "300ms").set("gate.timeout", "300ms").set("gate.poll", "100ms");
  project.environment["RES_OPTIONS"] = "timeout:1 attempts:1";  // there may be no name server
  const std::string secret{k_secret};
  const auto other_database = TestDatabase{false}.name();
  const auto server = server_host() + ":" + server_port();
  for (const auto& url : std::vector<std::string>{
           "postgresql://shop:" + secret + "@127.0.0.1:1/shop",
           "postgresql://no_such_role:" + secret + "@" + server + "/postgres",
           "postgresql://postgres:" + secret + "@" + server + "/" + other_database,
           "postgresql://postgres:" + secret + "@no-such-host.invalid/shop",
           "postgresql://postgres:" + secret + "@" + server + "/postgres?sslmode=require",
           "postgresql://postgres:" + secret + "@" + server + "/postgres?sslfrobnicate=1",
           "postgresql://postgres:" + secret + "@" + server +
               "/postgres?frobnicate=1&sslmode=require",
           "postgresql://postgres:" + secret + "@" + server,
           "postgresql://postgres:" + secret + "%zz@" + server + "/postgres",
           "postgresql://postgres:" + secret + "?x@" + server + "/postgres",
           "mysql://root:" + secret + "@" + server + "/shop",
           "prisma+postgres://accelerate.example/?api_key=" + secret,
           "host=127.0.0.1 port=1 user=shop dbname=shop password=" + secret,
           "host=127.0.0.1 user=shop dbname=shop frobnicate=" + secret,
           "host=127.0.0.1 password='" + secret,
           "postgres:" + secret + "@" + server + "/postgres"}) {
    CAPTURE(url);
    project.environment["DATABASE_URL"] = url;
    for (const auto& arguments : std::vector<std::vector<std::string>>{
             project.arguments("run", {"--json", "--log-level", "debug"}),
             project.arguments("gate", {"--json"})}) {
      const auto result = cli(arguments, project.options());
      CHECK(result != exits(0));
      CHECK(result != exits(1));
      CHECK(result.out + result.err != contains(secret));
    }
  }
}

TEST_CASE(
    "a password with a slash that is not encoded is not in the messages about the wrong URL") {
  GateProject project;
  simple(project);
  project.set("database.wait", "300ms").set("gate.timeout", "300ms");
  const std::string secret{k_secret};
  for (const auto& password :
       std::vector<std::string>{secret + "/x", "x/" + secret, "1/" + secret}) {
    CAPTURE(password);
    project.environment["DATABASE_URL"] = with_password(project.database.url(), password);
    for (const auto& result : {project.run({"--json"}), project.gate({"--once"})}) {
      CHECK(result != exits(0));
      CHECK(result.out + result.err != contains(secret));
    }
  }
}

TEST_CASE("the password from a secret file is not in any output") {
  GateProject project;
  const std::string secret{k_secret};
  project.migration(k_first,
                    "DO $$ BEGIN RAISE EXCEPTION 'cannot log in with " + secret + "'; END $$;");
  const auto file = project.files.write("url", with_password(project.database.url()) + "\n");
  project.set("database.url", "{file: " + file.string() + "}");
  const auto result = project.run({"--json"});
  CHECK(result == exits(21, "***"));
  CHECK(result.out + result.err != contains(secret));
}

TEST_CASE(
    "ten mistakes in a manifest are ten messages with their places, and no connection is made") {
  const TempDir files;
  const auto manifest = files.write("schemagate.yaml", R"(version: 1
nonsense: 1
mode: aply
database:
  url: ${NOT_SET_ANYWHERE}
  wait: forever
  create: perhaps
  expect: {min_version: new}
lease:
  ttl: 1s
migrations:
  tool: flyway
  lock_timeout: 5
gate:
  pol: 1s
)");
  for (const auto* command : {"run", "gate"}) {
    const Stopwatch watch;
    const auto result = cli({command, "-f", manifest.string()});
    CHECK(result == exits(2));
    CHECK(watch.seconds() < 60);  // half of what database.wait is when it is not given
    int messages = 0;
    for (const auto& line : lines_of(result.err)) {
      const auto at = line.find("schemagate.yaml:");
      if (at == std::string::npos) continue;
      ++messages;
      int row = 0;
      int column = 0;
      CHECK(std::sscanf(line.c_str() + at, "schemagate.yaml:%d:%d: ", &row, &column) == 2);
      CHECK(row >= 1);
      CHECK(column >= 1);
    }
    for (const auto* place :
         {":2:1: unknown key \"nonsense\"", ":3:7: \"mode\"",
          ":5:8: environment variable NOT_SET_ANYWHERE", ":6:9: \"database.wait\"",
          ":7:11: \"database.create\"", ":8:25: \"database.expect.min_version\"",
          ":10:8: \"lease.ttl\"", ":12:9: \"migrations.tool\"",
          ":13:17: \"migrations.lock_timeout\"", ":15:3: unknown key \"gate.pol\""})
      CHECK(result.err == contains(place));
    CHECK(messages >= 10);
    CHECK(result.err == contains("did you mean \"gate.poll\"?"));
    CHECK(result.err == contains("did you mean \"apply\"?"));
  }
}

TEST_CASE("a manifest with mistakes makes no connection to a database that is there") {
  GateProject project;
  simple(project);
  project.set("nonsense", "1");
  CHECK(project.run() == exits(2));
  CHECK(project.is_untouched());
}

TEST_CASE("SCHEMAGATE_MODE wins over the manifest") {
  GateProject project;
  simple(project);
  project.environment["SCHEMAGATE_MODE"] = "off";
  CHECK(project.run() == exits(0));
  CHECK(project.is_untouched());
  project.environment["SCHEMAGATE_MODE"] = "check";
  CHECK(project.run() == exits(20, k_first));
  CHECK(project.is_untouched());
  project.environment["SCHEMAGATE_MODE"] = "maybe";
  CHECK(project.run() == exits(2, "error SCHEMAGATE_MODE must be one of apply, check, off"));
  project.environment["SCHEMAGATE_MODE"] = "";
  CHECK(project.run() == exits(0));
}

TEST_CASE(
    "the termination log holds the reason, without the password, where the platform made the file") {
  constexpr const char* k_log = "/dev/termination-log";
  const int fd = ::open(k_log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) {
    MESSAGE("SKIPPED: " << k_log << " cannot be created here, or is there already");
    return;
  }
  ::close(fd);
  struct Removed {
    const char* file;
    ~Removed() { ::unlink(file); }
  } const removed{k_log};
  GateProject project;
  project.environment["DATABASE_URL"] = with_password(project.database.url());
  project.migration(k_first, "DO $$ BEGIN RAISE EXCEPTION 'unmistakable " + std::string{k_secret} +
                                 "'; END $$;");
  std::string text;
  // Other cases that run at the same moment write there too, even into what we write: look until it
  // was ours alone.
  const auto written = [&](const auto& is_ours) {
    return eventually([&] {
      (void)project.run();
      text = read_text(k_log);
      CHECK(text != contains(k_secret));
      return is_ours();
    });
  };
  CHECK(written([&] {
    return text == contains("unmistakable ***") && text == contains("\nhint: ") &&
           text.ends_with("\nexit code 21");
  }));
  CHECK(text.size() <= 4096);
  project.set("release", "unmistakable").migration(k_first, "SELECT 1;");
  CHECK(written([&] {
    return text == "release unmistakable complete, 1 applied" ||
           text == "release unmistakable complete, 0 applied";
  }));
}

TEST_SUITE_END();
