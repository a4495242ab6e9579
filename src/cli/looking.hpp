#pragma once
// What the commands have in common that look and report: status and verify.

#include <optional>

#include "schemagate/cli/command.hpp"
#include "schemagate/commands/status.hpp"

namespace schemagate::cli {

class LookingCommand : public Command {
 public:
  void describe(Json& document, ExitCode code) const override;
  [[nodiscard]] std::string text() const override;
  [[nodiscard]] ExitCode verdict() const override { return report_->exit_code(); }

 protected:
  std::optional<StatusReport> report_;
};

}  // namespace schemagate::cli
