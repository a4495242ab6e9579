#include <doctest/doctest.h>

#include "schemagate/postgres/session.hpp"
#include "support/text.hpp"

using namespace schemagate;
using testing::contains;

// The error texts were printed by libpq, some of them in German.

namespace {

std::string told(const std::string& text, const std::string& state,
                 const std::string& sql = "SELECT 1") {
  const auto error = pg::parse_error("ERROR:  " + text, state, sql);
  CHECK(std::string{error.what()} != contains("bob@"));
  return error.message + "|" + error.detail + "|" + error.context;
}

}  // namespace

TEST_SUITE("row data") {
  TEST_CASE("a broken constraint is told with its columns, without the values") {
    CHECK(
        told(
            "could not create unique index \"u\"\nDETAIL:  Key (mail, lower(b))=(bob@x (1)) , y) is duplicated.",
            "23505") ==
        "could not create unique index \"u\"|Key (mail, lower(b))=(…) is duplicated.|");
    CHECK(told("violates\nDETAIL:  Key (a)=(bob@x) is not present in table \"b\".", "23503") ==
          "violates|Key (a)=(…) is not present in table \"b\".|");
    CHECK(told("violates\nDETAIL:  Schlüssel »(mail)=(bob@x)« existiert bereits.", "23505") ==
          "violates|Schlüssel »(mail)=(…)« existiert bereits.|");
    CHECK(
        told("conflicts\nDETAIL:  Key (r)=([bob@1,2)) conflicts with existing key (r)=([bob@1,3)).",
             "23P01") == "conflicts|Key (r)=(…).|");
    CHECK(told("violates\nDETAIL:  Failing row contains (1, bob@x), (null).", "23514") ==
          "violates|Failing row contains (…).|");
    CHECK(told("violates\nDETAIL:  Fehlgeschlagene Zeile enthält (1, bob@x\nbob@y).", "23502") ==
          "violates|Fehlgeschlagene Zeile enthält (…).|");
    CHECK(told("no partition\nDETAIL:  Partition key of the failing row contains (a) = (bob@x).",
               "23514") == "no partition|Partition key of the failing row contains (a) = (…).|");
    CHECK(told("violates check option\nDETAIL:  Failing row contains (bob@x).", "44000") ==
          "violates check option|Failing row contains (…).|");
  }

  TEST_CASE(
      "a value that cannot be read is told where the script says it, and not where a row does") {
    const auto text = "invalid input syntax for type integer: \"bob@x\"";
    CHECK(told(text, "22P02") == "invalid input syntax for type integer: \"…\"||");
    CHECK(pg::parse_error(std::string{"ERROR:  "} + text, "22P02", "SELECT 'bob@x'::int").message ==
          text);
    CHECK(told("ungültige Eingabesyntax für Typ integer: »bob@x«", "22P02") ==
          "ungültige Eingabesyntax für Typ integer: »…«||");
    CHECK(told("value \"a \"bob@\" b\" is out of range for type integer", "22003") ==
          "value \"…\" is out of range for type integer||");
    CHECK(told("invalid input syntax for type json\nDETAIL:  Token \"bob@x\" is invalid.\n"
               "CONTEXT:  JSON data, line 1: {\"a\": bob@x...",
               "22P02") ==
          "invalid input syntax for type json|Token \"…\" is invalid.|JSON data, line 1: …");
    CHECK(told("invalid XML content\nDETAIL:  line 1: tag mismatch\nbob@x", "2200N") ==
          "invalid XML content||");
    CHECK(told("numeric field overflow\nDETAIL:  A field with precision 3 must round.", "22003") ==
          "numeric field overflow|A field with precision 3 must round.|");
  }

  TEST_CASE("the context of a COPY and of a statement that was put together has no values") {
    CHECK(told("bad\nCONTEXT:  COPY t, line 3, column x: \"bob@x\"", "22P02") ==
          "bad||COPY t, line 3, column x: …");
    CHECK(
        told("null\nDETAIL:  Failing row contains (bob@x).\nCONTEXT:  COPY t, Zeile 3: »bob@x,\\N«",
             "23502") == "null|Failing row contains (…).|COPY t, Zeile 3: …");
    CHECK(
        told("no\nCONTEXT:  SQL statement \"UPDATE t SET x = 'bob@x', y = 4000\"\n"
             "PL/pgSQL function f(integer) line 3 at EXECUTE",
             "42P01") ==
        "no||SQL statement \"UPDATE t SET x = …, y = …\"\nPL/pgSQL function f(integer) line 3 at EXECUTE");
    CHECK(
        told("no\nLINE 1: SELECT 'bob@x' FROM t\n               ^\nQUERY:  SELECT 'bob@x' FROM t\n"
             "CONTEXT:  PL/pgSQL function f() line 3 at EXECUTE",
             "42P01") == "no||SELECT … FROM t\nPL/pgSQL function f() line 3 at EXECUTE");
    CHECK(told("bad\nCONTEXT:  COPY t, line 3: \"1,bob@x\nbob@y\"\nSQL statement \"UPDATE t\n"
               "SET x = 'bob@x'\"\nPL/pgSQL function f(integer) line 3 at EXECUTE",
               "22P04") == "bad||COPY t, line 3: …\nSQL statement \"UPDATE t\n"
                           "PL/pgSQL function f(integer) line 3 at EXECUTE");
    CHECK(told("no\nCONTEXT:  SQL statement \"UPDATE t SET x = 'bob@", "42P01") ==
          "no||SQL statement \"UPDATE t SET x = …");
  }

  TEST_CASE("other errors stay as they are") {
    const auto text =
        "cannot drop table a\nDETAIL:  view v depends on table \"a\"\nview w (x) depends";
    CHECK(told(text, "2BP01") ==
          "cannot drop table a|view v depends on table \"a\"\nview w (x) depends|");
    CHECK(told("column \"a b\" does not exist", "42703") == "column \"a b\" does not exist||");
  }
}
