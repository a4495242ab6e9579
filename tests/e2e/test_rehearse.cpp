// `schemagate rehearse`: what a run would do, seen before, in a copy.

#include <doctest/doctest.h>

#include "history_fixture.hpp"
#include "schemagate/base/text.hpp"

using namespace testing;
using schemagate::split;

namespace {

struct Rehearsed : Shop {
  using Shop::Shop;
  Rehearsed() { migration("1_users", k_users); }

  static constexpr const char* k_users =
      "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL);\n"
      "CREATE TABLE orders (id serial PRIMARY KEY, user_id int NOT NULL REFERENCES users, total numeric);\n";

  [[nodiscard]] Result rehearse(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{"rehearse"};
    words.insert(words.end(), more.begin(), more.end());
    const auto before = everything();
    auto result = call(words);
    CHECK(everything() == before);
    CHECK(result.out + result.err != contains(k_url_password));
    CHECK(copies() == "");
    return result;
  }
  // All that the live database holds, our own tables among it.
  [[nodiscard]] std::string everything() const {
    const auto rows = database().value(
        "SELECT string_agg(format('%s.%s %s', schemaname, tablename, (xpath('/row/c/text()', "
        "query_to_xml(format('SELECT md5(coalesce(string_agg(t::text, E''\\n'' ORDER BY t::text), '''')) AS c "
        "FROM %I.%I t', schemaname, tablename), true, true, '')))[1]), E'\\n' ORDER BY 1) FROM pg_tables "
        "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')");
    return rows + "\n" + database().dump_schema();
  }
  // Scratch databases of this target that are there.
  [[nodiscard]] std::string copies() const {
    const auto whose = "postgres@" + server_host() + ":" + server_port() + "/" + database().name() +
                       "\nprisma:public";
    return joined(database().column("SELECT datname FROM pg_database WHERE starts_with(datname, "
                                    "'schemagate_scratch_" +
                                    schemagate::sha256_hex(whose).substr(0, 16) + "')"));
  }
};

// What PostgreSQL said of which statement, and what to do: the lines that both commands print, one
// of them as a log.
std::string failure_in(const std::string& text) {
  std::string told;
  for (auto line : split(text, '\n')) {
    if (const auto log = line.find(" error "); log == 8) line.erase(0, log + 7);
    line = schemagate::trim(line);
    if (told.empty() && !line.starts_with("migration 2_more failed at")) continue;
    const bool is_fate = line.find("remains") != std::string::npos ||
                         line.find("what the statement did") != std::string::npos;
    if (!is_fate) told += line + "\n";
    if (line.starts_with("hint: ")) break;
  }
  return told;
}

}  // namespace

TEST_CASE("a rehearsal tells each statement's locks and work, and changes nothing") {
  Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "ALTER TABLE users ADD COLUMN age int;\n"
                           "CREATE INDEX users_name ON users (name);\n"
                           "ALTER TABLE orders ALTER total TYPE text;\n"
                           "CREATE TABLE more (id int);\nALTER TABLE more ADD x int;\n");
  auto result = shop.rehearse();
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  CHECK(result.out == contains("made by a replay of 1 applied migration\n"));
  CHECK(result.out == contains("public.users: ACCESS EXCLUSIVE: reads and writes wait"));
  CHECK(result.out == contains("public.orders: ACCESS EXCLUSIVE, rewrite: reads and writes wait"));
  CHECK(result.out == contains("1 migration: all of it works\n"));
  CHECK(result.out != contains("the copy is not as"));
  result = shop.rehearse({"--json"});
  CHECK(result == exits(0));
  const auto json = Json::parse(result.out);
  CHECK(json.at("works") == true);
  CHECK(json.at("copy").at("differences").empty());
  const auto& statements = json.at("migrations").at(0).at("segments").at(0).at("statements");
  REQUIRE(statements.size() == 5);
  CHECK(statements.at(1).at("line") == 2);
  CHECK(statements.at(1).at("impacts").at(0).at("lock") == "");  // held already
  CHECK(statements.at(1).at("impacts").at(0).at("work") == "index build");
  CHECK(statements.at(4).at("impacts").empty());
  CHECK(shop.run() == exits(0));
  result = shop.rehearse();
  CHECK(result == exits(0));
  CHECK(result.out == contains("nothing is pending"));
}

TEST_CASE("what fails in a rehearsal is told in the words of the run that follows") {
  for (const std::string sql :
       {"CREATE TABLE fine (id int);\nALTER TABEL users ADD x int;\n",
        "ALTER TABLE nowhere ADD x int;\n", "ALTER TABLE users ADD x int, ADD x int;\n",
        "INSERT INTO users VALUES (1, NULL);\n", "SELECT 1;\n\nCREATE TABLE users (id int);\n",
        "CREATE INDEX CONCURRENTLY odd ON users (nothing);\n",
        "DO $$ BEGIN RAISE EXCEPTION 'no, says %', current_database() IS NOT NULL; END $$;\n"}) {
    CAPTURE(sql);
    Rehearsed shop;
    REQUIRE(shop.run() == exits(0));
    shop.migration("2_more", sql);
    const auto rehearsed = shop.rehearse();
    const auto json = Json::parse(shop.rehearse({"--json"}).out);
    const auto run = shop.run();
    INFO(rehearsed.out << run.err);
    CHECK(rehearsed.exit_code == run.exit_code);
    CHECK(rehearsed == exits(21));
    CHECK(failure_in(rehearsed.out) == failure_in(run.err));
    CHECK(failure_in(rehearsed.out) != "");
    CHECK(rehearsed.out == contains("it was a rehearsal: the database is as it was"));
    CHECK(json.at("exit_code") == 21);
    CHECK(json.at("works") == false);
    CHECK(failure_in(json.at("error").get<std::string>()) != "");
  }
}

TEST_CASE("a script that PostgreSQL forces into parts is rehearsed in these parts") {
  Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more",
                 "CREATE TYPE mood AS ENUM ('good');\nALTER TYPE mood ADD VALUE 'bad';\n");
  shop.migration("3_parts", "ALTER TYPE mood ADD VALUE 'odd';\n"
                            "ALTER TABLE users ADD mood mood DEFAULT 'odd';\n"
                            "CREATE INDEX CONCURRENTLY users_mood ON users (mood);\n"
                            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;\n"
                            "DO $$ BEGIN INSERT INTO users VALUES (1, 'x'); COMMIT; END $$;\n");
  const auto result = shop.rehearse({"--json"});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  const auto json = Json::parse(result.out);
  const auto& parts = json.at("migrations").at(1).at("segments");
  REQUIRE(parts.size() >= 4);
  CHECK(parts.at(2).at("transactional") == false);
  CHECK(
      parts.at(2).at("statements").at(0).at("impacts").at(0) ==
      Json::parse(
          R"({"relation": "public.users", "lock": "SHARE UPDATE EXCLUSIVE", "work": "index build"})"));
  CHECK(shop.run() == exits(0));
}

TEST_CASE("a release that is one transaction is rehearsed as one") {
  Rehearsed shop;
  shop.settings.migrations = "atomic: release";
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "ALTER TABLE users ADD a int;");
  shop.migration("3_more", "ALTER TABLE users ADD b int;");
  auto result = shop.rehearse();
  CHECK(result == exits(0));
  CHECK(result.out == contains("2 migrations: all of it works"));
  CHECK(split(result.out, '\n').size() == split(shop.rehearse().out, '\n').size());
  CHECK(result.out.find("public.users: ") == result.out.rfind("public.users: "));
  shop.migration("3_more", "ALTER TABLE users ADD a int;");
  result = shop.rehearse();
  CHECK(result == exits(21));
  CHECK(result.out == contains("migration 3_more failed at"));
}

TEST_CASE("the copy is of what is there, with what was changed outside of migrations") {
  Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute("ALTER TABLE users ADD COLUMN mail text; CREATE TABLE by_hand (id int);"
                          "CREATE VIEW mails AS SELECT mail FROM users; CREATE SCHEMA \"Odd.one\"");
  shop.migration("2_more",
                 "ALTER TABLE users ALTER mail SET NOT NULL; CREATE TABLE \"Odd.one\".t (id int);");
  auto result = shop.rehearse();
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  CHECK(result.out == contains("made by pg_dump"));
  CHECK(result.out != contains("the copy is not as"));
  CHECK(result.out == contains("public.users: ACCESS EXCLUSIVE, scan"));
  const TempDir nothing;  // without pg_dump: what differs is told
  shop.settings.environment["PATH"] = nothing.path().string();
  result = shop.rehearse();
  CHECK(result == exits(21));
  CHECK(result.out == contains("made by a replay of 1 applied migration"));
  CHECK(result.out == contains("the copy is not as the live database is:\n"));
  CHECK(result.out == contains("  in the copy: table by_hand is missing\n"));
  CHECK(result.out == contains("  in the copy: column users.mail is missing (text)\n"));
}

TEST_CASE("what a run refuses before it begins a rehearsal refuses in the same words") {
  const Rehearsed shop;
  shop.database().execute("CREATE TABLE strange (id int)");
  const auto rehearsed = shop.rehearse();
  CHECK(rehearsed == exits(20, "is not empty, but has no migration history", "hint: "));
  CHECK(shop.run() == exits(20, "is not empty, but has no migration history"));
  const Rehearsed failed;
  REQUIRE(failed.run() == exits(0));
  failed.migration("2_more", "ALTER TABLE nowhere ADD x int;\n");
  failed.row("2_more", "failed");
  CHECK(failed.call({"rehearse"}).exit_code == failed.run().exit_code);
}

TEST_CASE("a first release is rehearsed in an empty database, and needs nothing of ours there") {
  const Rehearsed shop;
  const auto result = shop.rehearse();
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  CHECK(result.out == contains("made by an empty database"));
  CHECK(shop.database().value("SELECT count(*) FROM pg_namespace WHERE nspname = 'schemagate'") ==
        "0");
  CHECK(shop.history() == std::vector<std::string>{"no table"});
}

TEST_CASE("what reaches beyond the database is told, or refused, and never rehearsed") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  const auto role = "rehearsed_" + shop.database().name();
  shop.migration("2_more", "CREATE ROLE " + role +
                               " PASSWORD 'geheim-31415';\nALTER TABLE users ADD x int;\n");
  auto result = shop.rehearse();
  CHECK(result == exits(0));
  CHECK(result.out == contains("not rehearsed: it reaches beyond the database"));
  CHECK(result.out != contains("geheim-31415"));
  CHECK(shop.database().value("SELECT count(*) FROM pg_roles WHERE rolname = '" + role + "'") ==
        "0");
  shop.migration("2_more", "DO $$ BEGIN PERFORM dblink_exec('', 'SELECT 1'); END $$;\n");
  result = shop.rehearse();
  CHECK(result == exits(24, "2_more/migration.sql:1:1 may reach beyond its database"));
}

TEST_CASE("rows that are copied show what an empty copy does not") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute(
      "INSERT INTO users SELECT g, 'geheim-' || g % 100 FROM generate_series(1, 2500) g;"
      "INSERT INTO orders (user_id, total) SELECT g, g FROM generate_series(1, 500) g; ANALYZE;"
      "CREATE TABLE audit (id int); CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS "
      "'BEGIN INSERT INTO audit VALUES (1); RETURN NEW; END';"
      "CREATE TRIGGER noted AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION noted()");
  shop.migration("2_more", "CREATE UNIQUE INDEX users_name ON users (name);\n");
  CHECK(shop.rehearse() == exits(0));
  auto result = shop.rehearse({"--with-data", "users,orders"});
  INFO(result.out << result.err);
  CHECK(result == exits(21));
  CHECK(result.out == contains("     2500  public.users\n"));
  CHECK(result.out == contains("      500  public.orders\n"));
  CHECK(result.out + result.err != contains("geheim-"));
  CHECK(failure_in(result.out) == failure_in(shop.run().err));
  shop.migration("2_more",
                 "DO $$ BEGIN IF (SELECT count(*) FROM audit) > 0 THEN RAISE 'fired'; END IF; "
                 "IF (SELECT count(*) FROM orders) < 500 THEN RAISE 'lost'; END IF; "
                 "INSERT INTO orders (user_id) VALUES (1); "
                 "IF (SELECT count(*) FROM audit) <> 1 THEN RAISE 'not fired'; END IF; END $$;\n"
                 "ALTER TABLE orders VALIDATE CONSTRAINT orders_user_id_fkey;\n");
  result = shop.rehearse({"--with-data", "orders, users"});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  CHECK(shop.rehearse({"--with-data", "nowhere"}) == exits(2, "there is no such table"));
  CHECK(shop.rehearse({"--with-data", "x'; DROP TABLE users"}) == exits(2, "--with-data: "));
}

TEST_CASE("a part of the rows is copied by chance") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute(
      "INSERT INTO users SELECT g, 'n' FROM generate_series(1, 2000) g;"
      "INSERT INTO orders (user_id) SELECT g FROM generate_series(1, 2000) g; ANALYZE");
  shop.migration("2_more", "ALTER TABLE users ADD x int;\n");
  auto result = shop.rehearse({"--sample", "50%", "--json"});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  const auto json = Json::parse(result.out);
  const auto& rows = json.at("copy").at("rows");
  REQUIRE(rows.size() == 3);
  for (const std::size_t i : {0, 1}) {
    CHECK(rows.at(i).at("rows").get<int>() > 500);
    CHECK(rows.at(i).at("rows").get<int>() < 1500);
  }
  CHECK(rows.at(2).at("table") == "public.users");
  CHECK(rows.at(2).at("why_not_all") == "only those that are referred to");
  CHECK(shop.call({"rehearse", "--sample", "0"}) == exits(2, "more than 0%"));
  CHECK(shop.call({"rehearse", "--sample", "all"}) == exits(2, "more than 0%"));
}

TEST_CASE("values of every kind arrive as they are") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute(
      "CREATE TYPE pair AS (a int, b text); CREATE DOMAIN plain AS text;"
      "CREATE TABLE \"Odd \"\"t\"\"\" (id int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (n * 2) STORED,"
      " n int, \"a,b\" text, j jsonb, by bytea, ts timestamptz, iv interval, f float8, ar text[], p pair, d plain, r int4range);"
      "INSERT INTO \"Odd \"\"t\"\"\" (n, \"a,b\", j, by, ts, iv, f, ar, p, d, r) VALUES "
      "(1, E'it''s \\\\ \\n', 'null', '\\\\x00ff', '2026-02-03 04:05:06.789+02', '1 mon -2 days', 0.1::float8 + 0.2, "
      "'{\"a\",NULL,\"{}\"}', '(1,\"x,y\")', '', '[1,5)'), (NULL, NULL, NULL, NULL, 'infinity', NULL, 'NaN', '{}', NULL, NULL, 'empty')");
  const auto digest = shop.database().value(
      "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM \"Odd \"\"t\"\"\" t");
  shop.database().execute("ALTER DATABASE \"" + shop.database().name() +
                          "\" SET datestyle = 'SQL, DMY'");
  shop.migration(
      "2_more",
      "SET datestyle = 'ISO, MDY'; DO $$ BEGIN IF (SELECT md5(string_agg(t::text, '' ORDER BY id)) "
      "FROM \"Odd \"\"t\"\"\" t) IS DISTINCT FROM '" +
          digest +
          "' THEN RAISE 'other: %', "
          "(SELECT count(*) FROM \"Odd \"\"t\"\"\"); END IF; END $$;\n");
  const auto result = shop.rehearse({"--with-data", "\"Odd \"\"t\"\"\""});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
}

TEST_CASE("a copy that is kept is there, with its rows, until somebody drops it") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "ALTER TABLE users ADD x int;\n");
  const auto result = shop.rehearse({"--keep", "--json"});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  const auto kept = Json::parse(result.out).at("kept").at("database").get<std::string>();
  CHECK(shop.database().value("SELECT count(*) FROM pg_database WHERE datname = '" + kept + "'") ==
        "1");
  CHECK(shop.rehearse() == exits(0));
  CHECK(shop.database().value("SELECT count(*) FROM pg_database WHERE datname = '" + kept + "'") ==
        "1");
  shop.database().execute("DROP DATABASE " + kept);
  const auto text = shop.rehearse({"--keep"}).out;
  const auto drop = text.find("DROP DATABASE ");
  REQUIRE(drop != std::string::npos);
  shop.database().execute(text.substr(drop, text.find(';', drop) - drop));
}

TEST_CASE("without the right to make a database the reader is told what would help") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "ALTER TABLE users ADD x int;\n");
  const auto role = "reader_" + shop.database().name();
  shop.database().execute("CREATE ROLE " + role +
                          " LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO " + role +
                          "; GRANT USAGE ON SCHEMA schemagate TO " + role +
                          "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate TO " + role);
  Rehearsed reading;
  reading.settings.url = shop.database().url_as(role + ":" + k_url_password);
  reading.migration("2_more", "ALTER TABLE users ADD x int;\n");
  auto result = reading.call({"rehearse"});
  CHECK(result ==
        exits(24, "cannot be copied for a rehearsal", "ALTER ROLE " + role + " CREATEDB"));
  shop.database().execute("ALTER ROLE " + role + " CREATEDB");
  result = reading.call({"rehearse", "--with-data", "users"});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  CHECK(result.out == contains("public.users: ACCESS EXCLUSIVE"));
  shop.database().execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_CASE("through a pooler a rehearsal says what it needs") {
  Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "ALTER TABLE users ADD x int;\n");
  shop.settings.url += "?pgbouncer=true";
  CHECK(shop.call({"rehearse"}) ==
        exits(24, "a scratch database cannot be reached through a pooler", "direct_url"));
  shop.settings.url.resize(shop.settings.url.size() - std::string{"?pgbouncer=true"}.size());
  shop.settings.rest = "scratch: off\n";
  CHECK(shop.call({"rehearse"}) == exits(24, "the manifest forbids a scratch database"));
}

TEST_CASE("what a killed rehearsal left the next one drops") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "SELECT pg_sleep(600);\n");
  auto process = shop.start_call({"rehearse"});
  const auto in_copy =
      " FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%' AND datname ";
  const auto of_copy = [&] { return in_copy + std::string{"= '"} + shop.copies() + "'"; };
  REQUIRE(eventually([&] { return shop.database().value("SELECT count(*)" + of_copy()) == "1"; },
                     std::chrono::seconds{60}));
  process.kill();
  const auto left = shop.copies();
  shop.database().execute("SELECT pg_terminate_backend(pid)" + of_copy());
  REQUIRE(eventually([&] { return shop.database().value("SELECT count(*)" + of_copy()) == "0"; },
                     std::chrono::seconds{60}));
  const auto old = left.substr(0, left.find('_', 19) + 1) + "1700000000_1";
  shop.database().execute("ALTER DATABASE " + left + " RENAME TO " + old);
  shop.migration("2_more", "SELECT 1;\n");
  CHECK(shop.rehearse() == exits(0, "dropped " + old));
}

TEST_CASE("a rehearsal that is stopped drops its copy") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.migration("2_more", "SELECT pg_sleep(600);\n");
  auto process = shop.start_call({"rehearse"});
  REQUIRE(eventually(
      [&] {
        return shop.database().value("SELECT count(*) FROM pg_stat_activity WHERE datname = '" +
                                     shop.copies() + "' AND query LIKE 'SELECT pg_sleep(600)%'") ==
               "1";
      },
      std::chrono::seconds{60}));
  process.signal(SIGTERM);
  CHECK(process.wait() == exits(128 + SIGTERM));
  CHECK(shop.copies() == "");
}

TEST_CASE("rows of any shape of tables are copied, and what cannot be is told") {
  const Rehearsed shop;
  REQUIRE(shop.run() == exits(0));
  shop.database().execute(
      "CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, other int);"
      "CREATE TABLE twin (id int PRIMARY KEY, tree int REFERENCES tree);"
      "ALTER TABLE tree ADD CONSTRAINT both_ways FOREIGN KEY (other) REFERENCES twin DEFERRABLE;"
      "INSERT INTO tree SELECT g, 301 - g FROM generate_series(1, 300) g;"
      "INSERT INTO twin SELECT g, g FROM generate_series(1, 300) g; UPDATE tree SET other = id;"
      "CREATE TABLE parts (k int, v int REFERENCES tree) PARTITION BY RANGE (k);"
      "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100);"
      "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (100) TO (200);"
      "INSERT INTO parts SELECT g, g + 1 FROM generate_series(0, 199) g;"
      "CREATE TABLE odd (v text); INSERT INTO odd SELECT 'geheim-' || g FROM generate_series(1, 20) g;"
      "ALTER TABLE odd ADD CONSTRAINT odd_v CHECK (v <> 'geheim-7') NOT VALID;"
      "CREATE VIEW looks AS SELECT * FROM odd; ANALYZE");
  shop.migration(
      "2_more",
      "DO $$ BEGIN IF (SELECT count(*) FROM tree JOIN twin ON tree.other = twin.id) <> 300 "
      "OR (SELECT count(*) FROM parts) <> 200 THEN RAISE 'lost'; END IF; END $$;\n"
      "INSERT INTO twin VALUES (301, 77);\n");
  auto result = shop.rehearse({"--with-data", "tree,twin,parts,odd"});
  INFO(result.out << result.err);
  CHECK(result == exits(0));
  CHECK(result.out == contains("      300  public.tree\n"));
  CHECK(result.out == contains("      300  public.twin\n"));
  CHECK(result.out == contains("      100  public.parts_1\n"));
  CHECK(result.out == contains("      100  public.parts_2\n"));
  CHECK(result.out == contains("       19  public.odd (1 row could not be written (23514))\n"));
  CHECK(result.out + result.err != contains("geheim-"));
  shop.migration("2_more", "ALTER TABLE twin ADD x int;\n");
  result = shop.rehearse({"--with-data", "twin"});
  CHECK(result == exits(0));
  CHECK(result.out == contains("300  public.twin\n"));
  CHECK(result.out == contains("300  public.tree (only those that are referred to)\n"));
  CHECK(shop.rehearse({"--with-data", "looks"}) == exits(2, "looks: there are no rows of its own"));
  const auto role = "blind_" + shop.database().name();
  shop.database().execute("CREATE ROLE " + role +
                          " LOGIN CREATEDB; GRANT USAGE ON SCHEMA schemagate TO " + role +
                          "; GRANT SELECT ON _prisma_migrations TO " + role +
                          "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate TO " + role);
  Rehearsed blind;
  blind.settings.url = shop.database().url_as(role + ":" + k_url_password);
  blind.migration("2_more", "ALTER TABLE twin ADD x int;\n");
  CHECK(blind.call({"rehearse", "--with-data", "users"}) ==
        exits(24, "the rows of public.users may not be read", "GRANT SELECT"));
  shop.database().execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}
