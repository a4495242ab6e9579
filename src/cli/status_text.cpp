#include "schemagate/cli/status_report.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/manifest/typed_hint.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_applied_shown_max = 3;
constexpr std::size_t k_name_width_max = 48;

class Painter {
 public:
  explicit Painter(bool colour) : colour_{colour} {}
  [[nodiscard]] std::string bad(const std::string& text) const { return painted("31", text); }
  [[nodiscard]] std::string good(const std::string& text) const { return painted("32", text); }
  [[nodiscard]] std::string warning(const std::string& text) const { return painted("33", text); }
  [[nodiscard]] std::string quiet(const std::string& text) const { return painted("2", text); }
  [[nodiscard]] std::string by(ExitCode code, const std::string& text) const {
    return code == ExitCode::done ? warning(text) : bad(text);
  }

 private:
  [[nodiscard]] std::string painted(const char* code, const std::string& text) const {
    return colour_ ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
  }
  bool colour_;
};

class TextReport {
 public:
  TextReport(const StatusReport& report, bool colour) : report_{report}, paint_{colour} {}

  std::string text() {
    line(fmt::format("app {}, release {}", report_.app, report_.release));
    line(fmt::format("database {}, schema {}", report_.database, report_.schema));
    line("");
    migrations();
    other_findings();
    lease();
    runs();
    gate();
    drift();
    conclusion();
    return std::move(text_);
  }

 private:
  // Further lines of a text from outside are indented, like those of the log.
  void line(const std::string& text) { text_ += join(split(text, '\n'), "\n     ") + "\n"; }
  [[nodiscard]] std::string hint(const Finding& finding) const {
    return "hint: " + printable(as_typed(finding.hint, report_.manifest));
  }
  void migrations();
  void migration(const StatusReport::Migration& one, std::size_t width, bool is_last);
  void other_findings();
  void lease();
  void runs();
  void gate();
  void drift();
  void conclusion();

  [[nodiscard]] bool is_migration(const std::string& name) const {
    return std::any_of(report_.migrations.begin(), report_.migrations.end(),
                       [&](const auto& one) { return one.name == name; });
  }
  [[nodiscard]] std::vector<const Finding*> findings_of(const std::string& name) const {
    std::vector<const Finding*> found;
    for (const auto& finding : report_.findings)
      if (finding.subject == name) found.push_back(&finding);
    return found;
  }
  [[nodiscard]] bool is_plain(const StatusReport::Migration& one) const {
    return one.state == "applied" && findings_of(one.name).empty();
  }

  const StatusReport& report_;
  Painter paint_;
  std::string text_;
};

void TextReport::migrations() {
  std::size_t applied = 0;
  std::size_t width = 0;
  for (const auto& one : report_.migrations) {
    applied += one.at.empty() ? 0 : 1;
    width = std::max(width, character_count(one.name));
  }
  width = std::min(width, k_name_width_max);
  line(fmt::format("{}: {}, {} applied", report_.folder.empty() ? "migrations" : report_.folder,
                   counted(report_.migrations.size(), "migration"), applied));
  for (std::size_t i = 0; i < report_.migrations.size(); ++i) {
    std::size_t more = 0;
    while (i + more < report_.migrations.size() && is_plain(report_.migrations[i + more])) ++more;
    if (more > k_applied_shown_max) {
      line(paint_.quiet(fmt::format("├─ ... {} applied", more - k_applied_shown_max)));
      i += more - k_applied_shown_max;
    }
    migration(report_.migrations[i], width, i + 1 == report_.migrations.size());
  }
  line("");
}

void TextReport::migration(const StatusReport::Migration& one, std::size_t width, bool is_last) {
  const auto found = findings_of(one.name);
  const auto state = !found.empty()   ? paint_.by(found.front()->code, one.state)
                     : one.at.empty() ? one.state
                                      : paint_.good(one.state);
  const auto padding = width > character_count(one.name) ? width - character_count(one.name) : 0;
  line(fmt::format("{} {}{}  {}{}", is_last ? "└─" : "├─", one.name, std::string(padding, ' '),
                   state, one.at.empty() ? "" : "  " + paint_.quiet(one.at)));
  const std::string indent = is_last ? "     " : "│    ";
  for (const auto* finding : found) {
    const bool is_told_once = finding->hint == own_command("run");
    if (finding->state != "pending" || !finding->evidence.empty() || !is_told_once)
      line(indent + finding->what);
    for (const auto& evidence : finding->evidence) line(indent + evidence);
    if (!finding->hint.empty() && !is_told_once) line(indent + hint(*finding));
  }
}

void TextReport::other_findings() {
  bool any = false;
  for (const auto& finding : report_.findings) {
    if (is_migration(finding.subject) || finding.state == "gate-closed") continue;
    any = true;
    const auto lines = split(finding.what, '\n');
    line(paint_.by(finding.code, "* " + lines.front()));
    for (std::size_t i = 1; i < lines.size(); ++i) line("  " + lines[i]);
    for (const auto& evidence : finding.evidence) line("  " + evidence);
    if (!finding.hint.empty()) line("  " + hint(finding));
  }
  if (any) line("");
}

void TextReport::lease() {
  if (!report_.lease) return;
  const auto& lease = *report_.lease;
  const auto who = fmt::format("release {} of {} on {} since {}", lease.release, lease.app,
                               lease.host, lease.since);
  line(lease.held ? fmt::format("lease   {}: {} by {}, renewed {} s ago", lease.name,
                                paint_.warning("held"), who, lease.renewed_ago_s)
                  : fmt::format("lease   {}: free (last taken by {})", lease.name, who));
}

void TextReport::runs() {
  for (const auto& run : report_.runs) {
    auto text =
        fmt::format("run     #{} {}  {}  {} of release {}, {} applied", run.id, run.started_at,
                    run.status == "complete" ? paint_.good(run.status) : paint_.bad(run.status),
                    run.mode, run.release, run.applied);
    if (run.took_ms >= 0) text += ", " + for_people(Milliseconds{run.took_ms});
    if (run.error_code != 0)
      text += fmt::format(", code {}: {}", run.error_code,
                          shortened(join(split(run.error, '\n'), " "), 160));
    line(text);
    if (!run.note.empty())
      for (const auto& note : split(run.note, '\n')) line("          " + note);
  }
}

void TextReport::gate() {
  for (const auto& marker : report_.markers)
    line(fmt::format("marker  {}: {}{}", marker.release, marker.status,
                     marker.completed_at.empty() ? "" : " since " + marker.completed_at));
  if (!report_.gate_open) return line("gate    " + report_.gate_why);
  if (*report_.gate_open)
    return line("gate    " + paint_.good("open") + " for release " + report_.release);
  const auto lines = split(report_.gate_why, '\n');
  line("gate    " + paint_.bad("closed") + ": " + lines.front());
  for (std::size_t i = 1; i < lines.size(); ++i) line("          " + lines[i]);
}

void TextReport::drift() {
  if (!report_.drift) return;
  const auto& drift = *report_.drift;
  if (!drift.why_not.empty()) return line("drift   not looked for: " + drift.why_not);
  line(fmt::format("drift   {} since {}",
                   drift.differences.empty()
                       ? paint_.good("none")
                       : paint_.warning(counted(drift.differences.size(), "difference")),
                   drift.since));
}

void TextReport::conclusion() {
  const auto code = report_.exit_code();
  line("");
  if (code == ExitCode::done)
    return line(paint_.good("healthy and up to date") +
                (report_.drift && report_.drift->why_not.empty() ? "" : ", drift not looked for") +
                (report_.drift && !report_.drift->differences.empty() ? ", but drifted" : ""));
  const auto count = std::count_if(report_.findings.begin(), report_.findings.end(),
                                   [](const auto& one) { return one.code != ExitCode::done; });
  line(paint_.bad(fmt::format("{} to be settled; exit code {}",
                              counted(static_cast<std::size_t>(count), "finding"),
                              static_cast<int>(code))));
  const bool run_settles_all =
      std::all_of(report_.findings.begin(), report_.findings.end(), [](const auto& one) {
        return one.code == ExitCode::done || one.hint == own_command("run");
      });
  if (run_settles_all) line("hint: " + as_typed(own_command("run"), report_.manifest));
}

}  // namespace

std::string as_text(const StatusReport& report, bool colour) {
  return TextReport{report, colour}.text();
}

}  // namespace schemagate
