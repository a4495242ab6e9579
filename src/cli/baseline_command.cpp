#include "schemagate/cli/commands.hpp"
#include "schemagate/commands/baseline.hpp"
#include "settling.hpp"

namespace schemagate::cli {
namespace {

class BaselineCommand : public SettlingCommand {
 public:
  void declare(Options& options) override {
    options.words("NAME", given_.names, "the migrations' directories");
    options.text("--through", "NAME", given_.through, "all up to and including this one");
    options.exactly_one_of({"NAME", "--through"});
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    baseline(manifest, given_, stop, settled_);
  }

 private:
  BaselineOptions given_;
};

}  // namespace

std::unique_ptr<Command> baseline_command() { return std::make_unique<BaselineCommand>(); }

}  // namespace schemagate::cli
