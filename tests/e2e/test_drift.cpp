// What was changed outside of migrations is told, by run and status, until somebody settles it;
// what migrations, tools and schedulers make is not.

#include <doctest/doctest.h>

#include "schemagate/lease/tables.hpp"
#include "support/open_transaction.hpp"

#include "history_fixture.hpp"

using namespace testing;

namespace {

constexpr const char* k_told = "the schema was changed outside of migrations";

// Two migrations, applied.
class Applied : public Shop {
 public:
  explicit Applied(const std::string& rest = {}) {
    settings.rest = rest;
    migration("1_users",
              "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, note varchar(10));");
    migration("2_orders", "CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users);"
                          "CREATE VIEW names AS SELECT name FROM users;");
    const auto result = run();
    CHECK(result == exits(0));
    CHECK(result.err != contains("drift"));
  }
  void by_hand(const std::string& sql) const { database().execute(sql); }
  [[nodiscard]] std::string snapshots() const {
    return database().value("SELECT count(*) FROM schemagate.snapshot");
  }
  [[nodiscard]] std::string stored(const std::string& column) const {
    return database().value("SELECT " + column +
                            " FROM schemagate.snapshot ORDER BY taken_at DESC LIMIT 1");
  }
  [[nodiscard]] std::string runs() const {
    return database().value("SELECT count(*) FROM schemagate.run");
  }
};

void check_no_drift(const Applied& shop) {
  const auto result = shop.run();
  CHECK(result == exits(0));
  CHECK(result.err != contains(k_told));
}

}  // namespace

TEST_CASE("what was changed by hand is told by the next run, though it has nothing to do") {
  const Applied shop;
  check_no_drift(shop);
  CHECK(shop.runs() == "1");
  shop.by_hand("ALTER TABLE users ADD nickname text, ALTER name DROP NOT NULL, ALTER note TYPE "
               "varchar(20); CREATE TABLE own (id int, x int); DROP VIEW names");
  const auto result = shop.run();
  CHECK(result == exits(0, k_told, "column users.nickname is there, and no migration made it",
                        "column users.name may be NULL, and should not",
                        "column users.note should be character varying(10), is character "
                        "varying(20)",
                        "view names is missing", "table own is there", "hint: undo it",
                        "schemagate verify --accept", "nothing to do"));
  CHECK(result.err != contains("public.own.x"));
  CHECK(shop.runs() == "1");  // nothing was written
  shop.by_hand("ALTER TABLE users DROP nickname, ALTER name SET NOT NULL, ALTER note TYPE "
               "varchar(10); DROP TABLE own; CREATE VIEW names AS SELECT name FROM users");
  check_no_drift(shop);
}

TEST_CASE("many differences are told by the first ten and a number") {
  const Applied shop;
  for (int i = 0; i < 25; ++i) shop.by_hand("CREATE TABLE own_" + std::to_string(i) + " ()");
  const auto result = shop.run();
  CHECK(result == exits(0, "25 differences", "and 15 more"));
}

TEST_CASE("policy.drift: fail ends a run before it changes anything") {
  const Applied shop{"policy: {drift: fail}"};
  shop.by_hand("ALTER TABLE users ADD nickname text");
  CHECK(shop.run() == exits(22, k_told, "users.nickname"));
  shop.migration("3_more", "CREATE TABLE more ()");
  CHECK(shop.run() == exits(22, k_told, "users.nickname"));
  CHECK(shop.tables() == "orders, users");
  CHECK(shop.call({"gate", "--once"}) == exits(31, "code 22"));
  CHECK(shop.is_lease_free());
  shop.by_hand("ALTER TABLE users DROP nickname");
  CHECK(shop.run() == exits(0));
  CHECK(shop.tables() == "more, orders, users");
  CHECK(shop.call({"gate", "--once"}) == exits(0));
}

TEST_CASE("policy.drift: off looks at nothing and stores nothing") {
  const Applied shop{"policy: {drift: off}"};
  CHECK(shop.snapshots() == "0");
  shop.by_hand("ALTER TABLE users ADD nickname text");
  check_no_drift(shop);
  CHECK(shop.runs() == "1");
  CHECK(shop.status().out == contains("drift   not looked for: policy.drift is off"));
}

TEST_CASE("drift is not forgotten because migrations were applied meanwhile") {
  const Applied shop;
  shop.by_hand("ALTER TABLE users ADD nickname text; DROP VIEW names");
  shop.migration("3_more", "CREATE TABLE more (id int)");
  CHECK(shop.run() == exits(0, "users.nickname", "applied 3_more"));
  CHECK(shop.snapshots() == "2");
  const auto again = shop.run();
  CHECK(again == exits(0, "2 differences", "users.nickname", "view names is missing"));
  CHECK(again.err != contains("public.more"));
  // A migration that changes it further has made it.
  shop.migration("4_nickname", "ALTER TABLE users ALTER nickname TYPE varchar(9)");
  CHECK(shop.run() == exits(0));
  const auto last = shop.run();
  CHECK(last == exits(0, "1 difference ", "view names is missing"));
  CHECK(last.err != contains("nickname"));
}

TEST_CASE("a failed run does not make its own work, nor what was changed before, into nothing") {
  const Applied shop;
  shop.by_hand("ALTER TABLE users ADD nickname text");
  shop.migration("3_good", "CREATE TABLE good ()");
  shop.migration("4_bad", "SELECT 1/0");
  CHECK(shop.run() == exits(21));
  shop.migration("4_bad", "SELECT 1");
  const auto result = shop.run();
  CHECK(result == exits(0, "1 difference ", "users.nickname"));
  CHECK(result.err != contains("public.good"));
  CHECK(shop.run() == exits(0, "users.nickname"));
}

TEST_CASE("a history that was corrected by our own commands stays comparable") {
  const Applied shop;
  shop.by_hand("ALTER TABLE users ADD nickname text");
  shop.migration("3_by_hand", "CREATE TABLE by_hand ()");
  CHECK(shop.resolve("3_by_hand", "--applied") == exits(0));
  CHECK(shop.run() == exits(0, "users.nickname"));
}

TEST_CASE("what another tool has applied is no drift, and from then on its work is known") {
  const Applied shop;
  shop.migration("3_theirs", "CREATE TABLE theirs (id int)");
  shop.by_hand("CREATE TABLE theirs (id int)");
  shop.row("3_theirs", "applied");
  const auto result = shop.run();
  CHECK(result == exits(0, "drift is not looked for: since", "the history was changed by others"));
  CHECK(result.err != contains(k_told));
  shop.by_hand("DROP TABLE theirs");
  CHECK(shop.run() ==
        exits(20, "table theirs is missing", "recorded as applied, but nothing of it is there"));
}

TEST_CASE("a release that is complete gets its first snapshot from the next run, once") {
  const Applied shop;
  // As version 3 left it.
  shop.by_hand("DROP TABLE schemagate.snapshot; UPDATE schemagate.version SET version = 3");
  CHECK(shop.call({"gate", "--once"}) == exits(0));
  CHECK(shop.status().out == contains("not looked for: no run has stored yet what it left"));
  check_no_drift(shop);
  CHECK(shop.snapshots() == "1");
  CHECK(shop.runs() == "2");
  check_no_drift(shop);
  CHECK(shop.runs() == "2");
  shop.by_hand("DROP VIEW names");
  CHECK(shop.run() == exits(0, "view names is missing"));
}

TEST_CASE("a snapshot of another major version is not compared with, and made anew") {
  const Applied shop;
  shop.by_hand("UPDATE schemagate.snapshot SET server_major = 9; DROP VIEW names");
  const auto result = shop.run();
  CHECK(result == exits(0, "a server of another major version"));
  CHECK(result.err != contains(k_told));
  CHECK(shop.snapshots() == "2");
  check_no_drift(shop);
  CHECK(shop.snapshots() == "2");
}

TEST_CASE("three snapshots are kept of a history") {
  const Applied shop;
  for (int i = 3; i < 9; ++i) {
    shop.migration(std::to_string(i) + "_m", "CREATE TABLE t" + std::to_string(i) + " ()");
    CHECK(shop.run() == exits(0));
  }
  CHECK(shop.snapshots() == "3");
  CHECK(shop.stored("run_id") == shop.runs());
  CHECK(shop.database().value("SELECT count(*) FROM schemagate.snapshot WHERE objects::text LIKE "
                              "'%public.t8%'") == "1");
  check_no_drift(shop);
}

TEST_CASE("what changes no object is seen by a closer look, and not again once a run has worked") {
  Applied shop;
  const auto before = shop.stored("guard");
  shop.by_hand(
      "TRUNCATE users CASCADE; REINDEX TABLE users; CREATE TABLE gone (); DROP TABLE gone");
  check_no_drift(shop);
  CHECK(shop.stored("guard") == before);  // without the lease nothing is written
  shop.migration("3_nothing", "SELECT 1");
  check_no_drift(shop);
  CHECK(shop.stored("guard") != before);
  const auto after = shop.stored("guard");
  shop.by_hand("TRUNCATE users CASCADE");
  shop.settings.rest = "release: r9";
  check_no_drift(shop);
  CHECK(shop.snapshots() == "2");
  CHECK(shop.stored("guard") != after);
}

TEST_CASE("patterns of drift.ignore leave out what others may change") {
  const Applied shop{"drift: {ignore: ['public.tmp_*', 'index *']}"};
  shop.by_hand("CREATE TABLE tmp_import (a int PRIMARY KEY); CREATE INDEX by_dba ON users (name)");
  check_no_drift(shop);
  shop.by_hand("CREATE TABLE mine ()");
  const auto result = shop.run();
  CHECK(result == exits(0, "1 difference ", "table mine"));
}

TEST_CASE("partitions that a scheduler makes and drops are no drift") {
  const Applied shop;
  shop.migration("3_log",
                 "CREATE TABLE log (day int, x text, PRIMARY KEY (day)) PARTITION BY RANGE (day);"
                 "CREATE INDEX ON log (x);"
                 "CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (1) TO (2);"
                 "CREATE TABLE refers (day int REFERENCES log);");
  CHECK(shop.run() == exits(0));
  shop.by_hand("CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (2) TO (3);"
               "CREATE TABLE log_3 PARTITION OF log FOR VALUES FROM (3) TO (4) PARTITION BY RANGE "
               "(day); CREATE TABLE log_3a PARTITION OF log_3 FOR VALUES FROM (3) TO (4);"
               "CREATE INDEX log_2_own ON log_2 (x); GRANT SELECT ON log_2 TO PUBLIC;"
               "ALTER TABLE log DETACH PARTITION log_1; DROP TABLE log_1");
  check_no_drift(shop);
  shop.by_hand("ALTER TABLE log ADD z int");
  CHECK(shop.run() == exits(0, "column log.z"));
}

TEST_CASE("only schemas that are ours are looked at, and what is in none where it was before") {
  const Applied shop;
  shop.by_hand("CREATE SCHEMA billing; CREATE SCHEMA monitoring; CREATE SCHEMA \"odd-Name\"");
  shop.migration("3_billing", "CREATE TABLE billing.invoices (id int); CREATE TABLE "
                              "\"odd-Name\".t (); CREATE EXTENSION citext; -- see monitor");
  CHECK(shop.run() == exits(0));
  CHECK(shop.stored("schemas") == "{public,billing,odd-Name}");
  shop.by_hand("CREATE TABLE monitoring.probe (id int); CREATE EXTENSION hstore SCHEMA monitoring;"
               "CREATE PUBLICATION somebody FOR TABLE users; CREATE TABLE pg_temp.t (a int)");
  check_no_drift(shop);
  shop.by_hand("ALTER TABLE billing.invoices ADD x int; DROP TABLE \"odd-Name\".t; DROP EXTENSION "
               "citext");
  CHECK(shop.run() == exits(0, "column billing.invoices.x", "table \"odd-Name\".t is missing",
                            "extension citext is missing"));
}

TEST_CASE("a neighbour's schema is not ours, though our scripts name it") {
  const Applied shop;
  Shop neighbour;
  neighbour.settings.migrations = "schema: tenant";
  neighbour.settings.url = shop.settings.url;
  neighbour.migration("1_init", "CREATE TABLE items (id int);");
  CHECK(neighbour.run() == exits(0));
  shop.migration("3_more", "CREATE TABLE more (); -- see tenant");
  CHECK(shop.run() == exits(0));
  CHECK(shop.stored("schemas") == "{public}");
  shop.by_hand("ALTER TABLE tenant.items ADD x int");
  check_no_drift(shop);
  CHECK(neighbour.run() == exits(0, "column items.x"));
}

TEST_CASE("what a neighbour's runs make in the schema that both use is no drift of ours") {
  const Applied shop;
  Deployment neighbour;
  neighbour.settings.url = shop.settings.url;
  neighbour.settings.migrations = "allow_empty: true, tool: command, command: [psql, -qX, \"" +
                                  shop.settings.url + "\", -f, migrations/do.sql]";
  neighbour.settings.rest = "app: neighbour\nrelease: r1";
  neighbour.dir().write("migrations/do.sql", "CREATE TABLE shared (id int); DROP VIEW names;");
  CHECK(neighbour.run() == exits(0));
  check_no_drift(shop);
  shop.by_hand("ALTER TABLE shared ADD y int; CREATE VIEW names AS SELECT 1");
  const auto result = shop.run();
  CHECK(result == exits(0, "2 differences", "column shared.y", "view names"));
}

TEST_CASE("status tells drift with its lines, and what it counts for by the policy") {
  for (const bool fails : {false, true}) {
    CAPTURE(fails);
    const Applied shop{fails ? "policy: {drift: fail}" : ""};
    auto seen = shop.status();
    CHECK(seen.findings() == "");
    CHECK(seen.out == contains("drift   none since 20"));
    CHECK(seen.json.at("drift").at("looked") == true);
    CHECK(seen.json.at("drift").at("differences").empty());
    CHECK(seen.json.at("drift").at("fingerprint") == shop.stored("fingerprint"));
    shop.by_hand("ALTER TABLE users ADD nickname text");
    seen = shop.status();
    CHECK(seen.findings() == (fails ? "drift 22" : "drift 0"));
    CHECK(seen.evidence("drift") ==
          "column users.nickname is there, and no migration made it (text)\n");
    CHECK(seen.hint("drift") == contains("schemagate verify --accept"));
    CHECK(seen.json.at("drift").at("differences").size() == 1);
    CHECK((seen.out == contains("but drifted")) == !fails);
  }
}

TEST_CASE("status says what it did not look at") {
  const Applied shop;
  const auto role = "sg_reader_" + shop.database().name();
  shop.by_hand("CREATE ROLE " + role + " LOGIN; GRANT USAGE ON SCHEMA schemagate TO " + role +
               "; GRANT SELECT ON schemagate.lock, schemagate.run, schemagate.step, "
               "schemagate.marker, _prisma_migrations TO " +
               role);
  Shop reader;
  reader.settings.url = shop.database().url_as(role);
  for (const std::string name : {"1_users", "2_orders"})
    reader.migration(name, read_text(shop.folder() / name / "migration.sql"));
  auto seen = reader.status();
  CHECK(seen == exits(0));
  CHECK(seen.out == contains("healthy and up to date, drift not looked for"));
  CHECK(seen.json.at("drift").at("looked") == false);
  CHECK(seen.json.at("drift").at("why_not") == "this role may not read what is needed "
                                               "(deploy/sql/status-role.sql)");
  CHECK(reader.call({"verify"}) == exits(24));
  shop.by_hand("GRANT SELECT ON schemagate.snapshot TO " + role);
  seen = reader.status();
  CHECK(seen.out == contains("drift   none since"));
  CHECK(reader.call({"verify"}) == exits(0));
  shop.by_hand("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_CASE("status does not take the work of a run for drift") {
  const Applied shop;
  auto running = shop.start_napping("3_nap", "CREATE TABLE half (); COMMIT; SELECT aside.nap();");
  const auto seen = shop.status();
  CHECK(seen.json.at("drift").at("why_not") == "a run is at work");
  running.kill();
}

TEST_CASE("a run with nothing to do does not wait for whoever holds a table") {
  Applied shop;
  shop.by_hand("ALTER TABLE orders ALTER id SET DEFAULT 1");
  const OpenTransaction holder{shop.database(), "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"};
  CHECK(shop.run() == exits(0, "somebody holds a table", "nothing to do"));
  shop.settings.rest = "policy: {drift: fail}";
  CHECK(shop.run() == exits(13));
}

TEST_CASE("mode: check tells drift by the policy, and stores nothing") {
  Applied shop;
  shop.by_hand("DROP VIEW names");
  shop.settings.environment["SCHEMAGATE_MODE"] = "check";
  CHECK(shop.run() == exits(0, "view names is missing"));
  shop.settings.rest = "policy: {drift: fail}";
  CHECK(shop.run() == exits(22, "view names is missing"));
  shop.by_hand("DELETE FROM schemagate.snapshot");
  CHECK(shop.run() == exits(0));
  CHECK(shop.snapshots() == "0");
}

TEST_CASE("a command's history has drift, too") {
  Deployment shop;
  shop.settings.migrations = "allow_empty: true, tool: command, command: [psql, -qX, \"" +
                             shop.database().url() +
                             "\", -v, ON_ERROR_STOP=1, -f, migrations/do.sql]";
  const auto release = [&](const std::string& name, const std::string& sql) {
    shop.dir().write("migrations/do.sql", sql);
    shop.settings.rest = "release: " + name;
    return shop.run();
  };
  CHECK(release("r1", "CREATE TABLE t (a int);") == exits(0));
  CHECK(shop.run() == exits(0, "nothing to do"));
  shop.database().execute("ALTER TABLE t ADD b int");
  CHECK(shop.run() == exits(0, k_told, "column t.b"));
  CHECK(release("r2", "CREATE TABLE u (a int);") == exits(0, "column t.b"));
  auto again = shop.run();
  CHECK(again == exits(0, "1 difference ", "column t.b"));
  CHECK(again.err != contains("public.u"));
  // What a command did that failed, nobody can tell.
  CHECK(release("r3", "CREATE TABLE w (a int); SELECT 1/0;") == exits(25));
  again = release("r3", "SELECT 1;");
  CHECK(again == exits(0, "a run ended half-way"));
  CHECK(again.err != contains(k_told));
  CHECK(shop.run().err != contains(k_told));
}
