// What pending scripts would do to a database with rows in it: told before, and true afterwards.

#include <doctest/doctest.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/migrate/forecast.hpp"
#include "support/server.hpp"
#include "support/server_version.hpp"

using namespace schemagate;

namespace {

constexpr const char* k_shop = R"sql(
CREATE TABLE customer (id int PRIMARY KEY, mail text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, note varchar(40), total int, paid boolean);
CREATE TABLE empty (id int PRIMARY KEY, note text);
CREATE VIEW paid AS SELECT id FROM orders WHERE paid;
INSERT INTO customer SELECT g, CASE WHEN g % 4 = 0 THEN g || '@x' END FROM generate_series(1, 1000) g;
INSERT INTO orders SELECT g, 1 + g % 1000, repeat('x', 36), g, true FROM generate_series(1, 160000) g;
ANALYZE;
)sql";

class Shop {
 public:
  Shop() : session{database.connect()} {
    database.execute(k_shop);
    session.guard();
  }

  Forecast forecast_of(const std::vector<std::string>& scripts) {
    folder.migrations.clear();
    for (std::size_t i = 0; i < scripts.size(); ++i)
      folder.migrations.push_back({.name = std::to_string(i + 1),
                                   .file = "m/" + std::to_string(i + 1),
                                   .sql = scripts[i],
                                   .checksum = ""});
    const auto plan = make_plan(folder, {}, {});
    return forecast(session, {"public"}, plan, Milliseconds{0}, stop);
  }

  testing::TestDatabase database;
  pg::Session session;
  Folder folder;
  Stop stop;
};

const StatementForecast& first_of(const Forecast& forecast) {
  return forecast.migrations.at(0).segments.at(0).statements.at(0);
}

std::vector<std::string> rules(const StatementForecast& statement, Remark::Kind kind) {
  std::vector<std::string> all;
  for (const auto& remark : statement.remarks)
    if (remark.kind == kind) all.push_back(remark.rule);
  return all;
}

std::string text_of(const StatementForecast& statement, Remark::Kind kind) {
  for (const auto& remark : statement.remarks)
    if (remark.kind == kind) return remark.text;
  return "";
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("what is lost is told in numbers, and only where there is something to lose") {
  Shop shop;
  const std::pair<const char*, const char*> k_cases[] = {
      {"DROP TABLE orders CASCADE", "drops table public.orders: 160000 rows"},
      {"ALTER TABLE customer DROP COLUMN mail", "drops column public.customer.mail: 250 values"},
      {"TRUNCATE customer", "empties public.customer: 1000 rows"},
      {"DELETE FROM customer", "deletes from public.customer without a condition: 1000 rows"},
      {"ALTER TABLE orders ALTER note TYPE varchar(10)", "public.orders.note holds less"},
      {"ALTER TABLE orders ALTER total TYPE smallint", "public.orders.total holds less"},
      {"DROP TABLE empty", ""},
      {"TRUNCATE empty", ""},
      {"ALTER TABLE empty DROP COLUMN note", ""},
      {"DELETE FROM customer WHERE id = 1", ""},
      {"ALTER TABLE orders ALTER note TYPE varchar(80)", ""},
      {"ALTER TABLE orders ALTER total TYPE bigint", ""},
      {"DROP TABLE IF EXISTS nosuch", ""},
      {"ALTER TABLE orders DROP COLUMN IF EXISTS nosuch", ""},
      {"DROP INDEX IF EXISTS nosuch", ""},
      {"CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1); DROP TABLE fresh", ""},
  };
  for (const auto& [sql, text] : k_cases) {
    const std::string text_of_sql = sql;
    CAPTURE(text_of_sql);
    const auto forecast = shop.forecast_of({sql});
    std::string found;
    for (const auto& statement : forecast.migrations[0].segments[0].statements)
      found += text_of(statement, Remark::Kind::destructive);
    if (*text == 0) CHECK(found.empty());
    else CHECK(found.find(text) != std::string::npos);
  }
}

TEST_CASE(
    "what a table lost is counted without its rows being told, and behind a lock not at all") {
  Shop shop;
  auto holder = shop.database.connect();
  const pg::Transaction transaction{holder};
  holder.execute("LOCK TABLE customer");
  const auto forecast = shop.forecast_of({"TRUNCATE customer"});
  CHECK(text_of(first_of(forecast), Remark::Kind::destructive) ==
        "empties public.customer: about 1000 rows");
  CHECK(forecast.relations.at("public.customer").heap_bytes > 0);
}

TEST_CASE("what an app of the release before breaks on is told") {
  Shop shop;
  const std::pair<const char*, Names> k_cases[] = {
      {"DROP TABLE orders CASCADE", {"drop_table"}},
      {"DROP VIEW paid", {"drop_view"}},
      {"ALTER TABLE orders RENAME TO purchases", {"rename_table"}},
      {"ALTER TABLE orders RENAME COLUMN note TO remark", {"rename_column"}},
      {"ALTER TABLE customer DROP COLUMN mail", {"drop_column"}},
      {"ALTER TABLE customer ADD COLUMN age int NOT NULL", {"add_required_column"}},
      {"ALTER TABLE customer ALTER mail SET NOT NULL", {"set_not_null"}},
      {"ALTER TABLE customer ADD COLUMN age int NOT NULL DEFAULT 0", {}},
      {"ALTER TABLE customer ADD COLUMN age int", {}},
      {"ALTER TABLE customer ALTER id SET NOT NULL", {}},
      {"CREATE TABLE fresh (id int NOT NULL)", {}},
      {"DROP INDEX customer_pkey", {}},
  };
  for (const auto& [sql, expected] : k_cases) {
    const std::string text_of_sql = sql;
    CAPTURE(text_of_sql);
    CHECK(rules(first_of(shop.forecast_of({sql})), Remark::Kind::incompatible) == expected);
  }
}

TEST_CASE("the safe way can be pasted: the server executes it, and it stops nobody for long") {
  Shop shop;
  const auto version = shop.session.server_major_version();
  for (
      const auto* sql : {
          "CREATE INDEX on_total ON orders (total)",
          "CREATE UNIQUE INDEX IF NOT EXISTS once_total ON orders (total)",
          "ALTER TABLE orders ADD CONSTRAINT has_total CHECK (total >= 0)",
          "ALTER TABLE orders ADD CONSTRAINT of_customer FOREIGN KEY (customer_id) REFERENCES customer",
          "ALTER TABLE orders ADD UNIQUE (total)",
          "ALTER TABLE orders ADD CONSTRAINT \"One Total\" UNIQUE (total, id)",
          "ALTER TABLE orders ALTER COLUMN total SET NOT NULL",
          "ALTER TABLE orders ADD COLUMN key uuid DEFAULT gen_random_uuid()",
          "REINDEX TABLE orders",
          "REINDEX INDEX orders_pkey",
      }) {
    const std::string text_of_sql = sql;
    CAPTURE(text_of_sql);
    const auto plain = shop.forecast_of({sql});
    const auto& remarks = first_of(plain).remarks;
    const auto safer = std::find_if(remarks.begin(), remarks.end(), [](const Remark& remark) {
      return remark.kind == Remark::Kind::safer;
    });
    REQUIRE(safer != remarks.end());
    REQUIRE_FALSE(safer->instead.empty());
    for (const auto& step : parse_script(safer->instead)) {
      CAPTURE(step.text);
      const auto forecast = shop.forecast_of({step.text});
      for (const auto& hold : forecast.migrations[0].segments[0].holds) {
        CHECK(hold.work == Work::catalogue);
      }
      shop.session.execute(step.text);
    }
    if (version >= 18 && std::string_view{sql}.find("NOT NULL") != std::string_view::npos)
      CHECK(safer->instead.find("CHECK") == std::string::npos);
  }
}

TEST_CASE("nothing safer is advised for tables that are small, empty or new") {
  Shop shop;
  for (const auto* sql : {"CREATE INDEX ON customer (mail)", "CREATE INDEX ON empty (note)",
                          "ALTER TABLE customer ALTER mail SET NOT NULL"}) {
    const std::string text_of_sql = sql;
    CAPTURE(text_of_sql);
    CHECK(rules(first_of(shop.forecast_of({sql})), Remark::Kind::safer).empty());
  }
  const auto forecast = shop.forecast_of(
      {"CREATE TABLE fresh (id int); CREATE INDEX ON fresh (id); ALTER TABLE fresh "
       "ALTER id SET NOT NULL; ALTER TABLE fresh RENAME TO newer; DROP TABLE newer"});
  for (const auto& statement : forecast.migrations[0].segments[0].statements) {
    CHECK(statement.impacts.empty());
    CHECK(statement.remarks.empty());
  }
}

TEST_CASE("locks add up to the COMMIT: later work is paid under an earlier lock") {
  Shop shop;
  const auto forecast = shop.forecast_of(
      {"ALTER TABLE customer ADD COLUMN age int;\nCREATE INDEX ON orders (total);\n"
       "UPDATE orders SET total = 0 WHERE id = 1;"});
  const auto& holds = forecast.migrations[0].segments[0].holds;
  REQUIRE(holds.size() == 2);
  CHECK(holds[0].relation == "public.customer");
  CHECK(holds[0].lock == LockMode::access_exclusive);
  CHECK(holds[0].from_line == 1);
  CHECK(holds[0].work == Work::index);
  CHECK(holds[0].work_on == "public.orders");
  CHECK(holds[0].work_bytes == forecast.relations.at("public.orders").heap_bytes);
  CHECK(holds[1].lock == LockMode::share);
  CHECK(holds[1].from_line == 2);
  // In two migrations, it is not.
  const auto apart = shop.forecast_of(
      {"ALTER TABLE customer ADD COLUMN age int", "CREATE INDEX ON orders (total)"});
  CHECK(apart.migrations[0].segments[0].holds[0].work_bytes == 0);
}

TEST_CASE("names without a schema follow the script's own search_path, for as long as its script") {
  Shop shop;
  shop.database.execute(
      "CREATE SCHEMA old; CREATE TABLE old.users (id int); INSERT INTO old.users VALUES (1)");
  for (const auto* path :
       {"SET search_path = old, public", "SET SCHEMA 'old'", "SET LOCAL search_path TO old",
        "SELECT pg_catalog.set_config('search_path', 'old, public', false)"}) {
    const std::string set = path;
    CAPTURE(set);
    const auto forecast = shop.forecast_of({set + "; DROP TABLE users", "DROP TABLE users"});
    CHECK(text_of(forecast.migrations[0].segments[0].statements[1], Remark::Kind::destructive) ==
          "drops table old.users: 1 row");
    CHECK(forecast.migrations[0].segments[0].statements[0].remarks.empty());
    CHECK(forecast.migrations[1].segments[0].statements[0].impacts.empty());
  }
  const auto reset =
      shop.forecast_of({"SET search_path = old; RESET search_path; DROP TABLE users"});
  CHECK(reset.migrations[0].segments[0].statements[2].impacts.empty());
}

TEST_CASE("columns that go away with their type are lost; what nobody can name is unknown") {
  Shop shop;
  shop.database.execute(
      "CREATE TYPE mood AS ENUM ('good'); ALTER TABLE customer ADD m mood, ADD ms mood[]; "
      "UPDATE customer SET m = 'good' WHERE id < 3");
  const auto forecast = shop.forecast_of({"DROP TYPE mood CASCADE"});
  CHECK(rules(first_of(forecast), Remark::Kind::destructive) == Names{"drop_column"});
  CHECK(text_of(first_of(forecast), Remark::Kind::destructive) ==
        "drops column public.customer.m with its type: 2 values");
  CHECK(rules(first_of(forecast), Remark::Kind::incompatible).size() == 2);
  for (const auto* sql : {"DROP OWNED BY CURRENT_USER", "DROP EXTENSION pgcrypto CASCADE"})
    CHECK(rules(first_of(shop.forecast_of({sql})), Remark::Kind::unknown) == Names{"unknown"});
}

TEST_CASE("an UPDATE of all rows counts for the locks before it, and stops nobody by itself") {
  Shop shop;
  const auto forecast =
      shop.forecast_of({"ALTER TABLE orders ADD COLUMN n int; UPDATE orders SET n = total; ",
                        "UPDATE orders SET total = 1"});
  const auto& hold = forecast.migrations[0].segments[0].holds.at(0);
  CHECK(hold.work == Work::rewrite);
  CHECK(hold.work_bytes >= forecast.relations.at("public.orders").heap_bytes);
  CHECK(forecast.migrations[1].segments[0].holds.empty());
}

TEST_CASE("writes that stop before reads do are a hold of their own") {
  Shop shop;
  const auto forecast = shop.forecast_of(
      {"CREATE INDEX ON orders (total);\nALTER TABLE orders DROP COLUMN note;\nSELECT 1;"});
  const auto& holds = forecast.migrations[0].segments[0].holds;
  REQUIRE(holds.size() == 2);
  CHECK(holds[0].lock == LockMode::share);
  CHECK(holds[0].work == Work::index);
  CHECK(holds[1].lock == LockMode::access_exclusive);
  CHECK(holds[1].from_line == 2);
  CHECK(holds[1].work == Work::catalogue);
}

TEST_CASE("a statement is one line, and what stands in for a COMMIT of the script is none") {
  Shop shop;
  const auto forecast = shop.forecast_of({"BEGIN;\nDO $$\nBEGIN\n  PERFORM 1;\nEND $$;\nCOMMIT;"});
  const auto& statements = forecast.migrations[0].segments[0].statements;
  REQUIRE(statements.size() == 1);
  CHECK(statements[0].text == "DO $$ BEGIN PERFORM 1; END $$");
}

TEST_CASE("the sum follows a validation in the same transaction, and a concurrent index has none") {
  Shop shop;
  const auto together =
      shop.forecast_of({"ALTER TABLE orders ADD CONSTRAINT c CHECK (total > 0) NOT VALID;"
                        "ALTER TABLE orders VALIDATE CONSTRAINT c"});
  CHECK(together.migrations[0].segments[0].holds.at(0).work == Work::scan);
  const auto concurrent = shop.forecast_of({"CREATE INDEX CONCURRENTLY ON orders (total)"});
  CHECK_FALSE(concurrent.migrations[0].segments[0].transactional);
  CHECK(concurrent.migrations[0].segments[0].holds.empty());
}

TEST_CASE("a table that an earlier pending migration renamed, or changed, is followed") {
  Shop shop;
  const auto forecast = shop.forecast_of(
      {"ALTER TABLE orders RENAME TO purchases",
       "ALTER TABLE purchases ADD CONSTRAINT n CHECK (total IS NOT NULL) NOT VALID",
       "ALTER TABLE purchases VALIDATE CONSTRAINT n",
       "ALTER TABLE purchases ALTER total SET NOT NULL",
       "ALTER TABLE purchases ALTER note TYPE varchar(50)",
       "ALTER TABLE purchases ALTER note TYPE varchar(45)"});
  const auto impact = [&](std::size_t number) {
    return forecast.migrations[number].segments[0].statements[0].impacts.at(0);
  };
  CHECK(impact(1).relation == "public.orders");
  CHECK(impact(3).work == Work::catalogue);
  CHECK(impact(4).work == Work::catalogue);
  CHECK(impact(5).work == Work::rewrite);
}

TEST_CASE("a column that the script has made one that is never empty is not looked through again") {
  Shop shop;
  const auto forecast = shop.forecast_of(
      {"ALTER TABLE orders ADD COLUMN a serial; ALTER TABLE orders ALTER a SET NOT NULL; "
       "ALTER TABLE empty DROP CONSTRAINT empty_pkey, ADD PRIMARY KEY (note); "
       "ALTER TABLE empty ALTER note SET NOT NULL; "
       "ALTER TABLE orders ADD COLUMN b int GENERATED ALWAYS AS IDENTITY; "
       "ALTER TABLE orders ALTER b SET NOT NULL"});
  const auto& statements = forecast.migrations.at(0).segments.at(0).statements;
  for (const auto at : {1U, 3U, 5U}) {
    REQUIRE(statements.at(at).impacts.size() == 1);
    CHECK(statements.at(at).impacts.front().work == Work::catalogue);
  }
}

TEST_CASE("a foreign key reads its other end only where something is to be looked up there") {
  Shop shop;
  const auto work_on_customer = [&](const std::string& before) {
    const auto forecast = shop.forecast_of(
        {before + ";ALTER TABLE orders ADD CONSTRAINT k FOREIGN KEY (c) REFERENCES customer"});
    for (const auto& impact : forecast.migrations.at(0).segments.at(0).statements.back().impacts)
      if (impact.relation == "public.customer") return impact.work;
    return Work::rows;
  };
  const std::string adds = "ALTER TABLE orders ADD c int";
  CHECK(work_on_customer(adds) == Work::catalogue);
  CHECK(work_on_customer(adds + " NOT NULL DEFAULT 1") == Work::scan);
  CHECK(work_on_customer(adds + "; UPDATE orders SET c = 1") == Work::scan);
  CHECK(work_on_customer(adds + "; DO 'BEGIN NULL; END'") == Work::scan);
  CHECK(work_on_customer("DROP TABLE orders; CREATE TABLE orders (c int)") == Work::catalogue);
  CHECK(work_on_customer("DROP TABLE orders; CREATE TABLE orders AS SELECT 1 AS c") == Work::scan);
  CHECK(work_on_customer("DROP TABLE orders; CREATE TABLE orders (c int); "
                         "INSERT INTO orders VALUES (1)") == Work::scan);
}

TEST_CASE("a column that the pending ones made themselves is nobody's loss") {
  Shop shop;
  const auto forecast =
      shop.forecast_of({"ALTER TABLE orders ADD COLUMN a varchar(9) DEFAULT 'x'",
                        "ALTER TABLE orders ALTER a TYPE varchar(5); "
                        "ALTER TABLE orders RENAME a TO b; ALTER TABLE orders DROP COLUMN b"});
  for (const auto& statement : forecast.migrations.at(1).segments.at(0).statements) {
    CHECK(rules(statement, Remark::Kind::destructive).empty());
    CHECK(rules(statement, Remark::Kind::incompatible).empty());
  }
}

TEST_CASE("the safe way keeps a constraint deferrable") {
  Shop shop;
  const auto instead_of = [&](const std::string& constraint) {
    const auto forecast =
        shop.forecast_of({"ALTER TABLE orders ADD CONSTRAINT k UNIQUE " + constraint});
    for (const auto& remark : first_of(forecast).remarks)
      if (remark.rule == "add_unique") return remark.instead;
    return std::string{};
  };
  CHECK(instead_of("(total) DEFERRABLE INITIALLY DEFERRED")
            .ends_with("UNIQUE USING INDEX k DEFERRABLE INITIALLY DEFERRED;"));
  CHECK(instead_of("(total)").ends_with("UNIQUE USING INDEX k;"));
  CHECK(instead_of("(total) INCLUDE (paid)").empty());
}

TEST_CASE("what a text does not tell is said to be unknown") {
  Shop shop;
  for (const auto* sql :
       {"DO $$ BEGIN EXECUTE 'DROP TABLE orders'; END $$", "CALL nosuch()", "SELECT nosuch()",
        "ALTER TABLE orders ADD COLUMN z int GENERATED ALWAYS "
        "AS (total * 2) VIRTUAL"}) {
    const std::string text_of_sql = sql;
    CAPTURE(text_of_sql);
    CHECK(rules(first_of(shop.forecast_of({sql})), Remark::Kind::unknown) == Names{"unknown"});
  }
  CHECK(rules(first_of(shop.forecast_of({"SELECT setval('nosuch', 1)"})), Remark::Kind::unknown)
            .empty());
}

TEST_CASE("a forecast changes nothing and survives hostile names") {
  Shop shop;
  shop.database.execute(
      "CREATE SCHEMA \"s'; DROP TABLE orders; --\"; CREATE TABLE \"s'; DROP TABLE "
      "orders; --\".\"t\"\"x\" (\"c'\" text); INSERT INTO \"s'; DROP TABLE "
      "orders; --\".\"t\"\"x\" VALUES ('x')");
  const auto before = shop.database.dump_schema();
  const auto forecast =
      shop.forecast_of({"ALTER TABLE \"s'; DROP TABLE orders; --\".\"t\"\"x\" DROP COLUMN \"c'\""});
  CHECK(text_of(first_of(forecast), Remark::Kind::destructive) ==
        "drops column \"s'; DROP TABLE orders; --\".\"t\"\"x\".\"c'\": 1 value");
  CHECK(shop.database.dump_schema() == before);
}

TEST_CASE("without a database, what earlier migrations of the folder made is there") {
  Folder folder;
  folder.migrations = {
      {.name = "1", .file = "m/1", .sql = "CREATE TABLE a (id int, n varchar(9))", .checksum = ""},
      {.name = "2",
       .file = "m/2",
       .sql = "CREATE TABLE b (id int); CREATE INDEX ON b (id)",
       .checksum = ""},
      {.name = "3", .file = "m/3", .sql = "ALTER TABLE a ALTER n TYPE varchar(5)", .checksum = ""}};
  auto plan = make_plan(folder, {}, {});
  plan.pending.erase(plan.pending.begin());
  const auto forecast = forecast_offline(folder, plan, 0);
  REQUIRE(forecast.migrations.size() == 2);
  CHECK(forecast.relations.empty());
  for (const auto& statement : forecast.migrations[0].segments[0].statements)
    CHECK(statement.impacts.empty());
  const auto& narrowed = forecast.migrations[1].segments[0].statements[0];
  CHECK(narrowed.impacts ==
        std::vector<Impact>{{"public.a", LockMode::access_exclusive, Work::rewrite}});
  CHECK(rules(narrowed, Remark::Kind::destructive) == Names{"narrow_type"});
}
