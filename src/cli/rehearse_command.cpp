#include <fmt/core.h>

#include <charconv>

#include "schemagate/base/text.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/commands/rehearse.hpp"
#include "schemagate/manifest/typed_hint.hpp"

namespace schemagate::cli {
namespace {

// Commas between names; one inside of quotes belongs to a name.
std::vector<std::string> names_in(const std::string& list) {
  std::vector<std::string> names(1);
  bool is_quoted = false;
  for (const char c : list) {
    if (c == '"') is_quoted = !is_quoted;
    if (c == ',' && !is_quoted) names.emplace_back();
    else names.back() += c;
  }
  for (auto& name : names) name = trim(name);
  std::erase(names, "");
  return names;
}

std::optional<double> percent_of(std::string text) {
  if (text.ends_with('%')) text.pop_back();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc{} && end == text.data() + text.size();
  if (!is_whole || !(value > 0) || value > 100) return std::nullopt;
  return value;
}

std::string who_has_to_wait(LockMode lock) {
  switch (who_waits(lock)) {
    case Waiting::reads_and_writes: return ": reads and writes wait";
    case Waiting::writes: return ": writes wait";
    default: return {};
  }
}

std::string in_words(const Impact& impact) {
  const auto lock =
      impact.lock == LockMode::none ? "locked already" : std::string{name_of(impact.lock)};
  const auto work = impact.work == Work::catalogue ? "" : ", " + std::string{name_of(impact.work)};
  return fmt::format("{}: {}{}{}", impact.relation, lock, work, who_has_to_wait(impact.lock));
}

class RehearseCommand : public Command {
 public:
  void declare(Options& options) override {
    options.flag("--keep", keep_, "leave the copy there, and say where it is");
    options.text("--with-data", "TABLES", tables_,
                 "copy the rows of these, too: orders,sales.users");
    auto& sample = options.text("--sample", "PERCENT", sample_,
                                "copy so many of the rows, by chance; without --with-data of all "
                                "tables");
    sample.must_be = "more than 0% and at most 100%";
    sample.accept = [this](const std::string& word) {
      sample_ = word;
      return (wanted_.percent = percent_of(word)).has_value();
    };
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    wanted_.tables = names_in(tables_);
    report_ = rehearse(manifest, wanted_, keep_, stop);
    is_done_ = true;
  }

  void describe(Json& document, ExitCode code) const override {
    document.set("works", code == ExitCode::done && is_done_ && !report_.rehearsal.failure);
    if (!is_done_) return;
    if (const auto& failure = report_.rehearsal.failure)
      document.set("error", failure->what())
          .set("hint", as_typed(failure->hint(), report_.manifest));
    document.set("database", report_.database).set("schema", report_.schema);
    document.set("warnings", report_.warnings);
    if (!report_.made_by.empty())
      document.set("copy", Json{}
                               .set("made_by", report_.made_by)
                               .set("differences", report_.differences)
                               .set("rows", rows()));
    document.set("migrations", migrations());
    if (!report_.kept.empty())
      document.set("kept", Json{}.set("database", report_.kept).set("url", report_.kept_url));
  }

  [[nodiscard]] std::string text() const override {
    std::string all = fmt::format("database {}, schema {}\n", report_.database, report_.schema);
    for (const auto& warning : report_.warnings) all += "warning: " + warning + "\n";
    if (report_.made_by.empty())
      return printable(all + "\nnothing is pending: nothing to rehearse\n");
    all += "rehearsed in a copy of it, made by " + report_.made_by + "\n";
    if (!report_.differences.empty()) all += "\nthe copy is not as the live database is:\n";
    for (const auto& line : report_.differences) all += "  " + line + "\n";
    all += text_of_rows();
    for (const auto& one : report_.rehearsal.migrations) all += text_of(one);
    return printable(all + conclusion());
  }

  [[nodiscard]] ExitCode verdict() const override { return report_.exit_code(); }

 private:
  [[nodiscard]] static std::string text_of(const RehearsedMigration& migration) {
    auto all = fmt::format("\n{}  {}\n", migration.name, migration.path);
    for (const auto& segment : migration.segments) {
      if (migration.segments.size() > 1)
        all += fmt::format("  {}{}{}\n", segment.transactional ? "a transaction" : "by itself",
                           segment.reason.empty() ? "" : ": ", segment.reason);
      for (const auto& one : segment.statements) {
        const auto place = fmt::format("{}:{}", one.line, one.column);
        all += fmt::format("  {:>7}  {:>9}  {}\n", place, one.left_out ? "-" : for_people(one.took),
                           shortened(one.text, 90));
        if (one.left_out)
          all += fmt::format("{:22}not rehearsed: it reaches beyond the database\n", "");
        for (const auto& impact : one.impacts)
          all += fmt::format("{:22}{}\n", "", in_words(impact));
      }
    }
    return all;
  }

  [[nodiscard]] std::string text_of_rows() const {
    if (report_.rows.empty()) return {};
    std::string all = "\nrows copied:\n";
    std::size_t without = 0;
    for (const auto& one : report_.rows) {
      if (one.rows == 0 && one.why_not_all.empty()) ++without;
      else
        all += fmt::format("  {:>9}  {}{}\n", one.rows, one.table,
                           one.why_not_all.empty() ? "" : " (" + one.why_not_all + ")");
    }
    if (without > 0) all += fmt::format("  {:>9}  of {}\n", "none", counted(without, "table"));
    return all;
  }

  [[nodiscard]] std::string conclusion() const {
    std::string all = "\n";
    if (const auto& failure = report_.rehearsal.failure) {
      all += std::string{failure->what()} + "\n";
      if (!failure->hint().empty())
        all += "hint: " + as_typed(failure->hint(), report_.manifest) + "\n";
    } else {
      all += counted(report_.rehearsal.migrations.size(), "migration") + ": all of it works\n";
    }
    all += "it was a rehearsal: the database is as it was\n";
    if (!report_.kept.empty())
      all += fmt::format("the copy is kept: {} (with the password of {}); to drop it:\n"
                         "  DROP DATABASE {};\n",
                         report_.kept_url, report_.password_key, report_.kept);
    return all;
  }

  [[nodiscard]] std::vector<Json> rows() const {
    std::vector<Json> all;
    for (const auto& one : report_.rows) {
      Json row;
      row.set("table", one.table).set("rows", one.rows).set("why_not_all", one.why_not_all);
      all.push_back(std::move(row));
    }
    return all;
  }

  [[nodiscard]] std::vector<Json> migrations() const {
    std::vector<Json> all;
    for (const auto& one : report_.rehearsal.migrations) {
      std::vector<Json> parts;
      for (const auto& segment : one.segments) parts.push_back(json_of(segment));
      Json migration;
      migration.set("name", one.name).set("path", one.path).set("segments", parts);
      all.push_back(std::move(migration));
    }
    return all;
  }

  [[nodiscard]] static Json json_of(const RehearsedSegment& segment) {
    std::vector<Json> statements;
    for (const auto& one : segment.statements) {
      std::vector<Json> impacts;
      for (const auto& impact : one.impacts) {
        Json told;
        told.set("relation", impact.relation)
            .set("lock", name_of(impact.lock))
            .set("work", name_of(impact.work));
        impacts.push_back(std::move(told));
      }
      Json statement;
      statement.set("line", one.line).set("column", one.column).set("text", one.text);
      statement.set("rehearsed", !one.left_out).set("took_ms", one.took.count());
      statement.set("impacts", impacts);
      statements.push_back(std::move(statement));
    }
    Json part;
    part.set("transactional", segment.transactional).set("reason", segment.reason);
    part.set("statements", statements);
    return part;
  }

  bool keep_ = false;
  std::string tables_;
  std::string sample_;
  RowsWanted wanted_;
  RehearsalReport report_;
  bool is_done_ = false;
};

}  // namespace

std::unique_ptr<Command> rehearse_command() { return std::make_unique<RehearseCommand>(); }

}  // namespace schemagate::cli
