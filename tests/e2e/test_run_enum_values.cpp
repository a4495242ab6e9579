// ALTER TYPE ... ADD VALUE: the value may be used once it is committed (SQLSTATE 55P04), and only
// the server knows which statement uses it.

#include "support/deployment.hpp"

using namespace testing;

namespace {

constexpr const char* k_init = "CREATE TYPE role AS ENUM ('USER');"
                               "CREATE TABLE users (id serial, role role, name text, roles role[]);"
                               "CREATE TABLE calls (what text);";

struct Initialised : Deployment {
  Initialised() {
    migration("1_init", k_init);
    REQUIRE(run() == exits(0));
  }
};

std::string labels(const Deployment& shop) {
  return joined(shop.database().column(
      "SELECT enumlabel FROM pg_enum WHERE enumtypid = 'role'::regtype ORDER BY enumsortorder"));
}

std::string parts(const Deployment& shop) {
  return shop.database().value("SELECT count(*) FROM schemagate.step");
}

}  // namespace

TEST_CASE("a new enum value is committed before the statement that uses it, whatever that is") {
  const Initialised shop;
  std::string use;
  SUBCASE("a row") { use = "INSERT INTO users (role) VALUES ('ADMIN');"; }
  SUBCASE("a default") { use = "ALTER TABLE users ALTER role SET DEFAULT 'ADMIN';"; }
  SUBCASE("an array") { use = "ALTER TABLE users ALTER roles SET DEFAULT '{ADMIN}';"; }
  SUBCASE("a check") { use = "ALTER TABLE users ADD CHECK (role <> 'ADMIN');"; }
  SUBCASE("a DO block") { use = "DO $$ BEGIN INSERT INTO users (role) VALUES ('ADMIN'); END $$;"; }
  SUBCASE("a DO block that puts the word together") {
    use = "DO $$ BEGIN EXECUTE 'INSERT INTO users (role) VALUES (''AD' || 'MIN'')'; END $$;";
  }
  SUBCASE("a function made before") {
    use = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO users (role) "
          "VALUES ('ADMIN'); END $$; SELECT f();";
  }
  SUBCASE("an SQL function's body") {
    use = "CREATE FUNCTION f() RETURNS role LANGUAGE sql AS $$ SELECT 'ADMIN'::role $$;";
  }
  SUBCASE("a column with its default") {
    use = "ALTER TABLE users ADD COLUMN second role NOT NULL DEFAULT 'ADMIN';";
  }
  SUBCASE("text that is cast") { use = "INSERT INTO users (role) SELECT ('AD' || 'MIN')::role;"; }
  SUBCASE("a block of the script's own") {
    use =
        "BEGIN; INSERT INTO calls VALUES ('in'); INSERT INTO users (role) VALUES ('ADMIN'); COMMIT;";
  }
  shop.migration("2_admin", "INSERT INTO calls VALUES ('before');\n"
                            "ALTER TYPE role ADD VALUE 'ADMIN';\n" +
                                use + "\nINSERT INTO calls VALUES ('after');\n");
  CHECK(shop.run() == exits(0, "unsafe use of new value", "2_admin/migration.sql:3:"));
  CHECK(labels(shop) == "USER, ADMIN");
  CHECK(parts(shop) == "2");
  CHECK(shop.database().value("SELECT count(*) FROM calls WHERE what = 'before'") == "1");
  CHECK(shop.database().value("SELECT count(*) FROM calls WHERE what = 'after'") == "1");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_admin 1 finished");
}

TEST_CASE("a new enum value that is not used leaves the script one transaction") {
  const Initialised shop;
  std::string other;
  SUBCASE("the same word in a column of text") {
    other = "INSERT INTO users (name) VALUES ('ADMIN');";
  }
  SUBCASE("the same word in a value of another type") {
    other = "CREATE TYPE level AS ENUM ('ADMIN'); CREATE TABLE l (x level DEFAULT 'ADMIN');";
  }
  SUBCASE("a function that uses it, and is not called") {
    other = "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO users "
            "(role) VALUES ('ADMIN'); END $$;";
  }
  SUBCASE("a comment") { other = "COMMENT ON TABLE users IS 'ADMIN';"; }
  const std::string script =
      "ALTER TYPE role ADD VALUE 'ADMIN';\n" + other + "\nINSERT INTO calls VALUES ('a');\n";
  shop.migration("2_admin", script + "SELECT 1/0;\n");
  CHECK(shop.run() == exits(21, "nothing of this migration remains"));
  CHECK(labels(shop) == "USER");
  shop.migration("2_admin", script);
  CHECK(shop.run() == exits(0));
  CHECK(labels(shop) == "USER, ADMIN");
  CHECK(parts(shop) == "0");
}

TEST_CASE("a value of a type that the same transaction made can be used as the server allows") {
  const Initialised shop;
  SUBCASE("made with it") {
    shop.migration("2_type", "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (x e DEFAULT 'b');");
  }
  SUBCASE("added to it") {
    shop.migration("2_type", "CREATE TYPE e AS ENUM ('a');\nALTER TYPE e ADD VALUE 'b';\n"
                             "CREATE TABLE t (x e DEFAULT 'b');\n");
  }
  CHECK(shop.run() == exits(0));
  shop.database().execute("INSERT INTO t DEFAULT VALUES");
  CHECK(shop.database().value("SELECT x FROM t") == "b");
}

TEST_CASE("two values and two uses make as many parts as the server asks for") {
  const Initialised shop;
  SUBCASE("each used at once") {
    shop.migration("2_values", "ALTER TYPE role ADD VALUE 'ADMIN';\n"
                               "INSERT INTO users (role) VALUES ('ADMIN');\n"
                               "ALTER TYPE role ADD VALUE 'OWNER';\n"
                               "INSERT INTO users (role) VALUES ('OWNER');\n");
    CHECK(shop.run() == exits(0));
    CHECK(parts(shop) == "3");
  }
  SUBCASE("both used later") {
    shop.migration("2_values", "ALTER TYPE role ADD VALUE 'ADMIN';\n"
                               "ALTER TYPE role ADD VALUE 'OWNER' BEFORE 'ADMIN';\n"
                               "INSERT INTO users (role) VALUES ('ADMIN');\n"
                               "INSERT INTO users (role) VALUES ('OWNER');\n");
    CHECK(shop.run() == exits(0));
    CHECK(parts(shop) == "2");
  }
  SUBCASE("beside an index built concurrently") {
    shop.migration("2_values", "ALTER TYPE role ADD VALUE 'ADMIN';\n"
                               "INSERT INTO users (role) VALUES ('ADMIN');\n"
                               "CREATE INDEX CONCURRENTLY i ON users (id);\n"
                               "ALTER TYPE role ADD VALUE 'OWNER';\n"
                               "INSERT INTO users (role) VALUES ('OWNER');\n");
    CHECK(shop.run() == exits(0));
    CHECK(parts(shop) == "5");
  }
  CHECK(joined(shop.database().column("SELECT role FROM users ORDER BY id")) == "ADMIN, OWNER");
}

TEST_CASE(
    "a failure behind the use of a new value leaves what had to be committed, and goes on there") {
  const Initialised shop;
  const std::string start = "ALTER TYPE role ADD VALUE 'ADMIN';\n";
  const std::string use = "INSERT INTO users (role) VALUES ('ADMIN');\n";
  shop.migration("2_admin", start + use + "SELECT 1/0;\n");
  CHECK(shop.run() == exits(21, "1 of 2 parts of this migration stay applied"));
  CHECK(labels(shop) == "USER, ADMIN");
  CHECK(shop.database().value("SELECT count(*) FROM users") == "0");
  shop.migration("2_admin", start + "INSERT INTO calls VALUES ('new');\n" + use);
  CHECK(shop.run() == exits(0));
  CHECK(shop.database().value("SELECT count(*) FROM users") == "1");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_admin 1 finished");
}

TEST_CASE(
    "a value that is added and used in one statement, or in one block, fails as PostgreSQL says") {
  const Initialised shop;
  SUBCASE("a block") {
    shop.migration("2_admin", "BEGIN;\nALTER TYPE role ADD VALUE 'ADMIN';\n"
                              "INSERT INTO users (role) VALUES ('ADMIN');\nCOMMIT;\n");
  }
  SUBCASE("a DO block") {
    shop.migration("2_admin", "DO $$ BEGIN ALTER TYPE role ADD VALUE 'ADMIN';\n"
                              "INSERT INTO users (role) VALUES ('ADMIN'); END $$;\n");
  }
  CHECK(shop.run() == exits(21, "55P04", "nothing of this migration remains"));
  CHECK(labels(shop) == "USER");
  CHECK(joined(shop.history()) == "1_init 1 finished, 2_admin 0 rolled-back logs");
}
