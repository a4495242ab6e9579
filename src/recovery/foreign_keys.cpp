#include "foreign_keys.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <deque>
#include <numeric>
#include <optional>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_part_keys = 200;
constexpr std::size_t k_rounds_max = 1000;  // a list whose rows name each their next one has no end

// $1 a table. Two rows are compared as the key itself compares them: by its operator, and the
// collation of its other end.
constexpr const char* k_foreign_keys = R"sql(
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(c.oid)),
       quote_ident(conname),
       coalesce(pg_partition_root(conrelid), conrelid)::regclass,
       coalesce(pg_partition_root(confrelid), confrelid)::regclass,
       confrelid::regclass, other,
       format('SELECT ''('' || %s || '')'' FROM (SELECT DISTINCT %s FROM %s t WHERE num_nulls(%s) = 0) k '
              'WHERE NOT EXISTS (SELECT FROM %s r WHERE %s)', literals, columns, own, names, other, same),
       values, same
  FROM pg_constraint c
 CROSS JOIN LATERAL (
       SELECT string_agg(format('quote_literal(k.k%s::text) || %L', i, '::' || format_type(f.atttypid, f.atttypmod)),
                         ' || '','' || ' ORDER BY i) AS literals,
              string_agg(format('t.%I AS k%s', f.attname, i), ', ' ORDER BY i) AS columns,
              string_agg(format('t.%I', f.attname), ', ' ORDER BY i) AS names,
              string_agg('k' || i, ', ' ORDER BY i) AS values,
              string_agg(format('r.%I OPERATOR(%I.%s) k.k%s', t.attname, o.nspname, oprname, i)
                         || coalesce(' COLLATE ' || quote_ident(l.nspname) || '.' || quote_ident(collname), ''), ' AND ' ORDER BY i) AS same
         FROM unnest(conkey, confkey, conpfeqop) WITH ORDINALITY AS pair (own_column, its_column, equal, i)
         JOIN pg_attribute f ON f.attrelid = conrelid AND f.attnum = own_column
         JOIN pg_attribute t ON t.attrelid = confrelid AND t.attnum = its_column
         JOIN pg_operator ON pg_operator.oid = equal JOIN pg_namespace o ON o.oid = oprnamespace
         LEFT JOIN pg_collation ON pg_collation.oid = t.attcollation
         LEFT JOIN pg_namespace l ON l.oid = collnamespace) AS pairs
 CROSS JOIN LATERAL (
       SELECT max(one) FILTER (WHERE oid = conrelid) AS own, max(one) FILTER (WHERE oid = confrelid) AS other
         FROM (SELECT oid, CASE relkind WHEN 'p' THEN '' ELSE 'ONLY ' END || oid::regclass AS one
                 FROM pg_class WHERE oid IN (conrelid, confrelid)) AS ends) AS ends
 WHERE contype = 'f' AND conparentid = 0
   AND conrelid IN (SELECT to_regclass($1) UNION SELECT relid FROM pg_partition_ancestors(to_regclass($1))
                                         UNION SELECT relid FROM pg_partition_tree(to_regclass($1))))sql";

// $1 a table: those of its columns that can be written. To look a name up one must be allowed into
// its schema; to compare it, not.
constexpr const char* k_columns = R"sql(
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
  FROM pg_attribute JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace
 WHERE format('%I.%I', nspname, relname) = $1 AND attnum > 0 AND NOT attisdropped AND attgenerated = '')sql";

std::int64_t size_of(const pg::Rows& rows) {
  std::size_t bytes = 0;
  for (const auto& row : rows)
    for (const auto& value : row) bytes += value ? value->size() : 0;
  return static_cast<std::int64_t>(bytes);
}

// What PostgreSQL says of names, rights and locks holds no values; of anything else the code.
std::string without_values(const pg::Error& e) {
  const auto kind = e.sqlstate.substr(0, 2);
  return kind == "42" || kind == "55" || kind == "57" ? e.message : e.sqlstate;
}

}  // namespace

std::string writable_columns(pg::Session& live, const std::string& table) {
  return live.row(k_columns, {table}).text(0);
}

void ForeignKeys::take_out(const std::string& table, std::size_t teller) {
  std::string drop;
  std::vector<Key> found;
  for (const auto& row : ask_copy(copy_, k_foreign_keys, {table})) {
    drop += row.text(0);
    found.push_back({.add = row.text(1),
                     .name = row.text(2),
                     .of_root = row.text(3),
                     .to_root = row.text(4),
                     .to = row.text(5),
                     .from_to = row.text(6),
                     .missing = row.text(7),
                     .values = row.text(8),
                     .same = row.text(9),
                     .teller = teller});
  }
  try {
    if (!drop.empty()) copy_.execute(drop);
    keys_.insert(keys_.end(), found.begin(), found.end());
  } catch (const pg::Error&) {  // they stay; rows that they refuse are counted
    stop_.check();
  }
}

void ForeignKeys::complete(std::vector<CopiedRows>& told) {
  std::deque<std::size_t> due(keys_.size());
  std::iota(due.begin(), due.end(), std::size_t{0});
  while (!due.empty()) {
    const auto one = due.front();
    due.pop_front();
    if (!complete_one(one, told)) continue;
    for (std::size_t i = 0; i < keys_.size(); ++i)
      if (keys_[i].of_root == keys_[one].to_root &&
          std::find(due.begin(), due.end(), i) == due.end())
        due.push_back(i);
  }
}

bool ForeignKeys::complete_one(std::size_t index, std::vector<CopiedRows>& told) {
  ++keys_[index].rounds;
  keys_[index].dangling = 0;
  keys_[index].why_not.clear();
  bool has_grown = false;
  try {
    has_grown = complete_parts(index, told);
  } catch (const pg::Error& e) {
    stop_.check();
    give_up(keys_[index], without_values(e));
  }
  (void)ask_copy(copy_, "CLOSE ALL");
  return has_grown;
}

bool ForeignKeys::complete_parts(std::size_t index, std::vector<CopiedRows>& told) {
  const auto key = keys_[index];  // by value: taking out more of them moves it
  (void)ask_copy(copy_,
                 k_same_words +
                     ("DECLARE schemagate_missing NO SCROLL CURSOR WITH HOLD FOR " + key.missing));
  const auto part = fmt::format("FETCH {} FROM schemagate_missing", k_part_keys);
  const auto columns = writable_columns(live_, key.to);
  std::size_t told_at = 0;
  std::optional<RowWriter> writer;
  for (auto values = ask_copy(copy_, part); !values.empty(); values = ask_copy(copy_, part)) {
    stop_.check();
    const auto rows = rows_for(keys_[index], columns, values);
    if (!keys_[index].why_not.empty()) break;
    keys_[index].dangling += values.size() - std::min(values.size(), rows.size());
    if (rows.empty()) continue;
    if (!writer) {
      told_at = begin_table(key.to, told);
      writer.emplace(copy_, key.to, columns, stop_);
    }
    writer->write(rows);
  }
  if (!writer) return false;
  writer->tell_what_was_written(told[told_at]);
  return writer->written() > 0;
}

pg::Rows ForeignKeys::rows_for(Key& key, const std::string& columns, const pg::Rows& values) {
  if (key.rounds > k_rounds_max) {
    give_up(key, fmt::format("they refer to each other over more than {} steps", k_rounds_max));
    return {};
  }
  std::string list;
  for (const auto& row : values) list += (list.empty() ? "" : ",") + row.text(0);
  pg::Rows rows;
  try {
    rows = live_.query_aside(
        fmt::format("SELECT {} FROM {} r WHERE EXISTS (SELECT FROM (VALUES {}) k ({}) WHERE {})",
                    columns, key.from_to, list, key.values, key.same));
  } catch (const pg::Error& e) {
    stop_.check();
    give_up(key, without_values(e));
    return {};
  }
  bytes_left_ -= size_of(rows);
  if (bytes_left_ >= 0) return rows;
  give_up(key, "a rehearsal copies 1 GB at most");
  return {};
}

void ForeignKeys::give_up(Key& key, const std::string& why) {
  key.why_not = fmt::format("the rows of {} that {} refers to could not all be copied: {}", key.to,
                            key.name, why);
}

std::size_t ForeignKeys::begin_table(const std::string& table, std::vector<CopiedRows>& told) {
  const auto [found, is_new] = completed_.emplace(table, told.size());
  if (is_new) {
    told.push_back({.table = table, .why_not_all = "only those that are referred to"});
    take_out(table, found->second);
  }
  return found->second;
}

void ForeignKeys::bring_back(std::vector<CopiedRows>& told) {
  for (const auto& key : keys_) bring_back(key, told[key.teller]);
}

void ForeignKeys::bring_back(const Key& key, CopiedRows& table) {
  bool is_there = true;
  try {
    copy_.execute(key.add);
  } catch (const pg::Error& e) {
    stop_.check();
    is_there = false;
    tell(table, fmt::format("foreign key {} does not hold for the rows copied, and is NOT VALID "
                            "there: {}",
                            key.name, e.message));
  }
  if (!key.why_not.empty()) tell(table, key.why_not);
  else if (key.dangling > 0)
    tell(table, fmt::format("{} refers to {} that {} lacks in the live database, too", key.name,
                            counted(key.dangling, "row"), key.to));
  if (is_there) return;
  try {
    copy_.execute(key.add + " NOT VALID");
  } catch (const pg::Error& e) {
    tell(table, fmt::format("foreign key {} is missing there: {}", key.name, e.message));
  }
}

}  // namespace schemagate
