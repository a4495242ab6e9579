#pragma once
// The catalogue as rows (kind, name, parent, definition): one for each thing that a migration can
// make, in the words that PostgreSQL itself prints it with (pg_get_*def; PostgreSQL manual 9.27,
// chapter 53). To be executed with search_path = pg_catalog, so that every other name is printed
// with its schema. "parent" is the relation that it goes away with.
//
// $1 a schema that is left out; $2, $3 schema and name of a table that is; $4 the schemas that are
// looked into, or NULL: all.
//
// Left out as well: what an extension made, owners, statistics, an extension's version, what the
// owner of a thing may do with it, and default privileges: they differ between servers and roles
// that agree in everything that an app can notice.

namespace schemagate {

inline constexpr const char* k_snapshot = R"sql(
WITH extended AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
space AS MATERIALIZED (
  SELECT n.oid, nspname, quote_ident(nspname) AS schema, nspacl, nspowner FROM pg_namespace n
   WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname <> $1 AND ($4::text[] IS NULL OR nspname = ANY ($4::text[]))
     AND NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_namespace'::regclass AND objid = n.oid)),
relation AS MATERIALIZED (
  SELECT c.*, schema || '.' || quote_ident(c.relname) AS q FROM pg_class c JOIN space n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT (nspname = $2 AND c.relname = $3)
     AND NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_class'::regclass AND objid = c.oid)),
own_type AS MATERIALIZED (
  SELECT t.*, schema || '.' || quote_ident(t.typname) AS q FROM pg_type t JOIN space n ON n.oid = t.typnamespace
   WHERE t.typtype IN ('e', 'd', 'c', 'r')
     AND NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_type'::regclass AND objid = t.oid)),
function AS MATERIALIZED (
  SELECT p.*, schema || '.' || quote_ident(p.proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS q
    FROM pg_proc p JOIN space n ON n.oid = p.pronamespace
   WHERE NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_proc'::regclass AND objid = p.oid)),
attribute AS MATERIALIZED (
  SELECT a.*, r.relowner, r.q AS parent, r.q || '.' || quote_ident(attname) AS q FROM relation r JOIN pg_attribute a ON attrelid = r.oid
   WHERE r.relkind IN ('r', 'p', 'f') AND attnum > 0 AND NOT attisdropped),
granted (object, parent, owner, acl, public_by_default) AS (
  SELECT CASE relkind WHEN 'S' THEN 'sequence ' WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' ELSE 'table ' END || q,
         q, relowner, relacl, false FROM relation
  UNION ALL SELECT 'column ' || q, parent, relowner, attacl, false FROM attribute WHERE attacl IS NOT NULL
  UNION ALL SELECT CASE prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || q, '', proowner, proacl, true FROM function
  UNION ALL SELECT 'schema ' || schema, '', nspowner, nspacl, false FROM space
  UNION ALL SELECT 'type ' || q, '', typowner, typacl, true FROM own_type),
snapshot (kind, name, parent, definition) AS (
SELECT 'schema', schema, '', 'schema' FROM space
UNION ALL
SELECT 'extension', quote_ident(extname), '', 'in schema ' || extnamespace::regnamespace FROM pg_extension WHERE extname <> 'plpgsql'
UNION ALL
SELECT 'relation', q,
       CASE relkind WHEN 'S' THEN coalesce((SELECT d.refobjid::regclass::text FROM pg_depend d
          WHERE d.classid = 'pg_class'::regclass AND d.objid = relation.oid AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i') LIMIT 1), '') ELSE '' END,
       CASE relpersistence WHEN 'u' THEN 'unlogged ' ELSE '' END ||
       CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                    WHEN 'f' THEN 'foreign table' ELSE 'sequence' END ||
       CASE WHEN relkind = 'p' THEN ' by ' || pg_get_partkeydef(oid) ELSE '' END ||
       coalesce((SELECT CASE WHEN relispartition THEN ' partition of ' ELSE ' inherits ' END ||
                        string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = relation.oid), '') ||
       coalesce(' ' || pg_get_expr(relpartbound, oid), '') ||
       CASE WHEN reloftype <> 0 THEN ' of ' || format_type(reloftype, NULL) ELSE '' END ||
       CASE WHEN relkind = 'f' THEN (SELECT ' server ' || quote_ident(srvname) ||
                coalesce(' options ' || array_to_string(ftoptions, ', '), '')
           FROM pg_foreign_table JOIN pg_foreign_server s ON s.oid = ftserver WHERE ftrelid = relation.oid) ELSE '' END ||
       coalesce(' with (' || nullif(array_to_string(ARRAY(SELECT o FROM unnest(reloptions) o ORDER BY o), ', '), '') || ')', '') ||
       CASE WHEN relrowsecurity THEN ' with row level security' ELSE '' END || CASE WHEN relforcerowsecurity THEN ', forced' ELSE '' END ||
       CASE WHEN relkind NOT IN ('r', 'p') THEN '' WHEN relreplident = 'n' THEN ' replica identity nothing'
            WHEN relreplident = 'f' THEN ' replica identity full'
            WHEN relreplident = 'i' THEN ' replica identity ' || coalesce((SELECT indexrelid::regclass::text FROM pg_index
                                            WHERE indrelid = relation.oid AND indisreplident), '?') ELSE '' END ||
       CASE WHEN relkind IN ('v', 'm') THEN ' as ' || pg_get_viewdef(oid) ELSE '' END ||
       coalesce((SELECT ' ' || format_type(seqtypid, NULL) || ' start ' || seqstart || ' increment ' || seqincrement || ' min ' || seqmin ||
                        ' max ' || seqmax || ' cache ' || seqcache || CASE WHEN seqcycle THEN ' cycle' ELSE '' END
                   FROM pg_sequence WHERE seqrelid = relation.oid), '') ||
       CASE WHEN relkind = 'S' THEN coalesce((SELECT ' owned by ' || d.refobjid::regclass || '.' || quote_ident(a.attname)
           FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
          WHERE d.classid = 'pg_class'::regclass AND d.objid = relation.oid AND d.refclassid = 'pg_class'::regclass
            AND d.deptype IN ('a', 'i') LIMIT 1), '') ELSE '' END
  FROM relation
UNION ALL
SELECT 'column', q, parent, format_type(atttypid, atttypmod) ||
       CASE WHEN attcollation <> typcollation AND attcollation <> 0 THEN ' collate ' || attcollation::regcollation ELSE '' END ||
       CASE WHEN attgenerated <> '' THEN ' generated always as (' || pg_get_expr(adbin, adrelid) || ')' ||
                 CASE attgenerated WHEN 's' THEN ' stored' ELSE ' virtual' END ELSE '' END ||
       CASE WHEN attstorage <> typstorage THEN ' storage ' || attstorage::text ELSE '' END ||
       CASE WHEN coalesce(attstattarget, -1) <> -1 THEN ' statistics ' || attstattarget ELSE '' END ||
       coalesce(' options ' || nullif(array_to_string(ARRAY(SELECT o FROM unnest(attoptions) o WHERE o NOT LIKE 'pg_attver=%'
                                                             ORDER BY o), ', '), ''), '')
  FROM attribute JOIN pg_type t ON t.oid = atttypid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
UNION ALL
SELECT 'not null', q, parent, 'not null' FROM attribute WHERE attnotnull
UNION ALL
SELECT 'default', q, parent, CASE attidentity WHEN 'a' THEN 'generated always as identity' WHEN 'd' THEN 'generated by default as identity'
                                              ELSE pg_get_expr(adbin, adrelid) END
  FROM attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attgenerated = '' AND (attidentity <> '' OR adbin IS NOT NULL)
UNION ALL
SELECT 'constraint', q || '.' || quote_ident(conname), q, pg_get_constraintdef(k.oid)
  FROM relation JOIN pg_constraint k ON conrelid = relation.oid WHERE contype IN ('p', 'u', 'c', 'f', 'x')
UNION ALL
SELECT 'index', indexrelid::regclass::text, q, pg_get_indexdef(indexrelid) ||
       CASE WHEN indisvalid THEN '' ELSE ' INVALID' END || CASE WHEN indisclustered THEN ' CLUSTER' ELSE '' END
  FROM relation JOIN pg_index ON indrelid = relation.oid
 WHERE NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = relation.oid AND k.conindid = indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'type', q, '', 'enum (' || coalesce((SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
                                              FROM pg_enum WHERE enumtypid = own_type.oid), '') || ')' FROM own_type WHERE typtype = 'e'
UNION ALL
SELECT 'type', q, '', 'composite (' || coalesce((SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod) ||
           CASE WHEN attcollation NOT IN (0, 100) THEN ' collate ' || attcollation::regcollation ELSE '' END, ', ' ORDER BY attnum)
         FROM pg_attribute WHERE attrelid = typrelid AND attnum > 0 AND NOT attisdropped), '') || ')'
  FROM own_type WHERE typtype = 'c' AND (SELECT relkind FROM pg_class WHERE oid = typrelid) = 'c'
UNION ALL
SELECT 'type', q, '', 'domain ' || format_type(typbasetype, typtypmod) || CASE WHEN typnotnull THEN ' not null' ELSE '' END ||
       coalesce(' default ' || typdefault, '') || CASE WHEN typcollation NOT IN (0, 100) THEN ' collate ' || typcollation::regcollation ELSE '' END ||
       coalesce((SELECT string_agg(' constraint ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid), '' ORDER BY conname)
                   FROM pg_constraint WHERE contypid = own_type.oid AND contype = 'c'), '')
  FROM own_type WHERE typtype = 'd'
UNION ALL
SELECT 'type', q, '', 'range of ' || format_type(rngsubtype, NULL) || ' ' || (SELECT opcname FROM pg_opclass WHERE oid = rngsubopc) || ' ' ||
       rngcanonical || ' ' || rngsubdiff
  FROM own_type JOIN pg_range ON rngtypid = own_type.oid WHERE typtype = 'r'
UNION ALL
SELECT 'function', q, '', CASE prokind WHEN 'a' THEN (SELECT 'aggregate ' || aggtransfn || ' ' || format_type(aggtranstype, NULL) || ' ' ||
           aggfinalfn || ' ' || coalesce(agginitval, '') FROM pg_aggregate WHERE aggfnoid = function.oid)
         ELSE replace(pg_get_functiondef(oid), E'\r\n', E'\n') END FROM function
UNION ALL
SELECT 'trigger', q || '.' || quote_ident(tgname), q, pg_get_triggerdef(t.oid) ||
       CASE tgenabled WHEN 'O' THEN '' WHEN 'D' THEN ' disabled' WHEN 'R' THEN ' enabled on replicas' ELSE ' enabled always' END
  FROM relation JOIN pg_trigger t ON tgrelid = relation.oid WHERE NOT tgisinternal
UNION ALL
SELECT 'rule', q || '.' || quote_ident(rulename), q, pg_get_ruledef(r.oid) || CASE ev_enabled WHEN 'O' THEN '' ELSE ' ' || ev_enabled::text END
  FROM relation JOIN pg_rewrite r ON ev_class = relation.oid WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'policy', q || '.' || quote_ident(polname), q, CASE WHEN polpermissive THEN 'permissive' ELSE 'restrictive' END || ' for ' ||
       CASE polcmd WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'all' END || ' to ' ||
       (SELECT string_agg(CASE r WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY 1) FROM unnest(polroles) r) ||
       coalesce(' using (' || pg_get_expr(polqual, polrelid) || ')', '') || coalesce(' with check (' || pg_get_expr(polwithcheck, polrelid) || ')', '')
  FROM relation JOIN pg_policy ON polrelid = relation.oid
UNION ALL
SELECT 'statistics', stxnamespace::regnamespace || '.' || quote_ident(stxname), q, pg_get_statisticsobjdef(s.oid)
  FROM relation JOIN pg_statistic_ext s ON stxrelid = relation.oid
UNION ALL
SELECT 'event trigger', quote_ident(evtname), '', evtevent || ' ' || evtfoid::regproc || ' ' || evtenabled::text || ' ' || coalesce(evttags::text, '')
  FROM pg_event_trigger e WHERE NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_event_trigger'::regclass AND objid = e.oid)
UNION ALL
SELECT 'publication', quote_ident(pubname), '', (to_jsonb(p) - 'oid' - 'pubname' - 'pubowner')::text ||
       coalesce((SELECT string_agg(' ' || prrelid::regclass, ',' ORDER BY prrelid::regclass::text) FROM pg_publication_rel r WHERE r.prpubid = p.oid), '')
  FROM pg_publication p
UNION ALL
SELECT 'operator', oid::regoperator::text, '', oprcode || ' ' || oprrest || ' ' || oprjoin || ' ' || oprcanhash || oprcanmerge
  FROM pg_operator o WHERE oid >= 16384 AND NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_operator'::regclass AND objid = o.oid)
UNION ALL
SELECT 'cast', format_type(castsource, NULL) || ' as ' || format_type(casttarget, NULL), '', castfunc::regprocedure || ' ' || castcontext::text || castmethod::text
  FROM pg_cast k WHERE oid >= 16384 AND NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_cast'::regclass AND objid = k.oid)
UNION ALL
SELECT 'collation', schema || '.' || quote_ident(collname), '', (to_jsonb(k) - 'oid' - 'collname' - 'collnamespace' - 'collowner' - 'collversion')::text
  FROM pg_collation k JOIN space n ON n.oid = collnamespace
 WHERE NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_collation'::regclass AND objid = k.oid)
UNION ALL
SELECT 'text search configuration', schema || '.' || quote_ident(cfgname), '',
       (SELECT string_agg(maptokentype || ':' || mapdict::regdictionary, ' ' ORDER BY maptokentype, mapseqno) FROM pg_ts_config_map WHERE mapcfg = t.oid)
  FROM pg_ts_config t JOIN space n ON n.oid = cfgnamespace
UNION ALL
SELECT 'text search dictionary', schema || '.' || quote_ident(dictname), '', coalesce(dictinitoption, '')
  FROM pg_ts_dict t JOIN space n ON n.oid = dictnamespace
 WHERE NOT EXISTS (SELECT 1 FROM extended WHERE classid = 'pg_ts_dict'::regclass AND objid = t.oid)
UNION ALL
SELECT 'server', quote_ident(srvname), '', fdwname || coalesce(' ' || array_to_string(srvoptions, ', '), '')
  FROM pg_foreign_server JOIN pg_foreign_data_wrapper w ON w.oid = srvfdw
UNION ALL
SELECT 'comment', pg_describe_object(classoid, objoid, objsubid), '', quote_literal(description)
  FROM pg_description d WHERE objoid >= 16384 AND classoid <> 'pg_extension'::regclass
   AND NOT EXISTS (SELECT 1 FROM extended WHERE classid = d.classoid AND objid = d.objoid)
   AND (SELECT schema IS DISTINCT FROM $1 AND identity NOT LIKE quote_ident($1) || '.%' FROM pg_identify_object(classoid, objoid, objsubid))
UNION ALL
SELECT 'grant', object || ' to ' || CASE grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(grantee)) END, min(parent),
       string_agg(privilege_type || CASE WHEN is_grantable THEN '*' ELSE '' END, ', ' ORDER BY privilege_type)
  FROM granted, aclexplode(acl) WHERE grantee <> owner AND NOT (public_by_default AND grantee = 0) GROUP BY object, grantee
UNION ALL
SELECT 'grant', object || ' to public', '', 'none' FROM granted
 WHERE public_by_default AND acl IS NOT NULL AND NOT EXISTS (SELECT 1 FROM aclexplode(acl) WHERE grantee = 0)
)
)sql";

}  // namespace schemagate
