#include "schemagate/migrate/segments.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

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

class Splitter {
 public:
  std::vector<Segment> split(const std::vector<Statement>& script) {
    for (const auto& statement : script) add(statement);
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
  void add(const Statement& statement) {
    switch (statement.kind) {
      case Kind::begin: return begin(statement);
      case Kind::commit: return commit(statement);
      case Kind::alone:
        cut(fmt::format("after {} on line {}", statement.what, statement.line));
        segments_.push_back({.transactional = false,
                             .statements = {statement},
                             .settings = settings_,
                             .transaction_options = {},
                             .reason = fmt::format("{} refuses transactions", statement.what)});
        return;
      case Kind::add_enum_value:
        (in_block_ ? new_values_in_block_ : new_values_).insert(statement.value);
        break;
      default: cut_before_use_of_new_values(statement); break;
    }
    // What an absorbed COMMIT would have checked, or an ALTER TABLE finds pending trigger events.
    if (check_before_next_) current_.statements.push_back(*check_before_next_);
    check_before_next_.reset();
    current_.statements.push_back(statement);
    if (statement.kind == Kind::setting) settings_.push_back(statement);
    ends_at_commit_ = ends_at_commit_ || statement.ends_at_commit;
  }

  void begin(const Statement& statement) {
    in_block_ = true;
    if (statement.options.empty()) return;
    cut(fmt::format("BEGIN {} on line {}", statement.options, statement.line));
    current_.transaction_options = statement.options;
    ends_at_commit_ = true;
  }

  void commit(const Statement& statement) {
    in_block_ = false;
    new_values_.merge(new_values_in_block_);
    new_values_in_block_.clear();
    if (ends_at_commit_) return cut("the script's own COMMIT ends what it set for one transaction");
    if (current_.statements.empty()) return;
    check_before_next_ = statement;
    check_before_next_->kind = Kind::ordinary;
    check_before_next_->text = k_check_deferred_constraints;
  }

  // A value that an earlier transaction did not commit cannot be used yet (SQLSTATE 55P04).
  void cut_before_use_of_new_values(const Statement& statement) {
    for (const auto& value : new_values_) {
      if (!mentions(statement, value)) continue;
      cut(fmt::format("line {} uses the new enum value '{}', which must be committed first",
                      statement.line, value));
      return;
    }
  }

  // Ends the current segment; `reason` is the next one's.
  void cut(const std::string& reason) {
    new_values_.clear();
    check_before_next_.reset();
    ends_at_commit_ = false;
    const bool only_settings = std::all_of(current_.statements.begin(), current_.statements.end(),
                                           [](const auto& s) { return s.kind == Kind::setting; });
    if (!only_settings) segments_.push_back(std::move(current_));
    current_ = {};
    current_.settings = settings_;
    current_.reason = reason;
  }

  std::vector<Segment> segments_;
  Segment current_;
  std::vector<Statement> settings_;
  std::set<std::string> new_values_;           // added by the current segment
  std::set<std::string> new_values_in_block_;  // added inside a BEGIN that is still open
  std::optional<Statement> check_before_next_;
  bool in_block_ = false;
  bool ends_at_commit_ = false;
};

}  // namespace

std::string Segment::digest() const {
  std::string all = transactional ? "transaction\n" : "alone\n";
  for (const auto& statement : statements) all += statement.text + ";\n";
  return sha256_hex(all);
}

bool Segment::may_be_half_done() const {
  return !transactional && !statements.front().index &&
         statements.front().rerun == Statement::Rerun::unknown;
}

std::vector<Segment> split_into_segments(const std::vector<Statement>& script) {
  refuse_what_loses_work(script);
  return Splitter{}.split(script);
}

}  // namespace schemagate
