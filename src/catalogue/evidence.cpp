#include "schemagate/catalogue/evidence.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "stages.hpp"

namespace schemagate {
namespace {

using Verdict = Evidence::Verdict;
using Sight = Evidence::Sight;
using Action = Effect::Action;

constexpr std::size_t k_statement_size_max = 100;
constexpr std::size_t k_data_size_max = 30;  // what it writes is nobody's business
constexpr std::size_t k_differences_max = 8;

using Pointers = std::vector<const Effects*>;

Pointers pointers_to(const std::vector<Effects>& effects) {
  Pointers pointers;
  for (const auto& one : effects) pointers.push_back(&one);
  return pointers;
}

// The numbers of statements after which a script may have stopped.
std::vector<std::size_t> stages_of(const Script& script) {
  std::vector<std::size_t> stages = {0};
  bool in_block = false;
  for (std::size_t i = 0; i < script.statements.size(); ++i) {
    const auto kind = script.statements[i].kind;
    if (kind == Statement::Kind::begin) in_block = true;
    if (kind == Statement::Kind::commit || kind == Statement::Kind::rollback) in_block = false;
    if (!in_block) stages.push_back(i + 1);
  }
  if (stages.back() != script.statements.size()) stages.push_back(script.statements.size());
  return stages;
}

// The least and the most that may have been done.
struct Span {
  std::size_t least;
  std::size_t most;
};

// Behind an opaque statement everything is possible. That says nothing of the statements before it
// where none of their own stages is: then what they presuppose is wrong, as when they failed for
// it.
std::optional<Span> possible_stages(const Script& script, const Pointers& effects,
                                    const Catalogue& catalogue) {
  std::optional<Span> possible;
  Stages stage{catalogue, effects};
  std::size_t done = 0;
  bool is_blind = false;
  for (const auto wanted : stages_of(script)) {
    for (; done < wanted; ++done) {
      is_blind = is_blind || effects[done]->opaque;
      stage.advance();
    }
    if (!stage.is_possible()) continue;
    const auto least = possible ? possible->least : is_blind ? 0 : done;
    possible = Span{least, done};
  }
  return possible;
}

// --- nothing there: a proof from what the script itself makes

// Statements are executed in order. Where each stage behind the first one that matters is refuted,
// that one was not executed, and none was.
bool nothing_was_done(const Pointers& effects, const std::vector<std::size_t>& stages,
                      const Catalogue& catalogue) {
  Stages stage{catalogue, effects};
  std::size_t done = 0;
  bool matters = false;
  for (const auto end : stages) {
    for (; done < end; ++done) {
      matters = matters || !effects[done]->harmless;
      stage.advance();
    }
    if (matters && !stage.is_refuted()) return false;
  }
  return true;
}

// --- all there: everything can be seen, is as it should be, and was not so before

// Whether the script makes something that it, or what it presupposes, had under that name before:
// an old foreign key cannot be told from the new one. An enum can, by its values.
std::vector<const Effect*> made_anew(const Pointers& effects, const Catalogue& catalogue) {
  std::vector<const Effect*> anew;
  std::set<SchemaObject> gone;
  std::set<SchemaObject> enums;  // made by the script, with all of their values
  for (const auto* statement : effects) {
    for (const auto& effect : statement->effects) {
      const auto object = object_of(effect, catalogue);
      const bool renames = effect.action == Action::rename;
      const auto target = renames ? target_of(effect, catalogue) : object;
      if (effect.shape.labels || (renames && enums.contains(object))) enums.insert(target);
      const bool makes = effect.action == Action::make || renames;
      if (makes && gone.contains(target) && !enums.contains(target)) anew.push_back(&effect);
      if (effect.action == Action::drop || renames) gone.insert(object);
    }
  }
  return anew;
}

// With the one before goes what nobody can make anew. Not so with a constraint, or an index.
bool may_hold_data(const Effect* made) {
  using Kind = SchemaObject::Kind;
  const auto kind = made->object.kind;
  const bool is_index = kind == Kind::relation && !made->shape.table.empty();
  return !is_index && (kind == Kind::relation || kind == Kind::column || kind == Kind::type ||
                       kind == Kind::schema || kind == Kind::extension);
}

// As after the last statement, in shape, too.
bool is_as_after_all(const Pointers& effects, const Catalogue& catalogue) {
  Stages stage{catalogue, effects};
  for (std::size_t i = 0; i < effects.size(); ++i) stage.advance();
  return stage.fits();
}

// Nothing goes away unseen.
bool is_foreseeable(const Effects* one) {
  const auto& parts = one->effects;
  return !one->opaque && std::none_of(parts.begin(), parts.end(),
                                      [](const auto& effect) { return effect.cascade; });
}

bool repeats_safely(const Pointers& effects, const Catalogue& catalogue) {
  const auto is_risky = [](const Effect& effect) {
    const bool drops_what_is_new = effect.action == Action::drop && effect.tolerant;
    const bool converts_values = effect.action == Action::change && effect.shape.type.has_value();
    return drops_what_is_new || converts_values || effect.cascade;
  };
  const auto anew = made_anew(effects, catalogue);
  return std::none_of(anew.begin(), anew.end(), may_hold_data) &&
         std::all_of(effects.begin(), effects.end(), [&](const auto* one) {
           return (one->visible || one->harmless) && !one->opaque &&
                  std::none_of(one->effects.begin(), one->effects.end(), is_risky);
         });
}

bool everything_was_done(const Pointers& effects, const Catalogue& catalogue) {
  bool replaces_enum = false;
  for (const auto* one : effects) {
    if (!one->visible || !is_foreseeable(one)) return false;
    for (const auto& effect : one->effects)
      replaces_enum = replaces_enum || effect.shape.labels.has_value();
  }
  const bool was_otherwise = !Stages{catalogue, effects}.is_possible();
  return (was_otherwise || replaces_enum) && made_anew(effects, catalogue).empty() &&
         is_as_after_all(effects, catalogue);
}

Verdict verdict_of(const Script& script, const Pointers& effects,
                   const std::optional<Span>& possible, const Catalogue& catalogue) {
  const auto count = effects.size();
  if (nothing_was_done(effects, stages_of(script), catalogue)) return Verdict::none_there;
  if (possible && possible->most == 0 &&
      std::all_of(effects.begin(), effects.end(), is_foreseeable))
    return Verdict::none_there;
  if (everything_was_done(effects, catalogue)) return Verdict::all_there;
  if (!possible) return Verdict::contradictory;
  if (possible->least == count && !is_as_after_all(effects, catalogue))
    return Verdict::contradictory;
  return possible->least > 0 && possible->most < count ? Verdict::part_there : Verdict::not_visible;
}

// Where no stage is possible, something is said of a statement only if no other one has to do with
// its objects.
class Concerns {
 public:
  Concerns(const Pointers& effects, const Catalogue& catalogue)
      : effects_{effects}, catalogue_{catalogue} {
    for (std::size_t i = 0; i < effects.size(); ++i) {
      if (effects[i]->opaque) opaque_.insert(i);
      for (const auto& effect : effects[i]->effects) note(effect, i);
    }
  }

  [[nodiscard]] bool stands_alone(std::size_t statement) const {
    const auto& own = effects_[statement]->effects;
    return !own.empty() && std::all_of(own.begin(), own.end(), [&](const auto& effect) {
      const bool tells = effect.action == Action::make || effect.action == Action::change;
      return tells && is_left_alone(object_of(effect, catalogue_), statement);
    });
  }

 private:
  using Statements = std::set<std::size_t>;

  void note(const Effect& effect, std::size_t statement) {
    if (effect.cascade) cascading_.insert(statement);
    const auto object = object_of(effect, catalogue_);
    touched_[object].insert(statement);
    if (effect.action == Action::drop || effect.action == Action::rename)
      moved_[object].insert(statement);
    if (effect.action != Action::rename) return;
    const auto target = target_of(effect, catalogue_);
    touched_[target].insert(statement);
    moved_[target].insert(statement);
  }

  [[nodiscard]] static bool holds_another(const Statements& all, std::size_t statement) {
    return all.size() > (all.contains(statement) ? 1U : 0U);
  }

  [[nodiscard]] static bool holds_another(const std::map<SchemaObject, Statements>& all,
                                          const SchemaObject& object, std::size_t statement) {
    const auto found = all.find(object);
    return found != all.end() && holds_another(found->second, statement);
  }

  [[nodiscard]] bool is_left_alone(const SchemaObject& object, std::size_t statement) const {
    return !holds_another(cascading_, statement) && !holds_another(touched_, object, statement) &&
           !(object.is_part() && holds_another(moved_, whole_of(object), statement)) &&
           std::none_of(opaque_.begin(), opaque_.end(), [&](std::size_t other) {
             return other != statement && may_touch(effects_[other]->block, object);
           });
  }

  const Pointers& effects_;
  const Catalogue& catalogue_;
  Statements opaque_;
  Statements cascading_;
  std::map<SchemaObject, Statements> touched_;
  std::map<SchemaObject, Statements> moved_;  // dropped or renamed, with all of their parts
};

Sight sight_of(const Effects& effects, std::size_t index, const Evidence& evidence) {
  if (effects.effects.empty() && effects.visible) return Sight::of_no_account;
  if (index >= evidence.done_at_most) return Sight::not_done;
  return index < evidence.done_at_least ? Sight::done : Sight::not_visible;
}

std::string quoted(const Statement& statement, const Effects& effects) {
  auto text = without_password(statement.text, k_statement_size_max);
  for (auto& c : text)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  return effects.effects.empty() && !effects.visible ? shortened(text, k_data_size_max) : text;
}

}  // namespace

Script script_of(const std::string& sql) {
  auto statements = parse_script(sql);
  auto effects = effects_of(statements);
  return {std::move(statements), std::move(effects)};
}

const Statement* Evidence::next() const {
  for (auto i = done_at_least; i < lines.size(); ++i)
    if (lines[i].sight != Sight::of_no_account) return lines[i].statement;
  return nullptr;
}

Evidence judge(const Script& script, const Catalogue& catalogue) {
  const auto effects = pointers_to(script.effects);
  const auto possible = possible_stages(script, effects, catalogue);
  Evidence evidence;
  evidence.verdict = verdict_of(script, effects, possible, catalogue);
  evidence.repeats_safely = repeats_safely(effects, catalogue);
  if (evidence.verdict == Verdict::all_there)
    evidence.done_at_least = evidence.done_at_most = effects.size();
  else if (possible && evidence.verdict != Verdict::none_there) {
    evidence.done_at_least = possible->least;
    evidence.done_at_most = possible->most;
  }
  Stages stage{catalogue, effects};
  const Concerns concerns{effects, catalogue};
  for (std::size_t i = 0; i < effects.size(); ++i) {
    stage.advance();
    auto difference = stage.difference(*effects[i]);
    auto sight = sight_of(*effects[i], i, evidence);
    if (evidence.verdict == Verdict::contradictory && sight != Sight::of_no_account)
      sight = !concerns.stands_alone(i) ? Sight::not_visible
              : difference.empty()      ? Sight::done
                                        : Sight::not_done;
    if (sight != Sight::not_done) difference.clear();
    evidence.lines.push_back(
        {&script.statements[i], sight, difference, quoted(script.statements[i], *effects[i])});
  }
  return evidence;
}

std::vector<std::string> report(const Evidence& evidence, std::size_t lines_max) {
  std::vector<std::string> lines;
  for (const auto& line : evidence.lines) {
    if (line.sight == Sight::of_no_account) continue;
    if (lines.size() == lines_max) {
      lines.emplace_back("...");
      break;
    }
    // Where no stage is possible, what is there may be somebody else's work.
    const bool by_stages = evidence.verdict != Verdict::contradictory;
    const auto* mark = line.sight == Sight::done       ? by_stages ? "done" : "there"
                       : line.sight == Sight::not_done ? by_stages ? "not done" : "not there"
                                                       : "cannot be seen";
    lines.push_back(fmt::format("line {}: {}: {}{}", line.statement->line, mark, line.text,
                                line.difference.empty() ? "" : " (" + line.difference + ")"));
  }
  return lines;
}

Prefix judge_sequence(const std::vector<const Script*>& scripts, const Catalogue& catalogue) {
  Pointers effects;
  for (const auto* script : scripts)
    for (const auto& one : script->effects) effects.push_back(&one);
  std::vector<bool> fits;
  std::optional<std::size_t> fewest;
  Prefix prefix;
  Stages stage{catalogue, effects};
  const auto look = [&](std::size_t length) {
    fits.push_back(stage.fits());
    if (fewest && stage.difference_count() > *fewest) return;
    fewest = stage.difference_count();
    prefix.closest = length;
  };
  look(0);
  for (std::size_t i = 0; i < scripts.size(); ++i) {
    for (std::size_t at = 0; at < scripts[i]->effects.size(); ++at) stage.advance();
    look(i + 1);
  }
  const auto last = std::find(fits.rbegin(), fits.rend(), true);
  prefix.fits = last != fits.rend();
  if (prefix.fits) {
    prefix.length = static_cast<std::size_t>(fits.rend() - last) - 1;
    // Of those that leave no trace at the end nobody knows.
    while (prefix.length > 0 && fits[prefix.length - 1]) --prefix.length;
    return prefix;
  }
  Stages closest{catalogue, effects};
  for (std::size_t i = 0; i < prefix.closest; ++i)
    for (std::size_t at = 0; at < scripts[i]->effects.size(); ++at) closest.advance();
  prefix.differences = closest.differences();
  if (prefix.differences.size() > k_differences_max) {
    prefix.differences.resize(k_differences_max);
    prefix.differences.emplace_back("...");
  }
  return prefix;
}

std::vector<Remainder> remains_of(const std::vector<const Script*>& scripts,
                                  const Catalogue& catalogue) {
  std::vector<Effects> merged(scripts.size());
  std::vector<Remainder> remains(scripts.size());
  bool is_certain = true;
  for (auto i = scripts.size(); i-- > 0;) {
    for (const auto& one : scripts[i]->effects) {
      merged[i].effects.insert(merged[i].effects.end(), one.effects.begin(), one.effects.end());
      is_certain = is_certain && is_foreseeable(&one);
      remains[i].changes_data = remains[i].changes_data || (!one.visible && !one.harmless);
    }
    remains[i].is_certain = is_certain;
  }
  const auto effects = pointers_to(merged);
  Stages stage{catalogue, effects};
  for (std::size_t i = 0; i < effects.size(); ++i) stage.advance();
  for (const auto& survivor : stage.survivors()) {
    auto& its = remains[survivor.advance - 1];
    ++its.expected;
    if (!survivor.missing.empty()) its.missing.push_back(survivor.missing);
  }
  return remains;
}

}  // namespace schemagate
