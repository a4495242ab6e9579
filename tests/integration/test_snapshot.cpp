// The catalogue in words: what changed between two looks is told, and nothing else.

#include <doctest/doctest.h>

#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/snapshot.hpp"
#include "support/server.hpp"
#include "support/server_version.hpp"

using namespace schemagate;

namespace {

constexpr const char* k_shop = R"sql(
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
CREATE TABLE users (id serial PRIMARY KEY, name varchar(80) NOT NULL DEFAULT 'x', mood mood, mail mail,
                    CONSTRAINT named CHECK (name <> ''));
CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users (id) ON DELETE CASCADE);
CREATE INDEX users_name ON users (name);
CREATE VIEW names AS SELECT name FROM users;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
CREATE POLICY own ON users USING (name = current_user);
CREATE TABLE parts (day date) PARTITION BY RANGE (day);
)sql";

const Beside k_beside_nothing{"schemagate", "public", "_prisma_migrations"};

std::vector<std::string> told(const testing::TestDatabase& database, const std::string& change) {
  auto session = database.connect();
  session.guard();
  const auto before = take_snapshot(session, k_beside_nothing);
  database.execute(change);
  const auto after = take_snapshot(session, k_beside_nothing);
  std::vector<Difference> all;
  for (const auto& [name, object] : before) {
    const auto found = after.find(name);
    if (found == after.end()) all.push_back({name, object, std::nullopt});
    else if (found->second.definition != object.definition)
      all.push_back({name, object, found->second});
  }
  for (const auto& [name, object] : after)
    if (!before.contains(name)) all.push_back({name, std::nullopt, object});
  return describe(all, "public");
}

}  // namespace

TEST_CASE("each change of a database is told in one line, in the words of PostgreSQL") {
  struct Change {
    const char* sql;
    const char* line;
  };
  constexpr Change k_changes[] = {
      {"DROP TABLE orders", "table orders is missing"},
      {"CREATE TABLE more (id int, note text NOT NULL)",
       "table more is there, and no migration made it"},
      {"DROP VIEW names", "view names is missing"},
      {"ALTER TABLE users DROP COLUMN mood", "column users.mood is missing (public.mood)"},
      {"ALTER TABLE users ADD COLUMN age int DEFAULT 7",
       "column users.age is there, and no migration made it (integer)"},
      {"ALTER TABLE orders ALTER COLUMN user_id TYPE bigint",
       "column orders.user_id should be integer, is bigint"},
      {"ALTER TABLE users ALTER COLUMN name DROP NOT NULL",
       "column users.name may be NULL, and should not"},
      {"ALTER TABLE users ALTER COLUMN mood SET NOT NULL",
       "column users.mood is NOT NULL, and should not be"},
      {"ALTER TABLE users ALTER COLUMN name DROP DEFAULT",
       "column users.name has no default (should be: 'x'::character varying)"},
      {"ALTER TABLE users ALTER COLUMN mood SET DEFAULT 'bad'",
       "column users.mood has a default, and should have none ('bad'::public.mood)"},
      {"ALTER TABLE users ALTER COLUMN name SET DEFAULT 'y'",
       "the default of column users.name should be 'x'::character varying, is 'y'::character varying"},
      {"DROP INDEX users_name",
       "index users_name is missing (CREATE INDEX users_name ON public.users USING btree (name))"},
      {"DROP INDEX users_name; CREATE INDEX users_name ON users USING hash (name)",
       "index users_name should be CREATE INDEX users_name ON public.users USING btree (name), is "
       "CREATE INDEX users_name ON public.users USING hash (name)"},
      {"ALTER TABLE users DROP CONSTRAINT named; ALTER TABLE users ADD CONSTRAINT named CHECK (name <> 'y')",
       "constraint users.named should be CHECK (((name)::text <> ''::text)), is CHECK (((name)::text <> 'y'::text))"},
      {"ALTER TABLE orders DROP CONSTRAINT orders_user_id_fkey",
       "constraint orders.orders_user_id_fkey is missing (FOREIGN KEY (user_id) REFERENCES "
       "public.users(id) ON DELETE CASCADE)"},
      {"ALTER TYPE mood ADD VALUE 'odd'",
       "type mood should be enum ('good', 'bad'), is enum ('good', 'bad', 'odd')"},
      {"ALTER DOMAIN mail SET NOT NULL",
       "type mail should be domain text constraint mail_check CHECK ((VALUE ~~ '%@%'::text)), is "
       "domain text not null constraint mail_check CHECK ((VALUE ~~ '%@%'::text))"},
      {"CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'",
       "function one() differs from what the migrations make"},
      {"DROP FUNCTION one()", "function one() is missing"},
      {"CREATE OR REPLACE VIEW names AS SELECT name FROM users WHERE id > 1",
       "view names differs from what the migrations make"},
      {"ALTER TABLE users DISABLE TRIGGER touched",
       "trigger users.touched should be … EXECUTE FUNCTION public.touch(), is … EXECUTE FUNCTION "
       "public.touch() disabled"},
      {"ALTER TABLE users ENABLE ROW LEVEL SECURITY",
       "table users should be table, is table with row level security"},
      {"ALTER POLICY own ON users USING (true)",
       "policy users.own should be permissive for all to public using (((name)::text = CURRENT_USER)), is "
       "permissive for all to public using (true)"},
      {"GRANT SELECT ON users TO pg_monitor",
       "the grant on table users to pg_monitor is there, and no migration made it (SELECT)"},
      {"COMMENT ON TABLE users IS 'people'",
       "comment table users is there, and no migration made it"},
      {"ALTER SEQUENCE users_id_seq INCREMENT 2", nullptr},
      {"CREATE SCHEMA other", "schema other is there, and no migration made it"},
      {"CREATE EXTENSION hstore",
       "extension hstore is there, and no migration made it (in schema public)"},
      {"CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
       "table parts_1 is there, and no migration made it"},
      {"CREATE STATISTICS pair ON id, name FROM users", nullptr},
      {"CREATE TABLE schemagate.own (id int)", ""},
      {"CREATE TABLE _prisma_migrations (id int)", ""},
  };
  for (const auto& change : k_changes) {
    CAPTURE(change.sql);
    const testing::TestDatabase database;
    database.execute(std::string{"CREATE SCHEMA schemagate;"} + k_shop);
    const std::string sql = change.sql;
    std::vector<std::string> lines;
    lines = told(database, sql);
    if (change.line == nullptr) CHECK(lines.size() == 1);
    else CHECK(join(lines, "\n") == change.line);
  }
}

TEST_CASE(
    "a snapshot executes nothing that a neighbour has planted, and waits for nobody for long") {
  const testing::TestDatabase database;
  database.execute(k_shop);
  auto session = database.connect();
  session.guard();
  auto other = database.connect();
  const pg::Transaction holds{other, "LOCK TABLE users IN ACCESS EXCLUSIVE MODE;"};
  CHECK_THROWS_AS((void)take_snapshot(session, k_beside_nothing), pg::Error);
}
