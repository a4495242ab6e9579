#pragma once
// Rows of the live database for a scratch of its structure, so that a rehearsal meets what a
// migration would meet. Read in the live session's transaction, a part at a time; nothing of them
// is ever told.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

struct RowsWanted {
  std::vector<std::string> tables;  // as a person types them, by the search_path; none: all
  std::optional<double> percent;    // of their rows, by chance
  [[nodiscard]] bool anything() const { return !tables.empty() || percent.has_value(); }
};

struct CopiedRows {
  std::string table;  // qualified and quoted
  std::int64_t rows = 0;
  std::string why_not_all = {};  // a sentence; empty: all that was asked for
};

// `live`: in a READ ONLY transaction, guarded. `copy`: the scratch, outside of any. Triggers do not
// fire. The rows that foreign keys of these refer to are copied as well, and told by themselves,
// behind the tables wanted, up to 1 GB in all. A foreign key that the rows do not satisfy even then
// (the other end may not be read, or is not there) is left NOT VALID, and told. Throws Failure:
// (usage) there is no such table; (refused) more than 1 GB; (refused) a right is missing.
[[nodiscard]] std::vector<CopiedRows> copy_rows(pg::Session& live, pg::Session& copy,
                                                const Target& target, const RowsWanted& wanted,
                                                const Stop& stop);

}  // namespace schemagate
