-- What `schemagate run` needs to migrate a database, for a role that is no superuser.
--
--   psql "$ADMIN_URL" -v role=shop_migrator -f run-role.sql
--
-- Run it in the app's database as an administrator: a superuser, or the database's owner with the
-- attribute CREATEROLE (the first role of RDS, Cloud SQL, Neon, ...). It may be repeated.
-- If there is no role of that name, it is created without LOGIN and without password; then
--   ALTER ROLE shop_migrator LOGIN PASSWORD '...';
--
--   CONNECT on the database
--   the schema schemagate as its own, for the bookkeeping (CREATE on the database, with which it
--     would make that schema itself, is more than it needs)
--   USAGE and CREATE on the schema that the migrations work in
--   ownership of the tables, types, views and functions that migrations change: whatever this role
--     creates is its own; what another role made before must be handed over (take_over)
--
-- Migrations that do more need more: CREATE EXTENSION of an untrusted extension a superuser, a
-- schema of their own CREATE on the database, CREATE ROLE the attribute CREATEROLE.
-- `schemagate run` ends what a dead runner left on the server with pg_terminate_backend: always run
-- with the same role, which may do that to its own connections.
--
--   -v target=public      the schema that the migrations work in
--   -v schema=schemagate  the manifest's database.bookkeeping_schema, if it is another
--   -v take_over=public   makes the role the owner of everything in that schema and in the
--                         bookkeeping's, for a database that another role has migrated until now
--
-- An app that connects as another role than this one needs rights on what will be created:
--   ALTER DEFAULT PRIVILEGES FOR ROLE shop_migrator IN SCHEMA public
--     GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop_app;
--   ALTER DEFAULT PRIVILEGES FOR ROLE shop_migrator IN SCHEMA public
--     GRANT USAGE ON SEQUENCES TO shop_app;
-- The history that a run makes is kept from that: of these rights on it only SELECT stays.
\set ON_ERROR_STOP on
\if :{?role}
\else
  DO $$ BEGIN RAISE EXCEPTION 'which role? psql -v role=NAME -f run-role.sql'; END $$;
\endif
\if :{?schema}
\else
  \set schema schemagate
\endif
\if :{?target}
\else
  \set target public
\endif

BEGIN;
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
-- Only who may become a role can give it something to own. Since PostgreSQL 16 whoever makes a role is a
-- member that may administer it, but not become it.
SELECT current_setting('server_version_num')::int >= 160000 AS has_set_option \gset
\if :has_set_option
  SELECT format('GRANT %I TO CURRENT_USER WITH SET TRUE, INHERIT TRUE', :'role')
   WHERE NOT (pg_has_role(current_user, :'role', 'SET') AND pg_has_role(current_user, :'role', 'USAGE')) \gexec
\else
  SELECT format('GRANT %I TO CURRENT_USER', :'role') WHERE NOT pg_has_role(current_user, :'role', 'MEMBER') \gexec
\endif
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role') \gexec
SELECT format('CREATE SCHEMA %I AUTHORIZATION %I', :'schema', :'role')
 WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = :'schema') \gexec
GRANT USAGE, CREATE ON SCHEMA :"schema", :"target" TO :"role";

\if :{?take_over}
  -- What belongs to an extension stays with it, a sequence or type of a table goes with the table.
  SELECT format('ALTER %s %s OWNER TO %I', kind, name, :'role')
    FROM (SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS name,
                 relnamespace AS namespace, 'pg_class'::regclass AS catalog, c.oid, relowner AS owner
            FROM pg_class c
           WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
             AND NOT EXISTS (SELECT FROM pg_depend d
                              WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND relkind = 'S'
                                AND d.deptype IN ('a', 'i'))
          UNION ALL
          SELECT 'TYPE', format_type(t.oid, NULL), typnamespace, 'pg_type'::regclass, t.oid, typowner
            FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
           WHERE typtype IN ('e', 'd', 'r') OR (typtype = 'c' AND c.relkind = 'c')
          UNION ALL
          SELECT 'ROUTINE', p.oid::regprocedure::text, pronamespace, 'pg_proc'::regclass, p.oid, proowner
            FROM pg_proc p WHERE prokind <> 'a') AS object
   WHERE namespace IN (SELECT oid FROM pg_namespace WHERE nspname IN (:'take_over', :'schema'))
     AND owner <> (SELECT oid FROM pg_roles WHERE rolname = :'role')
     AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = object.catalog AND d.objid = object.oid AND d.deptype = 'e') \gexec
  ALTER SCHEMA :"schema" OWNER TO :"role";
\endif
COMMIT;
