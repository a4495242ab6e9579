#include "schemagate/migrate/plan.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

namespace {

Folder folder_of(const std::vector<std::pair<std::string, std::string>>& scripts) {
  Folder folder;
  folder.directory = "/srv/migrations";
  folder.format = prisma::format();
  for (const auto& [name, sql] : scripts) {
    folder.migrations.push_back({.name = name,
                                 .file = folder.directory / name / "migration.sql",
                                 .sql = sql,
                                 .checksum = sha256_hex(sql)});
  }
  return folder;
}

HistoryRow row(const std::string& name, const std::string& sql) {
  return {.id = "id-" + name,
          .name = name,
          .checksum = sha256_hex(sql),
          .logs = "",
          .started_at = "yesterday"};
}

HistoryRow applied(const std::string& name, const std::string& sql) {
  auto done = row(name, sql);
  done.finished = true;
  return done;
}

HistoryRow rolled_back(const std::string& name, const std::string& sql) {
  auto undone = row(name, sql);
  undone.rolled_back = true;
  return undone;
}

History history_of(std::vector<HistoryRow> rows) {
  History history;
  history.oid = 1;
  history.rows = std::move(rows);
  return history;
}

std::vector<std::string> pending(const Plan& plan) {
  std::vector<std::string> names;
  for (const auto& planned : plan.pending) names.push_back(planned.migration->name);
  return names;
}

struct Refusal {
  ExitCode code = ExitCode::done;
  std::string text;
  std::string hint;
};

Refusal refusal(const Folder& folder, const History& history,
                const Manifest::Migrations& policies = {}) {
  try {
    (void)make_plan(folder, history, policies);
    return {};
  } catch (const Failure& failure) {
    return {failure.code(), failure.what(), failure.hint().text()};
  }
}

const std::string k_mixed =
    "CREATE TABLE a (i int);\nCREATE INDEX CONCURRENTLY i ON a (i);\nSELECT 2;\n";

using Names = std::vector<std::string>;

// The default policies but for one.
template <class Value>
Manifest::Migrations with(Value Manifest::Migrations::* member, Value value) {
  Manifest::Migrations policies;
  policies.*member = value;
  return policies;
}

Manifest::Migrations together() { return with(&Manifest::Migrations::atomic, Atomic::release); }

}  // namespace

TEST_SUITE("plan") {
  TEST_CASE("what the history does not hold is pending, in the folder's order") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}, {"2_b", "SELECT 2"}, {"3_c", "SELECT 3"}});
    CHECK(pending(make_plan(folder, {}, {})) == Names{"1_a", "2_b", "3_c"});
    CHECK(pending(make_plan(folder, history_of({applied("1_a", "SELECT 1")}), {})) ==
          Names{"2_b", "3_c"});
    CHECK(pending(make_plan(folder,
                            history_of({applied("1_a", "SELECT 1"), applied("2_b", "SELECT 2"),
                                        applied("3_c", "SELECT 3")}),
                            {}))
              .empty());
    CHECK(make_plan({}, {}, {}).pending.empty());
  }

  TEST_CASE("a rolled-back migration is pending again, unless it was applied afterwards") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}});
    CHECK(pending(make_plan(folder, history_of({rolled_back("1_a", "SELECT 1")}), {})) ==
          Names{"1_a"});
    auto finished_then_rolled_back = applied("1_a", "SELECT 1");
    finished_then_rolled_back.rolled_back = true;
    CHECK(pending(make_plan(folder, history_of({finished_then_rolled_back}), {})) == Names{"1_a"});
    CHECK(pending(make_plan(folder,
                            history_of({rolled_back("1_a", "x"), applied("1_a", "SELECT 1")}), {}))
              .empty());
  }

  TEST_CASE("a plain migration is one transaction, another one needs a direct connection") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}, {"2_b", k_mixed}});
    const auto plan = make_plan(folder, {}, {});
    CHECK(plan.pending.at(0).is_one_transaction());
    CHECK_FALSE(plan.pending.at(1).is_one_transaction());
    CHECK(plan.needs_direct_connection());
    CHECK_FALSE(
        make_plan(folder, history_of({applied("2_b", k_mixed)}), {}).needs_direct_connection());
  }

  TEST_CASE("failed rows that nobody can continue are in the way, also those not in the folder") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}, {"2_b", "x"}});
    const auto history =
        history_of({applied("1_a", "SELECT 1"), row("2_b", "x"), row("0_gone", "y")});
    const auto plan = make_plan(folder, history, {});
    CHECK(plan.pending.empty());
    REQUIRE(plan.blocking.size() == 2);
    CHECK(plan.blocking[0]->name == "2_b");
    CHECK(plan.blocking[1]->name == "0_gone");
  }

  TEST_CASE("a pending directory without migration.sql is refused (P3015), an applied one is not") {
    auto folder = folder_of({{"1_a", "SELECT 1"}, {"2_b", ""}});
    folder.migrations[1].file_missing = true;
    const auto refused = refusal(folder, history_of({applied("1_a", "SELECT 1")}));
    CHECK(refused.code == ExitCode::history);
    CHECK(refused.text == contains("P3015"));
    CHECK(refused.text == contains("2_b/migration.sql"));
    CHECK(
        make_plan(folder, history_of({applied("1_a", "SELECT 1"), applied("2_b", "was here")}), {})
            .pending.empty());
  }

  TEST_CASE("an edited migration follows its policy, line ends do not count") {
    const auto folder = folder_of({{"1_a", "SELECT 1;\n"}});
    const auto edited = history_of({applied("1_a", "SELECT 0;\n")});
    CHECK(refusal(folder, edited, with(&Manifest::Migrations::edited, Policy::fail)).code ==
          ExitCode::history);
    const auto refused = refusal(folder, edited);
    CHECK(refused.text == contains("1_a/migration.sql"));
    CHECK(refused.text == contains(sha256_hex("SELECT 0;\n").substr(0, 12)));
    CHECK(refused.hint.starts_with("undo the edit"));
    CHECK(refused.hint == contains("write a new migration"));
    CHECK(refused.hint != contains("migrations.edited"));
    CHECK(make_plan(folder, edited, with(&Manifest::Migrations::edited, Policy::warn))
              .warnings.size() == 1);
    CHECK(make_plan(folder, edited, with(&Manifest::Migrations::edited, Policy::allow))
              .warnings.empty());
    CHECK(make_plan(folder, history_of({applied("1_a", "SELECT 1;\r\n")}), {}).warnings.empty());
  }

  TEST_CASE("a migration that is applied but not in the folder follows its policy") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}});
    const auto ahead = history_of({applied("1_a", "SELECT 1"), applied("2_b", "SELECT 2")});
    const auto plan = make_plan(folder, ahead, {});
    CHECK(plan.pending.empty());
    REQUIRE(plan.warnings.size() == 1);
    CHECK(plan.warnings.front() == contains("2_b"));
    CHECK(refusal(folder, ahead, with(&Manifest::Migrations::missing, Policy::fail)).code ==
          ExitCode::history);
    CHECK(make_plan(folder, ahead, with(&Manifest::Migrations::missing, Policy::allow))
              .warnings.empty());
    CHECK(make_plan(folder, history_of({applied("1_a", "SELECT 1"), rolled_back("2_b", "x")}), {})
              .warnings.empty());
  }

  TEST_CASE("a pending migration before an applied one follows its policy, and is still applied") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}, {"2_b", "SELECT 2"}, {"3_c", "SELECT 3"}});
    const auto history = history_of({applied("2_b", "SELECT 2")});
    const auto plan = make_plan(folder, history, {});
    CHECK(pending(plan) == Names{"1_a", "3_c"});
    REQUIRE(plan.warnings.size() == 1);
    CHECK(plan.warnings.front() == contains("migration 1_a is pending, but 2_b"));
    CHECK(refusal(folder, history, with(&Manifest::Migrations::out_of_order, Policy::fail)).code ==
          ExitCode::history);
    CHECK(make_plan(folder, history, with(&Manifest::Migrations::out_of_order, Policy::allow))
              .warnings.empty());
  }

  TEST_CASE("a pending migration with the content of an applied one that is missing was renamed") {
    const auto folder =
        folder_of({{"1_a", "SELECT 1"}, {"2_new", "CREATE TABLE b ()"}, {"3_c", "SELECT 3"}});
    const auto history =
        history_of({applied("1_a", "SELECT 1"), applied("2_b", "CREATE TABLE b ()")});
    const auto refused = refusal(folder, history);
    CHECK(refused.code == ExitCode::history);
    CHECK(refused.text ==
          "migration 2_b was renamed to 2_new after it was applied; it is not executed again");
    CHECK(refused.hint == "schemagate baseline 2_new && schemagate run");
    // Copied, recorded, changed, or doing nothing: none of these.
    auto with_both = folder;
    with_both.migrations.push_back(folder_of({{"2_b", "CREATE TABLE b ()"}}).migrations.front());
    CHECK(pending(make_plan(with_both, history, {})) == Names{"2_new", "3_c"});
    auto recorded = history;
    recorded.rows.push_back(applied("2_new", "CREATE TABLE b ()"));
    CHECK(pending(make_plan(folder, recorded, {})) == Names{"3_c"});
    CHECK(pending(make_plan(folder_of({{"2_new", "CREATE TABLE b (i int)"}}), history, {})) ==
          Names{"2_new"});
    CHECK(pending(make_plan(folder_of({{"2_new", "-- nothing"}}),
                            history_of({applied("2_b", "-- nothing")}), {})) == Names{"2_new"});
  }

  TEST_CASE("all that policies forbid is said at once") {
    Manifest::Migrations strict;
    strict.out_of_order = strict.edited = strict.missing = Policy::fail;
    const auto refused =
        refusal(folder_of({{"1_a", "SELECT 1"}, {"2_b", "SELECT 2"}}),
                history_of({applied("2_b", "edited"), applied("9_z", "gone")}), strict);
    CHECK(split(refused.text, '\n').size() == 3);
  }

  TEST_CASE("a failed row without recorded progress of ours is not resumed") {
    auto history = history_of({row("1_a", k_mixed)});
    history.steps["another id"] = {{0, {}}};
    CHECK(make_plan(folder_of({{"1_a", k_mixed}}), history, {}).blocking.size() == 1);
    history.steps["id-1_a"] = {{0, {}}};
    CHECK(make_plan(folder_of({{"2_b", "SELECT 1"}}), history, {}).blocking.size() == 1);
  }

  TEST_CASE("all pending scripts are judged before the first one is applied") {
    const auto refused =
        refusal(folder_of({{"1_a", "SELECT 1"}, {"2_b", "SELECT 1;\n  ROLLBACK;"}}), {});
    CHECK(refused.code == ExitCode::migration_failed);
    CHECK(refused.text == contains("2_b/migration.sql:2:3: "));
    CHECK(refused.text == contains("nothing was applied"));
  }

  TEST_CASE("a script in UTF-16 or with invalid UTF-8 outside comments is refused") {
    const auto utf16 = refusal(folder_of({{"1_a", std::string{"S\0E\0", 4}}}), {});
    CHECK(utf16.code == ExitCode::migration_failed);
    CHECK(utf16.hint == contains("UTF-16"));
    auto folder = folder_of({{"1_a", "SELECT 'caf\xEF\xBF\xBD';"}});
    CHECK(refusal(folder, {}).code == ExitCode::done);  // that is what the file holds
    folder.migrations[0].was_invalid_utf8 = true;
    CHECK(refusal(folder, {}).code == ExitCode::migration_failed);
    folder.migrations[0].sql = "-- caf\xEF\xBF\xBD\nSELECT 1;";
    CHECK(make_plan(folder, {}, {}).warnings.size() == 1);
  }

  TEST_CASE("atomic: release is refused where PostgreSQL does not allow it, with the place") {
    const auto refused = [&](const std::string& first, const std::string& second) {
      return refusal(folder_of({{"1_a", first}, {"2_b", second}}), {}, together());
    };
    CHECK(refused("SELECT 1", "SELECT 2").code == ExitCode::done);
    CHECK(refused("SELECT 1", "VACUUM").text == contains("VACUUM refuses transactions"));
    CHECK(refused("SELECT 1", k_mixed).text == contains("2_b/migration.sql:2:1: "));
    CHECK(refused("SELECT 1", k_mixed).code == ExitCode::refused);
    CHECK(refused("SELECT 1", "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 2; COMMIT;").text ==
          contains("ISOLATION LEVEL SERIALIZABLE"));
    CHECK(refused("", "-- nothing").code == ExitCode::done);
  }

  TEST_CASE("atomic: release is refused in the middle of a half-done migration") {
    const auto folder = folder_of({{"1_a", "SELECT 1"}});
    auto history = history_of({row("1_a", "SELECT 1")});
    history.steps["id-1_a"] = {{0, {.digest = "", .evidence = "", .finished = false}}};
    const auto refused = refusal(folder, history, together());
    CHECK(refused.code == ExitCode::refused);
    CHECK(refused.text == contains("an earlier run stopped in the middle"));
  }
}
