// Two scripts: one to be judged, and one whose creations are the live catalogue. Whatever they say,
// the judgement is about stages of the first, and an untouched database is never taken for a
// finished one.

#include <algorithm>

#include "fuzz.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/evidence.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;
using Sight = Evidence::Sight;
using Verdict = Evidence::Verdict;

Catalogue catalogue_of(const Script& script) {
  Catalogue catalogue{{"public"}};
  for (const auto& one : script.effects)
    for (const auto& effect : one.effects)
      if (effect.action == Effect::Action::make)
        catalogue.add(catalogue.resolved(effect.object), effect.shape);
  return catalogue;
}

bool leaves_trace(const Effects& one) { return !one.effects.empty(); }

void check(const Script& script, const Catalogue& catalogue) {
  const auto evidence = judge(script, catalogue);
  const auto count = script.statements.size();
  promise(evidence.lines.size() == count, "each statement is judged");
  promise(evidence.done_at_least <= evidence.done_at_most && evidence.done_at_most <= count,
          "the stage is one of the script's");
  promise(evidence.verdict != Verdict::all_there || evidence.done_at_least == count,
          "all there means all statements");
  promise(evidence.verdict != Verdict::none_there || evidence.done_at_least == 0,
          "none there means no statement");
  promise(evidence.verdict != Verdict::part_there ||
              (evidence.done_at_least > 0 && evidence.done_at_most < count),
          "part means neither none nor all");
  for (const auto& line : evidence.lines)
    promise(evidence.verdict != Verdict::all_there || line.sight == Sight::done ||
                line.sight == Sight::of_no_account,
            "where all is there nothing is in doubt", line.statement->text);
  promise(report(evidence, 3).size() <= 4, "a report keeps to its length");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto texts = fuzz::texts_of(data, size, 2);
  const auto script = script_of(valid_utf8(texts[0]));
  const auto live = script_of(valid_utf8(texts[1]));
  const Catalogue empty{{"public"}};
  const auto catalogue = catalogue_of(live);
  check(script, empty);
  check(script, catalogue);
  const auto untouched = judge(script, empty);
  const bool makes_first = !script.effects.empty() && leaves_trace(script.effects.front()) &&
                           script.effects.front().effects.front().action == Effect::Action::make;
  if (script.effects.size() == 1 && makes_first)
    promise(untouched.verdict != Verdict::all_there && untouched.verdict != Verdict::part_there,
            "what is to be made is not there on an empty database", texts[0]);
  const std::vector<const Script*> both = {&script, &live};
  const auto prefix = judge_sequence(both, catalogue);
  promise(prefix.length <= both.size() && prefix.closest <= both.size(), "a prefix of the two");
  promise(remains_of(both, catalogue).size() == both.size(), "each is looked at");
  return 0;
}
