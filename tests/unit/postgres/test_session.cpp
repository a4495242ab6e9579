#include <doctest/doctest.h>

#include <string>

#include "schemagate/postgres/session.hpp"

using namespace schemagate;

// The error texts below were printed by libpq 15 and 17 for the SQL beside them.

namespace {

std::string at(const pg::Error& error) {
  if (!error.position) return "nowhere";
  return std::to_string(error.position->line) + ":" + std::to_string(error.position->column);
}

}  // namespace

TEST_SUITE("postgres errors") {
  TEST_CASE("a syntax error has its message and the position of the caret") {
    const auto error = pg::parse_error("ERROR:  syntax error at or near \"SELEC\"\n"
                                       "LINE 1: SELEC 1\n"
                                       "        ^\n",
                                       "42601", "SELEC 1");
    CHECK(error.message == "syntax error at or near \"SELEC\"");
    CHECK(error.sqlstate == "42601");
    CHECK(at(error) == "1:1");
    CHECK(error.detail.empty());
    CHECK(error.hint.empty());
    CHECK(error.context.empty());
    CHECK(std::string{error.what()} == "ERROR:  syntax error at or near \"SELEC\"\n"
                                       "LINE 1: SELEC 1\n"
                                       "        ^");
  }

  TEST_CASE("the position at the end of the input is one behind the last character") {
    CHECK(at(pg::parse_error("ERROR:  syntax error at end of input\n"
                             "LINE 1: SELECT 1 +\n"
                             "                  ^\n",
                             "42601", "SELECT 1 +")) == "1:11");
  }

  TEST_CASE("the position in a later line counts from that line, tabs as one character") {
    const std::string sql = "CREATE TABLE a (i int);\nINSERT INTO nope\tVALUES (1);";
    CHECK(at(pg::parse_error("ERROR:  relation \"nope\" does not exist\n"
                             "LINE 2: INSERT INTO nope VALUES (1);\n"
                             "                    ^\n",
                             "42P01", sql)) == "2:13");
    CHECK(at(pg::parse_error("ERROR:  column \"nope\" does not exist\n"
                             "LINE 2:   nope\n"
                             "          ^\n",
                             "42703", "SELECT 1,\r\n  nope")) == "2:3");
  }

  TEST_CASE("the position counts characters, not bytes") {
    CHECK(at(pg::parse_error("ERROR:  column \"nope\" does not exist\n"
                             "LINE 1: SELECT 'éé', nope\n"
                             "                     ^\n",
                             "42703", "SELECT 'éé', nope")) == "1:14");
  }

  TEST_CASE("a shortened excerpt is found in the line that was sent") {
    const std::string sql =
        "SELECT 'zyxwvutsrqponmlkjihgfedcba abcdefghijklmnopqrstuvwxyz 0123456789', nope, "
        "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'";
    CHECK(at(pg::parse_error(
              "ERROR:  column \"nope\" does not exist\n"
              "LINE 1: ...hgfedcba abcdefghijklmnopqrstuvwxyz 0123456789', nope, 'bbb...\n"
              "                                                            ^\n",
              "42703", sql)) == "1:" + std::to_string(sql.find("nope") + 1));
  }

  TEST_CASE(
      "a shortened excerpt whose beginning occurs several times in the line is found where it is") {
    std::string sql = "INSERT INTO pg_class VALUES (1, 'same same same'), (1, 'same same same'), "
                      "(2, 'same same same'), (3, nope), (4, 'x')";
    CHECK(at(pg::parse_error(
              "ERROR:  column \"nope\" does not exist\n"
              "LINE 1: ...(1, 'same same same'), (2, 'same same same'), (3, nope), (4,...\n"
              "                                                             ^\n",
              "42703", sql)) == "1:" + std::to_string(sql.find("nope") + 1));
    sql =
        "SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', nope, "
        "'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'";
    CHECK(at(pg::parse_error(
              "ERROR:  column \"nope\" does not exist\n"
              "LINE 1: ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', nope, 'bbb...\n"
              "                                                             ^\n",
              "42703", sql)) == "1:" + std::to_string(sql.find("nope") + 1));
  }

  TEST_CASE("a shortened excerpt counts characters too") {
    std::string accents;
    for (int i = 0; i < 40; ++i) accents += "é";
    CHECK(at(pg::parse_error(
              "ERROR:  column \"nope\" does not exist\n"
              "LINE 1: ...ééééééééééééééééééé', 'the quick brown fox jumps over', nope\n"
              "                                                                   ^\n",
              "42703", "SELECT '" + accents + "', 'the quick brown fox jumps over', nope")) ==
          "1:86");
  }

  TEST_CASE("a line that itself begins with dots is not a shortened one") {
    CHECK(at(pg::parse_error("ERROR:  syntax error at or near \"...\"\n"
                             "LINE 1: ...x\n"
                             "        ^\n",
                             "42601", "...x")) == "1:1");
  }

  TEST_CASE("an excerpt of another text than the one sent does no harm") {
    CHECK(at(pg::parse_error(
              "ERROR:  x\nLINE 9: ...nothing of that kind is in it...\n                     ^\n",
              "42601", "SELECT 1")) == "9:1");
    CHECK(at(pg::parse_error("ERROR:  x\nLINE 1: abc\n", "42601", "abc")) == "nowhere");
    CHECK(at(pg::parse_error("ERROR:  x\nLINE 1: abc\n  ^\n", "42601", "abc")) == "nowhere");
    CHECK(at(pg::parse_error("ERROR:  x\nLINE x: abc\n        ^\n", "42601", "abc")) == "1:1");
    CHECK(at(pg::parse_error("ERROR:  x\nLINE 0: abc\n        ^\n", "42601", "abc")) == "1:1");
  }

  TEST_CASE("detail, hint and context are kept apart") {
    auto error =
        pg::parse_error("ERROR:  duplicate key value violates unique constraint \"u_i_key\"\n"
                        "DETAIL:  Key (i)=(1) already exists.\n",
                        "23505", "INSERT INTO u VALUES (1)");
    CHECK(error.message == "duplicate key value violates unique constraint \"u_i_key\"");
    CHECK(error.detail == "Key (i)=(…) already exists.");
    CHECK(at(error) == "nowhere");
    error = pg::parse_error(
        "ERROR:  function length(integer, integer) does not exist\n"
        "LINE 1: SELECT length(1, 2)\n"
        "               ^\n"
        "HINT:  No function matches the given name and argument types. You might need to "
        "add explicit type casts.\n",
        "42883", "SELECT length(1, 2)");
    CHECK(error.hint.starts_with("No function matches"));
    CHECK(error.detail.empty());
    CHECK(at(error) == "1:8");
  }

  TEST_CASE("fields of several lines stay whole") {
    const auto error =
        pg::parse_error("ERROR:  first\nsecond\nDETAIL:  d1\nd2\nHINT:  h\n"
                        "CONTEXT:  PL/pgSQL function inline_code_block line 1 at RAISE\n",
                        "P0001", "DO $$ BEGIN RAISE EXCEPTION E'first\\nsecond'; END $$");
    CHECK(error.message == "first\nsecond");
    CHECK(error.detail == "d1\nd2");
    CHECK(error.hint == "h");
    CHECK(error.context == "PL/pgSQL function inline_code_block line 1 at RAISE");
  }

  TEST_CASE("an error inside a function has no position in the script") {
    const auto error =
        pg::parse_error("ERROR:  column \"nope\" does not exist\n"
                        "LINE 1: SELECT nope FROM pg_class\n"
                        "               ^\n"
                        "QUERY:  SELECT nope FROM pg_class\n"
                        "CONTEXT:  PL/pgSQL function inline_code_block line 1 at PERFORM\n",
                        "42703", "DO $$ BEGIN PERFORM nope FROM pg_class; END $$");
    CHECK(at(error) == "nowhere");
    CHECK(error.message == "column \"nope\" does not exist");
    CHECK(error.context == "SELECT nope FROM pg_class\n"
                           "PL/pgSQL function inline_code_block line 1 at PERFORM");
  }

  TEST_CASE("a message is freed of its severity only, whatever the severity's language") {
    CHECK(pg::parse_error("FATAL:  too many connections\n", "53300", "").message ==
          "too many connections");
    CHECK(pg::parse_error("FEHLER:  a:  b\n", "42601", "").message == "a:  b");
    CHECK(pg::parse_error("no severity at all", "", "").message == "no severity at all");
    CHECK(pg::parse_error("", "", "").message.empty());
    CHECK(pg::parse_error("\n\n", "", "").message.empty());
  }

  TEST_CASE("identifiers and literals are quoted so that nothing gets out") {
    CHECK(pg::quote_identifier("a\"b") == "\"a\"\"b\"");
    CHECK(pg::quote_identifier("") == "\"\"");
    CHECK(pg::quote_literal("it's") == "'it''s'");
    CHECK(pg::quote_literal("a\\'b") == "E'a\\\\''b'");
    CHECK(pg::quote_literal("") == "''");
  }
}
