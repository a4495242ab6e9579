#include "schemagate/migrate/segments.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

using Kind = Statement::Kind;

void refuse_what_loses_work(const std::vector<Statement>& script) {
  const Statement* open = nullptr;  // the BEGIN we are inside of
  for (const auto& statement : script) {
    switch (statement.kind) {
      case Kind::begin:
        if (open != nullptr && !statement.options.empty())
          throw ScriptRefused{
              statement,
              fmt::format("BEGIN {} inside the BEGIN of line {} would come too late",
                          statement.options, open->line),
              "write the options behind the first BEGIN, or COMMIT before this one"};
        if (open == nullptr) open = &statement;
        break;
      case Kind::commit: open = nullptr; break;
      case Kind::rollback:
        throw ScriptRefused{statement,
                            "ROLLBACK would undo the script while the history says it was applied",
                            "remove the ROLLBACK, or what it takes back"};
      case Kind::unsupported: throw ScriptRefused{statement, statement.what, ""};
      case Kind::alone:
        if (open == nullptr) break;
        throw ScriptRefused{
            statement,
            fmt::format("{} cannot run inside the BEGIN of line {}", statement.what, open->line),
            "move it behind the COMMIT, or remove BEGIN and COMMIT"};
      default: break;
    }
  }
  if (open != nullptr) {
    throw ScriptRefused{
        *open, "BEGIN without COMMIT: the server would throw the script's work away",
        "add COMMIT at the end, or remove BEGIN (each migration is a transaction anyway)"};
  }
}

// A cut is no cut inside the script's own BEGIN ... COMMIT: then it is before that.
void mark(std::vector<Statement>& script, const Cut& cut) {
  Statement* block = nullptr;
  for (auto& statement : script) {
    if (statement.kind == Kind::begin && block == nullptr) block = &statement;
    if (statement.kind == Kind::commit) block = nullptr;
    if (statement.line != cut.line || statement.column != cut.column) continue;
    if (cut.kind == Cut::Kind::before) {
      (block != nullptr ? *block : statement).needs_commit_before = true;
    } else {
      statement.kind = Kind::alone;
      statement.rerun = Statement::Rerun::unknown;
      statement.what = "a statement that the server does not run in a transaction";
    }
  }
}

// Of what ends at a COMMIT, what can be sent again behind one: not a temporary table or a cursor.
bool is_local_setting(const Statement& statement) {
  if (!statement.ends_at_commit) return false;
  const auto text = lower_case(statement.text);
  return text.starts_with("set") || text.starts_with("select");
}

class Splitter {
 public:
  std::vector<Segment> split(std::vector<Statement> script, std::size_t done) {
    for (auto& statement : script) {
      const bool may_be_last_done = counts(statement);
      add(std::move(statement));
      if (may_be_last_done && done > 0 && --done == 0) forget_what_is_done();
    }
    cut("");
    if (segments_.empty()) {
      segments_.emplace_back();
      segments_.front().statements =
          settings_;  // settings alone: still to be checked by the server
    }
    segments_.front().reason.clear();
    return std::move(segments_);
  }

 private:
  void add(Statement statement) {
    if (statement.needs_commit_before)
      cut(fmt::format("line {} needs what stands before it committed", statement.line));
    switch (statement.kind) {
      case Kind::begin: return begin(statement);
      case Kind::commit: return commit(statement);
      case Kind::alone: return add_alone(std::move(statement));
      default: break;
    }
    // What an absorbed COMMIT would have checked, or an ALTER TABLE finds pending trigger events.
    if (check_before_next_) current_.statements.push_back(*check_before_next_);
    check_before_next_.reset();
    if (statement.kind == Kind::setting) settings_.push_back(statement);
    if (is_local_setting(statement)) local_settings_.push_back(statement);
    ends_at_commit_ = ends_at_commit_ || statement.ends_at_commit;
    current_.statements.push_back(std::move(statement));
  }

  void add_alone(Statement statement) {
    cut(fmt::format("after {} on line {}", statement.what, statement.line));
    Segment alone{.transactional = false,
                  .statements = {},
                  .settings = settings_,
                  .transaction_options = {},
                  .reason = fmt::format("{} refuses transactions", statement.what)};
    alone.statements.push_back(std::move(statement));
    append(std::move(alone));
  }

  void begin(const Statement& statement) {
    if (statement.options.empty()) return;
    cut(fmt::format("BEGIN {} on line {}", statement.options, statement.line));
    current_.transaction_options = statement.options;
    ends_at_commit_ = true;
  }

  void commit(const Statement& statement) {
    if (ends_at_commit_) return cut("the script's own COMMIT ends what it set for one transaction");
    if (current_.statements.empty()) return;
    check_before_next_ = statement;
    check_before_next_->kind = Kind::ordinary;
    check_before_next_->text = k_check_deferred_constraints;
  }

  // Ends the current segment; `reason` is the next one's.
  void cut(const std::string& reason) {
    check_before_next_.reset();
    ends_at_commit_ = false;
    local_settings_.clear();
    const bool only_settings = std::all_of(current_.statements.begin(), current_.statements.end(),
                                           [](const auto& s) { return s.kind == Kind::setting; });
    if (only_settings) unsent_settings_ += current_.statements.size();
    else append(std::move(current_));
    current_ = {};
    current_.settings = settings_;
    current_.reason = reason;
  }

  void append(Segment segment) {
    segment.own_settings = std::exchange(unsent_settings_, 0);
    segments_.push_back(std::move(segment));
  }

  // The transaction of the last statement done may go on: what was set for it is set again.
  void forget_what_is_done() {
    segments_.clear();
    unsent_settings_ = 0;
    current_.statements.clear();
    current_.settings = settings_;
    current_.settings.insert(current_.settings.end(), local_settings_.begin(),
                             local_settings_.end());
  }

  std::vector<Segment> segments_;
  Segment current_;
  std::vector<Statement> settings_;
  std::vector<Statement> local_settings_;  // of the current transaction
  std::size_t unsent_settings_ = 0;        // the last of settings_, in no segment yet
  std::optional<Statement> check_before_next_;
  bool ends_at_commit_ = false;
};

}  // namespace

bool counts(const Statement& statement) {
  return statement.kind != Kind::begin && statement.kind != Kind::commit &&
         statement.text != k_check_deferred_constraints;
}

std::string digest_of(const Statement& statement) {
  constexpr std::size_t k_digits = 32;
  const auto words = without_comments(statement.text);  // nothing where it cannot be read
  return sha256_hex(words.empty() ? statement.text : words).substr(0, k_digits);
}

std::vector<std::string> Segment::digests() const {
  std::vector<std::string> all;
  for (auto at = settings.end() - static_cast<std::ptrdiff_t>(own_settings); at != settings.end();
       ++at)
    all.push_back(digest_of(*at));
  for (const auto& statement : statements)
    if (counts(statement)) all.push_back(digest_of(statement));
  return all;
}

bool Segment::may_be_half_done() const {
  return !transactional && !statements.front().index &&
         statements.front().rerun == Statement::Rerun::unknown;
}

std::vector<Segment> split_into_segments(std::vector<Statement> script,
                                         const std::vector<Cut>& cuts, std::size_t done) {
  refuse_what_loses_work(script);
  for (const auto& cut : cuts) mark(script, cut);
  return Splitter{}.split(std::move(script), done);
}

}  // namespace schemagate
