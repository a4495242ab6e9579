-- What `schemagate status` needs to see everything, and nothing more: to read.
--
--   psql "$ADMIN_URL" -v role=oncall -f status-role.sql
--
-- Run it in the app's database after the first `schemagate run`, as the role that ran it or as a
-- superuser. It may be repeated. If there is no role of that name, it is created without LOGIN.
-- Without the rights on schema schemagate, status leaves lease, runs, markers and drift out; who executes
-- a migration right now it sees only with pg_monitor (granted here if this session may), or as the
-- same role.
--
--   -v history=public     the schema of _prisma_migrations, if it is another
--   -v schema=schemagate  the manifest's database.bookkeeping_schema, if it is another
\set ON_ERROR_STOP on
\if :{?role}
\else
  DO $$ BEGIN RAISE EXCEPTION 'which role? psql -v role=NAME -f status-role.sql'; END $$;
\endif
\if :{?schema}
\else
  \set schema schemagate
\endif
\if :{?history}
\else
  \set history public
\endif

BEGIN;
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec
GRANT USAGE ON SCHEMA :"schema", :"history" TO :"role";
GRANT SELECT ON :"schema".lock, :"schema".run, :"schema".step, :"schema".marker, :"schema".snapshot TO :"role";
GRANT SELECT ON :"history"._prisma_migrations TO :"role";
SELECT format('GRANT pg_monitor TO %I', :'role')
 WHERE pg_has_role(current_user, 'pg_monitor', 'MEMBER WITH ADMIN OPTION') \gexec
COMMIT;
