#pragma once
// Our own tables as SQL: made, and brought from each version to the next. Bookkeeping::sql() puts
// the configured schema in place of "schemagate.". What their columns mean is in docs/internals.md.

#include <array>

namespace schemagate::statements {

inline constexpr int k_tables_version = 4;
// What came with each version that can be told by its columns, the oldest first.
struct Sign {
  int version;
  const char* table;
  const char* column;
};
inline constexpr std::array k_signs = {Sign{3, "marker", "scope"},
                                       Sign{4, "snapshot", "fingerprint"}};

inline constexpr const char* k_create_tables = R"sql(
CREATE TABLE schemagate.lock (
  name        text PRIMARY KEY,
  holder      text NOT NULL,
  fence       bigint NOT NULL,
  app         text NOT NULL,
  release     text NOT NULL,
  host        text NOT NULL,
  acquired_at timestamptz NOT NULL,
  renewed_at  timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);
CREATE TABLE schemagate.run (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  app          text NOT NULL,
  release      text NOT NULL,
  fence        bigint NOT NULL,
  mode         text NOT NULL,
  started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at  timestamptz,
  status       text NOT NULL DEFAULT 'running',
  applied      integer NOT NULL DEFAULT 0,
  error_code   integer,
  error        text,
  digest       text NOT NULL,
  tool_version text NOT NULL,
  host         text NOT NULL
);
CREATE TABLE schemagate.step (
  migration_id   text NOT NULL,
  migration_name text NOT NULL,
  segment        integer NOT NULL,
  digest         text NOT NULL,
  evidence       text NOT NULL DEFAULT '',
  started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at    timestamptz,
  PRIMARY KEY (migration_id, segment)
);
CREATE TABLE schemagate.marker (
  app          text NOT NULL,
  release      text NOT NULL,
  status       text NOT NULL CHECK (status IN ('running', 'complete', 'failed')),
  digest       text NOT NULL,
  run_id       bigint NOT NULL,
  error_code   integer,
  error        text,
  completed_at timestamptz,
  PRIMARY KEY (app, release)
);
CREATE TABLE schemagate.version (version integer PRIMARY KEY);
INSERT INTO schemagate.version VALUES (1);
)sql";

// From each version to the next; the first one leads from 1 to 2. Each locks the version's table
// first and raises the version itself, also where a publication FOR ALL TABLES asks for a replica
// identity, which version 1 had not.
//
// A marker of version 2 does not say which history it was written for: where only one of its kind
// was ever worked on, that one; else it is nobody's, and its release is run again.
//
// Snapshots are kept in three places a scope, so that no right to delete is needed.
inline constexpr std::array k_upgrades = {
    R"sql(
ALTER TABLE schemagate.version REPLICA IDENTITY FULL;
ALTER TABLE schemagate.run ADD COLUMN note text;
UPDATE schemagate.version SET version = 2;
)sql",
    R"sql(
ALTER TABLE schemagate.version REPLICA IDENTITY FULL;
ALTER TABLE schemagate.lock ADD COLUMN nonce text NOT NULL DEFAULT '', ADD COLUMN role text NOT NULL DEFAULT '';
ALTER TABLE schemagate.run ADD COLUMN scope text NOT NULL DEFAULT '';
ALTER TABLE schemagate.marker ADD COLUMN scope text NOT NULL DEFAULT '', ADD COLUMN history_oid oid,
                              ADD COLUMN changed_at timestamptz NOT NULL DEFAULT clock_timestamp();
UPDATE schemagate.run SET scope = coalesce(
  (SELECT min(name) FROM schemagate.lock WHERE starts_with(name, run.mode || ':') HAVING count(*) = 1), '');
UPDATE schemagate.marker SET scope = coalesce((SELECT scope FROM schemagate.run WHERE id = run_id), ''),
                             changed_at = coalesce(completed_at, clock_timestamp());
ALTER TABLE schemagate.marker DROP CONSTRAINT marker_pkey, ADD PRIMARY KEY (app, release, scope);
UPDATE schemagate.version SET version = 3;
)sql",
    R"sql(
ALTER TABLE schemagate.version REPLICA IDENTITY FULL;
CREATE TABLE schemagate.snapshot (
  scope        text NOT NULL,
  slot         integer NOT NULL,
  app          text NOT NULL,
  run_id       bigint NOT NULL,
  taken_at     timestamptz NOT NULL,
  server_major integer NOT NULL,
  history      text NOT NULL,
  schemas      text[] NOT NULL,
  guard        text NOT NULL,
  fingerprint  text NOT NULL,
  objects      jsonb NOT NULL,
  PRIMARY KEY (scope, slot)
);
UPDATE schemagate.version SET version = 4;
)sql",
};

}  // namespace schemagate::statements
