#include "schemagate/evidence.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "schemagate/text.hpp"
#include "stages.hpp"

namespace schemagate {
namespace {

using Verdict = Evidence::Verdict;
using Sight = Evidence::Sight;

constexpr std::size_t k_statement_size_max = 100;
constexpr std::size_t k_differences_max = 8;

struct Fit {
  std::size_t least;
  std::size_t most;
};

struct Comparison {
  std::optional<Fit> fit;
  std::size_t closest = 0;
  std::vector<std::string> differences;  // of the closest
};

// `stages`: the numbers of statements to be tried, in ascending order.
Comparison compare(const std::vector<const Effects*>& effects,
                   const std::vector<std::size_t>& stages, const Catalogue& catalogue) {
  Comparison result;
  std::optional<std::size_t> fewest;
  Stages stage{catalogue, effects};
  auto next = stages.begin();
  for (std::size_t done = 0; done <= effects.size(); ++done) {
    if (done > 0) stage.advance(*effects[done - 1]);
    if (next == stages.end() || *next != done) continue;
    ++next;
    if (stage.fits()) result.fit = Fit{result.fit ? result.fit->least : done, done};
    if (fewest && stage.mismatch_count() > *fewest) continue;
    fewest = stage.mismatch_count();
    result.closest = done;
    result.differences = stage.differences();
  }
  if (result.differences.size() > k_differences_max) result.differences.resize(k_differences_max);
  return result;
}

std::vector<const Effects*> pointers_to(const std::vector<Effects>& effects) {
  std::vector<const Effects*> pointers;
  for (const auto& one : effects) pointers.push_back(&one);
  return pointers;
}

std::vector<std::size_t> stages_of(const Script& script) {
  std::vector<std::size_t> stages = {0};
  bool in_block = false;
  for (std::size_t i = 0; i < script.statements.size(); ++i) {
    const auto kind = script.statements[i].kind;
    if (kind == Statement::Kind::begin) in_block = true;
    if (kind == Statement::Kind::commit) in_block = false;
    if (!in_block) stages.push_back(i + 1);
  }
  if (stages.back() != script.statements.size()) stages.push_back(script.statements.size());
  return stages;
}

// A conversion (USING) to a type that was there before may keep the type, and would not show.
bool is_unseen_conversion(const std::vector<Effects>& script, const Effects& effects) {
  const auto is_made = [&](const std::string& type) {
    return std::any_of(script.begin(), script.end(), [&](const auto& one) {
      return std::any_of(one.effects.begin(), one.effects.end(), [&](const auto& effect) {
        return effect.action == Effect::Action::make &&
               effect.object.kind == SchemaObject::Kind::type && effect.object.name == type;
      });
    });
  };
  return !effects.repeatable &&
         std::any_of(effects.effects.begin(), effects.effects.end(), [&](const auto& effect) {
           return effect.action == Effect::Action::change && effect.shape.type &&
                  !is_made(effect.shape.type->name);
         });
}

// Whatever it is that a stage further on has in place need not be done again.
std::size_t in_place(const std::vector<Effects>& effects, const Fit& fit) {
  auto done = fit.least;
  while (done < fit.most && effects[done].visible && !is_unseen_conversion(effects, effects[done]))
    ++done;
  return done;
}

Verdict verdict_of(const std::vector<Effects>& effects, const std::optional<Fit>& fit) {
  if (!fit) return Verdict::contradictory;
  if (in_place(effects, *fit) == effects.size()) return Verdict::all_there;
  const auto most = effects.begin() + static_cast<std::ptrdiff_t>(fit->most);
  if (fit->least == 0 &&
      std::all_of(effects.begin(), most, [](const auto& one) { return one.repeatable; }))
    return Verdict::none_there;
  return fit->least > 0 && fit->most < effects.size() ? Verdict::part_there : Verdict::not_visible;
}

Sight sight_of(const Effects& effects, std::size_t index, const Fit& fit, Verdict verdict) {
  if (effects.effects.empty() && effects.visible) return Sight::of_no_account;
  if (verdict == Verdict::none_there || index >= fit.most) return Sight::not_done;
  // Done twice is as good as done once; what is made and dropped again is there at no stage.
  const bool in_place = effects.visible && (effects.repeatable || verdict == Verdict::all_there);
  return index < fit.least || in_place ? Sight::done : Sight::not_visible;
}

// What each statement does to names, schemas left out: to suspect too much rather than too little.
class Traffic {
 public:
  explicit Traffic(const std::vector<Effects>& statements) {
    for (std::size_t i = 0; i < statements.size(); ++i)
      for (const auto& effect : statements[i].effects) {
        const auto name = key(effect.object);
        touched_[name].insert(i);
        if (effect.action != Effect::Action::drop && effect.action != Effect::Action::rename)
          continue;
        moved_[name].insert(i);
        if (effect.action == Effect::Action::drop) continue;
        auto target = effect.object;
        (target.is_part() ? target.part : target.name) = effect.new_name;
        touched_[key(target)].insert(i);
        moved_[key(target)].insert(i);
      }
  }
  // Whether what is there of these effects tells of their own statement, and of no other one.
  [[nodiscard]] bool is_alone(std::size_t statement, const Effects& effects) const {
    return std::none_of(effects.effects.begin(), effects.effects.end(), [&](const auto& effect) {
      const auto& shape = effect.shape;
      return by_others(touched_, key(effect.object), statement) ||
             by_others(moved_, effect.object.name, statement) ||
             by_others(moved_, shape.table, statement) ||
             by_others(moved_, shape.references, statement) ||
             (shape.type && by_others(moved_, shape.type->name, statement)) ||
             std::any_of(shape.columns.begin(), shape.columns.end(), [&](const auto& column) {
               return by_others(moved_, shape.table + "." + column, statement);
             });
    });
  }

 private:
  using Names = std::map<std::string, std::set<std::size_t>>;
  static std::string key(const SchemaObject& object) {
    return object.is_part() ? object.name + "." + object.part : object.name;
  }
  static bool by_others(const Names& names, const std::string& name, std::size_t statement) {
    const auto found = names.find(name);
    return found != names.end() && (found->second.size() > 1 || !found->second.contains(statement));
  }

  Names touched_;
  Names moved_;  // dropped, renamed
};

// At no stage of the script: then a statement is told by what only it has to do with.
Sight sight_at_no_stage(const Effects& effects, bool is_alone, bool differs) {
  if (effects.effects.empty()) return effects.visible ? Sight::of_no_account : Sight::not_visible;
  if (!is_alone) return Sight::not_visible;
  if (differs) return Sight::not_done;
  // What is not there may never have been.
  const bool drops =
      std::all_of(effects.effects.begin(), effects.effects.end(),
                  [](const auto& effect) { return effect.action == Effect::Action::drop; });
  return drops ? Sight::not_visible : Sight::done;
}

// Data apart: a DO block, a call or a statement of newer syntax may make or drop anything.
bool may_change_unseen(const Statement& statement, const Effects& effects) {
  if (effects.visible || effects.repeatable) return false;
  const auto text = lower_case(statement.text.substr(0, 6));
  return text != "insert" && text != "update" && text != "delete";
}

}  // namespace

std::string SchemaObject::describe() const {
  const auto whole = (schema.empty() || schema == "public" ? "" : schema + ".") + name;
  switch (kind) {
    case Kind::schema: return "schema " + whole;
    case Kind::extension: return "extension " + whole;
    case Kind::relation: return "relation " + whole;
    case Kind::column: return fmt::format("column {}.{}", whole, part);
    case Kind::constraint: return fmt::format("constraint {} of {}", part, whole);
    case Kind::trigger: return fmt::format("trigger {} of {}", part, whole);
    case Kind::policy: return fmt::format("policy {} of {}", part, whole);
    case Kind::type: return "type " + whole;
    case Kind::enum_value: return fmt::format("value '{}' of {}", part, whole);
    case Kind::function: return "function " + whole;
  }
  return whole;
}

std::string TypeName::describe() const {
  return name + (modifier.empty() ? "" : "(" + modifier + ")") + (is_array ? "[]" : "");
}

Script script_of(const std::string& sql) {
  Script script{.statements = parse_script(sql), .effects = {}};
  for (const auto& statement : script.statements) script.effects.push_back(effects_of(statement));
  return script;
}

const Statement* Evidence::next() const {
  const auto found = std::find_if(lines.begin(), lines.end(),
                                  [](const auto& line) { return line.sight == Sight::not_done; });
  return found == lines.end() ? nullptr : found->statement;
}

Evidence judge(const Script& script, const Catalogue& catalogue) {
  const auto effects = pointers_to(script.effects);
  const auto comparison = compare(effects, stages_of(script), catalogue);
  Evidence evidence;
  evidence.verdict = verdict_of(script.effects, comparison.fit);
  if (comparison.fit) {
    evidence.done_at_least =
        evidence.verdict == Verdict::none_there ? 0 : in_place(script.effects, *comparison.fit);
    evidence.done_at_most = comparison.fit->most;
  }
  Stages stage{catalogue, effects};
  const Traffic traffic{script.effects};
  for (std::size_t i = 0; i < effects.size(); ++i) {
    stage.advance(*effects[i]);
    auto difference = stage.difference(*effects[i]);
    const auto sight =
        comparison.fit
            ? sight_of(*effects[i], i, *comparison.fit, evidence.verdict)
            : sight_at_no_stage(*effects[i], traffic.is_alone(i, *effects[i]), !difference.empty());
    if (sight != Sight::not_done) difference.clear();
    evidence.lines.push_back({&script.statements[i], sight, difference});
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
    auto statement = line.statement->text;
    std::replace(statement.begin(), statement.end(), '\n', ' ');
    const auto* mark = line.sight == Sight::done       ? "done"
                       : line.sight == Sight::not_done ? "not done"
                                                       : "cannot be seen";
    lines.push_back(fmt::format("line {}: {}: {}{}", line.statement->line, mark,
                                shortened(statement, k_statement_size_max),
                                line.difference.empty() ? "" : " (" + line.difference + ")"));
  }
  return lines;
}

Prefix judge_sequence(const std::vector<const Script*>& scripts, const Catalogue& catalogue) {
  std::vector<const Effects*> effects;
  std::vector<std::size_t> stages = {0};
  for (const auto* script : scripts) {
    for (const auto& one : script->effects) effects.push_back(&one);
    if (effects.size() > stages.back()) stages.push_back(effects.size());
  }
  const auto comparison = compare(effects, stages, catalogue);
  const auto scripts_before = [&](std::size_t stage) {
    std::size_t statements = 0;
    std::size_t count = 0;
    while (count < scripts.size() && statements + scripts[count]->effects.size() <= stage)
      statements += scripts[count++]->effects.size();
    return count;
  };
  return {.length = comparison.fit ? scripts_before(comparison.fit->most) : 0,
          .fits = comparison.fit.has_value(),
          .closest = scripts_before(comparison.closest),
          .differences = comparison.fit ? std::vector<std::string>{} : comparison.differences};
}

std::vector<Remains> remains_of(const std::vector<const Script*>& scripts,
                                const Catalogue& catalogue) {
  std::vector<Effects> merged(scripts.size());
  std::vector<Remains> remains(scripts.size());
  bool is_certain = true;
  for (auto i = scripts.size(); i-- > 0;) {
    remains[i].is_certain = is_certain;
    for (std::size_t at = 0; at < scripts[i]->effects.size(); ++at) {
      const auto& one = scripts[i]->effects[at];
      merged[i].effects.insert(merged[i].effects.end(), one.effects.begin(), one.effects.end());
      is_certain = is_certain && !may_change_unseen(scripts[i]->statements[at], one);
    }
  }
  Stages stage{catalogue, pointers_to(merged)};
  for (const auto& one : merged) stage.advance(one);
  for (const auto& survivor : stage.survivors()) {
    auto& its = remains[survivor.advance - 1];
    ++its.expected;
    if (!survivor.difference.empty()) its.missing.push_back(survivor.difference);
  }
  return remains;
}

}  // namespace schemagate
