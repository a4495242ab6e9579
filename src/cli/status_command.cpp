#include "looking.hpp"
#include "schemagate/cli/commands.hpp"

namespace schemagate::cli {
namespace {

class StatusCommand : public LookingCommand {
 public:
  void execute(const Manifest& manifest, Stop& stop) override { report_ = status(manifest, stop); }
};

}  // namespace

std::unique_ptr<Command> status_command() { return std::make_unique<StatusCommand>(); }

}  // namespace schemagate::cli
