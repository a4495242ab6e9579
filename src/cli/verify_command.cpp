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
    options.flag("--deep", deep_,
                 "and all that the history claims is compared with what the scripts make");
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    if (accept_) accept_drift(manifest, stop);
    report_ = status(manifest, stop, deep_ ? Look::deep : Look::verify);
  }

 private:
  bool accept_ = false;
  bool deep_ = false;
};

}  // namespace

std::unique_ptr<Command> verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace schemagate::cli
