#include <fmt/core.h>

#include "schemagate/base/text.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/commands/run.hpp"

namespace schemagate::cli {
namespace {

class RunCommand : public Command {
 public:
  void execute(const Manifest& manifest, Stop& stop) override { run(manifest, stop, report_); }

  void describe(Json& document, ExitCode code) const override {
    document.set("app", report_.app).set("release", report_.release);
    document.set("status", code == ExitCode::done ? good_end() : "failed");
    document.set("nothing_to_do", report_.already_done).set("applied", report_.applied);
  }

  [[nodiscard]] std::string good_news() const override {
    return fmt::format("release {} {}, {} applied", report_.release, good_end(),
                       report_.applied.size());
  }

 private:
  [[nodiscard]] const char* good_end() const {
    switch (report_.mode) {
      case Mode::off: return "skipped";
      case Mode::check: return "checked";
      case Mode::apply: break;
    }
    return "complete";
  }

  RunReport report_;
};

}  // namespace

std::unique_ptr<Command> run_command() { return std::make_unique<RunCommand>(); }

}  // namespace schemagate::cli
