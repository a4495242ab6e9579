#pragma once
// After applying: is everything there that this release needs? The only maker of a Verified,
// without which no marker can become complete.

#include <string>
#include <vector>

#include "schemagate/formats/format.hpp"
#include "schemagate/lease/verified.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

struct Expectation {
  const Folder& folder;
  const HistoryTable* history;  // null: an external tool without a history that we can read
  const std::vector<Check>& checks;
  const Variables& variables;    // of the checks, which are told as they are written
  std::string schema;            // of unqualified tables and columns in checks
  std::string search_path;       // for SQL checks, as SQL
  Policy edited = Policy::fail;  // as in the manifest: does an applied file's content count?
};

// Reads the history again: every migration of the folder is applied, with this content. Then the
// manifest's checks, of whose answers only a truth value, a count or the check's own words are
// told. Inside a transaction, in which the checks are read-only and have five minutes each. Throws
// Failure (check_failed) naming all that is missing.
[[nodiscard]] Verified verify(pg::Session& session, const Expectation& expectation);

// What the checks miss, a line each, without what may be anybody's.
[[nodiscard]] std::vector<std::string> failed_checks(pg::Session& session,
                                                     const Expectation& expectation);

// The migrations of `folder` that `history` does not hold as applied with this content, with why;
// or that the folder holds none at all, where the history holds some.
[[nodiscard]] std::vector<std::string> not_applied(const Folder& folder, const History& history,
                                                   Policy edited);

}  // namespace schemagate
