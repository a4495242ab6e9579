#include "schemagate/postgres/missing_right.hpp"
#include "schemagate/sql/sql_script.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

namespace {

std::string remedy(const std::string& message, const std::string& statement = {},
                   const std::string& role = "deploy") {
  auto error = pg::parse_error("ERROR:  " + message + "\n", "42501", statement);
  error.role = role;
  error.database = "shop";
  return remedy_of_missing_right(error, statement);
}

}  // namespace

TEST_SUITE("missing right") {
  TEST_CASE("the server's words become what is to be typed, in which database and by whom") {
    struct Example {
      std::string message;
      std::string statement;
      std::string sql;
    };
    for (const auto& [message, statement, sql] : std::vector<Example>{
             {"permission denied for schema public", "CREATE TABLE t ()",
              "GRANT USAGE, CREATE ON SCHEMA public TO deploy"},
             {"permission denied for schema stock", "SELECT * FROM stock.item",
              "GRANT USAGE ON SCHEMA stock TO deploy"},
             {"permission denied for schema schemagate", "",
              "GRANT USAGE ON SCHEMA schemagate TO deploy"},
             {"permission denied for database shop", "CREATE SCHEMA x",
              "GRANT CREATE ON DATABASE shop TO deploy"},
             {"permission denied for table item", "INSERT INTO stock.item VALUES (1)",
              "GRANT SELECT, INSERT ON stock.item TO deploy"},
             {"permission denied for table Item", "UPDATE \"stock\".\"Item\" SET x = 1",
              "GRANT SELECT, UPDATE ON \"stock\".\"Item\" TO deploy"},
             {"permission denied for table item",
              "ALTER TABLE t ADD FOREIGN KEY (x) REFERENCES item (id)",
              "GRANT REFERENCES ON item TO deploy"},
             {"permission denied for table lock", "",
              "GRANT SELECT, INSERT, UPDATE ON lock TO deploy"},
             {"permission denied for view v", "SELECT * FROM v", "GRANT SELECT ON v TO deploy"},
             {"permission denied for sequence s", "SELECT nextval('s')",
              "GRANT USAGE, SELECT ON SEQUENCE s TO deploy"},
             {"permission denied for function f", "SELECT f()",
              "GRANT EXECUTE ON FUNCTION f TO deploy"},
             {"permission denied for type mood", "CREATE TABLE t (m mood)",
              "GRANT USAGE ON TYPE mood TO deploy"},
             {"permission denied to create extension \"postgis\"", "CREATE EXTENSION postgis",
              "CREATE EXTENSION IF NOT EXISTS postgis"},
             {"permission denied to create role", "CREATE ROLE x", "ALTER ROLE deploy CREATEROLE"},
             {"permission denied to create database", "CREATE DATABASE x",
              "ALTER ROLE deploy CREATEDB"},
             {"permission denied to set role \"app owner\"", "SET ROLE \"app owner\"",
              "GRANT \"app owner\" TO deploy"},
             {"must be owner of table item", "ALTER TABLE stock.item ADD x int",
              "ALTER TABLE stock.item OWNER TO deploy"},
             {"must be owner of schema stock", "DROP SCHEMA stock",
              "ALTER SCHEMA stock OWNER TO deploy"},
             {"query would be affected by row-level security policy for table \"marker\"", "",
              "ALTER ROLE deploy BYPASSRLS"},
             {"new row violates row-level security policy for table \"run\"", "", "BYPASSRLS"}}) {
      CAPTURE(message);
      const auto hint = remedy(message, statement);
      CHECK(hint == contains("in database shop, as "));
      CHECK(hint == contains("superuser"));
      CHECK(hint == contains(sql));
    }
  }

  TEST_CASE("in other words than these the role, the database and who helps are named") {
    const auto hint = remedy("keine Berechtigung für Schema schemagate", "", "Deploy Role");
    CHECK(hint == contains("Deploy Role"));
    CHECK(hint == contains("-v role='Deploy Role'"));
    CHECK(hint == contains("-d shop"));
    CHECK(hint == contains("GRANT"));
  }

  TEST_CASE("a name is typed between quotes only where it must be") {
    CHECK(written_name("deploy_1") == "deploy_1");
    CHECK(written_name("name") == "name");
    for (const std::string name : {"Deploy", "my-role", "1a", "a b", "ü", "user", ""})
      CHECK(written_name(name) == '"' + name + '"');
  }
}
