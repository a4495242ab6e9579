#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "schemagate/base/people.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/cli/plan_report.hpp"

namespace schemagate {
namespace {

constexpr Milliseconds k_moment{1000};  // what nobody has to be told of beforehand
constexpr std::size_t k_width = 110;
constexpr std::int64_t k_large_bytes = std::int64_t{100} << 20;
constexpr std::size_t k_in_summary_max = 5;  // of a kind

const char* who_waits_in_words(LockMode lock) {
  switch (who_waits(lock)) {
    case Waiting::nobody: return "nobody waits";
    case Waiting::writes: return "writes wait";
    case Waiting::reads_and_writes: return "reads and writes wait";
  }
  return "";
}

const char* in_words(Work work) {
  switch (work) {
    case Work::catalogue: return "no row is read";
    case Work::rows: return "rows are changed";
    case Work::scan: return "all rows are read";
    case Work::index: return "an index is built";
    case Work::rewrite: return "all rows are written anew";
  }
  return "";
}

const char* in_words(Remark::Kind kind) {
  switch (kind) {
    case Remark::Kind::destructive: return "lost";
    case Remark::Kind::incompatible: return "breaks";
    case Remark::Kind::safer: return "safer";
    case Remark::Kind::unknown: return "not known";
  }
  return "";
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (const auto& one : split(join(split(text, '\n'), " "), ' '))
    if (!one.empty()) words.push_back(one);
  return words;
}

std::string touching_nothing(std::size_t count, const char* noun) {
  return fmt::format("{} that touch{} nothing that is there already", counted(count, noun),
                     count == 1 ? "es" : "");
}

bool has(const StatementForecast& statement, Remark::Kind kind) {
  return std::any_of(statement.remarks.begin(), statement.remarks.end(),
                     [&](const auto& one) { return one.kind == kind; });
}

class PlanText {
 public:
  explicit PlanText(const PlanReport& report) : report_{report}, forecast_{report.forecast} {}

  std::string text() {
    head();
    if (!forecast_.migrations.empty()) {
      summary();
      policies();
      relations();
      for (const auto& one : forecast_.migrations) migration(one);
    }
    if (!report_.remarks.empty()) line("");
    for (const auto& one : report_.remarks) line("remark: " + one);
    return printable(text_);
  }

 private:
  void line(const std::string& text);
  void sql(const std::string& text, std::size_t indent);
  void head();
  void summary();
  void long_holds();
  void remarks_of(Remark::Kind kind);
  void unknown_statements();
  void policies();
  void relations();
  void migration(const MigrationForecast& migration);
  void segment(const SegmentForecast& segment, bool is_only);
  void statement(const StatementForecast& statement);
  void remark(const Remark& remark);
  [[nodiscard]] std::vector<Hold> holds_of(const SegmentForecast& segment) const;
  [[nodiscard]] bool is_long(const Hold& hold) const;
  void holds(const SegmentForecast& segment);

  [[nodiscard]] bool is_back() const { return !report_.since.empty(); }
  // Nothing is known of the sizes then.
  [[nodiscard]] bool is_offline() const { return is_back() || report_.database.empty(); }
  [[nodiscard]] bool is_worth_a_line(const StatementForecast& statement) const;
  // Empty: nobody knows.
  [[nodiscard]] std::string time(const Estimate& estimate, Work work) const;
  [[nodiscard]] std::string size_of(const std::string& relation) const;

  const PlanReport& report_;
  const Forecast& forecast_;
  std::string text_;
  bool is_quiet_ = false;  // the migration before was one line
};

// Further lines are indented: what comes from outside begins none of ours.
void PlanText::line(const std::string& text) {
  const auto indent = std::min(text.find_first_not_of(' '), text.size());
  auto now = text.substr(0, indent);
  bool is_begun = false;
  for (const auto& word : words_of(text)) {
    if (is_begun && character_count(now) + 1 + character_count(word) > k_width) {
      text_ += now + "\n";
      now = std::string(indent + 2, ' ');
      is_begun = false;
    }
    now += (is_begun ? " " : "") + word;
    is_begun = true;
  }
  text_ += now + "\n";
}

// As it is, to be pasted.
void PlanText::sql(const std::string& text, std::size_t indent) {
  for (const auto& one : split(text, '\n')) text_ += std::string(indent, ' ') + one + "\n";
}

void PlanText::head() {
  line(fmt::format("app {}, release {}", report_.app, report_.release));
  const auto version = forecast_.server_major_version;
  line(report_.database.empty()
           ? fmt::format("without a database, for PostgreSQL {}",
                         version == 0 ? "of the newest version that is known"
                                      : std::to_string(version))
           : fmt::format("database {}, schema {}", report_.database, report_.schema));
  const auto count = forecast_.migrations.size();
  if (is_back())
    return line(fmt::format("release {} was complete at {}: {} applied since", report_.since,
                            report_.since_at,
                            count == 0 ? "nothing" : counted(count, "migration")));
  line(fmt::format("{}: {}, {} pending", report_.folder.empty() ? "migrations" : report_.folder,
                   counted(report_.folder_count, "migration"),
                   count == 0 ? "none" : std::to_string(count)));
}

void PlanText::summary() {
  line("");
  if (!is_back()) long_holds();
  remarks_of(Remark::Kind::destructive);
  remarks_of(Remark::Kind::incompatible);
  unknown_statements();
}

void PlanText::long_holds() {
  std::vector<std::pair<Hold, const MigrationForecast*>> found;
  bool has_segments = false;
  for (const auto& migration : forecast_.migrations)
    for (const auto& segment : migration.segments) {
      has_segments = true;
      for (const auto& hold : holds_of(segment))
        if (is_long(hold)) found.emplace_back(hold, &migration);
    }
  std::stable_sort(found.begin(), found.end(), [](const auto& one, const auto& other) {
    return one.first.estimate.high > other.first.estimate.high;
  });
  for (std::size_t i = 0; i < std::min(found.size(), k_in_summary_max); ++i) {
    const auto& [hold, migration] = found[i];
    const auto how_long = time(hold.estimate, hold.work);
    const bool none_reads = who_waits(hold.lock) == Waiting::reads_and_writes;
    line(fmt::format("- {}{}: nobody {} it {}: {}:{}", hold.relation, size_of(hold.relation),
                     none_reads ? "reads or writes" : "writes",
                     how_long.empty() ? fmt::format("while {}", in_words(hold.work))
                                      : "for " + how_long,
                     migration->path, hold.from_line));
  }
  if (found.size() > k_in_summary_max)
    line(fmt::format("- and {} more, below", found.size() - k_in_summary_max));
  if (found.empty() && has_segments) line("- nobody waits longer than a moment");
}

// A statement outside of transactions holds its locks for itself.
std::vector<Hold> PlanText::holds_of(const SegmentForecast& segment) const {
  auto holds = segment.holds;
  if (!segment.transactional)
    for (const auto& statement : segment.statements)
      for (const auto& one : statement.impacts)
        holds.push_back({.relation = one.relation,
                         .lock = one.lock,
                         .from_line = statement.line,
                         .work = one.work,
                         .work_on = one.relation,
                         .estimate = statement.estimate});
  std::erase_if(holds, [](const auto& one) { return who_waits(one.lock) == Waiting::nobody; });
  return holds;
}

bool PlanText::is_long(const Hold& hold) const {
  if (hold.estimate.high >= k_moment) return true;
  if (hold.work == Work::catalogue || !time(hold.estimate, hold.work).empty()) return false;
  // How many rows an UPDATE finds nobody knows; in a small table they are few.
  const auto found = forecast_.relations.find(hold.work_on);
  return found == forecast_.relations.end() || found->second.heap_bytes >= k_large_bytes;
}

void PlanText::remarks_of(Remark::Kind kind) {
  std::vector<std::string> found;
  for (const auto& migration : forecast_.migrations)
    for (const auto& segment : migration.segments)
      for (const auto& statement : segment.statements)
        for (const auto& remark : statement.remarks)
          if (remark.kind == kind)
            found.push_back(fmt::format("- {}: {}: {}:{}", in_words(kind), remark.text,
                                        migration.path, statement.line));
  for (std::size_t i = 0; i < std::min(found.size(), k_in_summary_max); ++i) line(found[i]);
  if (found.size() > k_in_summary_max)
    line(fmt::format("- {}: {} more, below", in_words(kind), found.size() - k_in_summary_max));
  if (found.empty() && is_back() && kind == Remark::Kind::incompatible)
    line("- nothing breaks an app of " + report_.since + ", as far as the scripts tell");
}

void PlanText::unknown_statements() {
  std::size_t count = 0;
  for (const auto& migration : forecast_.migrations)
    for (const auto& segment : migration.segments)
      for (const auto& statement : segment.statements)
        count += has(statement, Remark::Kind::unknown) ? 1 : 0;
  if (count > 0) line(fmt::format("- not known: what {} would do", counted(count, "statement")));
}

// What they only warn of is in the summary, and so is what nobody can tell.
void PlanText::policies() {
  bool is_first = true;
  for (const auto& one : report_.policies) {
    if (one.level != Policy::fail && one.because.empty()) continue;
    if (std::exchange(is_first, false)) text_ += "\nby the manifest's policies:\n";
    line(fmt::format("- {}: {}: {}: {}{}", one.level == Policy::fail ? "refused" : "allowed",
                     one.location, one.rule, one.text,
                     one.because.empty() ? "" : "; because: " + one.because));
  }
  if (report_.refused) line("hint: " + report_.refused->hint().text());
}

void PlanText::relations() {
  if (forecast_.relations.empty() || is_back()) return;
  line("");
  line("what is there already, and is locked or changed:");
  for (const auto& [name, one] : forecast_.relations) {
    if (!one.has_rows) continue;
    auto text = fmt::format("  {}: {}", name, size_for_people(one.heap_bytes));
    if (one.index_bytes > 0) text += " and " + size_for_people(one.index_bytes) + " of indexes";
    if (one.rows >= 0) text += fmt::format(", {} rows", number_for_people(one.rows));
    if (one.traffic)
      text += fmt::format(", {} scans/s, {} rows written/s",
                          number_for_people(one.traffic->reads_per_s),
                          number_for_people(one.traffic->writes_per_s));
    line(text);
  }
}

void PlanText::migration(const MigrationForecast& migration) {
  std::size_t quiet = 0;
  std::size_t all = 0;
  for (const auto& segment : migration.segments)
    for (const auto& one : segment.statements) {
      quiet += is_worth_a_line(one) ? 0 : 1;
      ++all;
    }
  const bool was_quiet = std::exchange(is_quiet_, quiet == all);
  if (!was_quiet || !is_quiet_) line("");
  if (!is_quiet_) line(migration.path);
  else if (is_back()) line(migration.path + ": nothing that an app would notice");
  else line(migration.path + (all == 0 ? "" : ": " + touching_nothing(all, "statement")));
  if (is_quiet_) return;
  for (const auto& one : migration.segments) segment(one, migration.segments.size() == 1);
}

void PlanText::segment(const SegmentForecast& segment, bool is_only) {
  if (!is_back() && !(is_only && segment.transactional))
    line(fmt::format("  {}{}",
                     segment.transactional ? "in one transaction" : "outside of transactions",
                     segment.reason.empty() ? "" : ": " + segment.reason));
  std::size_t others = 0;
  std::size_t all = 0;
  for (const auto& one : segment.statements) {
    if (is_worth_a_line(one)) statement(one);
    else others += 1 + one.more;
    all += 1 + one.more;
  }
  if (is_back()) return;
  const bool are_all = others == all;
  if (others > 0)
    line("     - " + touching_nothing(others, are_all ? "statement" : "more statement"));
  if (segment.statements.size() > 1) holds(segment);
}

bool PlanText::is_worth_a_line(const StatementForecast& statement) const {
  if (!is_back()) return !statement.impacts.empty() || !statement.remarks.empty();
  return std::any_of(statement.remarks.begin(), statement.remarks.end(),
                     [](const auto& one) { return one.kind != Remark::Kind::safer; });
}

void PlanText::statement(const StatementForecast& statement) {
  text_ += fmt::format("  {:>4}  {}\n", statement.line, join(words_of(statement.text), " "));
  const auto longest =
      std::max_element(statement.impacts.begin(), statement.impacts.end(),
                       [](const auto& one, const auto& other) { return one.work < other.work; });
  for (auto one = statement.impacts.begin(); !is_back() && one != statement.impacts.end(); ++one) {
    auto text = fmt::format("        {}: {}", one->relation, who_waits_in_words(one->lock));
    if (one->lock != LockMode::none) text += fmt::format(" ({})", name_of(one->lock));
    text += fmt::format("; {}", in_words(one->work));
    const auto how_long = one == longest ? time(statement.estimate, one->work) : "";
    line(text + (how_long.empty() ? "" : ": " + how_long));
  }
  if (statement.more > 0)
    line(fmt::format("        and {} into the same table", counted(statement.more, "more INSERT")));
  for (const auto& one : statement.remarks)
    if (!is_back() || one.kind != Remark::Kind::safer) remark(one);
}

void PlanText::remark(const Remark& remark) {
  line(fmt::format("        {}: {}", in_words(remark.kind), remark.text));
  if (remark.instead.empty()) return;
  sql(trim(remark.instead), 12);
}

void PlanText::holds(const SegmentForecast& segment) {
  for (const auto& hold : holds_of(segment)) {
    if (hold.work == Work::catalogue) continue;
    auto text = fmt::format("     - {}: {} from line {} to COMMIT; {}", hold.relation,
                            who_waits_in_words(hold.lock), hold.from_line, in_words(hold.work));
    if (!hold.work_on.empty() && hold.work_on != hold.relation) text += " in " + hold.work_on;
    if (hold.work_bytes > 0) text += ", " + size_for_people(hold.work_bytes) + " in all";
    const auto how_long = time(hold.estimate, hold.work);
    line(text + (how_long.empty() ? "" : ": " + how_long));
  }
}

std::string PlanText::time(const Estimate& estimate, Work work) const {
  if (work == Work::catalogue) return "at once";
  if (estimate.high > Milliseconds{0}) return range_for_people(estimate.low, estimate.high);
  return is_offline() || work == Work::rows ? "" : "at once";
}

std::string PlanText::size_of(const std::string& relation) const {
  const auto found = forecast_.relations.find(relation);
  return found == forecast_.relations.end()
             ? ""
             : fmt::format(" ({})", size_for_people(found->second.heap_bytes));
}

}  // namespace

std::string as_text(const PlanReport& report) { return PlanText{report}.text(); }

}  // namespace schemagate
