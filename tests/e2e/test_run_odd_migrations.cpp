// Every folder of tests/odd: scripts as they turn up in real repositories, each of which Prisma or
// psql treats in a way of its own. docs/odd-migrations.md explains the answers.

#include <sys/resource.h>

#include <filesystem>
#include <set>

#include "support/deployment.hpp"

namespace {

using namespace testing;

struct Odd {
  std::string folder;
  int exit_code;
  std::string tables;                   // afterwards
  std::string history;                  // likewise
  std::vector<std::string> words = {};  // of stderr
  std::string query = {};
  std::string answer = {};
};

constexpr const char* k_a = "20240101000000_a 1 finished";
constexpr const char* k_a_b = "20240101000000_a 1 finished, 20240101000001_b 1 finished";
constexpr const char* k_rolled_back = "20240101000000_a 0 rolled-back logs";
constexpr const char* k_untouched = "no table";
constexpr const char* k_valid_indexes =
    "SELECT string_agg(indexrelid::regclass::text, ',' ORDER BY indexrelid::regclass::text) FROM pg_index"
    " WHERE indrelid = 't'::regclass AND indisvalid";

// PostgreSQL 17 allows it in one transaction; 12 to 16 do not (55P04), and the use needs a part of
// its own.
const Odd k_new_value_of_new_type{
    "addvalue_new_type_same_tx",
    0,
    "t",
    k_a,
    {},
    "SELECT column_default FROM information_schema.columns WHERE table_name = 't'",
    "'b'::e"};

const std::vector<Odd>& odd_migrations() {
  static const std::vector<Odd> all = {
      {"addvalue_use",
       0,
       "t",
       k_a_b,
       {},
       "SELECT column_default FROM information_schema.columns WHERE table_name = 't'",
       "'b'::e"},
      {"begin_no_commit",
       21,
       "",
       k_untouched,
       {"20240101000000_a/migration.sql:1:1", "BEGIN without COMMIT", "hint: add COMMIT"}},
      {"begin_no_commit_concurrently", 21, "", k_untouched, {"BEGIN without COMMIT"}},
      {"bom", 0, "a", k_a},
      {"bom_comment", 0, "a", k_a},
      {"cic_two", 0, "t", k_a_b, {}, k_valid_indexes, "i,j"},
      {"cic_with_comment", 0, "t", k_a_b, {}, k_valid_indexes, "i"},
      {"cic_with_set", 0, "t", k_a_b, {}, k_valid_indexes, "i"},
      {"commit_no_begin",
       21,
       "",
       k_rolled_back,
       {"20240101000000_a/migration.sql:1:", "42703", "\"nope\"",
        "nothing of this migration remains"}},
      {"commit_then_cic", 0, "t", k_a_b, {}, k_valid_indexes, "i"},
      {"copy_stdin",
       21,
       "",
       k_untouched,
       {"20240101000000_a/migration.sql:2:1", "COPY FROM STDIN", "INSERT"}},
      {"create_database_alone",
       0,
       "",
       k_a,
       {},
       "SELECT count(*) FROM pg_database WHERE datname = 'syn_x1'",
       "1"},
      {"crlf",
       0,
       "a",
       k_a,
       {},
       "SELECT encode(convert_to(x, 'UTF8'), 'hex') FROM a",
       "6c310d0a6c32"},
      {"do_commit_alone", 0, "q, q2", k_a},
      {"do_commit_multi", 0, "q", k_a},
      {"dollar1", 0, "", k_a, {}, "SELECT f(5)", "5"},
      {"empty", 0, "",
       "20240101000000_a 1 finished, 20240101000001_b 1 finished, 20240101000002_c 1 finished, "
       "20240101000003_d 1 finished"},
      {"error_after_commit", 21, "", k_rolled_back, {"42703", "nothing of this migration remains"}},
      {"error_inside_begin",
       21,
       "",
       k_rolled_back,
       {"42703", "column \"nope\" does not exist", "nothing of this migration remains"}},
      // The checksum is that of the text with U+FFFD, as Prisma computes it.
      {"latin1_in_comment",
       0,
       "a",
       k_a,
       {"invalid UTF-8 in a comment"},
       "SELECT checksum = encode(sha256(convert_to(E'-- caf\\uFFFD\\nCREATE TABLE a(x int);\\n',"
       " 'UTF8')), 'hex') FROM _prisma_migrations",
       "t"},
      {"latin1_in_literal", 21, "", k_untouched, {"not valid UTF-8", "iconv -f LATIN1"}},
      {"missing_file",
       20,
       "",
       k_untouched,
       {"P3015", "20240101000001_b/migration.sql", "nothing was applied"}},
      {"order_1_10", 0, "a", "1_a 1 finished, 10_b 1 finished, 2_c 1 finished"},
      {"order_case", 0, "a", "a_first 1 finished, B_second 1 finished"},
      {"psql_meta", 21, "", k_untouched, {"20240101000000_a/migration.sql:1:1", "psql command"}},
      {"question_mark", 0, "t", k_a},
      {"rollback_tail",
       21,
       "",
       k_untouched,
       {"20240101000000_a/migration.sql:1:24", "ROLLBACK would undo"}},
      {"search_path_empty", 0, "a", k_a},
      {"search_path_other", 0, "b, o.a", k_a_b},
      {"set_local_temp_on_commit_drop", 0, "t", k_a, {}, "SELECT count(*) FROM t", "1"},
      {"set_role",
       0,
       "t",
       k_a_b,
       {},
       "SELECT tableowner FROM pg_tables WHERE tablename = 't'",
       "postgres"},
      {"statement_timeout_leak", 0, "", k_a_b},
      {"temp_leaks", 0, "t", k_a_b, {}, "SELECT count(*) FROM t", "1"},
      {"utf16", 21, "", k_untouched, {"NUL", "iconv -f UTF-16"}},
      {"vacuum_alone", 0, "", k_a},
  };
  return all;
}

const std::filesystem::path k_source{SCHEMAGATE_SOURCE_DIR};

// Roles and databases belong to the cluster, not to the case's own database.
struct ClusterWide {
  ClusterWide() { drop(); }
  ~ClusterWide() {
    try {
      drop();
    } catch (const std::exception&) {  // the cluster goes away soon
    }
  }
  ClusterWide(const ClusterWide&) = delete;
  ClusterWide& operator=(const ClusterWide&) = delete;
  static void drop() {
    testing::TestDatabase somewhere;
    somewhere.execute("DROP DATABASE IF EXISTS syn_x1");
    somewhere.execute("DROP ROLE IF EXISTS r1_syn");
  }
};

void check_twice(const Odd& odd) {
  INFO("tests/odd/", odd.folder);
  const Deployment shop;
  std::filesystem::remove_all(shop.folder());
  std::filesystem::copy(k_source / "tests/odd" / odd.folder, shop.folder(),
                        std::filesystem::copy_options::recursive);
  if (odd.folder == "missing_file")  // git keeps no empty directories
    std::filesystem::create_directories(shop.folder() / "20240101000001_b");

  const auto result = shop.run();
  CHECK(result == exits(odd.exit_code));
  CHECK(shop.tables() == odd.tables);
  CHECK(joined(shop.history()) == odd.history);
  for (const auto& word : odd.words) CHECK(result.err == contains(word));
  if (!odd.query.empty()) CHECK(shop.database().value(odd.query) == odd.answer);

  const auto again = shop.run();
  CHECK(again == exits(odd.exit_code));
  CHECK(shop.tables() == odd.tables);
  if (odd.exit_code == 0) {
    CHECK(again.err == contains("nothing to do"));
    CHECK(joined(shop.history()) == odd.history);
  }
}

}  // namespace

TEST_CASE("every odd migration leaves what the table says, and a second run ends the same way") {
  const ClusterWide clean_up;
  for (const auto& odd : odd_migrations()) check_twice(odd);
}

TEST_CASE("a script of eighty thousand statements needs memory of a few times its size") {
  const Deployment shop;
  std::string script = "CREATE TABLE geo (id int, name text, v float8);\n";
  for (int i = 0; i < 80'000; ++i)
    script += "INSERT INTO geo VALUES (" + std::to_string(i) +
              ", 'a place with a rather ordinary name, as there are many of them', 0.5);\n";
  shop.migration("1_geo", script);
  CHECK(shop.run() == exits(0));
  CHECK(shop.database().value("SELECT count(*) FROM geo") == "80000");
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);  // the largest of them
  CHECK(usage.ru_maxrss < 200 * 1024);
}

TEST_CASE("a new value of an enum type that the same script creates can be used in it") {
  check_twice(k_new_value_of_new_type);
}

TEST_CASE("every folder of odd migrations has an answer here and a line in the documentation") {
  const auto document = testing::read_text(k_source / "docs/odd-migrations.md");
  std::set<std::string> answered{k_new_value_of_new_type.folder};
  for (const auto& odd : odd_migrations()) answered.insert(odd.folder);
  std::set<std::string> on_disk;
  for (const auto& entry : std::filesystem::directory_iterator{k_source / "tests/odd"}) {
    const auto name = entry.path().filename().string();
    on_disk.insert(name);
    CHECK(document == contains("`" + name + "`"));
  }
  CHECK(answered == on_disk);
}
