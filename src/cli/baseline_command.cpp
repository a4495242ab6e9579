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
    options.flag("--none", given_.none, "none of them; a history begins beside what is there");
    options.exactly_one_of({"NAME", "--through", "--none"});
    options.flag("--force", given_.force, "record them against the evidence; needs --because");
    options.text("--because", "TEXT", given_.because, "why, for the note in schemagate.run");
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
