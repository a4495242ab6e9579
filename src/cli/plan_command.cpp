#include "schemagate/cli/commands.hpp"
#include "schemagate/cli/plan_report.hpp"

namespace schemagate::cli {
namespace {

class PlanCommand : public Command {
 public:
  void declare(Options& options) override {
    options.duration("--watch", watch_, "count the tables' traffic for so long; default: 2s");
    options.text("--since", "RELEASE", since_,
                 "instead: what that release's app would meet, if it were started again");
    options.flag("--offline", offline_, "without a database: from the scripts alone");
    options.text("--after", "NAME", after_,
                 "with --offline: pending are those behind this one; default: all");
    options.choice<int>("--server-version",
                        {{"13", 13}, {"14", 14}, {"15", 15}, {"16", 16}, {"17", 17}, {"18", 18}},
                        version_, "with --offline: PostgreSQL's; default: the newest");
  }

  // Without a database, its variables need not be set.
  [[nodiscard]] Manifest manifest(const std::string& file) const override {
    check_words();
    if (!offline_) return Command::manifest(file);
    return read_manifest(file, [](const std::string& name) {
      return std::optional{process_environment()(name).value_or("")};
    });
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    report_ = offline_          ? plan_offline(manifest, after_, version_)
              : !since_.empty() ? plan_since(manifest, since_, stop)
                                : plan(manifest, watch_, stop);
  }

  void describe(Json& document, ExitCode) const override {
    if (report_) add_plan(document, *report_);
  }

  [[nodiscard]] ExitCode verdict() const override {
    return report_->refused ? ExitCode::refused : ExitCode::done;
  }

  [[nodiscard]] std::string text() const override { return as_text(*report_); }

 private:
  void check_words() const {
    if (offline_ && !since_.empty())
      throw usage_mistake("plan", "only one of --offline, --since may be given");
    if (!offline_ && (!after_.empty() || version_ != 0))
      throw usage_mistake("plan", "--after and --server-version go with --offline");
  }

  bool offline_ = false;
  std::string after_;
  std::string since_;
  int version_ = 0;
  Milliseconds watch_{2000};
  std::optional<PlanReport> report_;
};

}  // namespace

std::unique_ptr<Command> plan_command() { return std::make_unique<PlanCommand>(); }

}  // namespace schemagate::cli
