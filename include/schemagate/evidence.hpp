#pragma once
// How much of a script has been done? Judged by the catalogue: a script that stopped stopped
// between two statements, so the live catalogue is compared with what it would be after each of
// them. The stages that fit are the evidence. Pure.
//
// What statements presuppose counts as well: before CREATE TABLE t there is no t. Inside BEGIN ...
// COMMIT there is no stage.

#include <string>
#include <vector>

#include "schemagate/catalogue.hpp"
#include "schemagate/effects.hpp"
#include "schemagate/sql_script.hpp"

namespace schemagate {

// Statements and what each does, kept together.
struct Script {
  std::vector<Statement> statements;
  std::vector<Effects> effects;
};
[[nodiscard]] Script script_of(const std::string& sql);

struct Evidence {
  enum class Verdict {
    all_there,      // as after the last statement
    none_there,     // as before the first
    part_there,     // as after some of them
    contradictory,  // as at no stage: something else was at work, too
    not_visible,    // several stages fit, and it matters which: data, grants, DO blocks
  };
  enum class Sight { done, not_done, not_visible, of_no_account };
  struct Line {
    const Statement* statement;
    Sight sight;
    std::string difference;  // of not_done: what is not as it would be
  };

  Verdict verdict = Verdict::not_visible;
  std::vector<Line> lines;        // one for each statement of the script
  std::size_t done_at_least = 0;  // statements; both 0 when contradictory
  std::size_t done_at_most = 0;

  // The statement that comes next, where part of the script is done.
  [[nodiscard]] const Statement* next() const;
};

// `script` must outlive the evidence.
[[nodiscard]] Evidence judge(const Script& script, const Catalogue& catalogue);

// "✓ line 3: CREATE TABLE ..." for each statement, at most `lines_max`.
[[nodiscard]] std::vector<std::string> report(const Evidence& evidence, std::size_t lines_max);

// Several scripts, one after the other, none of them half done: how many of the first are there?
struct Prefix {
  std::size_t length = 0;  // the largest number that fits; 0 also when none does
  bool fits = false;
  std::size_t closest = 0;               // where none fits
  std::vector<std::string> differences;  // of the closest, some
};
[[nodiscard]] Prefix judge_sequence(const std::vector<const Script*>& scripts,
                                    const Catalogue& catalogue);

// All of `scripts` are recorded as applied. For each: how much of what it made, and later ones did
// not change again, is missing?
struct Remains {
  std::size_t expected = 0;
  std::vector<std::string> missing;
  bool is_certain = true;  // false: a later statement may have changed it unseen
};
[[nodiscard]] std::vector<Remains> remains_of(const std::vector<const Script*>& scripts,
                                              const Catalogue& catalogue);

}  // namespace schemagate
