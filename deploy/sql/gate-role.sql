-- What `schemagate gate` needs, and nothing more: to read the markers, and whether a run that has
-- begun is still at work (two columns of the lease).
--
--   psql "$ADMIN_URL" -v role=shop_app -f gate-role.sql
--
-- Run it in the app's database after the first `schemagate run`, as the role that ran it or as a
-- superuser. It may be repeated. `role` is usually the role that the app connects as; if there is
-- none of that name, it is created without LOGIN. A gate that lacks these rights stays closed, says
-- so, and opens once they are granted. (Waking up by LISTEN needs no right.) Repeat it after a newer
-- schemagate's first run. What such a role can and cannot do: docs/security.md.
--
--   -v history=public     also lets it read public._prisma_migrations: for gate.match: migrations, and
--                         to see that a migration was taken out of the history after its run
--   -v schema=schemagate  the manifest's database.bookkeeping_schema, if it is another
\set ON_ERROR_STOP on
\if :{?role}
\else
  DO $$ BEGIN RAISE EXCEPTION 'which role? psql -v role=NAME -f gate-role.sql'; END $$;
\endif
\if :{?schema}
\else
  \set schema schemagate
\endif

SELECT to_regclass(format('%I.marker', :'schema')) IS NOT NULL AS has_marker \gset
\if :has_marker
\else
  DO $$ BEGIN RAISE EXCEPTION 'there is no marker table in this database yet: let `schemagate run` work once'; END $$;
\endif

BEGIN;
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec
GRANT USAGE ON SCHEMA :"schema" TO :"role";
GRANT SELECT ON :"schema".marker TO :"role";
GRANT SELECT (name, expires_at) ON :"schema".lock TO :"role";
\if :{?history}
  GRANT USAGE ON SCHEMA :"history" TO :"role";
  GRANT SELECT ON :"history"._prisma_migrations TO :"role";
\endif
COMMIT;
