#pragma once
// What a run has to do, decided from the folder and the table alone. Pure: no I/O, no clock. All
// pending scripts are read and judged here, so that a script that cannot work is refused before the
// first one is applied.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/formats/format.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/migrate/segments.hpp"

namespace schemagate {

struct PlannedMigration {
  const Migration* migration = nullptr;  // in the Folder
  std::vector<Segment> segments = {};    // what is to be done
  std::vector<Cut> cuts = {};            // of which the server has told
  std::string row_id = {};     // of the row an earlier run left unfinished; empty: a fresh start
  std::size_t parts_done = 0;  // by earlier runs
  std::size_t statements_done = 0;  // in these parts
  Step interrupted = {};  // an earlier run began this one and did not finish it; or nothing
  std::size_t interrupted_segment = 0;  // in `segments`
  bool was_refused = false;             // the server refused it then; else the run died in it

  [[nodiscard]] std::size_t parts() const { return parts_done + segments.size(); }

  // Migration and history row commit together.
  [[nodiscard]] bool is_one_transaction() const {
    return row_id.empty() && segments.size() == 1 && segments.front().transactional;
  }
  // A statement outside of transactions comes after the script's own SET.
  [[nodiscard]] bool sets_outside_transactions() const;
};

struct Plan {
  std::vector<PlannedMigration> pending;
  std::vector<std::string> warnings;
  std::vector<const HistoryRow*> blocking;  // failed, and nothing recorded to continue from

  [[nodiscard]] bool needs_direct_connection() const;
  [[nodiscard]] bool sets_outside_transactions() const;
};

// Where folder and history differ, other than by what is pending.
struct Discrepancy {
  // renamed: a pending one with the content of an applied one whose directory is missing. It is
  // never executed again.
  enum class Kind { renamed, edited, missing, out_of_order } kind;
  std::string migration;
  std::string text;
  Hint remedy;
};
[[nodiscard]] std::vector<Discrepancy> discrepancies(const Folder& folder, const History& history);
[[nodiscard]] Policy policy_for(Discrepancy::Kind kind, const Manifest::Migrations& policies);

// Whether the history can be worked with at all (recovery/diagnosis.hpp) is not asked here. Throws
// Failure: (history) a pending migration without its file, or what a policy forbids;
// (migration_failed) a script that cannot be executed; (refused) atomic: release where PostgreSQL
// does not allow it.
[[nodiscard]] Plan make_plan(const Folder& folder, const History& history,
                             const Manifest::Migrations& policies);

// Why a run cannot continue what an earlier one of ours began with this row; empty where it can.
[[nodiscard]] std::optional<Failure>
obstacle_to_continuing(const HistoryRow& row, const History& history, const Folder& folder);

// The same migration, cut once more where the server said so. Nothing where that changes nothing.
[[nodiscard]] std::optional<PlannedMigration> with_cut(const PlannedMigration& planned,
                                                       const Cut& cut);

// Why `at` cannot be in one transaction with the rest of the release.
[[nodiscard]] Failure not_as_one(const Migration& migration, const Statement& at,
                                 const std::string& why);

// The hint where nobody can tell how far the statement on `line` came.
[[nodiscard]] Hint finish_by_hand(const Migration& migration, int line, std::size_t parts_done);

// The script's path, relative to the working directory where that is shorter.
[[nodiscard]] std::string display_path(const Migration& migration);
// "file:line:column"
[[nodiscard]] std::string location(const Migration& migration, int line, int column);

}  // namespace schemagate
