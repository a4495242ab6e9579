#include <unistd.h>

#include "schemagate/cli/commands.hpp"
#include "schemagate/cli/hints.hpp"
#include "schemagate/cli/status_report.hpp"

namespace schemagate::cli {
namespace {

class StatusCommand : public Command {
 public:
  void execute(const Manifest& manifest, Stop& stop) override {
    manifest_ = manifest.file;
    report_ = status(manifest, stop);
  }

  void describe(Json& document, ExitCode code) const override {
    document.set("healthy", code == ExitCode::done && report_->exit_code() == ExitCode::done);
    if (report_) add_status(document, presentable(*report_));
  }

  [[nodiscard]] std::string text() const override {
    const bool colour = ::isatty(STDOUT_FILENO) != 0 && !process_environment()("NO_COLOR");
    return with_hints_as_typed(as_text(*report_, colour), manifest_);
  }

  [[nodiscard]] ExitCode verdict() const override { return report_->exit_code(); }

 private:
  // What quotes a server may quote a secret.
  [[nodiscard]] StatusReport presentable(StatusReport report) const {
    const auto present = [&](std::string& text) {
      text = log::redact(with_hints_as_typed(text, manifest_));
    };
    for (auto& finding : report.findings) {
      present(finding.what);
      for (auto& evidence : finding.evidence) present(evidence);
      finding.hint = log::redact(as_typed(finding.hint, manifest_));
    }
    for (auto& run : report.runs) {
      present(run.error);
      present(run.note);
    }
    present(report.gate_why);
    return report;
  }

  std::string manifest_;
  std::optional<StatusReport> report_;
};

}  // namespace

std::unique_ptr<Command> status_command() { return std::make_unique<StatusCommand>(); }

}  // namespace schemagate::cli
