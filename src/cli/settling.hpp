#pragma once
// What the commands that settle a history have in common: they tell what they settled.

#include "schemagate/cli/command.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate::cli {

class SettlingCommand : public Command {
 public:
  void describe(Json& document, ExitCode code) const override;
  [[nodiscard]] std::string good_news() const override;

 protected:
  std::vector<Correction> settled_;
};

}  // namespace schemagate::cli
