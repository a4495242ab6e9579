#include "looking.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/commands/verify.hpp"

namespace schemagate::cli {
namespace {

class VerifyCommand : public LookingCommand {
 public:
  void declare(Options& options) override {
    options.flag("--accept", accept_,
                 "before that: what is there now is right, drift is told from it");
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    if (accept_) accept_drift(manifest, stop);
    report_ = status(manifest, stop, Look::verify);
  }

 private:
  bool accept_ = false;
};

}  // namespace

std::unique_ptr<Command> verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace schemagate::cli
