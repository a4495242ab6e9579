#include "schemagate/commands/baseline.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "correcting.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/postgres/database_errors.hpp"

namespace schemagate {
namespace {

class Baseline : Correcting {
 public:
  using Correcting::Correcting;

  void baseline(const BaselineOptions& options) {
    (void)chosen(options);  // before anything is created for a typing error
    work("baseline", [&] { return decide(options); });
  }

 private:
  [[nodiscard]] std::vector<const Migration*> chosen(const BaselineOptions& options) const;
  std::vector<Correction> decide(const BaselineOptions& options);
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
  std::vector<const Migration*> all;  // as they will be recorded afterwards, in order
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
                    fmt::format("schemagate resolve {} --auto", shell_word(one.name))};
    corrections.push_back(as_applied(one.name, "baseline: what it makes was there already"));
  }
  std::string problems;
  for (const auto& one : remainders_of(session_, target_, all)) {
    const auto is_new = [&](const auto& other) { return other.name == one.migration->name; };
    if (std::none_of(corrections.begin(), corrections.end(), is_new)) continue;
    if (!one.missing.empty())
      problems += fmt::format("\n  {}: {}", one.migration->name, missing_list(one));
    else if (one.changes_data)
      log::warn(
          fmt::format("migration {} changes data, too, and whether that was done cannot be seen",
                      one.migration->name));
  }
  if (!problems.empty())
    throw Failure{
        ExitCode::history, "these are not there, so nothing was recorded:" + problems,
        "leave these migrations out, and a run applies them; or make what is missing by hand; or, "
        "if you are sure that they are done all the same: schemagate resolve NAME --applied"};
  return corrections;
}

}  // namespace

void baseline(const Manifest& manifest, const BaselineOptions& options, Stop& stop,
              std::vector<Correction>& settled) {
  explaining_database_errors(stop, [&] { Baseline{manifest, stop, settled}.baseline(options); });
}

}  // namespace schemagate
