#include "resume.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Kind = Statement::Kind;
using Script = std::vector<Statement>;
using Steps = std::map<int, Step>;

// Earlier versions recorded one SHA-256 of all that a part executes.
constexpr std::size_t k_size_of_one_digest = 64;

bool is_of_whole_part(const std::string& digest) {
  return digest.size() == k_size_of_one_digest && digest.find('\n') == std::string::npos;
}

std::string digest_of_part(const std::string& kind, const std::string& texts) {
  return sha256_hex(kind + "\n" + texts);
}

bool is_digest_of_alone(const std::string& digest, const Statement& statement) {
  return digest == (is_of_whole_part(digest) ? digest_of_part("alone", statement.text + ";\n")
                                             : digest_of(statement));
}

// Reads what is finished along the script.
class Reader {
 public:
  Reader(const Migration& migration, const Script& script, std::size_t parts_done)
      : migration_{migration}, script_{script}, parts_done_{parts_done} {}

  void pass(const Step& step) {
    if (is_of_whole_part(step.digest)) return pass_whole(step.digest);
    if (step.digest.empty()) return;  // nothing was to be done
    for (const auto& digest : split(step.digest, '\n')) pass(digest);
  }
  [[nodiscard]] std::size_t statements_done() const { return passed_; }
  [[nodiscard]] Script::const_iterator next() const { return next_; }

 private:
  void pass(const std::string& digest) {
    const auto is_it = [&](const auto& one) { return counts(one) && digest_of(one) == digest; };
    next_ = std::find_if(next_, script_.end(), counts);
    if (next_ == script_.end()) throw changed("the script ends before what is applied does");
    if (!is_it(*next_)) {
      const auto later = std::find_if(next_, script_.end(), is_it);
      throw changed(later == script_.end()
                        ? "another statement stood here when it was applied"
                        : fmt::format("this stands before line {}, which is applied", later->line));
    }
    ++next_;
    ++passed_;
  }

  // How many statements it covers is not known: tried one more at a time.
  void pass_whole(const std::string& digest) {
    const auto first = std::find_if(next_, script_.end(), counts);
    std::string texts;
    bool after_commit = false;
    bool only_settings = true;  // which were no part of what was recorded
    std::size_t count = 0;
    for (auto at = first; at != script_.end(); ++at) {
      if (at->kind == Kind::commit) after_commit = !texts.empty();
      if (!counts(*at)) continue;
      ++count;
      if (std::exchange(after_commit, false))
        texts += std::string{k_check_deferred_constraints} + ";\n";
      texts += at->text + ";\n";
      const bool is_it = digest == digest_of_part("transaction", texts) ||
                         (only_settings && is_digest_of_alone(digest, *at));
      only_settings = only_settings && at->kind == Kind::setting;
      if (!is_it) continue;
      next_ = at + 1;
      passed_ += count;
      return;
    }
    next_ = first;
    throw changed("this is not what was applied here");
  }

  [[nodiscard]] Failure changed(const std::string& what) const {
    const auto where = next_ == script_.end() ? display_path(migration_)
                                              : location(migration_, next_->line, next_->column);
    return {ExitCode::history,
            fmt::format("{}: {}; an earlier run applied the first {} of this script, but that was "
                        "changed since; it cannot be continued",
                        where, what, counted(parts_done_, "part")),
            "restore the part that was applied; what follows it may be changed, and what is new "
            "may stand behind it"};
  }

  const Migration& migration_;
  const Script& script_;
  const std::size_t parts_done_;
  Script::const_iterator next_ = script_.begin();
  std::size_t passed_ = 0;
};

// The last one that was sent outside of transactions and whose end was not recorded.
const Step* begun(const Steps& steps) {
  const Step* last = nullptr;
  for (const auto& [number, step] : steps)
    if (!step.finished && !step.digest.empty()) last = &step;
  return last;
}

// Where `statement` stands, which a run sent outside of transactions.
std::size_t segment_of(const PlannedMigration& planned, const Statement& statement) {
  const auto found =
      std::find_if(planned.segments.begin(), planned.segments.end(), [&](const Segment& segment) {
        return !segment.transactional && segment.statements.front().line == statement.line &&
               segment.statements.front().column == statement.column;
      });
  return static_cast<std::size_t>(found - planned.segments.begin());
}

// What commits by itself half-way must not be executed twice. Where the script has a transaction
// now in place of what was begun, that may have been such a statement, which only the server knew.
// Whose run was refused was told.
void check_can_be_repeated(const PlannedMigration& planned) {
  const auto& segment = planned.segments[planned.interrupted_segment];
  const bool is_same = !planned.interrupted.digest.empty();
  const bool may_be_half_done = segment.may_be_half_done();
  if (!may_be_half_done && (is_same || !segment.transactional || planned.was_refused)) return;
  const auto& migration = *planned.migration;
  const bool has_statement = !segment.statements.empty();
  const int line = has_statement ? segment.statements.front().line : 1;
  const auto where = has_statement ? location(migration, line, segment.statements.front().column)
                                   : display_path(migration);
  const auto what = is_same ? fmt::format("this statement ({})", segment.statements.front().what)
                            : "what stood here before the file was changed";
  throw Failure{ExitCode::history,
                fmt::format("{}: an earlier run {} in {}; how far it came cannot be told", where,
                            planned.was_refused ? "failed" : "was interrupted", what),
                finish_by_hand(migration, line, planned.parts_done)};
}

}  // namespace

std::optional<PlannedMigration> resumed(const HistoryRow& row, const History& history,
                                        const Folder& folder) {
  const auto steps = history.steps.find(row.id);
  const auto* migration = folder.find(row.name);
  if (steps == history.steps.end() || migration == nullptr) return std::nullopt;
  PlannedMigration planned{
      .migration = migration, .row_id = row.id, .was_refused = !row.logs.empty()};
  planned.parts_done = static_cast<std::size_t>(
      std::count_if(steps->second.begin(), steps->second.end(),
                    [](const auto& step) { return step.second.finished; }));
  auto script = statements_of(folder, *migration);
  Reader reader{*migration, script, planned.parts_done};
  for (const auto& [number, step] : steps->second)
    if (step.finished) reader.pass(step);
  planned.statements_done = reader.statements_done();

  const auto* const interrupted = begun(steps->second);
  const auto again = std::find_if(reader.next(), script.cend(), [&](const Statement& statement) {
    return interrupted != nullptr && is_digest_of_alone(interrupted->digest, statement);
  });
  const bool is_there = again != script.cend();
  const auto statement = is_there ? *again : Statement{};
  // That run had learnt from the server that it has to stand alone.
  if (is_there && statement.kind != Kind::alone)
    planned.cuts.push_back({statement.line, statement.column, Cut::Kind::alone});
  cut_into_segments(planned, std::move(script));
  if (is_there) {
    planned.interrupted = *interrupted;
    planned.interrupted_segment = segment_of(planned, statement);
  }
  if (interrupted != nullptr) check_can_be_repeated(planned);
  return planned;
}

}  // namespace schemagate
