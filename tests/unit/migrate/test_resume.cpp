// What is left to do of a script that an earlier run began, where the script was changed since.

#include "schemagate/migrate/plan.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

namespace {

Folder folder_of(const std::string& sql) {
  Folder folder;
  folder.directory = "/srv/migrations";
  folder.format = prisma::format();
  folder.migrations.push_back({.name = "1_a",
                               .file = folder.directory / "1_a" / "migration.sql",
                               .sql = sql,
                               .checksum = sha256_hex(sql)});
  return folder;
}

// A run of `sql` that finished so many parts, began the next one if that stands alone, and was
// killed there, or refused by the server.
struct Ran {
  std::string sql;
  std::size_t parts_done = 1;
  bool was_refused = true;
  std::vector<Cut> cuts = {};
};

History history_of(const Ran& ran) {
  History history;
  history.oid = 1;
  history.rows = {{.id = "id",
                   .name = "1_a",
                   .checksum = sha256_hex(ran.sql),
                   .logs = ran.was_refused ? "no" : "",
                   .started_at = "yesterday"}};
  auto& steps = history.steps["id"];
  steps[0] = {};
  int number = 0;
  for (const auto& part : split_into_segments(parse_script(ran.sql), ran.cuts)) {
    const bool is_done = number < static_cast<int>(ran.parts_done);
    if (is_done) steps[number] = {join(part.digests(), "\n"), "", true};
    else if (!part.transactional)
      steps[number] = {digest_of(part.statements.front()), "before", false};
    ++number;
    if (!is_done) break;
  }
  return history;
}

PlannedMigration left_of(const Ran& ran, const std::string& sql) {
  const auto folder = folder_of(sql);
  const auto plan = make_plan(folder, history_of(ran), {});
  REQUIRE(plan.pending.size() == 1);
  CHECK(plan.pending.front().parts_done == ran.parts_done);
  auto planned = plan.pending.front();
  planned.migration = nullptr;  // of the folder, which goes
  return planned;
}

// The statements left, "|" between segments, "!" before what was interrupted.
std::string left(const Ran& ran, const std::string& sql) {
  const auto planned = left_of(ran, sql);
  std::string all;
  for (std::size_t i = 0; i < planned.segments.size(); ++i) {
    if (i > 0) all += " |";
    if (!planned.interrupted.digest.empty() && i == planned.interrupted_segment) all += " !";
    for (const auto& statement : planned.segments[i].statements) all += " " + statement.text + ";";
  }
  return trim(all);
}

std::string refusal(const Ran& ran, const std::string& sql) {
  try {
    (void)make_plan(folder_of(sql), history_of(ran), {});
    return "accepted";
  } catch (const Failure& failure) {
    CHECK(failure.code() == ExitCode::history);
    CHECK_FALSE(failure.hint().empty());
    return failure.what();
  }
}

const Ran k_index_failed{"SELECT 1;\nSELECT 2;\nVACUUM;\nSELECT 3;"};

}  // namespace

TEST_SUITE("resume") {
  TEST_CASE("an unchanged script goes on at its first unfinished part") {
    CHECK(left(k_index_failed, k_index_failed.sql) == "! VACUUM; | SELECT 3;");
    CHECK(left({k_index_failed.sql, 0}, k_index_failed.sql) ==
          "SELECT 1; SELECT 2; | VACUUM; | SELECT 3;");
    CHECK(left({k_index_failed.sql, 2}, k_index_failed.sql) == "SELECT 3;");
    CHECK(left_of(k_index_failed, k_index_failed.sql).interrupted.evidence == "before");
    CHECK(left_of(k_index_failed, k_index_failed.sql).parts() == 3);
  }

  TEST_CASE("statements put between what is done and what failed are executed, and nothing twice") {
    CHECK(left(k_index_failed, "SELECT 1; SELECT 2; DELETE FROM a; VACUUM; SELECT 3;") ==
          "DELETE FROM a; | ! VACUUM; | SELECT 3;");
    CHECK(left(k_index_failed,
               "SELECT 1; SELECT 2; BEGIN; DELETE FROM a; DELETE FROM b; COMMIT; VACUUM;") ==
          "DELETE FROM a; DELETE FROM b; | ! VACUUM;");
    CHECK(left(k_index_failed, "SELECT 1; SELECT 2; ANALYZE a; VACUUM b; SELECT 9; VACUUM;") ==
          "ANALYZE a; | VACUUM b; | SELECT 9; | ! VACUUM;");
    CHECK(left({k_index_failed.sql, 2}, "SELECT 1; SELECT 2; VACUUM; DELETE FROM a; SELECT 3;") ==
          "DELETE FROM a; SELECT 3;");
  }

  TEST_CASE("the failed statement may be replaced by others, or by none") {
    CHECK(left(k_index_failed, "SELECT 1; SELECT 2; SELECT 'a'; SELECT 'b'; SELECT 3;") ==
          "SELECT 'a'; SELECT 'b'; SELECT 3;");
    CHECK(left(k_index_failed, "SELECT 1; SELECT 2; SELECT 3;") == "SELECT 3;");
    CHECK(left(k_index_failed, "SELECT 1; SELECT 2;").empty());
    CHECK(left(k_index_failed, "SELECT 1; SELECT 2; VACUUM a; VACUUM b; SELECT 3;") ==
          "VACUUM a; | VACUUM b; | SELECT 3;");
  }

  TEST_CASE("comments, blanks, BEGIN and COMMIT change nothing of what is done") {
    CHECK(left(k_index_failed,
               "-- why\nSELECT  1 ; /* x */ SELECT\n2; -- y\n\nDELETE FROM a;\nVACUUM;") ==
          "DELETE FROM a; | ! VACUUM;");
    CHECK(left(k_index_failed, "BEGIN; SELECT 1; SELECT 2; COMMIT; VACUUM;") == "! VACUUM;");
    CHECK(left(k_index_failed, "BEGIN; SELECT 1; SELECT 2; SELECT 'in'; COMMIT; VACUUM;") ==
          "SELECT 'in'; | ! VACUUM;");
  }

  TEST_CASE("what is done may not be changed, moved or left out, and the line is named") {
    CHECK(refusal(k_index_failed, "SELECT 1;\nSELECT 22;\nVACUUM;") ==
          contains("1_a/migration.sql:2:1: another statement stood here when it was applied"));
    CHECK(refusal(k_index_failed, "SELECT 1;\nVACUUM;\nSELECT 3;") == contains(".sql:2:1: "));
    CHECK(refusal(k_index_failed, "SELECT 2;\nSELECT 1;\nVACUUM;") == contains(".sql:1:1: "));
    CHECK(refusal(k_index_failed, "SELECT 1;") == contains("the script ends before"));
    CHECK(refusal(k_index_failed, "-- nothing") == contains("the first 1 part of this script"));
    CHECK(refusal({k_index_failed.sql, 2}, "SELECT 1; SELECT 2;\nDELETE FROM a; VACUUM;") ==
          contains(".sql:2:1: this stands before line 2, which is applied"));
  }

  TEST_CASE("what is new may not stand before what is done") {
    CHECK(refusal(k_index_failed, "DELETE FROM a;\nSELECT 1;\nSELECT 2;\nVACUUM;") ==
          contains(".sql:1:1: this stands before line 2, which is applied"));
    CHECK(
        refusal(k_index_failed, "SELECT 1;\nDELETE FROM a;\nDELETE FROM b;\nSELECT 2;\nVACUUM;") ==
        contains(".sql:2:1: this stands before line 4, which is applied"));
    CHECK(refusal(k_index_failed, "SET search_path = b;\nSELECT 1;\nSELECT 2;\nVACUUM;") ==
          contains(".sql:1:1: this stands before line 2"));
  }

  TEST_CASE("settings belong to what was executed under them, and hold for the rest") {
    const Ran ran{"SET a.b = 1;\nVACUUM;\nSET a.c = 2;\nSELECT 1;\nVACUUM a;", 2};
    CHECK(left(ran, ran.sql) == "! VACUUM a;");
    CHECK(left_of(ran, ran.sql).segments.front().settings.size() == 2);
    CHECK(refusal(ran, "SET a.b = 2;\nVACUUM;\nSET a.c = 2;\nSELECT 1;\nVACUUM a;") ==
          contains(".sql:1:1: another"));
    CHECK(refusal(ran, "SET a.b = 1;\nVACUUM;\nSELECT 1;\nVACUUM a;") ==
          contains(".sql:3:1: another"));
  }

  TEST_CASE("what is put into a block is executed under the block's SET LOCAL and options") {
    const Ran ran{"BEGIN; SET LOCAL a.b = 1; SELECT 1; COMMIT; VACUUM;"};
    const auto planned = left_of(
        ran, "BEGIN; SET LOCAL a.b = 1; SELECT 1; DELETE FROM a; COMMIT; SELECT 2; VACUUM;");
    REQUIRE(planned.segments.size() == 3);
    CHECK(planned.segments[0].settings.front().text == "SET LOCAL a.b = 1");
    CHECK(planned.segments[1].settings.empty());
    CHECK(planned.segments[1].statements.front().text == "SELECT 2");
    const Ran serializable{"BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT; VACUUM;"};
    const auto rest = left_of(
        serializable, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; SELECT 2; COMMIT; VACUUM;");
    CHECK(rest.segments.front().transaction_options == "ISOLATION LEVEL SERIALIZABLE");
    CHECK(left(serializable, serializable.sql) == "! VACUUM;");
  }

  TEST_CASE("a statement that only the server knew to stand alone stays alone") {
    const Ran ran{"SELECT 1;\nCALL p();\nSELECT 2;", 2, true, {{2, 1, Cut::Kind::alone}}};
    CHECK(left(ran, "SELECT 1; CALL p(); DELETE FROM a; SELECT 2;") == "DELETE FROM a; SELECT 2;");
    const Ran begun{"SELECT 1;\nCALL p();\nSELECT 2;", 1, true, {{2, 1, Cut::Kind::alone}}};
    CHECK(refusal(begun, "SELECT 1;\nDELETE FROM a;\nCALL p();\nSELECT 2;") ==
          contains(".sql:3:1: an earlier run failed in this statement"));
    CHECK(left(begun, "SELECT 1; SELECT 2;") == "SELECT 2;");
  }

  TEST_CASE("a statement that may be half done is not executed again where it was moved to") {
    const std::string block = "DO $$ BEGIN COMMIT; END $$;\n";
    for (const bool was_refused : {true, false}) {
      const Ran ran{"SELECT 1;\n" + block, 1, was_refused};
      CHECK(refusal(ran, "SELECT 1;\nDELETE FROM a;\n" + block) ==
            contains("how far it came cannot be told"));
    }
  }

  TEST_CASE("what a killed run began and the script does not hold any more stays unknown") {
    const Ran killed{k_index_failed.sql, 1, false};
    CHECK(left(killed, "SELECT 1; SELECT 2; DELETE FROM a; VACUUM;") ==
          "DELETE FROM a; | ! VACUUM;");
    CHECK(refusal(killed, "SELECT 1; SELECT 2;\nSELECT 3;") ==
          contains(".sql:2:1: an earlier run was interrupted in what stood here"));
    CHECK(refusal(killed, "SELECT 1; SELECT 2;") == contains("cannot be told"));
  }

  TEST_CASE(
      "what earlier versions recorded is understood: one SHA-256 of all that a part executed") {
    auto history = history_of({"SELECT 1;", 0});
    auto& steps = history.steps["id"];
    steps[0] = {"f5e102149aab308550173acbecf4e9f390c4006ebdd528f373172e5a05c821ae", "", true};
    steps[1] = {sha256_hex("alone\nVACUUM;\n"), "before", false};
    const auto rest = [&](const std::string& sql) {
      const auto folder = folder_of(sql);
      return make_plan(folder, history, {}).pending.at(0);
    };
    CHECK(rest("SELECT 1; VACUUM;").interrupted.evidence == "before");
    CHECK(rest("SELECT 1; DELETE FROM a; VACUUM;").segments.size() == 2);
    CHECK_THROWS_AS(rest("SELECT 2; VACUUM;"), Failure);
    CHECK_THROWS_AS(rest("SELECT 0; SELECT 1; VACUUM;"), Failure);
    steps[0].digest = sha256_hex("transaction\nSELECT 1;\n" +
                                 std::string{k_check_deferred_constraints} + ";\nSELECT 2;\n");
    CHECK(rest("BEGIN; SELECT 1; COMMIT; SELECT 2; VACUUM;").statements_done == 2);
    steps[0].digest = sha256_hex("alone\nVACUUM;\n");
    steps[1] = {sha256_hex("alone\nVACUUM a;\n"), "", true};
    CHECK(rest("SET a.b = 1; VACUUM; VACUUM a; SELECT 1;").statements_done == 3);
    CHECK_THROWS_AS(rest("VACUUM; DELETE FROM a; VACUUM a; SELECT 1;"), Failure);
  }

  TEST_CASE("a record with a gap is not continued behind it") {
    auto history = history_of({k_index_failed.sql, 2});
    history.steps["id"].erase(0);
    CHECK_THROWS_AS((void)make_plan(folder_of(k_index_failed.sql), history, {}), Failure);
  }
}
