// The command line: options in, one exit code out. The only file that knows CLI11 and the only
// place where a Failure becomes an exit code.

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "schemagate/base/child.hpp"
#include "schemagate/base/json.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/base/version.hpp"
#include "schemagate/base/wait.hpp"
#include "schemagate/cli/status_report.hpp"
#include "schemagate/commands/baseline.hpp"
#include "schemagate/commands/gate.hpp"
#include "schemagate/commands/resolve.hpp"
#include "schemagate/commands/run.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace {

using namespace schemagate;
using namespace std::chrono_literals;

constexpr const char* k_termination_log =
    "/dev/termination-log";  // Kubernetes shows it in `kubectl describe`
constexpr std::size_t k_termination_log_size_max = 4096;
constexpr auto k_stop_bound = 15s;  // inside every platform's grace period
constexpr Milliseconds k_hold_retryable_max = 1min;

struct Options {
  std::string manifest;
  bool json = false;
  log::Options log;
  GateOptions gate;
  Milliseconds hold{0};
  std::vector<std::string> command;  // after --
  std::string migration;             // resolve NAME
  bool applied = false;
  bool rolled_back = false;
  bool automatic = false;
  BaselineOptions baseline;
};

// Everything that must be over before a program can be started in our place.
struct Outcome {
  ExitCode code = ExitCode::done;
  std::string summary;
  std::string hint;
};

std::string default_manifest() {
  const char* named = std::getenv("SCHEMAGATE_MANIFEST");
  return named == nullptr || *named == '\0' ? "schemagate.yaml" : named;
}

void write_termination_log(const std::string& text) {
  const int fd = ::open(k_termination_log, O_WRONLY | O_TRUNC | O_CLOEXEC);  // never created by us
  if (fd < 0) return;
  const auto summary = shortened(text, k_termination_log_size_max);
  if (::write(fd, summary.data(), summary.size()) < 0)
    log::debug(fmt::format("cannot write {}: {}", k_termination_log, std::strerror(errno)));
  ::close(fd);
}

const char* good_end_of(const RunReport& report) {
  switch (report.mode) {
    case Mode::off: return "skipped";
    case Mode::check: return "checked";
    case Mode::apply: break;
  }
  return "complete";
}

void print_report(const RunReport& report, const Outcome& outcome) {
  Json json;
  json.set("app", report.app).set("release", report.release);
  json.set("status", outcome.code != ExitCode::done ? "failed" : good_end_of(report));
  json.set("exit_code", static_cast<int>(outcome.code)).set("nothing_to_do", report.already_done);
  json.set("applied", report.applied);
  if (outcome.code != ExitCode::done) json.set("error", outcome.summary).set("hint", outcome.hint);
  std::puts(json.pretty().c_str());
}

// A stopped run normally ends in milliseconds; a peer that swallows packets must not keep it
// longer.
class LastResort {
 public:
  explicit LastResort(const Stop& stop) : arm_{stop.token(), Arm{*this, stop}} {}

 private:
  struct Arm {
    LastResort& last_resort;
    const Stop& stop;
    void operator()() const {
      last_resort.thread_ = std::jthread{[&stop = stop](const std::stop_token& done) {
        if (sleep(k_stop_bound, done)) exit_now(stop);
      }};
    }
  };
  static void exit_now(const Stop& stop) {
    try {
      stop.check();
    } catch (const Failure& why) {
      log::error(fmt::format("{}; giving up on a connection that does not answer", why.what()));
      std::_Exit(static_cast<int>(why.code()));
    }
  }

  std::jthread thread_;
  std::stop_callback<Arm> arm_;  // after thread_: no arming while it is being destroyed
};

// The commands of a hint are typed where this one was, and must find the same manifest there.
std::string as_typed(std::string hint, const Options& options) {
  if (options.manifest == default_manifest()) return hint;
  for (const char* command : {"run", "gate", "status", "resolve", "baseline"}) {
    const auto plain = fmt::format("schemagate {}", command);
    const auto typed = fmt::format("{} -f {}", plain, shell_word(options.manifest));
    for (auto at = hint.find(plain); at != std::string::npos;
         at = hint.find(plain, at + typed.size()))
      hint.replace(at, plain.size(), typed);
  }
  return hint;
}

// The same for those lines of a text that are hints.
std::string with_hints_as_typed(const std::string& text, const Options& options) {
  auto lines = split(text, '\n');
  for (auto& line : lines)
    if (line.find("hint: ") != std::string::npos) line = as_typed(line, options);
  return join(lines, "\n");
}

Outcome guarded(const Options& options, const std::function<void(Stop&)>& work) {
  Stop stop;
  const SignalWatch signals{stop};
  const LastResort last_resort{stop};
  try {
    work(stop);
    stop.check();  // asked to stop at the last moment: then no app is to be started either
    return {};
  } catch (const Failure& failure) {
    return {failure.code(), log::redact(with_hints_as_typed(failure.what(), options)),
            log::redact(as_typed(failure.hint(), options))};
  } catch (const std::exception& e) {
    return {ExitCode::internal, fmt::format("internal error: {}", log::redact(e.what())),
            "please report this with the log"};
  }
}

int finish(const Outcome& outcome, const std::string& good_news) {
  if (outcome.code == ExitCode::done) {
    write_termination_log(good_news);
    return 0;
  }
  const auto code = static_cast<int>(outcome.code);
  for (const auto& line : split(outcome.summary, '\n'))
    log::error(line, {{"exit_code", std::to_string(code)}});
  if (!outcome.hint.empty()) log::error("hint: " + outcome.hint);
  write_termination_log(fmt::format("{}{}{}\nexit code {}", outcome.summary,
                                    outcome.hint.empty() ? "" : "\nhint: ", outcome.hint, code));
  return code;
}

// Some platforms restart whatever ends, and stop the app for good after so many restarts.
int hold(int code, Milliseconds duration) {
  const auto exit_code = static_cast<ExitCode>(code);
  if (code == 0 || exit_code >= ExitCode::signal_base) return code;
  const bool may_pass = is_retryable(exit_code);
  const auto bounded = may_pass ? std::min(duration, k_hold_retryable_max) : duration;
  if (bounded == Milliseconds::zero()) return code;
  Stop stop;
  const SignalWatch signals{stop};
  log::info(fmt::format("exit code {} follows in {} (--hold)", code, for_people(bounded)));
  sleep(bounded, stop);
  return code;
}

// Replaces this process: the program keeps our PID, and signals, output and exit code are its own.
int become(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const auto& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::fflush(nullptr);
  ::execvp(argv[0], argv.data());
  const int error = errno;
  log::error(fmt::format("cannot start {}: {}", command.front(), std::strerror(error)));
  return error == ENOENT ? 127 : 126;
}

int run_command_line(const Options& options) {
  RunReport report;
  const auto outcome = guarded(options, [&](Stop& stop) {
    if (!options.command.empty()) (void)find_program(options.command.front());
    run(read_manifest(options.manifest, process_environment()), stop, report);
  });
  if (options.json && options.command.empty()) print_report(report, outcome);
  const int code = finish(outcome, fmt::format("release {} {}, {} applied", report.release,
                                               good_end_of(report), report.applied.size()));
  return code != 0 || options.command.empty() ? hold(code, options.hold) : become(options.command);
}

int gate_command_line(const Options& options) {
  const auto outcome = guarded(options, [&](Stop& stop) {
    if (!options.command.empty()) (void)find_program(options.command.front());
    wait_at_gate(read_manifest(options.manifest, process_environment()), options.gate, stop);
  });
  if (options.json && options.command.empty()) {
    Json json;
    json.set("open", outcome.code == ExitCode::done)
        .set("exit_code", static_cast<int>(outcome.code));
    if (outcome.code != ExitCode::done)
      json.set("reason", outcome.summary).set("hint", outcome.hint);
    std::puts(json.pretty().c_str());
  }
  const int code = finish(outcome, "gate open");
  return code != 0 || options.command.empty() ? hold(code, options.hold) : become(options.command);
}

// An error that kept us from looking is told on stderr; what was found is the report itself.
int status_command_line(const Options& options) {
  std::optional<StatusReport> report;
  const auto outcome = guarded(options, [&](Stop& stop) {
    report = status(read_manifest(options.manifest, process_environment()), stop);
  });
  if (!report) {
    if (options.json) {
      Json json;
      json.set("exit_code", static_cast<int>(outcome.code)).set("healthy", false);
      std::puts(json.set("error", outcome.summary).set("hint", outcome.hint).pretty().c_str());
    }
    return finish(outcome, "");
  }
  const bool colour = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  std::string text;
  if (options.json) {
    for (auto& finding : report->findings) {
      finding.what = with_hints_as_typed(finding.what, options);
      finding.hint = as_typed(finding.hint, options);
    }
    report->gate_why = with_hints_as_typed(report->gate_why, options);
    text = as_json(*report).pretty() + "\n";
  } else {
    text = with_hints_as_typed(as_text(*report, colour), options);
  }
  std::fputs(log::redact(text).c_str(), stdout);
  return static_cast<int>(report->exit_code());
}

// For resolve and baseline.
int settling_command_line(
    const Options& options,
    const std::function<void(const Manifest&, Stop&, std::vector<Correction>&)>& settle) {
  std::vector<Correction> settled;
  const auto outcome = guarded(options, [&](Stop& stop) {
    settle(read_manifest(options.manifest, process_environment()), stop, settled);
  });
  if (options.json) {
    Json json;
    std::vector<Json> migrations;
    for (const auto& one : settled)
      migrations.emplace_back()
          .set("name", one.name)
          .set("marked", one.applied ? "applied" : "rolled-back")
          .set("because", one.because);
    json.set("exit_code", static_cast<int>(outcome.code)).set("settled", migrations);
    if (outcome.code != ExitCode::done)
      json.set("error", outcome.summary).set("hint", outcome.hint);
    std::puts(json.pretty().c_str());
  }
  return finish(outcome, fmt::format("{} settled", counted(settled.size(), "migration")));
}

int resolve_command_line(const Options& options) {
  const auto decision = options.applied       ? Decision::applied
                        : options.rolled_back ? Decision::rolled_back
                                              : Decision::automatic;
  return settling_command_line(options, [&](const auto& manifest, Stop& stop, auto& settled) {
    resolve(manifest, options.migration, decision, stop, settled);
  });
}

int baseline_command_line(const Options& options) {
  return settling_command_line(options, [&](const auto& manifest, Stop& stop, auto& settled) {
    baseline(manifest, options.baseline, stop, settled);
  });
}

void add_common_options(CLI::App& app, Options& options) {
  app.add_option("-f,--file", options.manifest,
                 "the manifest (default: $SCHEMAGATE_MANIFEST, else schemagate.yaml)");
  app.add_flag("--json", options.json, "print one JSON document on stdout");
  app.add_option("--log-format", options.log.format, "text or json")
      ->transform(CLI::CheckedTransformer(std::map<std::string, log::Format>{
          {"text", log::Format::text}, {"json", log::Format::json}}))
      ->envname("SCHEMAGATE_LOG_FORMAT");
  app.add_option("--log-level", options.log.level, "debug, info, warn or error")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, log::Level>{{"debug", log::Level::debug},
                                                                    {"info", log::Level::info},
                                                                    {"warn", log::Level::warn},
                                                                    {"error", log::Level::error}}))
      ->envname("SCHEMAGATE_LOG_LEVEL");
}

void add_hold_option(CLI::App& app, Options& options) {
  app.add_option_function<std::string>(
      "--hold",
      [&options](const std::string& text) {
        const auto duration = parse_duration(text);
        if (!duration) throw CLI::ValidationError{"--hold", "must be like 30s, 10m or 1h"};
        options.hold = *duration;
      },
      "after a failure wait this long before exiting (at most 1m where another try may help), for "
      "platforms that restart whatever ends and look at the app's health");
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  options.manifest = default_manifest();
  // What follows "--" belongs to another program and is not for our parser.
  int own = argc;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--") == 0) {
      options.command.assign(argv + i + 1, argv + argc);
      own = i;
      break;
    }
  }
  const bool separator_without_command = own < argc && options.command.empty();

  CLI::App app{
      "Brings a PostgreSQL database to the schema a release needs, once, and keeps the app waiting until it is so."};
  app.set_version_flag("--version", k_version);
  app.require_subcommand(1);
  auto* run_app = app.add_subcommand(
      "run", "wait for the database, migrate, verify, write the marker; with -- CMD become CMD");
  auto* gate_app =
      app.add_subcommand("gate", "wait for this release's marker; with -- CMD become CMD");
  auto* status_app = app.add_subcommand(
      "status", "history, health, lease, runs and markers; each problem with its remedy");
  auto* resolve_app = app.add_subcommand(
      "resolve", "correct the history of a migration: mark it applied or rolled back");
  auto* baseline_app = app.add_subcommand(
      "baseline", "record migrations as applied on a database that already has what they make");
  for (auto* command : {run_app, gate_app, status_app, resolve_app, baseline_app})
    add_common_options(*command, options);
  for (auto* command : {run_app, gate_app}) {
    command->footer("-- CMD [ARGUMENT...]  after success, replace this process by CMD");
    add_hold_option(*command, options);
  }
  gate_app->add_flag("--once", options.gate.once,
                     "one look, then exit 0 (open), 30 (closed) or 31 (the run failed)");
  gate_app->add_option("--marker-file", options.gate.file,
                       "look at this marker file instead of the database");
  resolve_app->add_option("NAME", options.migration, "the migration's directory")->required();
  auto* decision = resolve_app->add_option_group("decision");
  decision->add_flag("--applied", options.applied, "all of it is done; do not run it again");
  decision->add_flag("--rolled-back", options.rolled_back, "nothing of it is done; run it again");
  decision->add_flag("--auto", options.automatic,
                     "the live schema decides; where it is not clear nothing is changed");
  decision->require_option(1);
  auto* chosen = baseline_app->add_option_group("migrations");
  chosen->add_option("NAME", options.baseline.names, "the migrations' directories");
  chosen->add_option("--through", options.baseline.through, "all up to and including this one");
  chosen->require_option(1);
  try {
    app.parse(own, argv);
    if (own < argc && !run_app->parsed() && !gate_app->parsed())
      throw CLI::ValidationError{"--", "only run and gate start a command"};
    if (separator_without_command) throw CLI::ValidationError{"--", "a command must follow"};
  } catch (const CLI::ParseError& e) {
    const int result = app.exit(e);
    return result == 0 ? 0 : static_cast<int>(ExitCode::usage);
  }
  log::configure(options.log);
  if (status_app->parsed()) return status_command_line(options);
  if (resolve_app->parsed()) return resolve_command_line(options);
  if (baseline_app->parsed()) return baseline_command_line(options);
  return run_app->parsed() ? run_command_line(options) : gate_command_line(options);
}
