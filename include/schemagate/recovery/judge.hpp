#pragma once
// What of the migrations is really there? One judge for every command: scripts are replayed in a
// scratch database, and the live catalogue is compared with what they make, on all that they touch
// and nothing else. What the catalogue does not show (data) is said to be unseen, never guessed.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/catalogue/stages.hpp"
#include "schemagate/recovery/replay.hpp"

namespace schemagate {

// How much of one script is done.
struct ScriptState {
  enum class Kind {
    none,      // as before it, and it does nothing unseen before its first visible statement
    all,       // as after it, and it does nothing unseen behind its last visible statement
    part,      // as between two of its statements
    unseen,    // as before it or after it, but for data that cannot be seen
    no_trace,  // the catalogue shows nothing of it, whatever was done
    other,     // as at no stage of it
    untold,    // nothing could be compared: `because` says why
  };
  Kind kind = Kind::untold;
  std::size_t done_at_least = 0;  // statements
  std::size_t done_at_most = 0;
  // Its statements are executed in order, and the first of which one can see anything is not done.
  bool order_proves_none = false;
  std::vector<Statement> statements;     // BEGIN and COMMIT are none
  std::vector<std::string> differences;  // other: from the closest stage
  std::string because;                   // untold
  Hint hint;                             // untold: what helps
};

// What is there of each of several migrations.
struct MigrationState {
  enum class Kind { there, absent, mixed, no_trace, untold };
  const Migration* migration = nullptr;
  Kind kind = Kind::untold;
  // Mixed: from what it makes. Absent: what is missing.
  std::vector<std::string> differences = {};
  bool changes_data = false;  // it does more than the catalogue shows
  std::string untold = {};    // why, where it concerns this one only
};

struct Judgement {
  std::vector<MigrationState> migrations;  // those asked for, in their order
  // Where the live catalogue is like no selection of them: the first so many come closest.
  bool fits = true;
  std::size_t closest = 0;
  std::vector<std::string> differences;
  std::optional<CannotTell> cannot_tell;  // why all of them are untold

  // With those before the last one that do nothing, which is as good as done.
  [[nodiscard]] std::vector<const Migration*> there() const;
  [[nodiscard]] const MigrationState* find(const std::string& name) const;
  // For the end of a sentence about one that is untold; and what helps.
  [[nodiscard]] CannotTell why_untold(const MigrationState& state) const;
};

class Judge {
 public:
  using Migrations = std::vector<const Migration*>;

  // All must outlive it. Looks at the live catalogue when it is first asked.
  Judge(pg::Session& live, const Target& target, const Stop& stop)
      : live_{live}, target_{target}, stop_{stop} {}

  // Both after `before`, which are done already, in the order in which they were.
  [[nodiscard]] ScriptState script(const Migrations& before, const Migration& migration);
  // `claimed`: where a stage fits as well as an earlier one (what one migration makes another one
  // takes away), the later one is believed; and `perhaps`, which come behind them, may be done, the
  // first of these in part.
  [[nodiscard]] Judgement migrations(const Migrations& before, const Migrations& asked,
                                     bool claimed, const Migrations& perhaps = {});

 private:
  const Snapshot& live();
  Snapshot live_as_printed_in(Replay& replay, const Snapshot& wanted,
                              const std::set<ObjectName>& names);
  static void undo_what_others_changed(Replay& replay, const Migrations& perhaps,
                                       const Stages& stages, Snapshot& live);
  enum class Look { after_each, at_the_end };
  Stages replayed(Replay& replay, const Migrations& before, const Migrations& asked,
                  Judgement& judgement, Look look);
  bool is_all_there(const Migrations& before, const Migrations& asked, Judgement& judgement);
  void judge_selection(const Migrations& before, const Migrations& asked, const Stages& stages,
                       const Snapshot& live, bool claimed, Judgement& judgement);
  void set_state(MigrationState& state, MigrationState::Kind kind,
                 const std::vector<Difference>& left, bool is_without_trace) const;
  void tell_progress(std::size_t number, std::size_t count);
  [[nodiscard]] std::vector<std::string> told(const std::vector<Difference>& differences) const;

  pg::Session& live_;
  const Target& target_;
  const Stop& stop_;
  std::optional<Snapshot> live_snapshot_;
  Deadline quiet_{Milliseconds{2000}};  // until then nobody wonders
  Reminder reminder_;
};

// Those that the history holds as applied and the folder has a script of, as they were applied.
[[nodiscard]] Judge::Migrations applied_in_order(const History& history, const Folder& folder);

}  // namespace schemagate
