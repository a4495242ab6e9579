#pragma once
// `schemagate rehearse`: the pending migrations, executed in a throw-away copy of the live
// database: would they work, which locks do they take, which work is done under these? Changes
// nothing in the live database, and needs no more there than to read, and CREATEDB on the server.

#include <filesystem>
#include <string>
#include <vector>

#include "schemagate/manifest/manifest.hpp"
#include "schemagate/recovery/rehearsal.hpp"
#include "schemagate/recovery/row_copy.hpp"

namespace schemagate {

struct RehearsalReport {
  std::filesystem::path manifest;  // that the commands of hints are to find
  std::string database = {};
  std::string schema = {};
  std::string made_by = {};  // how the structure was copied; empty: nothing is pending
  std::vector<std::string> differences = {};  // of the copy, from the live structure
  std::vector<std::string> warnings = {};     // of the plan
  std::vector<CopiedRows> rows = {};
  Rehearsal rehearsal = {};
  std::string kept = {};          // the copy's name; empty: it was dropped
  std::string kept_url = {};      // without a password
  std::string password_key = {};  // of the manifest, that has it: "database.url"

  [[nodiscard]] ExitCode exit_code() const {
    return rehearsal.failure ? rehearsal.failure->code() : ExitCode::done;
  }
};

// Throws Failure as a run would before it applies anything (history, usage, migration_failed,
// refused), or (refused) where no copy can be made; what fails in the copy is in the report.
[[nodiscard]] RehearsalReport rehearse(const Manifest& manifest, const RowsWanted& rows, bool keep,
                                       Stop& stop);

}  // namespace schemagate
