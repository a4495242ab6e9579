#include "schemagate/cli/commands.hpp"
#include "schemagate/commands/resolve.hpp"
#include "settling.hpp"

namespace schemagate::cli {
namespace {

class ResolveCommand : public SettlingCommand {
 public:
  void declare(Options& options) override {
    options.word("NAME", migration_, "the migration's directory");
    options.flag("--applied", applied_, "all of it is done; do not run it again");
    options.flag("--rolled-back", rolled_back_, "nothing of it is done; run it again");
    options.flag("--auto", automatic_,
                 "the live schema decides; where it is not clear nothing is changed");
    options.exactly_one_of({"--applied", "--rolled-back", "--auto"});
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    const auto decision = applied_       ? Decision::applied
                          : rolled_back_ ? Decision::rolled_back
                                         : Decision::automatic;
    resolve(manifest, migration_, decision, stop, settled_);
  }

 private:
  std::string migration_;
  bool applied_ = false;
  bool rolled_back_ = false;
  bool automatic_ = false;
};

}  // namespace

std::unique_ptr<Command> resolve_command() { return std::make_unique<ResolveCommand>(); }

}  // namespace schemagate::cli
