// Two databases in the same state: on one Prisma's real engine settles a migration, on the other
// one we do. All columns of all rows are compared.

#include <doctest/doctest.h>

#include <map>

#include "support/two_tools.hpp"

using namespace testing;

namespace {

using Answer = PrismaEngine::Answer;

constexpr const char* k_users = "CREATE TABLE users (id int PRIMARY KEY, name text);\n";
constexpr const char* k_nick = "ALTER TABLE users ADD COLUMN nick text;\n";

// A state that a history can be in, made for real. `2_nick` is the migration that matters.
struct State {
  std::string name;
  void (*make)(const SharedFolder&, const TestDatabase&);
  std::string mark_applied = "ok";  // what Prisma's engine answers
  std::string mark_rolled_back = "ok";
  int applied = 0;  // our exit codes
  int rolled_back = 0;
};

void first(const SharedFolder& folder, const TestDatabase& database) {
  folder.migration("1_users", k_users);
  REQUIRE(folder.deploy(database).outcome == "ok");
  folder.migration("2_nick", std::string{k_nick} + "SELECT 1/0;\n");
}
void fail(const SharedFolder& folder, const TestDatabase& database) {
  first(folder, database);
  REQUIRE(folder.deploy(database).outcome != "ok");
}
void mend_and_deploy(const SharedFolder& folder, const TestDatabase& database) {
  folder.migration("2_nick", k_nick);
  REQUIRE(folder.deploy(database).outcome == "ok");
}
void fail_and_roll_back(const SharedFolder& folder, const TestDatabase& database) {
  fail(folder, database);
  REQUIRE(folder.mark_rolled_back(database, "2_nick").outcome == "ok");
}

void roll_back_and_apply(const SharedFolder& folder, const TestDatabase& database) {
  fail_and_roll_back(folder, database);
  mend_and_deploy(folder, database);
}

void apply(const SharedFolder& folder, const TestDatabase& database) {
  first(folder, database);
  mend_and_deploy(folder, database);
}

void mark_as_applied(const SharedFolder& folder, const TestDatabase& database) {
  first(folder, database);
  folder.migration("2_nick", k_nick);
  database.execute(k_nick);
  REQUIRE(folder.mark_applied(database, "2_nick").outcome == "ok");
}

const std::vector<State> k_states = {
    {.name = "no history",
     .make =
         [](const SharedFolder& folder, const TestDatabase& database) {
           folder.migration("2_nick", k_nick);
           database.execute(std::string{k_users} + k_nick);
         },
     .mark_rolled_back = "no answer",  // "Invariant violation", without a code
     .rolled_back = 20},
    {.name = "pending", .make = first, .mark_rolled_back = "P3011", .rolled_back = 20},
    {.name = "failed", .make = fail},
    {.name = "half applied",
     .make =
         [](const SharedFolder& folder, const TestDatabase& database) {
           first(folder, database);
           REQUIRE(folder.deploy(database, Sends::statements).outcome != "ok");
         }},
    {.name = "failed in a transaction of its own: no logs",
     .make =
         [](const SharedFolder& folder, const TestDatabase& database) {
           first(folder, database);
           folder.migration("2_nick", "BEGIN;\n" + std::string{k_nick} + "SELECT 1/0;\nCOMMIT;\n");
           REQUIRE(folder.deploy(database).outcome != "ok");
         }},
    {.name = "edited after it failed",
     .make =
         [](const SharedFolder& folder, const TestDatabase& database) {
           fail(folder, database);
           folder.migration("2_nick", k_nick);
         }},
    {.name = "rolled back", .make = fail_and_roll_back},
    {.name = "rolled back, then failed again",
     .make =
         [](const SharedFolder& folder, const TestDatabase& database) {
           fail_and_roll_back(folder, database);
           REQUIRE(folder.deploy(database).outcome != "ok");
         }},
    {.name = "failed twice",
     .make =
         [](const SharedFolder& folder, const TestDatabase& database) {
           fail(folder, database);
           database.execute(
               "INSERT INTO _prisma_migrations SELECT gen_random_uuid(), checksum, finished_at,"
               "       migration_name, logs, rolled_back_at, started_at + interval '1 ms'"
               "  FROM _prisma_migrations WHERE migration_name = '2_nick'");
         }},
    {.name = "rolled back, then applied",
     .make = roll_back_and_apply,
     .mark_applied = "P3008",
     .rolled_back = 20},
    {.name = "applied",
     .make = apply,
     .mark_applied = "P3008",
     .mark_rolled_back = "P3012",
     .rolled_back = 20},
    {.name = "marked as applied, and there",
     .make = mark_as_applied,
     .mark_applied = "P3008",
     .mark_rolled_back = "P3012",
     .rolled_back = 20},
};

std::string lines(const std::vector<std::string>& rows) {
  std::string all;
  for (const auto& row : rows) all += row + "\n";
  return all;
}

bool answers(const Answer& answer, const std::string& wanted) {
  return wanted == "no answer" ? answer.outcome != "ok" : answer.outcome == wanted;
}

// Prisma's engine and ours decide the same of the same history, each on its own copy.
void check_twins(const State& state, const std::string& decision, const std::string& wanted,
                 int exit_code) {
  INFO(state.name);
  const SharedFolder folder;
  const TestDatabase theirs;
  state.make(folder, theirs);
  const auto ours = copy_of(theirs);
  const auto answer = decision == "--applied" ? folder.mark_applied(theirs, "2_nick")
                                              : folder.mark_rolled_back(theirs, "2_nick");
  INFO(answer.message);
  CHECK(answers(answer, wanted));
  CHECK(folder.ours(*ours, {"resolve", "2_nick", decision}) == exits(exit_code));
  CHECK(lines(history_rows(*ours)) == lines(history_rows(theirs)));
  CHECK(difference(contents_of(*ours), contents_of(theirs)).empty());
}

}  // namespace

TEST_SUITE_BEGIN("prisma twins");

TEST_CASE("resolve --applied writes row for row what Prisma writes, in every state of a history") {
  if (!PrismaEngine::is_there()) return;
  for (const auto& state : k_states)
    check_twins(state, "--applied", state.mark_applied, state.applied);
}

TEST_CASE("resolve --rolled-back writes row for row what Prisma writes") {
  if (!PrismaEngine::is_there()) return;
  for (const auto& state : k_states)
    check_twins(state, "--rolled-back", state.mark_rolled_back, state.rolled_back);
}

TEST_CASE("baseline writes row for row what Prisma's resolve --applied writes one by one") {
  if (!PrismaEngine::is_there()) return;
  const SharedFolder folder;
  folder.migration("1_users", k_users);
  folder.migration("2_nick", k_nick);
  folder.migration("3_empty", "");
  const TestDatabase theirs;
  theirs.execute(std::string{k_users} + k_nick);
  const auto ours = copy_of(theirs);
  for (const auto* name : {"1_users", "2_nick", "3_empty"})
    CHECK(folder.mark_applied(theirs, name).outcome == "ok");
  CHECK(folder.ours(*ours, {"baseline", "--through", "3_empty"}) == exits(0));
  CHECK(lines(history_rows(*ours)) == lines(history_rows(theirs)));
  // The table itself, too.
  const auto columns = "SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod) ||"
                       "         attnotnull || coalesce(pg_get_expr(adbin, adrelid), ''), ', '"
                       "         ORDER BY attnum)"
                       "  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid"
                       "       AND adnum = attnum"
                       " WHERE attrelid = '_prisma_migrations'::regclass AND attnum > 0";
  CHECK(ours->value(columns) == theirs.value(columns));
}

// Prisma refuses (P3008) what once had an end, though its deploy takes such a row as not applied.
TEST_CASE("a row that is finished and rolled back is no obstacle for resolve --applied") {
  if (!PrismaEngine::is_there()) return;
  const SharedFolder folder;
  const TestDatabase database;
  folder.migration("1_users", k_users);
  CHECK(folder.deploy(database).outcome == "ok");
  database.execute("UPDATE _prisma_migrations SET rolled_back_at = now()");
  CHECK(folder.mark_applied(database, "1_users").outcome == "P3008");
  CHECK(folder.ours(database, {"resolve", "1_users", "--applied"}) == exits(0));
  CHECK(folder.deploy(database).outcome == "ok");
  CHECK(PrismaEngine::status(folder.path(), database).says == "up to date");
}

TEST_SUITE_END();
