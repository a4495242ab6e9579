#include "schemagate/commands/gate.hpp"

#include "schemagate/cli/commands.hpp"

namespace schemagate::cli {
namespace {

class GateCommand : public Command {
 public:
  void declare(Options& options) override {
    options.flag("--once", given_.once,
                 "one look, then exit 0 (open), 30 (closed) or 31 (the run failed)");
    options.text("--marker-file", "FILE", marker_file_,
                 "look at this marker file instead of the database");
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    given_.file = marker_file_;
    wait_at_gate(manifest, given_, stop);
  }

  void describe(Json& document, ExitCode code) const override {
    document.set("open", code == ExitCode::done);
  }

  [[nodiscard]] std::string good_news() const override { return "gate open"; }

 private:
  GateOptions given_;
  std::string marker_file_;
};

}  // namespace

std::unique_ptr<Command> gate_command() { return std::make_unique<GateCommand>(); }

}  // namespace schemagate::cli
