#pragma once
// What of the migrations is there without a row in the history, and what has a row without being
// there. Reads only, and each look is a replay: for those who have a doubt to settle.

#include <string>
#include <vector>

#include "schemagate/recovery/judge.hpp"

namespace schemagate {

// Those of the folder that no row holds as applied or failed.
[[nodiscard]] Judge::Migrations pending_of(const Folder& folder, const History& history);
// And those that failed.
[[nodiscard]] Judge::Migrations not_applied_of(const Folder& folder, const History& history);

// The pending ones: made past the history?
[[nodiscard]] Judgement examine_pending(pg::Session& session, const Target& target,
                                        const History& history, const Stop& stop);
// Those recorded as applied: really there, but for what others have changed of it that were made
// past the history, or failed half-way?
[[nodiscard]] Judgement examine_applied(pg::Session& session, const Target& target,
                                        const History& history, const Stop& stop);

// Nothing, unless one of those is recorded as applied and nothing of it is there.
[[nodiscard]] std::optional<Failure> not_there(const Judgement& applied);
// The last run of this history, of whichever release, ended with such a failure, and it concerned
// one that the folder has: of that, a sentence. A run that goes well ends it. Costs one query.
struct FoundNotThere {
  const Migration* migration;
  std::string what;
};
[[nodiscard]] std::optional<FoundNotThere> found_not_there(pg::Session& session,
                                                           const Target& target);
// What settles that.
[[nodiscard]] Hint execute_again(const Migration& migration);

// Throws Failure (check_failed) where what these have just made, in the session's transaction, is
// not what their scripts say: IF NOT EXISTS left something of another shape. `before`: applied.
void refuse_other_shapes(pg::Session& session, const Target& target,
                         const Judge::Migrations& before, const Judge::Migrations& made,
                         const Stop& stop);

// Tables, but no history. With the command that records what is there.
[[nodiscard]] Failure not_baselined(const Target& target, const History& history,
                                    const Judgement& judgement);

// The command that records exactly `there`, of which there is one at least.
[[nodiscard]] Hint record_and_run(const Target& target, const History& history,
                                  const std::vector<const Migration*>& there);

// Why nothing could be compared, for the end of a sentence; and what helps.
[[nodiscard]] std::string cannot_be_told(const CannotTell& why);

}  // namespace schemagate
