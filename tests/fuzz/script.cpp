// A migration script → statements → segments: nothing lost, nothing twice, order kept, and only
// what PostgreSQL takes in a transaction is put into one.

#include <algorithm>
#include <utility>

#include "fuzz.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/segments.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;
using Kind = Statement::Kind;
using Script = std::vector<Statement>;

// What may stand between statements: blanks, semicolons and comments. Returns what does not.
std::string_view beyond_blanks(std::string_view text) {
  constexpr auto npos = std::string_view::npos;
  while (!text.empty()) {
    if (std::string_view{" \t\r\n\f\v;"}.find(text.front()) != npos) {
      text.remove_prefix(1);
    } else if (text.starts_with("--")) {
      text.remove_prefix(std::min(text.find_first_of("\r\n"), text.size()));
    } else if (text.starts_with("/*")) {
      std::size_t depth = 0;
      do {
        const bool opens = text.starts_with("/*");
        const bool closes = text.starts_with("*/");
        depth += opens ? 1 : 0;
        depth -= closes ? 1 : 0;
        text.remove_prefix(opens || closes ? 2 : 1);
      } while (depth > 0 && !text.empty());
      if (depth > 0) return text;
    } else {
      return text;
    }
  }
  return {};
}

std::size_t offset_of(std::string_view sql, int line, int column) {
  std::size_t at = 0;
  for (int n = 1; n < line; ++n) {
    const auto end = sql.find('\n', at);
    promise(end != std::string_view::npos, "a statement's line is in the script", sql);
    at = end + 1;
  }
  promise(column >= 1, "columns count from 1");
  for (int n = 1; n < column; ++n) {
    promise(at < sql.size() && sql[at] != '\n', "a statement's column is in its line", sql);
    for (++at; at < sql.size() && (static_cast<unsigned char>(sql[at]) & 0xC0) == 0x80;) ++at;
  }
  return at;
}

void check_that_nothing_is_lost(std::string_view sql, const Script& script) {
  if (sql.starts_with("\xEF\xBB\xBF")) sql.remove_prefix(3);
  std::size_t end = 0;
  for (const auto& statement : script) {
    const auto start = offset_of(sql, statement.line, statement.column);
    promise(start >= end, "statements stand in the order of the script", statement.text);
    promise(!statement.text.empty(), "a statement has a text");
    promise(sql.substr(start, statement.text.size()) == statement.text,
            "a statement's text stands at its line and column", statement.text);
    const auto lost = beyond_blanks(sql.substr(end, start - end));
    promise(lost.empty(), "only blanks and comments stand between statements", lost);
    end = start + statement.text.size();
  }
  const auto lost = beyond_blanks(sql.substr(end));
  promise(lost.empty(), "only blanks and comments stand behind the last statement", lost);
}

bool is_same(const Statement& a, const Statement& b) {
  return a.kind == b.kind && a.rerun == b.rerun && a.text == b.text && a.line == b.line &&
         a.column == b.column && a.what == b.what && a.options == b.options &&
         a.index.has_value() == b.index.has_value() && a.ends_at_commit == b.ends_at_commit;
}

bool is_same(const Script& a, const Script& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return is_same(x, y); });
}

// By its first words alone, for the commonest statements that refuse transactions.
bool surely_refuses(const Statement& statement) {
  const auto words = lower_case(without_comments(statement.text));
  const auto starts = [&](std::string_view with) { return words.starts_with(with); };
  return starts("vacuum ") || starts("create index concurrently ") ||
         starts("create unique index concurrently ") || starts("drop index concurrently ");
}

// Else nobody can say where a statement ends: it depends on what stands before it.
bool closes_its_parentheses(std::string_view text) {
  int depth = 0;
  for (const char c : text) {
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
    if (depth < 0) return false;
  }
  return depth == 0;
}

void check_statement(const Statement& statement) {
  promise(!surely_refuses(statement) || statement.kind == Kind::alone,
          "what refuses transactions stands alone", statement.text);
  const bool needs_reason = statement.kind == Kind::alone || statement.kind == Kind::unsupported;
  promise(!needs_reason || !statement.what.empty(), "it is said why", statement.text);
  promise(statement.options.empty() || statement.kind == Kind::begin, "only BEGIN has options");
  const bool has_words = !without_comments(statement.text).empty();  // else nobody can cut it
  promise(!has_words || beyond_blanks(statement.text).size() == statement.text.size(),
          "a statement starts with itself", statement.text);
  const auto again = parse_script(statement.text);
  if (statement.text.starts_with("\xEF\xBB\xBF")) return;  // a mark only at the start of a text
  if (!closes_its_parentheses(statement.text)) return;
  promise(again.size() == 1, "a statement by itself is one statement", statement.text);
  promise(again[0].text == statement.text && again[0].kind == statement.kind,
          "a statement means the same by itself", statement.text);
}

// What the header says is refused.
bool must_be_refused(const Script& script) {
  bool in_block = false;
  for (const auto& statement : script) {
    if (statement.kind == Kind::rollback || statement.kind == Kind::unsupported) return true;
    if (statement.kind == Kind::alone && in_block) return true;
    if (in_block && !statement.options.empty()) return true;
    if (statement.kind == Kind::begin) in_block = true;
    if (statement.kind == Kind::commit) in_block = false;
  }
  return in_block;
}

void check_segment(const Segment& segment) {
  if (!segment.transactional) {
    promise(segment.statements.size() == 1, "outside of transactions one statement at a time");
    promise(segment.statements[0].kind == Kind::alone, "only what must be is outside",
            segment.statements[0].text);
    promise(segment.transaction_options.empty(), "no transaction, no options of one");
  }
  for (const auto& statement : segment.statements) {
    const bool may_be = statement.kind == Kind::ordinary || statement.kind == Kind::setting;
    promise(may_be || !segment.transactional, "a transaction holds what can be in one",
            statement.text);
  }
  for (const auto& setting : segment.settings)
    promise(setting.kind == Kind::setting, "only settings are sent again", setting.text);
}

// Each statement is executed once, in order, under the settings that stood before it.
void check_execution(const Script& script, const std::vector<Segment>& segments) {
  auto next = script.begin();
  Script settings;
  const auto advance = [&] {  // to the next statement that has to be in a segment
    for (; next != script.end(); ++next) {
      if (next->kind == Kind::setting) settings.push_back(*next);
      else if (next->kind != Kind::begin && next->kind != Kind::commit) return;
    }
  };
  for (const auto& segment : segments) {
    check_segment(segment);
    auto in_force = segment.settings;
    for (const auto& statement : segment.statements) {
      if (statement.kind == Kind::setting) {
        in_force.push_back(statement);
        continue;
      }
      const bool is_check = statement.text == k_check_deferred_constraints;
      if (is_check) continue;
      advance();
      promise(next != script.end(), "no statement is executed twice", statement.text);
      promise(is_same(*next, statement), "statements are executed in their order", statement.text);
      promise(is_same(in_force, settings), "a statement sees the settings before it",
              statement.text);
      ++next;
    }
  }
  advance();
  promise(next == script.end(), "every statement is executed",
          next == script.end() ? "" : next->text);
}

std::size_t segment_of(const std::vector<Segment>& segments, const Statement& statement) {
  for (std::size_t i = 0; i < segments.size(); ++i)
    for (const auto& candidate : segments[i].statements)
      if (is_same(candidate, statement)) return i;
  return segments.size();
}

// BEGIN ... COMMIT stays together, and what ends at a COMMIT does.
void check_blocks(const Script& script, const std::vector<Segment>& segments) {
  const Statement* first = nullptr;  // of the open block
  const Statement* ended = nullptr;  // what the last COMMIT ended
  const Statement* to_end = nullptr;
  bool in_block = false;
  for (const auto& statement : script) {
    if (statement.kind == Kind::begin) in_block = true;
    if (statement.kind == Kind::commit) {
      in_block = false;
      first = nullptr;
      if (to_end != nullptr) ended = std::exchange(to_end, nullptr);
    }
    const auto segment = segment_of(segments, statement);
    if (segment == segments.size() || statement.kind == Kind::setting) continue;
    if (in_block && first == nullptr) first = &statement;
    if (in_block)
      promise(segment == segment_of(segments, *first), "a block is one transaction",
              statement.text);
    if (ended != nullptr)
      promise(segment > segment_of(segments, *ended), "a COMMIT ends what was set locally",
              statement.text);
    if (statement.kind == Kind::alone) to_end = nullptr;
    if (statement.ends_at_commit) to_end = &statement;
  }
}

void check_segments(const Script& script) {
  std::vector<Segment> segments;
  try {
    segments = split_into_segments(script);
  } catch (const ScriptRefused& e) {
    promise(must_be_refused(script), "only what loses work is refused", e.what());
    promise(std::any_of(script.begin(), script.end(),
                        [&](const auto& s) { return s.line == e.line && s.column == e.column; }),
            "a refusal names the place of a statement", e.what());
    promise(e.what()[0] != '\0', "a refusal says why");
    return;
  }
  promise(!must_be_refused(script), "what loses work is refused");
  promise(!segments.empty(), "there is at least one segment");
  promise(segments.front().reason.empty(), "the first segment needs no reason");
  check_execution(script, segments);
  check_blocks(script, segments);
  const auto again = split_into_segments(script);
  promise(std::equal(segments.begin(), segments.end(), again.begin(), again.end(),
                     [](const auto& a, const auto& b) {
                       return a.digests() == b.digests() && a.reason == b.reason &&
                              is_same(a.settings, b.settings);
                     }),
          "the same script is cut the same way");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto sql = valid_utf8(fuzz::text_of(data, size));
  if (fuzz::holds(sql, std::string_view{"\0", 1})) return 0;  // make_plan refuses these
  if (fuzz::holds(sql, "\v")) return 0;  // no blank for every PostgreSQL: 16 made it one
  const auto script = parse_script(sql);
  promise(is_same(script, parse_script(sql)), "the same text is read the same way");
  check_that_nothing_is_lost(sql, script);
  for (const auto& statement : script) check_statement(statement);
  check_segments(script);
  return 0;
}
