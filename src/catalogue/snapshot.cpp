#include "schemagate/catalogue/snapshot.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "snapshot_sql.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_definition_max = 80;
constexpr std::size_t k_words_before = 30;  // bytes

const Object* pointer_to(const std::optional<Object>& object) {
  return object ? &*object : nullptr;
}

std::string on_one_line(const std::string& text) {
  std::string line;
  for (const char c : without_password(text, text.size()))
    if (std::isspace(static_cast<unsigned char>(c)) == 0) line += c;
    else if (!line.empty() && line.back() != ' ') line += ' ';
  return trim(line);
}

// Both from shortly before the place where they begin to differ.
std::pair<std::string, std::string> where_they_differ(const std::string& a, const std::string& b) {
  auto one = on_one_line(a);
  auto other = on_one_line(b);
  if (one.size() > k_definition_max || other.size() > k_definition_max) {
    const auto [first, second] = std::mismatch(one.begin(), one.end(), other.begin(), other.end());
    auto at = static_cast<std::size_t>(first - one.begin());
    at = one.rfind(' ', at < k_words_before ? 0 : at - k_words_before);
    if (at != std::string::npos) {
      one = "…" + one.substr(at);
      other = "…" + other.substr(at);
    }
  }
  return {shortened(one, k_definition_max), shortened(other, k_definition_max)};
}

// "partitioned table" of "partitioned table by LIST (a)".
std::string kind_of_relation(const std::string& definition) {
  constexpr std::array<std::string_view, 6> k_kinds = {
      "partitioned table", "materialized view", "foreign table", "table", "view", "sequence"};
  for (const auto& kind : k_kinds)
    if (definition.starts_with(kind) || definition.starts_with("unlogged " + std::string{kind}))
      return std::string{kind};
  return "relation";
}

std::string what_it_is(const Difference& difference) {
  const auto& [kind, name] = difference.object;
  if (kind == "relation")
    return kind_of_relation(
               (difference.wanted ? difference.wanted : difference.found)->definition) +
           " " + name;
  if (kind == "grant") return "the grant on " + name;
  return kind + " " + name;
}

// Bodies are long, and may hold anything.
bool is_shown(const Difference& difference) {
  const auto& kind = difference.object.kind;
  const auto is_query = [](const Object* one) {
    return one != nullptr && one->definition.find("view as ") != std::string::npos;
  };
  return kind != "function" && kind != "publication" && kind != "server" && kind != "collation" &&
         kind != "comment" && !is_query(pointer_to(difference.wanted)) &&
         !is_query(pointer_to(difference.found));
}

std::string in_brackets(const Difference& difference, const Object& object) {
  const auto text = shortened(on_one_line(object.definition), k_definition_max);
  const auto& kind = difference.object.kind;
  return !is_shown(difference) || kind == "relation" || kind == "schema" || text.empty()
             ? ""
             : " (" + text + ")";
}

std::string line_about_column(const Difference& difference) {
  const auto& [kind, name] = difference.object;
  const auto text = [](const Object& one) {
    return shortened(on_one_line(one.definition), k_definition_max);
  };
  if (kind == "not null")
    return "column " + name +
           (difference.wanted ? " may be NULL, and should not" : " is NOT NULL, and should not be");
  if (!difference.found)
    return fmt::format("column {} has no default (should be: {})", name, text(*difference.wanted));
  if (!difference.wanted)
    return fmt::format("column {} has a default, and should have none ({})", name,
                       text(*difference.found));
  const auto [wanted, found] =
      where_they_differ(difference.wanted->definition, difference.found->definition);
  return fmt::format("the default of column {} should be {}, is {}", name, wanted, found);
}

std::string line_about(const Difference& difference) {
  if (difference.object.kind == "not null" || difference.object.kind == "default")
    return line_about_column(difference);
  const auto what = what_it_is(difference);
  if (!difference.found) return what + " is missing" + in_brackets(difference, *difference.wanted);
  if (!difference.wanted)
    return what + " is there, and no migration made it" +
           in_brackets(difference, *difference.found);
  if (!is_shown(difference)) return what + " differs from what the migrations make";
  const auto [wanted, found] =
      where_they_differ(difference.wanted->definition, difference.found->definition);
  return fmt::format("{} should be {}, is {}", what, wanted, found);
}

// The first name of a line, after the word for its kind: "table public.users is missing".
std::string without_schema(std::string line, const std::string& home) {
  const auto at = line.find(" " + home + ".");
  const auto verb = std::min({line.find(" is "), line.find(" should "), line.find(" has ")});
  if (at != std::string::npos && at < verb) line.erase(at + 1, home.size() + 1);
  return line;
}

// Of a table as a whole, or of a column.
bool comes_or_goes(const Difference& difference) {
  const auto& kind = difference.object.kind;
  return (kind == "relation" || kind == "schema" || kind == "column") &&
         difference.wanted.has_value() != difference.found.has_value();
}

}  // namespace

std::string snapshot_sql(const Beside& beside, const std::string& select) {
  // Compiling it would take longer than doing it.
  return "SET LOCAL jit = off; SET LOCAL lock_timeout = '2s';" +
         pg::with_values(k_snapshot, {beside.bookkeeping_schema, beside.history_schema,
                                      beside.history_table, beside.only_in}) +
         select;
}

Snapshot snapshot_of(const pg::Rows& all_objects) {
  Snapshot snapshot;
  for (const auto& row : all_objects)
    snapshot.emplace(ObjectName{row.text(0), row.text(1)}, Object{row.text(3), row.text(2)});
  return snapshot;
}

Snapshot take_snapshot(pg::Session& session, const Beside& beside) {
  return snapshot_of(session.query_aside(snapshot_sql(beside, k_all_objects)));
}

bool is_as_wanted(const ObjectName& name, const Object* wanted, const Object* found) {
  if (wanted == nullptr && found == nullptr) return true;
  const bool is_right = name.kind == "grant" && (wanted == nullptr || wanted->definition != "none");
  if (!is_right)
    return wanted != nullptr && found != nullptr && wanted->definition == found->definition;
  if (wanted == nullptr) return true;
  if (found == nullptr) return false;
  const auto given = split(found->definition, ',');
  const auto asked = split(wanted->definition, ',');
  return std::all_of(asked.begin(), asked.end(), [&](const auto& one) {
    const auto has = [&](const auto& other) {
      return trim(other) == trim(one) || trim(other) == trim(one) + "*";
    };
    return std::any_of(given.begin(), given.end(), has);
  });
}

std::vector<std::string> describe(const std::vector<Difference>& differences,
                                  const std::string& home) {
  std::set<std::string> whole;
  for (const auto& one : differences)
    if (comes_or_goes(one)) whole.insert(one.object.name);
  const auto is_below = [&](const Difference& one) {
    const auto& parent = (one.wanted ? one.wanted : one.found)->parent;
    if (whole.contains(parent)) return true;
    const bool is_of_column = one.object.kind == "not null" || one.object.kind == "default";
    return is_of_column && whole.contains(one.object.name);
  };
  std::vector<std::string> lines;
  for (const auto& one : differences)
    if (!is_below(one)) lines.push_back(without_schema(line_about(one), home));
  return lines;
}

std::vector<std::string> some_of(std::vector<std::string> lines, std::size_t max) {
  if (lines.size() <= max) return lines;
  const auto rest = lines.size() - max;
  lines.resize(max);
  lines.push_back(fmt::format("and {} more", rest));
  return lines;
}

}  // namespace schemagate
