#pragma once
// Writing down what became of a migration: rows as the tool's own command for it writes them, in a
// fenced transaction, with a note in schemagate.run of who did it and why.

#include <string>
#include <vector>

#include "schemagate/lease/run_record.hpp"
#include "schemagate/recovery/diagnosis.hpp"

namespace schemagate {

// For a run, which settles what is proven.
void settle(Fenced& transaction, const WritableHistory& history,
            const std::vector<Settlement>& proven, const RunRecord& record);
// The history as it will be then.
[[nodiscard]] History as_settled(History history, const std::vector<Settlement>& proven);

// Who corrects, for the notes: USER@HOST.
[[nodiscard]] std::string this_user();

// What is written for one migration by a command.
struct Correction {
  std::string name = {};
  bool applied = false;                   // else rolled back
  std::string checksum = {};              // for applied
  std::vector<std::string> row_ids = {};  // these become rolled back
  // This applied row takes `checksum` over, and nothing else is written.
  std::string edited_id = {};
  std::string because = {};
};
void write(Fenced& transaction, const WritableHistory& history,
           const std::vector<Correction>& corrections, const RunRecord& record);

}  // namespace schemagate
