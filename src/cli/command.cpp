#include "schemagate/cli/command.hpp"

#include "become.hpp"
#include "schemagate/base/child.hpp"
#include "schemagate/cli/ending.hpp"

namespace schemagate::cli {
namespace {

// The one shape of all documents: how it ended, why, and then what the command has to tell.
std::string document_of(const Command& command, const Outcome& outcome, ExitCode code) {
  Json document;
  document.set("exit_code", static_cast<int>(code));
  if (outcome.code != ExitCode::done)
    document.set("error", outcome.summary).set("hint", outcome.hint);
  command.describe(document, outcome.code);
  return document.pretty() + "\n";
}

}  // namespace

Manifest Command::manifest(const std::string& file) const {
  return read_manifest(file, process_environment());
}

int perform(Command& command, const Invocation& invocation) {
  const bool becomes_program = !invocation.program.empty();
  const auto outcome = guarded(invocation.manifest, [&](Stop& stop) {
    if (becomes_program) (void)find_program(invocation.program.front());
    command.execute(command.manifest(invocation.manifest), stop);
  });
  const bool is_done = outcome.code == ExitCode::done;
  const auto code = is_done ? command.verdict() : outcome.code;
  // With a program, stdout is the program's.
  bool is_told = true;
  if (!becomes_program && invocation.json) is_told = print(document_of(command, outcome, code));
  if (!is_done) return hold(finish(outcome), invocation.hold);
  if (!becomes_program && !invocation.json) is_told = print(log::redact(command.text()));
  note_success(command.good_news());
  if (becomes_program) return become(invocation.program);
  return static_cast<int>(is_told || code != ExitCode::done ? code : ExitCode::internal);
}

}  // namespace schemagate::cli
