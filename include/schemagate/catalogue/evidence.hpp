#pragma once
// How much of a script has been done? Judged by the live catalogue, with as little faith as
// possible, because a wrong answer executes a script twice, or never. Pure.
//
// Statements are executed in order, so that nothing was done where every stage behind the first
// one that matters is refuted by what the script itself makes. All was done where every effect can
// be seen, is as it should be, and was not so before. For everything in between the catalogue is
// compared with what it would be after each statement (not inside BEGIN ... COMMIT): the stages
// that are possible tell how far it came.

#include <string>
#include <vector>

#include "schemagate/catalogue/catalogue.hpp"
#include "schemagate/catalogue/effects.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {

// Statements and what each does, kept together.
struct Script {
  std::vector<Statement> statements;
  std::vector<Effects> effects;
};
[[nodiscard]] Script script_of(const std::string& sql);

struct Evidence {
  enum class Verdict {
    all_there,      // surely
    none_there,     // surely; or what there is may be executed once more without harm
    part_there,     // neither the first stage is possible nor the last
    contradictory,  // no stage is: something else was at work, too
    not_visible,    // the first or the last stage is possible, and nothing proves it
  };
  enum class Sight { done, not_done, not_visible, of_no_account };
  struct Line {
    const Statement* statement;
    Sight sight;
    std::string difference;  // what is not as it would be
    std::string text;        // the statement, shortened, without passwords and data
  };

  Verdict verdict = Verdict::not_visible;
  std::vector<Line> lines;  // one for each statement of the script
  // Executed once more by mistake, each statement fails at once or changes nothing. Where this is
  // false only a person may have the script executed again, whatever the verdict.
  bool repeats_safely = true;
  std::size_t done_at_least = 0;  // statements; both 0 when contradictory
  std::size_t done_at_most = 0;

  // The first statement that is not certainly done, where part of the script is.
  [[nodiscard]] const Statement* next() const;
};

// `script` must outlive the evidence.
[[nodiscard]] Evidence judge(const Script& script, const Catalogue& catalogue);

// "✓ line 3: CREATE TABLE ..." for each statement, at most `lines_max`.
[[nodiscard]] std::vector<std::string> report(const Evidence& evidence, std::size_t lines_max);

// Several scripts, one after the other, none of them half done: how many of the first are there?
struct Prefix {
  std::size_t length = 0;  // the last of them left a trace; 0 also when no number fits
  bool fits = false;
  std::size_t closest = 0;               // where none fits
  std::vector<std::string> differences;  // of the closest, some
};
[[nodiscard]] Prefix judge_sequence(const std::vector<const Script*>& scripts,
                                    const Catalogue& catalogue);

// All of `scripts` are recorded as applied. For each: how much of what it made, and later ones did
// not change again, is missing?
struct Remainder {
  std::size_t expected = 0;
  std::vector<std::string> missing;  // what is not there at all, whatever its shape
  bool is_certain = true;     // false: a statement, here or later, may have changed it unseen
  bool changes_data = false;  // it does more than the catalogue shows

  [[nodiscard]] bool is_nothing() const { return missing.size() == expected; }
};
[[nodiscard]] std::vector<Remainder> remains_of(const std::vector<const Script*>& scripts,
                                                const Catalogue& catalogue);

}  // namespace schemagate
