#include "schemagate/commands/baseline.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "correcting.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/recovery/existing.hpp"

namespace schemagate {
namespace {

using Which = MigrationState::Kind;

constexpr std::size_t k_differences_max = 6;

class Baseline : Correcting {
 public:
  using Correcting::Correcting;

  void baseline(const BaselineOptions& options) {
    if (options.force == options.because.empty())
      throw Failure{ExitCode::usage, "--force and --because go together",
                    "give both: --force --because \"why it is right all the same\""};
    if (options.none) return begin_history();
    (void)chosen(options);  // before anything is created for a typing error
    work("baseline", [&] { return decide(options); });
  }

 private:
  [[nodiscard]] std::vector<const Migration*> chosen(const BaselineOptions& options) const;
  std::vector<Correction> decide(const BaselineOptions& options);
  void check(std::vector<Correction>& corrections, const Judge::Migrations& all,
             const BaselineOptions& options);
};

std::vector<const Migration*> Baseline::chosen(const BaselineOptions& options) const {
  std::vector<const Migration*> migrations;
  if (options.names.empty()) {
    if (migration(options.through) == nullptr) throw unknown(options.through);
    for (const auto& one : target_.folder.migrations) {
      migrations.push_back(&one);
      if (one.name == options.through) break;
    }
    return migrations;
  }
  for (const auto& name : options.names)
    if (migration(name) == nullptr) throw unknown(name);
  for (const auto& one : target_.folder.migrations)
    if (std::find(options.names.begin(), options.names.end(), one.name) != options.names.end())
      migrations.push_back(&one);
  return migrations;
}

std::vector<Correction> Baseline::decide(const BaselineOptions& options) {
  std::vector<Correction> corrections;
  Judge::Migrations all;  // as they will be recorded afterwards, in order
  const auto asked = chosen(options);
  for (const auto& one : target_.folder.migrations) {
    const bool is_asked = std::find(asked.begin(), asked.end(), &one) != asked.end();
    const bool is_applied = history_.applied(one.name) != nullptr;
    if (is_asked || is_applied) all.push_back(&one);
    if (!is_asked) continue;
    if (is_applied) {
      nothing(one.name, "is already recorded as applied");
      continue;
    }
    if (one.file_missing) throw no_script(one);
    if (last_row(one.name, true) != nullptr)
      throw Failure{ExitCode::history,
                    fmt::format("migration {} has failed; it is to be settled by itself", one.name),
                    own_command("resolve " + shell_word(one.name) + " --auto")};
    corrections.push_back(as_applied(one.name, "baseline: what it makes was there already"));
  }
  check(corrections, all, options);
  return corrections;
}

// What these make, with what is recorded already, in the folder's order: is it there?
void Baseline::check(std::vector<Correction>& corrections, const Judge::Migrations& all,
                     const BaselineOptions& options) {
  if (corrections.empty()) return;
  const auto judgement = Judge{session_, target_, stop_}.migrations({}, all, true);
  std::vector<std::string> problems;
  const auto add = [&](Correction& one, const std::string& why) {
    problems.push_back(fmt::format("\n  {}: {}", one.name, why));
    if (options.force)
      one.because = fmt::format("baseline --force, against the evidence ({}), because: {}", why,
                                options.because);
  };
  for (auto& one : corrections) {
    const auto& state = *judgement.find(one.name);
    const auto lines = join(some_of(state.differences, k_differences_max), "; ");
    if (state.kind == Which::untold) add(one, cannot_be_told(judgement.why_untold(state)));
    else if (state.kind == Which::absent || state.kind == Which::mixed) add(one, lines);
    else if (state.changes_data)
      log::warn(fmt::format(
          "migration {} changes data, too, and whether that was done cannot be seen", one.name));
  }
  if (problems.empty()) return;
  if (options.force) {
    log::warn("recorded against the evidence:" + join(problems, ""));
    return;
  }
  throw Failure{
      ExitCode::history,
      "the database is not exactly as these make it, so nothing was recorded:" + join(problems, ""),
      (judgement.cannot_tell && judgement.cannot_tell->hint != Hint{}
           ? judgement.cannot_tell->hint + "; or "
           : Hint{}) +
          "leave these migrations out, and a run applies them; or correct by hand what differs; or, "
          "if you are sure that they are done all the same, the same command with: --force --because \"...\""};
}

}  // namespace

void baseline(const Manifest& manifest, const BaselineOptions& options, Stop& stop,
              std::vector<Correction>& settled) {
  explaining_database_errors(stop, [&] { Baseline{manifest, stop, settled}.baseline(options); });
}

}  // namespace schemagate
