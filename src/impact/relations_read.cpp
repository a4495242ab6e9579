#include <algorithm>
#include <charconv>
#include <fmt/core.h>

#include <set>

#include "schemagate/base/text.hpp"
#include "schemagate/impact/relations.hpp"

namespace schemagate {
namespace {

using Kind = Act::Kind;

// $1 names of relations, $2 of schemas that are dropped, $3 of functions, $4 of types. Whatever
// hangs on one of these is taken in, too; each step of it once.
constexpr const char* k_relations = R"sql(
WITH RECURSIVE seed AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE (relname = ANY ($1::text[]) OR nspname = ANY ($2::text[])) AND relpersistence <> 't'
     AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
  UNION SELECT tgrelid FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid WHERE proname = ANY ($3::text[])
  UNION SELECT attrelid FROM pg_attribute JOIN pg_type t ON t.oid = atttypid
   WHERE (typname = ANY ($4::text[]) OR EXISTS (SELECT 1 FROM pg_type e WHERE e.oid = t.typelem AND e.typname = ANY ($4::text[])))
     AND NOT attisdropped AND attrelid >= 16384),
table_of AS (SELECT oid FROM seed UNION SELECT indrelid FROM pg_index JOIN seed ON indexrelid = seed.oid),
family AS (
  SELECT oid FROM table_of
  UNION SELECT CASE WHEN inhparent = f.oid THEN inhrelid ELSE inhparent END
    FROM family f JOIN pg_inherits ON inhparent = f.oid OR inhrelid = f.oid),
touched AS (
  SELECT oid FROM family
  UNION SELECT CASE WHEN confrelid = f.oid THEN conrelid ELSE confrelid END
    FROM family f JOIN pg_constraint ON contype = 'f' AND (confrelid = f.oid OR conrelid = f.oid)
  UNION SELECT objid FROM pg_depend JOIN family f ON refobjid = f.oid
   WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjsubid > 0 AND deptype IN ('a', 'i')
  UNION SELECT refobjid FROM seed JOIN pg_class m ON m.oid = seed.oid AND relkind = 'm' JOIN pg_rewrite ON ev_class = m.oid
       JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass)
SELECT c.oid, nspname, c.relname, relkind, format('%I.%I', nspname, c.relname), reltuples, relpages,
       coalesce(n_live_tup, 0), i.indrelid
  FROM touched JOIN pg_class c ON c.oid = touched.oid JOIN pg_namespace n ON n.oid = relnamespace
       LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid LEFT JOIN pg_index i ON i.indexrelid = c.oid
 WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'i', 'I', 'f'))sql";

// $1 relations. What is known of their values is looked up once: pg_stats is dear to ask for each.
constexpr const char* k_columns = R"sql(
WITH touched AS MATERIALIZED (SELECT c.oid, nspname, relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
                               WHERE c.oid = ANY ($1::oid[])),
     known AS MATERIALIZED (SELECT touched.oid, s.attname, min(null_frac) AS null_frac
                              FROM touched JOIN pg_stats s ON s.schemaname = nspname AND s.tablename = relname
                             GROUP BY 1, 2)
SELECT attrelid, a.attname, CASE WHEN e.oid IS NULL THEN t.typname ELSE e.typname END,
       format_type(atttypid, atttypmod), attnotnull, e.oid IS NOT NULL,
       EXISTS (SELECT 1 FROM pg_index WHERE indrelid = attrelid AND attnum = ANY (indkey::int2[])), null_frac
  FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
       LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
       LEFT JOIN known ON known.oid = attrelid AND known.attname = a.attname
 WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum)sql";

// $1 relations
constexpr const char* k_constraints = R"sql(
SELECT conrelid, conname, contype, convalidated, confrelid,
       (SELECT string_agg(attname, E'\x01' ORDER BY attnum) FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)),
       (SELECT string_agg(attname, E'\x01' ORDER BY attnum) FROM pg_attribute WHERE attrelid = confrelid AND attnum = ANY (confkey)),
       contype = 'c' AND pg_get_constraintdef(oid) ~ '^CHECK \(\(("[^"]+"|[[:alnum:]_]+) IS NOT NULL\)\)'
  FROM pg_constraint WHERE contype IN ('c', 'f', 'p', 'u', 'x') AND (conrelid = ANY ($1::oid[]) OR confrelid = ANY ($1::oid[])))sql";

// $1 relations: partition, parent, default partition of that
constexpr const char* k_partitions = R"sql(
SELECT inhrelid, inhparent, coalesce(partdefid = inhrelid, false)
  FROM pg_inherits LEFT JOIN pg_partitioned_table ON partrelid = inhparent WHERE inhrelid = ANY ($1::oid[]))sql";

// $1 relations: sequence, table, column
constexpr const char* k_owned = R"sql(
SELECT objid, refobjid, attname FROM pg_depend JOIN pg_class c ON c.oid = objid
       JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
 WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjsubid > 0
   AND relkind = 'S' AND deptype IN ('a', 'i') AND refobjid = ANY ($1::oid[]))sql";

// $1 relations: a trigger, policy or rule
constexpr const char* k_parts = R"sql(
SELECT tgrelid, tgname FROM pg_trigger WHERE tgrelid = ANY ($1::oid[])
UNION ALL SELECT polrelid, polname FROM pg_policy WHERE polrelid = ANY ($1::oid[])
UNION ALL SELECT ev_class, rulename FROM pg_rewrite WHERE ev_class = ANY ($1::oid[]))sql";

// $1 relations: a materialized view, what it reads
constexpr const char* k_reads = R"sql(
SELECT DISTINCT ev_class, refobjid FROM pg_rewrite JOIN pg_class m ON m.oid = ev_class AND relkind = 'm'
       JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass
 WHERE refobjid <> ev_class AND ev_class = ANY ($1::oid[]))sql";

constexpr const char* k_domains = R"sql(
SELECT t.typname, b.typname, format_type(t.typbasetype, t.typtypmod),
       t.typnotnull OR EXISTS (SELECT 1 FROM pg_constraint WHERE contypid = t.oid), c.oid
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype
       LEFT JOIN pg_attribute a ON atttypid = t.oid AND NOT attisdropped
       LEFT JOIN pg_class c ON c.oid = attrelid AND relkind IN ('r', 'm', 'p')
 WHERE t.typtype = 'd' AND nspname NOT IN ('pg_catalog', 'information_schema'))sql";

// $1 functions
constexpr const char* k_volatile = R"sql(
SELECT proname, bool_or(provolatile = 'v') FROM pg_proc WHERE proname = ANY ($1::text[]) GROUP BY 1)sql";

// $1 functions
constexpr const char* k_triggers = R"sql(
SELECT DISTINCT proname, tgrelid FROM pg_trigger JOIN pg_proc p ON p.oid = tgfoid
 WHERE proname = ANY ($1::text[]))sql";

std::vector<int> modifiers_in(const std::string& type) {
  std::vector<int> all;
  const auto open = type.find('(');
  if (open == std::string::npos) return all;
  for (const auto& part : split(type.substr(open + 1, type.find(')') - open - 1), ',')) {
    int value = 0;
    (void)std::from_chars(part.data(), part.data() + part.size(), value);
    all.push_back(value);
  }
  return all;
}

NewConstraint::Kind kind_of(const std::string& contype) {
  if (contype == "f") return NewConstraint::Kind::foreign_key;
  if (contype == "u") return NewConstraint::Kind::unique;
  if (contype == "p") return NewConstraint::Kind::primary_key;
  if (contype == "x") return NewConstraint::Kind::exclusion;
  return NewConstraint::Kind::check;
}

double decimal(const pg::Row& row, std::size_t column, double otherwise) {
  if (!row.at(column)) return otherwise;
  double value = otherwise;
  const auto text = row.text(column);
  (void)std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

struct Names {
  std::set<std::string> relations, schemas, functions, domains, called;
};

Names names_in(const std::vector<Act>& acts) {
  Names names;
  for (const auto& act : acts) {
    names.relations.insert(act.relation.name);
    for (const auto& other : act.others) names.relations.insert(other.name);
    if (act.constraint && act.constraint->references)
      names.relations.insert(act.constraint->references->name);
    if (act.constraint) names.relations.insert(act.constraint->using_index);
    if (act.kind == Kind::create_index) names.relations.insert(act.name);
    if (act.kind == Kind::drop_schema) names.schemas.insert(act.name);
    if (act.kind == Kind::drop_function) names.functions.insert(act.name);
    if (act.kind == Kind::check_domain || act.kind == Kind::drop_type)
      names.domains.insert(act.name);
    if (act.column_made)
      names.called.insert(act.column_made->functions.begin(), act.column_made->functions.end());
  }
  names.relations.erase("");
  return names;
}

std::string array_of(const std::set<std::string>& texts) {
  return pg::array_of({texts.begin(), texts.end()});
}

}  // namespace

Relations Relations::read(pg::Session& session, std::vector<std::string> search_path,
                          const std::vector<Act>& acts) {
  Relations all{std::move(search_path)};
  all.read_relations(session, acts);
  all.read_columns(session);
  all.read_constraints(session);
  all.read_families(session);
  all.read_parts(session);
  all.read_sizes(session);
  all.read_domains(session);
  all.read_functions(session, acts);
  return all;
}

std::string Relations::oids() const {
  std::vector<std::string> all;
  for (const auto& [oid, name] : names_) all.push_back(std::to_string(oid));
  return pg::array_of(all);
}

Relation* Relations::by_oid(std::int64_t oid) {
  const auto at = names_.find(oid);
  return at == names_.end() ? nullptr : &relations_.at(at->second);
}

void Relations::read_relations(pg::Session& session, const std::vector<Act>& acts) {
  const auto names = names_in(acts);
  std::map<std::int64_t, std::int64_t> tables;
  for (const auto& row :
       session.query(k_relations, {array_of(names.relations), array_of(names.schemas),
                                   array_of(names.functions), array_of(names.domains)})) {
    Relation relation{.name = {row.text(1), row.text(2)},
                      .quoted = row.text(4),
                      .kind = row.text(3).front(),
                      .oid = row.number(0)};
    // Before 14 never counted is 0, too.
    const auto counted = decimal(row, 5, -1);
    relation.rows = counted > 0 || (counted == 0 && row.number(6) > 0) ? counted
                    : row.number(7) > 0                                ? decimal(row, 7, -1)
                                                                       : -1;
    if (row.at(8)) tables[relation.oid] = row.number(8);
    names_[relation.oid] = relation.name;
    relations_.insert_or_assign(relation.name, std::move(relation));
  }
  for (const auto& [index, table] : tables)
    if (const auto at = names_.find(table); at != names_.end()) by_oid(index)->table = at->second;
}

void Relations::read_columns(pg::Session& session) {
  for (const auto& row : session.query(k_columns, {oids()})) {
    auto* relation = by_oid(row.number(0));
    if (relation == nullptr) continue;
    relation->columns.push_back({.name = row.text(1),
                                 .type = {.name = row.text(2),
                                          .modifiers = modifiers_in(row.text(3)),
                                          .is_array = row.flag(5)},
                                 .not_null = row.flag(4),
                                 .is_indexed = row.flag(6),
                                 .null_fraction = decimal(row, 7, -1)});
  }
}

void Relations::read_constraints(pg::Session& session) {
  for (const auto& row : session.query(k_constraints, {oids()})) {
    auto* relation = by_oid(row.number(0));
    auto* referenced = by_oid(row.number(4));
    if (relation != nullptr && referenced != nullptr)
      referenced->referenced_by.push_back(
          {.from = relation->name, .columns = split(row.text(6), '\x01'), .is_valid = row.flag(3)});
    if (relation == nullptr) continue;
    NewConstraint constraint{.kind = kind_of(row.text(2)),
                             .name = row.text(1),
                             .columns = split(row.text(5), '\x01'),
                             .is_valid = row.flag(3)};
    if (referenced != nullptr) constraint.references = referenced->name;
    if (row.flag(7) && !constraint.columns.empty())
      constraint.proves_not_null = constraint.columns.front();
    relation->constraints.push_back(std::move(constraint));
  }
}

void Relations::read_families(pg::Session& session) {
  for (const auto& row : session.query(k_partitions, {oids()})) {
    auto* child = by_oid(row.number(0));
    auto* parent = by_oid(row.number(1));
    if (child == nullptr || parent == nullptr) continue;
    child->partition_of = parent->name;
    if (row.flag(2)) parent->default_partition = child->name;
  }
  for (const auto& [name, relation] : relations_)
    for (auto parent = relation.partition_of; parent;) {
      auto& above = relations_.at(*parent);
      above.partitions.push_back(name);
      parent = above.partition_of;
    }
  for (const auto& row : session.query(k_owned, {oids()})) {
    const auto* sequence = by_oid(row.number(0));
    auto* table = by_oid(row.number(1));
    if (sequence != nullptr && table != nullptr)
      table->owned_sequences[row.text(2)] = sequence->name;
  }
}

void Relations::read_parts(pg::Session& session) {
  for (const auto& row : session.query(k_parts, {oids()}))
    if (auto* relation = by_oid(row.number(0))) relation->parts.insert(row.text(1));
  for (const auto& row : session.query(k_reads, {oids()})) {
    auto* view = by_oid(row.number(0));
    const auto* read = by_oid(row.number(1));
    if (view != nullptr && read != nullptr) view->reads.push_back(read->name);
  }
}

void Relations::read_sizes(pg::Session& session) {
  const auto of_tables = fmt::format(
      "FROM pg_class WHERE oid = ANY ('{}'::oid[]) AND relkind IN ('r', 'm', 'p')", oids());
  const auto take = [&](const pg::Rows& rows) {
    for (const auto& row : rows)
      if (auto* relation = by_oid(row.number(0))) {
        relation->heap_bytes = row.number(1);
        relation->index_bytes = row.number(2);
      }
  };
  try {
    take(session.query_aside("SET LOCAL lock_timeout = '200ms'; SELECT oid, pg_table_size(oid), "
                             "pg_indexes_size(oid) " +
                             of_tables));
  } catch (const pg::Error&) {  // somebody holds one of them
    take(session.query("SELECT oid, greatest(relpages, 1)::bigint * "
                       "current_setting('block_size')::bigint, 0 " +
                       of_tables));
  }
}

void Relations::read_domains(pg::Session& session) {
  for (const auto& row : session.query(k_domains)) {
    auto& domain = domains_[row.text(0)];
    domain.base = {.name = row.text(1), .modifiers = modifiers_in(row.text(2))};
    domain.is_constrained = row.flag(3);
    if (const auto* table = by_oid(row.number(4))) domain.tables.push_back(table->name);
  }
}

void Relations::read_functions(pg::Session& session, const std::vector<Act>& acts) {
  const auto names = names_in(acts);
  if (!names.called.empty())
    for (const auto& row : session.query(k_volatile, {array_of(names.called)}))
      volatile_[row.text(0)] = row.flag(1);
  if (!names.functions.empty())
    for (const auto& row : session.query(k_triggers, {array_of(names.functions)}))
      if (const auto* table = by_oid(row.number(1))) triggers_[row.text(0)].push_back(table->name);
  const auto zone = lower_case(session.row("SELECT current_setting('TimeZone')").text(0));
  time_zone_is_utc_ = zone == "utc" || zone == "etc/utc" || zone == "gmt" || zone == "etc/uct";
}

}  // namespace schemagate
