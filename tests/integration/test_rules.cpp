// Each statement is predicted from its text and the catalogue, then executed and measured, on the
// server that the tests run on: both must say the same. A new statement is a line here.

#include <doctest/doctest.h>

#include <set>

#include "schemagate/base/text.hpp"
#include "schemagate/impact/measure.hpp"
#include "schemagate/impact/rules.hpp"
#include "support/server.hpp"
#include "support/server_version.hpp"

using namespace schemagate;

namespace {

constexpr const char* k_tables = R"sql(
CREATE DOMAIN plain AS int; CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE TYPE row_type AS (id int, a int);
CREATE TABLE parent (id int PRIMARY KEY, code text UNIQUE);
CREATE TABLE t (id int PRIMARY KEY, a int, b int NOT NULL, c text, d varchar(20), n numeric(10, 2), ts timestamp,
   tz timestamptz, ip cidr, iv interval(3), bt bit varying(8), j json, x mood, dm plain, pid int,
   gen int GENERATED ALWAYS AS (id * 2) STORED, arr int[]);
CREATE INDEX t_a ON t (a); CREATE INDEX t_c ON t (c); CREATE INDEX t_d ON t (d);
CREATE UNIQUE INDEX t_b ON t (b); CREATE INDEX t_ts ON t (ts);
CREATE TABLE child (id int PRIMARY KEY, pid int CONSTRAINT child_fk REFERENCES parent DEFERRABLE);
CREATE EXTENSION citext; CREATE TABLE counted (id serial, a int);
CREATE TABLE coded (id int PRIMARY KEY, code text REFERENCES parent (code), note text, ci citext, words varchar(9)[]);
CREATE TABLE checked (id int PRIMARY KEY, a int CONSTRAINT checked_a CHECK (a IS NOT NULL), b int);
CREATE TABLE waits (id int PRIMARY KEY, a int, pid int);
ALTER TABLE waits ADD CONSTRAINT waits_ck CHECK (a > 0) NOT VALID;
ALTER TABLE waits ADD CONSTRAINT waits_fk FOREIGN KEY (pid) REFERENCES parent NOT VALID;
CREATE TABLE nullable (a int); CREATE UNIQUE INDEX nullable_a ON nullable (a);
CREATE TABLE p (id int NOT NULL, k int NOT NULL, v int) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
CREATE TABLE pd PARTITION OF p DEFAULT;
CREATE TABLE cand (id int NOT NULL, k int NOT NULL, v int);
CREATE TABLE candck (id int NOT NULL, k int NOT NULL, v int, CONSTRAINT r CHECK (k >= 3000 AND k < 4000));
CREATE TABLE q (id int NOT NULL, k int NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (1000);
CREATE TABLE candq (id int NOT NULL, k int NOT NULL);
CREATE TABLE candqck (id int NOT NULL, k int NOT NULL, CONSTRAINT r CHECK (k >= 3000 AND k < 4000));
CREATE TABLE above (id int); CREATE TABLE below (id int); CREATE TABLE heir () INHERITS (above);
CREATE VIEW v AS SELECT id, b FROM checked;
CREATE MATERIALIZED VIEW mv AS SELECT id, b FROM checked; CREATE UNIQUE INDEX mv_id ON mv (id);
CREATE SEQUENCE sq OWNED BY t.a;
CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER trg BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf();
CREATE TRIGGER tri BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION tf();
CREATE POLICY pol ON t USING (true);
CREATE RULE ru AS ON DELETE TO above DO INSTEAD NOTHING;
CREATE UNLOGGED TABLE ul (id int PRIMARY KEY, a int);
CREATE TABLE typed OF row_type;
CREATE SCHEMA "Other"; CREATE TABLE "Other"."Odd Name" (id int PRIMARY KEY, a int); CREATE TABLE "Other".t (id int);
INSERT INTO parent SELECT g, 'c' || g FROM generate_series(1, 900) g;
INSERT INTO t (id, a, b, c, d, n, ts, tz, ip, iv, bt, j, x, dm, pid)
  SELECT g, g, g, 'c' || g, 'd' || g, g, now(), now(), '10.0.0.0/8', '1 s', B'101', '1', 'good', g, g FROM generate_series(1, 900) g;
INSERT INTO coded SELECT g, 'c' || g, 'n', 'i', '{a}' FROM generate_series(1, 900) g; INSERT INTO child SELECT g, g FROM generate_series(1, 900) g;
INSERT INTO checked SELECT g, g, g FROM generate_series(1, 900) g;
INSERT INTO waits SELECT g, g, g FROM generate_series(1, 900) g; INSERT INTO nullable SELECT g FROM generate_series(1, 900) g;
INSERT INTO p SELECT g, g * 2, g FROM generate_series(1, 900) g;
INSERT INTO cand SELECT g, 2000 + g, g FROM generate_series(1, 900) g; INSERT INTO candck SELECT g, 3000 + g, g FROM generate_series(1, 900) g;
INSERT INTO q SELECT g, g FROM generate_series(1, 900) g; INSERT INTO candq SELECT g, 2000 + g FROM generate_series(1, 900) g;
INSERT INTO candqck SELECT g, 3000 + g FROM generate_series(1, 900) g; INSERT INTO ul SELECT g, g FROM generate_series(1, 900) g;
REFRESH MATERIALIZED VIEW mv; ANALYZE;
)sql";

struct Case {
  const char* sql;
  int since = 13;
  const char* before = "";  // executed first
};

constexpr Case k_columns[] = {
    {"ALTER TABLE t ADD COLUMN z int"},
    {"ALTER TABLE child ADD COLUMN z text"},
    {"ALTER TABLE public.t ADD COLUMN z int"},
    {"ALTER TABLE ONLY t ADD COLUMN z int DEFAULT 7"},
    {"ALTER TABLE t ADD COLUMN z int NOT NULL DEFAULT 7"},
    {"ALTER TABLE t ADD COLUMN z timestamptz DEFAULT now()"},
    {"ALTER TABLE t ADD COLUMN z timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP"},
    {"ALTER TABLE t ADD COLUMN z timestamptz DEFAULT clock_timestamp()"},
    {"ALTER TABLE t ADD COLUMN z uuid DEFAULT gen_random_uuid()"},
    {"ALTER TABLE t ADD COLUMN z text DEFAULT md5(random()::text)"},
    {"ALTER TABLE t ADD COLUMN z text DEFAULT lower('X')"},
    {"ALTER TABLE t ADD COLUMN z text[] DEFAULT ARRAY[]::text[]"},
    {"ALTER TABLE t ADD COLUMN z serial"},
    {"ALTER TABLE t ADD COLUMN z bigserial"},
    {"ALTER TABLE t ADD COLUMN z int GENERATED ALWAYS AS IDENTITY"},
    {"ALTER TABLE t ADD COLUMN z int GENERATED ALWAYS AS (a * 2) STORED"},
    {"ALTER TABLE t ADD COLUMN z int CHECK (z > 0)"},
    {"ALTER TABLE t ADD COLUMN z int DEFAULT 7 CHECK (z > 0)"},
    {"ALTER TABLE t ADD COLUMN z int REFERENCES parent"},
    {"ALTER TABLE t ADD COLUMN z int DEFAULT 7 REFERENCES parent"},
    {"ALTER TABLE t ADD COLUMN z int UNIQUE"},
    {"ALTER TABLE t ADD COLUMN z int CONSTRAINT k UNIQUE DEFAULT NULL"},
    {"ALTER TABLE t ADD COLUMN z plain"},
    {"ALTER TABLE t ADD COLUMN z positive"},
    {"ALTER TABLE t ADD COLUMN z positive DEFAULT 5"},
    {"ALTER TABLE t ADD COLUMN z mood DEFAULT 'good'"},
    {"ALTER TABLE t ADD COLUMN z mood NOT NULL DEFAULT 'good'::mood"},
    {"ALTER TABLE t ADD COLUMN z text COLLATE \"C\""},
    {"ALTER TABLE t ADD COLUMN IF NOT EXISTS a int"},
    {"ALTER TABLE t ADD COLUMN IF NOT EXISTS z serial"},
    {"ALTER TABLE IF EXISTS nosuch ADD COLUMN z int"},
    {"ALTER TABLE \"Other\".\"Odd Name\" ADD COLUMN z int"},
    {"ALTER TABLE \"Other\".t ADD COLUMN z serial"},
    {"ALTER TABLE t DROP COLUMN c"},
    {"ALTER TABLE t DROP COLUMN IF EXISTS nosuch"},
    {"ALTER TABLE t DROP COLUMN a"},
    {"ALTER TABLE child DROP COLUMN pid"},
    {"ALTER TABLE parent DROP COLUMN code CASCADE"},
    {"ALTER TABLE p ADD COLUMN z int DEFAULT 1"},
    {"ALTER TABLE p ADD COLUMN z serial"},
    {"ALTER TABLE t ADD COLUMN z1 int, ADD COLUMN z2 int DEFAULT 3, ALTER a SET DEFAULT 5"},
};

constexpr Case k_types[] = {
    {"ALTER TABLE t ALTER d TYPE varchar(50)"},
    {"ALTER TABLE t ALTER COLUMN d SET DATA TYPE varchar"},
    {"ALTER TABLE t ALTER d TYPE varchar(10)"},
    {"ALTER TABLE t ALTER d TYPE text"},
    {"ALTER TABLE t ALTER c TYPE varchar"},
    {"ALTER TABLE t ALTER c TYPE varchar(100)"},
    {"ALTER TABLE t ALTER c TYPE char(100)"},
    {"ALTER TABLE t ALTER c TYPE text COLLATE \"C\""},
    {"ALTER TABLE t ALTER j TYPE text"},
    {"ALTER TABLE t ALTER c TYPE bytea USING c::bytea"},
    {"ALTER TABLE t ALTER a TYPE bigint"},
    {"ALTER TABLE t ALTER a TYPE smallint"},
    {"ALTER TABLE t ALTER arr TYPE bigint[]"},
    {"ALTER TABLE t ALTER a TYPE numeric"},
    {"ALTER TABLE t ALTER a TYPE text"},
    {"ALTER TABLE t ALTER n TYPE numeric(12, 2)"},
    {"ALTER TABLE t ALTER n TYPE numeric"},
    {"ALTER TABLE t ALTER n TYPE numeric(12, 3)"},
    {"ALTER TABLE t ALTER n TYPE numeric(8, 2)"},
    {"ALTER TABLE t ALTER ts TYPE timestamptz", 13, "SET TimeZone = 'UTC'"},
    {"ALTER TABLE t ALTER ts TYPE timestamptz", 13, "SET TimeZone = 'Europe/Berlin'"},
    {"ALTER TABLE t ALTER ts TYPE timestamptz USING ts AT TIME ZONE 'UTC'", 13,
     "SET TimeZone = 'UTC'"},
    {"ALTER TABLE t ALTER tz TYPE timestamp", 13, "SET TimeZone = 'UTC'"},
    {"ALTER TABLE t ALTER tz TYPE timestamp", 13, "SET TimeZone = 'Asia/Tokyo'"},
    {"ALTER TABLE t ALTER tz TYPE timestamptz(3)"},
    {"ALTER TABLE t ALTER ts TYPE timestamp(3)"},
    {"ALTER TABLE t ALTER tz TYPE date USING tz::date"},
    {"ALTER TABLE t ALTER ip TYPE inet"},
    {"ALTER TABLE t ALTER iv TYPE interval(6)"},
    {"ALTER TABLE t ALTER iv TYPE interval"},
    {"ALTER TABLE t ALTER iv TYPE interval(1)"},
    {"ALTER TABLE t ALTER bt TYPE bit varying(16)"},
    {"ALTER TABLE t ALTER j TYPE jsonb"},
    {"ALTER TABLE t ALTER x TYPE text"},
    {"ALTER TABLE t ALTER dm TYPE int"},
    {"ALTER TABLE t ALTER a TYPE plain"},
    {"ALTER TABLE t ALTER a TYPE positive"},
    {"ALTER TABLE t ALTER a TYPE int"},
    {"ALTER TABLE t ALTER a TYPE integer USING a"},
    {"ALTER TABLE t ALTER a TYPE int USING a::int"},
    {"ALTER TABLE t ALTER a TYPE int USING a + 1"},
    {"ALTER TABLE t ALTER d TYPE text USING d::text"},
    {"ALTER TABLE t ALTER d TYPE text USING \"d\"::text"},
    {"ALTER TABLE t ALTER c TYPE text"},
    {"ALTER TABLE child ALTER pid TYPE bigint"},
    {"ALTER TABLE child ALTER pid TYPE int USING pid::int"},
    {"ALTER TABLE parent ALTER code TYPE varchar"},
    {"ALTER TABLE t ALTER c TYPE citext"},
    {"ALTER TABLE coded ALTER note TYPE citext"},
    {"ALTER TABLE coded ALTER ci TYPE text"},
    {"ALTER TABLE coded ALTER ci TYPE varchar(30)"},
    {"ALTER TABLE coded ALTER words TYPE text[]"},
    {"ALTER TABLE parent ALTER id TYPE bigint"},
    {"ALTER TABLE p ALTER v TYPE bigint"},
    {"ALTER TABLE t ALTER a SET DEFAULT 1"},
    {"ALTER TABLE t ALTER a DROP DEFAULT"},
    {"ALTER TABLE t ALTER a SET NOT NULL"},
    {"ALTER TABLE t ALTER b SET NOT NULL"},
    {"ALTER TABLE checked ALTER a SET NOT NULL"},
    {"ALTER TABLE t ALTER b DROP NOT NULL"},
    {"ALTER TABLE t ALTER gen DROP EXPRESSION"},
    {"ALTER TABLE t ALTER b ADD GENERATED BY DEFAULT AS IDENTITY"},
    {"ALTER TABLE t ALTER a SET STATISTICS 500"},
    {"ALTER TABLE t ALTER a SET (n_distinct = 10)"},
    {"ALTER TABLE t ALTER a RESET (n_distinct)"},
    {"ALTER TABLE t ALTER c SET STORAGE external"},
    {"ALTER TABLE t ALTER c SET COMPRESSION pglz", 14},
};

constexpr Case k_constraints[] = {
    {"ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0)"},
    {"ALTER TABLE t ADD CONSTRAINT k CHECK (a > 0) NOT VALID"},
    {"ALTER TABLE waits VALIDATE CONSTRAINT waits_ck"},
    {"ALTER TABLE checked VALIDATE CONSTRAINT checked_a"},
    {"ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (pid) REFERENCES parent"},
    {"ALTER TABLE t ADD FOREIGN KEY (pid) REFERENCES public.parent (id) ON DELETE CASCADE"},
    {"ALTER TABLE t ADD CONSTRAINT k FOREIGN KEY (pid) REFERENCES parent NOT VALID"},
    {"ALTER TABLE waits VALIDATE CONSTRAINT waits_fk"},
    {"ALTER TABLE p ADD CONSTRAINT k FOREIGN KEY (v) REFERENCES parent"},
    {"ALTER TABLE t ADD CONSTRAINT k UNIQUE (a)"},
    {"ALTER TABLE t ADD UNIQUE (a)"},
    {"ALTER TABLE t ADD CONSTRAINT k UNIQUE USING INDEX t_b"},
    {"ALTER TABLE ul ADD CONSTRAINT k UNIQUE (a)"},
    {"ALTER TABLE cand ADD PRIMARY KEY (id)"},
    {"ALTER TABLE waits DROP CONSTRAINT waits_pkey, ADD PRIMARY KEY (a)"},
    {"ALTER TABLE nullable ADD CONSTRAINT k PRIMARY KEY USING INDEX nullable_a"},
    {"ALTER TABLE t DROP CONSTRAINT t_pkey, ADD CONSTRAINT k PRIMARY KEY USING INDEX t_b"},
    {"ALTER TABLE t ADD CONSTRAINT k EXCLUDE (a WITH =)"},
    {"ALTER TABLE child ALTER CONSTRAINT child_fk DEFERRABLE INITIALLY DEFERRED"},
    {"ALTER TABLE child DROP CONSTRAINT child_fk"},
    {"ALTER TABLE child DROP CONSTRAINT IF EXISTS nosuch"},
    {"ALTER TABLE checked DROP CONSTRAINT checked_a"},
    {"ALTER TABLE waits DROP CONSTRAINT waits_pkey"},
    {"ALTER TABLE t RENAME CONSTRAINT t_pkey TO t_pk2"},
};

constexpr Case k_tables_changed[] = {
    {"ALTER TABLE t RENAME TO t2"},
    {"ALTER TABLE t RENAME COLUMN c TO c2"},
    {"ALTER TABLE t SET SCHEMA \"Other\"", 13, "DROP TABLE \"Other\".t"},
    {"ALTER TABLE t DISABLE TRIGGER trg"},
    {"ALTER TABLE t ENABLE TRIGGER ALL"},
    {"ALTER TABLE above DISABLE RULE ru"},
    {"ALTER TABLE t ENABLE ROW LEVEL SECURITY"},
    {"ALTER TABLE t FORCE ROW LEVEL SECURITY"},
    {"ALTER TABLE t CLUSTER ON t_a"},
    {"ALTER TABLE t SET WITHOUT CLUSTER"},
    {"ALTER TABLE t REPLICA IDENTITY FULL"},
    {"ALTER TABLE t SET (fillfactor = 70)"},
    {"ALTER TABLE t SET (autovacuum_vacuum_scale_factor = 0.01)"},
    {"ALTER TABLE t SET (parallel_workers = 2)"},
    {"ALTER TABLE t RESET (fillfactor)"},
    {"ALTER TABLE t SET (user_catalog_table = true)"},
    {"ALTER TABLE t SET UNLOGGED"},
    {"ALTER TABLE ul SET LOGGED"},
    {"ALTER TABLE below INHERIT above"},
    {"ALTER TABLE heir NO INHERIT above"},
    {"CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (2000) TO (3000)"},
    {"CREATE TABLE q2 PARTITION OF q FOR VALUES FROM (2000) TO (3000)"},
    {"ALTER TABLE p ATTACH PARTITION cand FOR VALUES FROM (2000) TO (3000)"},
    {"ALTER TABLE p ATTACH PARTITION candck FOR VALUES FROM (3000) TO (4000)"},
    {"ALTER TABLE q ATTACH PARTITION candq FOR VALUES FROM (2000) TO (3000)"},
    {"ALTER TABLE q ATTACH PARTITION candqck FOR VALUES FROM (3000) TO (4000)"},
    {"ALTER TABLE p DETACH PARTITION p1"},
    {"DROP TABLE p1"},
    {"DROP TABLE p"},
    {"CREATE INDEX ON p (v)"},
    {"CREATE INDEX ON ONLY p (v)"},
    {"CREATE INDEX k ON t (a, c)"},
    {"CREATE UNIQUE INDEX k ON t (a)"},
    {"CREATE UNIQUE INDEX IF NOT EXISTS k ON t (a)"},
    {"CREATE INDEX k ON t (c) WHERE a > 5"},
    {"CREATE INDEX IF NOT EXISTS t_a ON t (c)"},
    {"CREATE INDEX IF NOT EXISTS k ON t (c)"},
    {"DROP INDEX t_a"},
    {"DROP INDEX IF EXISTS nosuch"},
    {"REINDEX INDEX t_a"},
    {"REINDEX TABLE t"},
    {"ALTER INDEX t_a RENAME TO t_a2"},
    {"ALTER TABLE t_a RENAME TO t_a2"},
    {"ALTER INDEX t_a SET (fillfactor = 70)"},
};

constexpr Case k_others[] = {
    {"CREATE TABLE n1 (id int PRIMARY KEY)"},
    {"CREATE TABLE n1 (id int PRIMARY KEY, pid int REFERENCES parent)"},
    {"CREATE TABLE IF NOT EXISTS t (id int)"},
    {"CREATE TABLE n1 (LIKE t INCLUDING ALL)"},
    {"CREATE TABLE n1 AS SELECT * FROM t"},
    {"CREATE TABLE n1 () INHERITS (above)"},
    {"DROP TABLE t CASCADE"},
    {"DROP TABLE child"},
    {"DROP TABLE parent CASCADE"},
    {"DROP TABLE IF EXISTS nosuch"},
    {"TRUNCATE t"},
    {"TRUNCATE parent CASCADE"},
    {"CREATE VIEW n1 AS SELECT * FROM t"},
    {"CREATE VIEW n1 AS WITH w AS (SELECT id FROM t) SELECT w.id FROM w JOIN parent USING (id)"},
    {"CREATE OR REPLACE VIEW v AS SELECT id, b, 1 AS z FROM checked"},
    {"DROP VIEW v"},
    {"ALTER VIEW v RENAME TO v2"},
    {"CREATE MATERIALIZED VIEW n1 AS SELECT * FROM t"},
    {"REFRESH MATERIALIZED VIEW mv"},
    {"REFRESH MATERIALIZED VIEW CONCURRENTLY mv"},
    {"DROP MATERIALIZED VIEW mv"},
    {"CREATE TRIGGER k BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf()"},
    {"CREATE OR REPLACE TRIGGER trg BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf()", 14},
    {"CREATE CONSTRAINT TRIGGER k AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf()"},
    {"ALTER TRIGGER trg ON t RENAME TO trg2"},
    {"DROP TRIGGER trg ON t"},
    {"DROP TRIGGER IF EXISTS nosuch ON t"},
    {"CREATE RULE k AS ON UPDATE TO t DO ALSO NOTHING"},
    {"CREATE POLICY k ON t USING (true)"},
    {"ALTER POLICY pol ON t USING (false)"},
    {"DROP POLICY pol ON t"},
    {"CREATE TYPE k AS ENUM ('a')"},
    {"ALTER TYPE mood ADD VALUE 'z'"},
    {"ALTER TYPE mood RENAME VALUE 'good' TO 'fine'"},
    {"ALTER DOMAIN plain ADD CONSTRAINT k CHECK (VALUE > 0)"},
    {"ALTER DOMAIN plain ADD CONSTRAINT k CHECK (VALUE > 0) NOT VALID"},
    {"ALTER DOMAIN plain VALIDATE CONSTRAINT k", 13,
     "ALTER DOMAIN plain ADD CONSTRAINT k CHECK (VALUE > 0) NOT VALID"},
    {"ALTER DOMAIN plain SET NOT NULL"},
    {"ALTER DOMAIN plain SET DEFAULT 3"},
    {"ALTER SEQUENCE sq INCREMENT 5"},
    {"ALTER SEQUENCE sq AS bigint RESTART 10"},
    {"ALTER SEQUENCE sq OWNED BY NONE"},
    {"DROP FUNCTION tf() CASCADE"},
    {"COMMENT ON TABLE t IS 'x'"},
    {"COMMENT ON COLUMN t.a IS 'x'"},
    {"COMMENT ON INDEX t_a IS 'x'"},
    {"COMMENT ON CONSTRAINT t_pkey ON t IS 'x'"},
    {"GRANT SELECT ON t TO PUBLIC"},
    {"REVOKE SELECT ON t FROM PUBLIC"},
    {"CREATE STATISTICS k ON a, b FROM t"},
    {"CREATE PUBLICATION schemagate_rules FOR TABLE t"},
    {"ANALYZE t"},
    {"CLUSTER t USING t_a"},
    {"LOCK TABLE t IN SHARE MODE"},
    {"LOCK TABLE t"},
    {"UPDATE t SET a = a WHERE id < 10"},
    {"INSERT INTO counted (a) VALUES (1)"},
    {"DELETE FROM t"},
    {"DELETE FROM t WHERE id = 1"},
    {"WITH w AS (UPDATE t SET a = 1 WHERE id = 1 RETURNING id) SELECT id FROM w"},
    {"WITH w AS (DELETE FROM child RETURNING pid) INSERT INTO counted (a) SELECT pid FROM w"},
    {"INSERT INTO child VALUES (999999, 1)"},
    {"INSERT INTO t (id, b) SELECT id + 100000, id + 100000 FROM checked"},
    {"SELECT * FROM t WHERE id = 1 FOR UPDATE"},
    {"DROP SCHEMA \"Other\" CASCADE"},
    {"DROP TYPE mood CASCADE"},
    {"DROP DOMAIN positive CASCADE"},
};

std::string told(const std::vector<Impact>& impacts) {
  std::vector<std::string> lines;
  for (const auto& one : impacts)
    lines.push_back(one.relation + " " + std::string{name_of(one.lock)} + " + " +
                    std::string{name_of(one.work)});
  return join(lines, "; ");
}

// How many rows a query reads is the planner's choice: as rules have it, all of them.
bool is_query(const std::string& sql) {
  for (const auto* word : {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"})
    if (sql.starts_with(word)) return true;
  return false;
}

struct Found {
  std::string predicted;
  std::string measured;
};

Found found(pg::Session& session, const Case& one) {
  pg::Transaction transaction{session};
  if (*one.before != 0) session.execute(one.before);
  const auto statement = parse_script(one.sql).front();
  const auto acts = acts_of(statement);
  auto relations = Relations::read(session, {"public"}, acts);
  std::vector<Impact> predicted;
  for (const auto& act : acts) {
    const auto impacts = predict(act, relations, session.server_major_version());
    predicted.insert(predicted.end(), impacts.begin(), impacts.end());
    relations.apply(act);
  }
  predicted = together(std::move(predicted));
  Measure measure{session};
  measure.before();
  session.execute(one.sql);
  auto measured = measure.after(statement);
  if (is_query(one.sql))
    for (auto* impacts : {&predicted, &measured})
      for (auto& impact : *impacts) impact.work = Work::catalogue;
  return {told(predicted), told(measured)};
}

template <std::size_t N> void check(const Case (&cases)[N]) {
  testing::TestDatabase database;
  database.execute(k_tables);
  auto session = database.connect();
  for (const auto& one : cases) {
    if (session.server_major_version() < one.since) continue;
    const std::string sql = one.sql, before = one.before;
    CAPTURE(sql);
    CAPTURE(before);
    const auto [predicted, measured] = found(session, one);
    CHECK(predicted == measured);
  }
}

}  // namespace

TEST_CASE("what is predicted of columns is what the server does") { check(k_columns); }
TEST_CASE("what is predicted of types and of column settings is what the server does") {
  check(k_types);
}
TEST_CASE("what is predicted of constraints is what the server does") { check(k_constraints); }
TEST_CASE("what is predicted of tables, partitions and indexes is what the server does") {
  check(k_tables_changed);
}
TEST_CASE("what is predicted of all else is what the server does") { check(k_others); }
