#include <doctest/doctest.h>

#include "schemagate/base/password.hpp"
#include "support/text.hpp"

using namespace schemagate;
using testing::contains;

namespace {

std::string shown(const std::string& text) { return without_password(text, 1000); }

}  // namespace

TEST_SUITE("passwords") {
  TEST_CASE("names that hold the word are shown, and so is everything around a password") {
    for (
        const std::string text :
        {"ALTER TABLE users ADD COLUMN password_changed_at timestamptz NOT NULL DEFAULT now()",
         "CREATE TABLE reset_password_tokens (token text PRIMARY KEY)",
         "ALTER TABLE users ADD \"passwordHash\" text DEFAULT 'none', ADD COLUMN password text NOT NULL",
         "ALTER TABLE users ALTER COLUMN password SET DEFAULT ''; UPDATE users SET name = 'bob'",
         "UPDATE users SET password = '' WHERE name = 'bob'",
         "UPDATE users SET password = legacy_password WHERE password IS NOT NULL",
         "ALTER TABLE users RENAME COLUMN password TO password_hash; SELECT 'x'",
         "ALTER TABLE t ADD CHECK (password <> 'x' OR password IN ('y'))",
         "COMMENT ON COLUMN users.password IS 'a hash'",
         "ALTER ROLE a PASSWORD NULL VALID UNTIL 'infinity'",
         "DO $$ BEGIN EXECUTE 'ALTER TABLE users ADD COLUMN password text'; END $$",
         "INSERT INTO users (name, password) SELECT name, hash FROM old",
         "https://example.org/a@b"})
      CHECK(shown(text) == text);
  }

  TEST_CASE("the literal that is a password is not shown") {
    CHECK(shown("CREATE ROLE a LOGIN PASSWORD 'hunter2' VALID UNTIL '2030-01-01'") ==
          "CREATE ROLE a LOGIN PASSWORD '***' VALID UNTIL '2030-01-01'");
    for (const std::string text :
         {"alter user a with encrypted PassWord 'hunter2'",
          "ALTER ROLE a PASSWORD'hunter2'",
          "ALTER ROLE a PASSWORD E'hun\\'hunter2'",
          "ALTER ROLE a PASSWORD U&'hunter2'",
          "ALTER ROLE a PASSWORD 'it''s hunter2'",
          "ALTER ROLE a PASSWORD $$hunter2$$",
          "ALTER ROLE a PASSWORD $x$it's $$ hunter2$x$",
          "ALTER ROLE a PASSWORD 'hun'\n  'hunter2'",
          "ALTER ROLE a PASSWORD /* 'not this' */ 'hunter2'",
          "ALTER ROLE a PASSWORD -- not\n 'hunter2'",
          "ALTER ROLE a PASSWORD 'hunter2",
          "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'b', password 'hunter2')",
          "CREATE USER MAPPING FOR a SERVER s OPTIONS (\"password\" 'hunter2')",
          "DO $$ BEGIN EXECUTE 'CREATE ROLE a PASSWORD''hunter2'''; END $$",
          "ALTER SERVER s OPTIONS (ADD sslpassword 'hunter2')",
          "SET app.password TO 'hunter2'",
          "SET app.password = 'hunter2'",
          "SELECT set_config('app.password', 'hunter2', true)",
          "SELECT make_user(name => 'a', password => 'hunter2')",
          "UPDATE users SET \"password\" = 'hunter2'",
          "INSERT INTO settings VALUES ('{\"password\": \"hunter2\"}')",
          "SELECT jsonb_build_object('password', 'hunter2')",
          "SELECT dblink_connect('host=h password=hunter2 dbname=d')",
          "CREATE SUBSCRIPTION s CONNECTION 'host=h user=u password = hunter2' PUBLICATION p",
          "SELECT dblink_connect('host=h password=''hunter2'' dbname=d')",
          "SELECT dblink_connect('postgresql://user:hunter2@host/db')",
          "SELECT dblink_connect('postgresql://user:p/hunter2@host/db?x=1')",
          "could not connect to \"host=h password=hunter2\"",
          "DO $$ BEGIN CREATE ROLE a PASSWORD 'hunter2'; END $$",
          "DO $$ BEGIN EXECUTE 'CREATE ROLE a PASSWORD ''hunter2'''; END $$",
          "DO ' BEGIN EXECUTE ''CREATE ROLE a PASSWORD ''''hunter2'''' ''; END '",
          "DO $$ BEGIN EXECUTE 'CREATE ROLE a PASSWORD ' || quote_literal('hunter2'); END $$",
          "DO $$ BEGIN EXECUTE format('CREATE ROLE a PASSWORD %L', 'hunter2'); END $$"}) {
      CHECK(shown(text) != contains("hunter2"));
      CHECK(shown(text) == contains("***"));
    }
  }

  TEST_CASE("a text is shortened after its passwords have vanished") {
    CHECK(without_password("CREATE ROLE a LOGIN", 10) == "CREATE ...");
    CHECK(without_password("ALTER ROLE a PASSWORD 'hunter2 is long' LOGIN", 40) ==
          "ALTER ROLE a PASSWORD '***' LOGIN");
  }

  TEST_CASE("a statement in one line hides its password behind comments of any shape, too") {
    for (const std::string between :
         {"\n", " -- new\n ", " -- it's new\n", " /* it's\nnew */ ", ""}) {
      const auto line =
          line_without_password("ALTER ROLE a\n  PASSWORD" + between + "'hunter2';", 200);
      CAPTURE(line);
      CHECK(line.find("hunter2") == std::string::npos);
      CHECK(line.find('\n') == std::string::npos);
      CHECK(line.starts_with("ALTER ROLE a PASSWORD"));
    }
    CHECK(line_without_password("-- it's\nALTER ROLE a PASSWORD 'hunter2'", 200) ==
          "-- it's ALTER ROLE a PASSWORD '***'");
    CHECK(line_without_password("ALTER ROLE a PASSWORD '" + std::string(20'000, 'x') + "'", 60) ==
          "ALTER ROLE a PASSWORD '***'");
    CHECK(line_without_password("SELECT  1\t,\r\n 2", 200) == "SELECT 1 , 2");
  }
}
