// Folders made by chance, deployed by Prisma's real engine and by schemagate: the same schema, the
// same data, the same history, whoever did which part of it. SCHEMAGATE_TEST_FOLDERS says how many
// folders a case makes, SCHEMAGATE_SEED which ones.

#include <algorithm>

#include "faults/crowd.hpp"
#include "schemagate/base/text.hpp"
#include "support/generated.hpp"
#include "support/two_tools.hpp"

using namespace testing;

namespace {

using Failure = GeneratedMigration::Failure;
using Nature = GeneratedStatement::Nature;

int folders_wanted(int usual) {
  const char* wanted = std::getenv("SCHEMAGATE_TEST_FOLDERS");
  return wanted != nullptr ? std::stoi(wanted) : usual;
}

std::string lines(const std::vector<std::string>& rows) {
  std::string all;
  for (const auto& row : rows) all += row + "\n";
  return all;
}

void put(const SharedFolder& folder, const GeneratedMigration& migration) {
  folder.migration(migration.name, migration.script());
}

void expect_run(const SharedFolder& folder, const TestDatabase& database, int exit_code) {
  REQUIRE(folder.run(database) == exits(exit_code));
}

void expect_deploy(const SharedFolder& folder, const TestDatabase& database) {
  const auto answer = folder.deploy(database);
  INFO(answer.message);
  REQUIRE(answer.outcome == "ok");
}

void expect_same(const TestDatabase& one, const TestDatabase& other) {
  REQUIRE(difference(contents_of(one), contents_of(other)) == "");
}

void expect_same_history(const TestDatabase& one, const TestDatabase& other) {
  REQUIRE(lines(history_rows(one)) == lines(history_rows(other)));
}

// A failed script is rolled back by both; Prisma leaves the decision about its row to a person.
void expect_same_but_failed(const TestDatabase& theirs, const TestDatabase& ours,
                            const GeneratedMigration& failed) {
  auto rows = history_rows(theirs);
  auto& last = rows.back();
  REQUIRE(last.starts_with(failed.name + ", "));
  const auto in_its_own_transaction =
      failed.done_when_split() < failed.failing &&
      failed.statements.at(failed.done_when_split()).nature == Nature::begin;
  if (!in_its_own_transaction) REQUIRE(last == contains("logs text"));
  const auto replace = [&](const std::string& what, const std::string& with) {
    if (const auto at = last.find(what); at != std::string::npos)
      last.replace(at, what.size(), with);
  };
  replace("rolled back NULL", "rolled back later");
  replace("logs NULL", "logs text");
  REQUIRE(last == contains("finished NULL"));
  REQUIRE(lines(history_rows(ours)) == lines(rows));
  expect_same(theirs, ours);
}

// --- what the evidence must be able to tell

bool is_replaced_later(const GeneratedMigration& migration, std::size_t index) {
  const auto header = [&](std::size_t i) {
    const auto& sql = migration.statements[i].sql;
    const auto at = sql.find("FUNCTION ");
    return at == std::string::npos ? "" : sql.substr(at, sql.find('(', at) - at);
  };
  for (auto i = index + 1; i < migration.statements.size(); ++i)
    if (!header(index).empty() && header(i) == header(index)) return true;
  return false;
}

// Nothing of the script is done, that can be seen (its first statement would show), and were it
// not so, executing it again would do no harm.
bool shows_that_nothing_is_done(const GeneratedMigration& migration) {
  if (migration.failure == Failure::conflicting) return false;
  for (const auto& statement : migration.statements) {
    const bool converts =
        statement.sql == contains(" TYPE ") && statement.sql.starts_with("ALTER TABLE");
    const bool writes = statement.sql.starts_with("INSERT") || statement.sql.starts_with("UPDATE");
    if (statement.nature == Nature::unseen || converts || writes || statement.is_do_block())
      return false;
  }
  // A function that is replaced once more has neither of the bodies afterwards, or one of them.
  for (std::size_t i = 0; i < migration.statements.size(); ++i)
    if (i != migration.failing && is_replaced_later(migration, i)) return false;
  return true;
}

// A run settles the row that Prisma's failure left, and tries again; or it changes nothing.
void expect_repair(const SharedFolder& folder, const TestDatabase& failed_there,
                   const GeneratedMigration& migration, const TestDatabase& reference) {
  const auto database = copy_of(failed_there);
  const auto before = history_rows(*database);
  const auto status = folder.status(*database);
  INFO(status.dump(1));
  REQUIRE(status.at("exit_code") == 20);
  REQUIRE(states_of(status, migration.name) == "failed (20)");
  if (migration.failure == Failure::outside) mend_fault(*database);
  const auto result = folder.run(*database);
  INFO(result.err);
  const int retried = migration.failure == Failure::outside ? 0 : 21;
  if (shows_that_nothing_is_done(migration)) REQUIRE(result == exits(retried));
  if (result.exit_code == 20) {
    REQUIRE(history_rows(*database) == before);
    REQUIRE(folder.ours(*database, {"resolve", migration.name, "--rolled-back"}) == exits(0));
  } else {
    REQUIRE(result == exits(retried));
    auto rows = history_rows(*database);
    REQUIRE(rows.at(before.size() - 1) == contains("rolled back later"));
  }
  put(folder, migration.mended());
  expect_run(folder, *database, 0);
  expect_same(*database, reference);
  REQUIRE(PrismaEngine::status(folder.path(), *database).says == "up to date");
  put(folder, migration);
}

class Round {
 public:
  explicit Round(std::mt19937& random) : random_{random}, generator_{random} {
    prepare_fault(theirs_);
    prepare_fault(ours_);
  }

  void play() {
    for (int i = between(random_, 3, 8); i > 0; --i) migrations_.push_back(generator_.next());
    std::optional<std::size_t> failing;
    if (between(random_, 0, 1) == 0) {
      const auto any =
          static_cast<std::size_t>(between(random_, 0, static_cast<int>(migrations_.size()) - 1));
      if (generator_.spoil(migrations_[any], true)) failing = any;
    }
    for (const auto& migration : migrations_) put(folder_, migration);
    if (failing) fail_and_mend(migrations_[*failing]);
    else deploy_both();
    swap();
  }

 private:
  void deploy_both() {
    expect_deploy(folder_, theirs_);
    expect_run(folder_, ours_, 0);
    expect_same_history(theirs_, ours_);
    expect_same(theirs_, ours_);
  }

  void fail_and_mend(const GeneratedMigration& failed) {
    INFO(failed.name << " is to fail:\n" << failed.script());
    REQUIRE(folder_.deploy(theirs_).outcome != "ok");
    REQUIRE(folder_.run(ours_) == exits(21));
    expect_same_but_failed(theirs_, ours_, failed);
    const auto left_by_prisma = copy_of(theirs_);

    mend_fault(theirs_);
    mend_fault(ours_);
    put(folder_, failed.mended());
    REQUIRE(folder_.mark_rolled_back(theirs_, failed.name).outcome == "ok");
    expect_deploy(folder_, theirs_);
    expect_run(folder_, ours_, 0);
    const auto without_logs = [](std::string text) {
      for (std::size_t at = 0; (at = text.find("logs text", at)) != std::string::npos;)
        text.replace(at, 9, "logs NULL");
      return text;
    };
    REQUIRE(without_logs(lines(history_rows(theirs_))) == without_logs(lines(history_rows(ours_))));
    expect_same(theirs_, ours_);

    put(folder_, failed);
    if (failed.failure != Failure::outside) mend_fault(*left_by_prisma);
    expect_repair(folder_, *left_by_prisma, failed, theirs_);
    put(folder_, failed.mended());
  }

  // Each goes on where the other one was.
  void swap() {
    for (int i = between(random_, 1, 3); i > 0; --i) put(folder_, generator_.next());
    expect_run(folder_, theirs_, 0);
    expect_deploy(folder_, ours_);
    expect_same(theirs_, ours_);
    REQUIRE(history_rows(theirs_).size() == history_rows(ours_).size());
    for (const auto* database : {&theirs_, &ours_}) {
      REQUIRE(PrismaEngine::status(folder_.path(), *database).says == "up to date");
      expect_run(folder_, *database, 0);
      const auto status = folder_.status(*database);
      INFO(status.dump(1));
      REQUIRE(status.at("exit_code") == 0);
    }
  }

  std::mt19937& random_;
  Generator generator_;
  SharedFolder folder_;
  TestDatabase theirs_;
  TestDatabase ours_;
  std::vector<GeneratedMigration> migrations_;
};

void play_rounds(int usual) {
  if (!PrismaEngine::is_there()) return;
  const auto seed = any_seed();
  MESSAGE("SCHEMAGATE_SEED=" << seed);
  std::mt19937 random{seed};
  for (int round = folders_wanted(usual); round > 0; --round) {
    // A round of its own seed, so that a failure is found again without those before it.
    const auto its_seed = static_cast<unsigned>(random());
    INFO("SCHEMAGATE_SEED=" << seed << ", " << round << " rounds before the end");
    std::mt19937 its_random{its_seed};
    Round{its_random}.play();
  }
}

// --- half-applied scripts

// What `status` says about the failed migration.
struct Claim {
  std::string state;
  std::string text;
  std::size_t least = 0;
  std::size_t most = 0;
  std::map<std::size_t, std::string> lines;  // "done", "not done", "cannot be seen"
};

Claim claim_about(const Json& status, const std::string& name) {
  Claim claim;
  for (const auto& finding : status.at("findings")) {
    if (finding.at("subject") != name || finding.at("state") == "pending") continue;
    claim.state = finding.at("state");
    for (const auto& evidence : finding.at("evidence"))
      claim.text += evidence.get<std::string>() + "\n";
  }
  for (const auto& line : schemagate::split(claim.text, '\n')) {
    const auto text = schemagate::trim(line);
    unsigned long at = 0, most = 0;
    char what[20] = "";
    if (std::sscanf(text.c_str(), "line %lu: %15[a-z ]:", &at, what) == 2) claim.lines[at] = what;
    if (std::sscanf(text.c_str(), "half applied: %lu of", &at) == 1) {
      claim.least = at;
      claim.most = at;
    }
    if (const auto up_to = text.find("perhaps ");
        up_to != std::string::npos && std::sscanf(text.c_str() + up_to, "perhaps %lu", &most))
      claim.most = most;
  }
  return claim;
}

bool is_harmless(const GeneratedStatement& statement) {
  return statement.nature != Nature::visible && statement.nature != Nature::unseen;
}

// `done`: so many statements were really executed.
void expect_true(const Claim& claim, const GeneratedMigration& migration, std::size_t done) {
  const auto& all = migration.statements;
  const bool nothing = claim.text == contains("nothing of it is there") ||
                       claim.text == contains("its one statement failed");
  if (nothing)
    REQUIRE(std::all_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(done), is_harmless));
  if (claim.text == contains("all of it is there")) {
    // All but the failed statement, which cannot do any more than is done.
    REQUIRE((migration.failure == Failure::conflicting || is_harmless(all[migration.failing]) ||
             all[migration.failing].sql == "SELECT 1/0"));
    for (auto i = done; i < all.size(); ++i)
      REQUIRE((i == migration.failing || is_harmless(all[i])));
  }
  if (claim.state == "half-applied") {
    REQUIRE(done <= claim.most);
    for (auto i = done; i < claim.least; ++i)
      REQUIRE((i == migration.failing || is_harmless(all[i])));
  }
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto line = claim.lines.find(migration.line_of(i));
    if (line == claim.lines.end() || i == migration.failing || is_harmless(all[i])) continue;
    INFO("statement " << i << ", " << line->second << ": " << all[i].sql);
    if (line->second == "done") REQUIRE(i < done);
    if (line->second == "not done") REQUIRE(i >= done);
  }
}

void finish_by_hand(const TestDatabase& database, const GeneratedMigration& migration,
                    std::size_t done) {
  auto rest = migration.mended();
  rest.statements.erase(rest.statements.begin(),
                        rest.statements.begin() + static_cast<std::ptrdiff_t>(done));
  database.execute(rest.script());
}

void play_half(std::mt19937& random, std::map<std::string, int>& seen) {
  Generator generator{random};
  const SharedFolder folder;
  const TestDatabase theirs;
  const TestDatabase ours;
  prepare_fault(theirs);
  prepare_fault(ours);
  for (int i = between(random, 0, 2); i > 0; --i) put(folder, generator.next());
  auto failed = generator.next();
  while (!generator.spoil(failed, false)) {
    put(folder, failed);
    failed = generator.next();
  }
  put(folder, failed);
  INFO(failed.name << " is to fail:\n" << failed.script());
  REQUIRE(folder.deploy(theirs, Sends::statements).outcome != "ok");
  const auto done = failed.done_when_split();
  const auto status = folder.status(theirs);
  INFO(status.dump(1));
  INFO(done << " statements were executed");
  const auto claim = claim_about(status, failed.name);
  expect_true(claim, failed, done);

  mend_fault(theirs);
  mend_fault(ours);
  const auto before = history_rows(theirs);
  const auto result = folder.run(theirs);
  INFO(result.err);
  const int retried = failed.failure == Failure::outside ? 0 : 21;
  REQUIRE((result.exit_code == 20 || result == exits(retried)));
  ++seen[claim.state + (result.exit_code == 20 ? ", stopped" : ", settled and retried")];
  put(folder, failed.mended());
  if (result.exit_code == 20) {
    REQUIRE(history_rows(theirs) == before);
    finish_by_hand(theirs, failed, done);
    REQUIRE(folder.ours(theirs, {"resolve", failed.name, "--applied"}) == exits(0));
  } else {
    REQUIRE(std::all_of(failed.statements.begin(),
                        failed.statements.begin() + static_cast<std::ptrdiff_t>(done),
                        is_harmless));
  }
  expect_run(folder, theirs, 0);
  expect_run(folder, ours, 0);
  expect_same(theirs, ours);
  expect_deploy(folder, theirs);
  REQUIRE(PrismaEngine::status(folder.path(), theirs).says == "up to date");
}

}  // namespace

TEST_SUITE_BEGIN("prisma differential");

TEST_CASE("folders made by chance lead to the same schema, data and history under both") {
  play_rounds(4);
}

TEST_CASE("more folders made by chance lead to the same schema, data and history under both") {
  play_rounds(4);
}

TEST_CASE("what is told about scripts that Prisma left half applied is true") {
  if (!PrismaEngine::is_there()) return;
  const auto seed = any_seed();
  MESSAGE("SCHEMAGATE_SEED=" << seed);
  std::mt19937 random{seed};
  std::map<std::string, int> seen;
  for (int round = folders_wanted(6); round > 0; --round) {
    INFO("SCHEMAGATE_SEED=" << seed << ", " << round << " rounds before the end");
    std::mt19937 its_random{static_cast<unsigned>(random())};
    play_half(its_random, seen);
  }
  for (const auto& [what, times] : seen) MESSAGE(what << ": " << times);
}

TEST_SUITE_END();
