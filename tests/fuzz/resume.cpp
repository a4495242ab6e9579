// What a plan makes of a run that was interrupted. The input is
//   how far it came ---- the script it ran ---- the script as it is now
// "How far" is one character for each segment: f finished, i interrupted, b the row is there and
// nothing was begun, x recorded with another digest, anything else not recorded. A digit before it:
// the statement that had to stand alone.

#include <algorithm>
#include <optional>

#include "fuzz.hpp"
#include "schemagate/base/error.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma.hpp"
#include "schemagate/migrate/plan.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;

constexpr const char* k_row = "row";

Migration migration_of(const std::string& name, const std::string& sql) {
  Migration migration;
  migration.name = name;
  migration.file = "/m/" + name + "/migration.sql";
  migration.sql = valid_utf8(sql);
  migration.checksum = sha256_hex(migration.sql);
  return migration;
}

using Steps = std::map<int, Step>;

// As an earlier run left them, or could have if `progress` is odd.
std::optional<Steps> steps_of(std::string progress, const Migration& migration) {
  PlannedMigration planned;
  planned.migration = &migration;
  try {
    planned.segments = split_into_segments(parse_script(migration.sql));
  } catch (const ScriptRefused&) {
    return std::nullopt;  // nothing of it was ever run
  }
  if (!progress.empty() && progress[0] >= '0' && progress[0] <= '9') {
    const auto number = static_cast<std::size_t>(progress[0] - '0');
    progress.erase(0, 1);
    const auto& statements = planned.segments.front().statements;
    if (planned.segments.size() == 1 && number < statements.size() &&
        statements[number].kind == Statement::Kind::ordinary && counts(statements[number]))
      planned = *with_cut(planned,
                          {statements[number].line, statements[number].column, Cut::Kind::alone});
  }
  Steps steps;
  const auto count = std::min(progress.size(), planned.segments.size());
  for (std::size_t i = 0; i < count; ++i) {
    const auto& segment = planned.segments[i];
    auto& step = steps[static_cast<int>(i)];
    if (progress[i] == 'f') step = {join(segment.digests(), "\n"), "before", true};
    if (progress[i] == 'x') step = {"other", "before", true};
    if (progress[i] == 'i' && !segment.transactional)
      step = {digest_of(segment.statements.front()), "before", false};
  }
  return steps;
}

// Some segments finished, the next one perhaps begun: what a run leaves behind.
bool is_orderly(std::string progress) {
  if (!progress.empty() && progress[0] >= '0' && progress[0] <= '9') progress.erase(0, 1);
  if (progress.ends_with('i') || progress == "b") progress.pop_back();
  return progress.find_first_not_of('f') == std::string::npos;
}

std::string finished(const Steps& steps) {
  std::string all;
  for (const auto& [number, step] : steps)
    if (step.finished && !step.digest.empty()) all += step.digest + "\n";
  return all;
}

void check_resumed(const PlannedMigration& planned, const Steps& steps) {
  const auto parts = std::count_if(steps.begin(), steps.end(),
                                   [](const auto& step) { return step.second.finished; });
  promise(planned.parts_done == static_cast<std::size_t>(parts), "no part is done again");
  const auto& interrupted = planned.interrupted;
  if (interrupted.digest.empty()) return;
  promise(!interrupted.finished, "what was finished was not interrupted");
  const auto& segment = planned.segments.at(planned.interrupted_segment);
  promise(!segment.transactional && digest_of(segment.statements.front()) == interrupted.digest,
          "the interrupted segment is the one that was begun");
  promise(!segment.may_be_half_done(), "what may be half done is not done once more");
}

// The earlier run and this plan together run each statement of the script once.
void check_whole(const PlannedMigration& planned, const Steps& steps) {
  auto script = parse_script(planned.migration->sql);
  std::erase_if(script, [](const auto& statement) { return !counts(statement); });
  std::string done;
  auto next = script.begin();
  for (; next - script.begin() < static_cast<std::ptrdiff_t>(planned.statements_done); ++next)
    done += digest_of(*next) + "\n";
  promise(done == finished(steps), "only what is done is skipped");
  const auto skip_settings = [&] {
    next = std::find_if(next, script.end(),
                        [](const auto& one) { return one.kind != Statement::Kind::setting; });
  };
  for (const auto& segment : planned.segments) {
    for (const auto& statement : segment.statements) {
      if (statement.kind == Statement::Kind::setting || !counts(statement)) continue;
      skip_settings();
      promise(next != script.end() && next->text == statement.text,
              "the segments are the script's statements", statement.text);
      ++next;
    }
  }
  skip_settings();
  promise(next == script.end(), "no statement is left out");
}

void check_plan(const Plan& plan, const Folder& folder, const Steps& steps) {
  promise(plan.pending.size() == folder.migrations.size(), "each migration is planned once");
  for (std::size_t i = 0; i < plan.pending.size(); ++i) {
    const auto& planned = plan.pending[i];
    promise(planned.migration == &folder.migrations[i], "migrations are planned in their order");
    promise(planned.row_id == (i == 0 ? k_row : ""), "only the first was begun");
    promise(!planned.segments.empty(), "a plan has segments");
    check_whole(planned, i == 0 ? steps : Steps{});
    if (i == 0) check_resumed(planned, steps);
    else promise(planned.parts_done == 0, "a fresh start starts at the start");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto texts = fuzz::texts_of(data, size, 3);
  const auto ran = migration_of("1_first", texts[1]);
  if (fuzz::holds(ran.sql, std::string_view{"\0", 1})) return 0;
  const auto steps = steps_of(texts[0], ran);
  if (!steps) return 0;
  const bool is_edited = size != texts[0].size() + texts[1].size() + 6;
  Folder folder{.directory = "/m",
                .migrations = {is_edited ? migration_of("1_first", texts[2]) : ran,
                               migration_of("2_second", "SELECT 1")},
                .digest = "digest",
                .format = prisma::format()};
  History history;
  history.oid = 1;
  history.rows.push_back({.id = k_row,
                          .name = "1_first",
                          .checksum = ran.checksum,
                          .logs = size % 2 == 0 ? "" : "the server said no",
                          .started_at = "today",
                          .finished = false,
                          .rolled_back = false});
  if (!steps->empty()) history.steps[k_row] = *steps;
  try {
    const auto plan = make_plan(folder, history, {});
    promise(plan.blocking.empty() == !steps->empty(), "what was not recorded is not continued");
    if (!plan.blocking.empty()) return 0;
    check_plan(plan, folder, *steps);
    promise(make_plan(folder, history, {}).pending[0].statements_done ==
                plan.pending[0].statements_done,
            "the same history is read the same way");
  } catch (const Failure& e) {
    promise(e.code() == ExitCode::history || e.code() == ExitCode::migration_failed,
            "a refusal is about the history or the script", e.what());
    promise(!e.hint().empty() || e.code() == ExitCode::migration_failed, "a way out is named");
    // An unchanged script after an orderly run can be continued, unless nobody knows what the
    // interrupted statement did.
    const bool is_unknown =
        texts[0].ends_with('i') && fuzz::holds(e.what(), "how far it came cannot be told");
    promise(is_edited || !is_orderly(texts[0]) || steps->empty() || is_unknown,
            "an orderly run can be continued", e.what());
  }
  return 0;
}
