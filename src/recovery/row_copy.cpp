#include "schemagate/recovery/row_copy.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/drift.hpp"
#include "schemagate/postgres/missing_right.hpp"
#include "schemagate/recovery/drift.hpp"

namespace schemagate {
namespace {

constexpr std::int64_t k_size_max_bytes = std::int64_t{1} << 30;
constexpr std::int64_t k_part_bytes = std::int64_t{4} << 20;
constexpr std::int64_t k_part_rows_max = 1000;
constexpr std::int64_t k_part_rows_unknown = 100;
constexpr double k_small_pages = 1000;

// What a value is written as must not depend on a database's settings.
constexpr const char* k_same_words =
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC';"
    "SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 3; SET LOCAL xmloption = 'content';"
    "SET LOCAL standard_conforming_strings = on;";

// Ordinary tables, with the partitions of those named. {0}: which.
constexpr const char* k_tables = R"sql(
SELECT c.oid, format('%I.%I', nspname, relname), pg_relation_size(c.oid), c.relpages, c.reltuples::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = 'r' AND relpersistence <> 't' AND {0} ORDER BY 2)sql";

// $1 a table's oid: those of its columns that can be written.
constexpr const char* k_columns = R"sql(
SELECT quote_ident(attname) FROM pg_attribute
 WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum)sql";

// $1 a table: what keeps its rows out, and brings that back.
constexpr const char* k_triggers = R"sql(
SELECT format('ALTER TABLE %s DISABLE TRIGGER %I;', $1, tgname),
       format('ALTER TABLE %s ENABLE %s TRIGGER %I;', $1, CASE tgenabled WHEN 'A' THEN 'ALWAYS' ELSE '' END, tgname)
  FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled IN ('O', 'A'))sql";
constexpr const char* k_foreign_keys = R"sql(
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I;', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
       convalidated, quote_ident(conname)
  FROM pg_constraint
 WHERE contype = 'f' AND conparentid = 0
   AND conrelid IN (SELECT $1::regclass UNION SELECT relid FROM pg_partition_ancestors($1::regclass)))sql";

// $1 a table: where its sequences are, those that this role may read.
constexpr const char* k_sequences = R"sql(
SELECT format('%I.%I', nspname, relname)
  FROM pg_depend JOIN pg_class s ON s.oid = objid AND relkind = 'S' JOIN pg_namespace n ON n.oid = relnamespace
 WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1::oid
   AND has_table_privilege(s.oid, 'SELECT'))sql";

struct Table {
  std::string oid;
  std::string name;
  std::int64_t bytes = 0;
  double pages = 0;
  std::int64_t rows = 0;  // as the last ANALYZE counted
};

class Copier {
 public:
  Copier(pg::Session& live, pg::Session& copy, const Target& target, const RowsWanted& wanted,
         const Stop& stop)
      : live_{live}, copy_{copy}, target_{target}, wanted_{wanted}, stop_{stop} {}

  std::vector<CopiedRows> copy_all() {
    const auto tables = tables_wanted();
    refuse_too_much(tables);
    live_.execute(k_same_words);
    std::vector<CopiedRows> all;
    std::vector<std::pair<pg::Row, std::size_t>> foreign_keys;  // and whose
    for (const auto& table : tables) {
      for (const auto& row : take_out(table)) foreign_keys.emplace_back(row, all.size());
      all.push_back(copied(table));
    }
    for (const auto& [row, index] : foreign_keys) bring_back(row, all[index]);
    return all;
  }

 private:
  [[nodiscard]] std::vector<Table> tables_wanted() {
    std::vector<Table> tables;
    const auto add = [&](const std::string& which) {
      const auto found = live_.query(fmt::format(k_tables, which));
      for (const auto& row : found)
        if (std::none_of(tables.begin(), tables.end(),
                         [&](const auto& one) { return one.oid == row.text(0); }))
          tables.push_back({row.text(0), row.text(1), row.number(2),
                            static_cast<double>(row.number(3)), row.number(4)});
      return !found.empty();
    };
    for (const auto& name : wanted_.tables)
      if (!add(fmt::format("c.oid IN (SELECT {0} UNION SELECT relid FROM pg_partition_tree({0}))",
                           oid_of(name))))
        throw no_table(name, "there are no rows of its own");
    if (!wanted_.tables.empty()) return tables;
    const auto& history = target_.history_table();
    (void)add(fmt::format("nspname = ANY ({}::text[]) AND c.oid <> {}",
                          pg::quote_literal(pg::array_of(schemas_of(live_, target_))),
                          history ? history->oid : 0));
    return tables;
  }

  [[nodiscard]] static Failure no_table(const std::string& name, const std::string& why) {
    return {ExitCode::usage, fmt::format("--with-data: {}: {}", name, why),
            "name tables as SQL does: orders, sales.orders, \"Order\""};
  }

  [[nodiscard]] std::string oid_of(const std::string& name) {
    pg::Rows found;
    try {
      found = live_.query_of_user(target_.search_path_setting(), "SELECT pg_catalog.to_regclass(" +
                                                                     pg::quote_literal(name) +
                                                                     ")::pg_catalog.oid");
    } catch (const pg::Error& e) {
      throw no_table(name, e.message);
    }
    if (!found.at(0).at(0)) throw no_table(name, "there is no such table");
    return found.at(0).text(0);
  }

  void refuse_too_much(const std::vector<Table>& tables) const {
    std::int64_t bytes = 0;
    for (const auto& table : tables) bytes += table.bytes;
    const auto percent = wanted_.percent.value_or(100);
    const auto wanted = static_cast<std::int64_t>(static_cast<double>(bytes) * percent / 100);
    if (wanted <= k_size_max_bytes) return;
    throw Failure{
        ExitCode::refused,
        fmt::format("these tables hold {} MB, and a rehearsal copies 1 GB at most", wanted >> 20),
        fmt::format("name fewer tables, or copy a part: --sample {:.2g}%",
                    std::max(0.01, 90.0 * static_cast<double>(k_size_max_bytes) /
                                       static_cast<double>(bytes)))};
  }

  // Of the foreign keys that were taken out, what k_foreign_keys says. None where the copy lacks
  // the table.
  pg::Rows take_out(const Table& table) {
    try {
      auto rows = ask_copy(k_foreign_keys, {table.name});
      std::string sql;
      for (const auto& row : rows) sql += row.text(0);
      if (!sql.empty()) copy_.execute(sql);
      return rows;
    } catch (const pg::Error&) {
      return {};
    }
  }

  void bring_back(const pg::Row& foreign_key, CopiedRows& table) {
    const auto said = foreign_key.text(1);
    try {
      return copy_.execute(said);
    } catch (const pg::Error& e) {
      add(table, fmt::format("foreign key {} does not hold for the rows copied, and is NOT VALID "
                             "there: {}",
                             foreign_key.text(3), e.message));
    }
    try {
      copy_.execute(said + " NOT VALID");
    } catch (const pg::Error& e) {
      add(table,
          fmt::format("foreign key {} is missing there: {}", foreign_key.text(3), e.message));
    }
  }

  CopiedRows copied(const Table& table) {
    CopiedRows told{.table = table.name};
    std::string columns;
    for (const auto& row : live_.query(k_columns, {table.oid}))
      columns += (columns.empty() ? "" : ", ") + row.text(0);
    if (columns.empty()) return told;
    try {
      std::string off;
      std::string on;
      for (const auto& row : ask_copy(k_triggers, {table.name})) {
        off += row.text(0);
        on += row.text(1);
      }
      (void)ask_copy(fmt::format("SELECT {} FROM ONLY {} LIMIT 0", columns, table.name), {});
      if (!off.empty()) copy_.execute(off);
      copy_parts(table, columns, told);
      if (!on.empty()) copy_.execute(on);
      copy_sequences(table);
    } catch (const pg::Error& e) {
      stop_.check();
      add(told, "they could not be copied: " + e.message);
    }
    return told;
  }

  void copy_parts(const Table& table, const std::string& columns, CopiedRows& told) {
    const auto cursor = "DECLARE schemagate_rows NO SCROLL CURSOR FOR SELECT " + columns +
                        " FROM ONLY " + table.name + sample(table);
    (void)read(cursor, table);
    const auto fetch = fmt::format("FETCH {} FROM schemagate_rows", rows_of_a_part(table));
    const auto begin =
        k_same_words + fmt::format("SET LOCAL row_security = off; INSERT INTO {} ({}) "
                                   "OVERRIDING SYSTEM VALUE VALUES ",
                                   table.name, columns);
    Lost lost;
    for (auto rows = read(fetch, table); !rows.empty(); rows = read(fetch, table)) {
      stop_.check();
      insert(begin, rows, told, lost);
    }
    (void)read("CLOSE schemagate_rows", table);
    if (lost.rows > 0)
      add(told, fmt::format("{} could not be written ({})",
                            counted(static_cast<std::size_t>(lost.rows), "row"), lost.sqlstate));
  }

  // Of what the server said only the code may be told: the statement holds the rows.
  struct Lost {
    std::int64_t rows = 0;
    std::string sqlstate;
  };
  // All of them, or, where one cannot be there, those that can.
  void insert(const std::string& begin, const pg::Rows& rows, CopiedRows& told, Lost& lost) {
    try {
      copy_.execute(begin + values(rows));
      told.rows += static_cast<std::int64_t>(rows.size());
    } catch (const pg::Error& e) {
      stop_.check();
      if (rows.size() == 1) {
        ++lost.rows;
        lost.sqlstate = e.sqlstate;
        return;
      }
      const auto middle = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2);
      insert(begin, {rows.begin(), middle}, told, lost);
      insert(begin, {middle, rows.end()}, told, lost);
    }
  }

  static std::string values(const pg::Rows& rows) {
    std::string sql;
    for (const auto& one : rows) {
      std::string row;
      for (const auto& value : one)
        row += (row.empty() ? "" : ",") + (value ? pg::quote_literal(*value) : "NULL");
      sql += (sql.empty() ? "(" : ",(") + row + ")";
    }
    return sql;
  }

  pg::Rows read(const std::string& sql, const Table& table) {
    try {
      return live_.query(sql);
    } catch (const pg::Error& e) {
      stop_.check();
      if (e.sqlstate != "42501") throw;
      throw Failure{ExitCode::refused,
                    fmt::format("the rows of {} may not be read: {}", table.name, e.message),
                    remedy_of_missing_right(e, "SELECT")};
    }
  }

  // What the copy holds is not believed: names mean PostgreSQL's own.
  pg::Rows ask_copy(const std::string& sql, const std::vector<pg::Value>& values) {
    return copy_.query_unguarded(pg::k_guard + pg::with_values(sql, values));
  }

  // So that serial columns go on behind the rows that were copied.
  void copy_sequences(const Table& table) {
    for (const auto& row : live_.query(k_sequences, {table.oid})) {
      const auto state = live_.row("SELECT last_value, is_called FROM " + row.text(0));
      (void)ask_copy("SELECT setval($1::regclass, $2::bigint, $3::boolean)",
                     {row.text(0), state.text(0), state.text(1)});
    }
  }

  // By pages where there are many: then the others are not read.
  [[nodiscard]] std::string sample(const Table& table) const {
    if (!wanted_.percent) return {};
    return fmt::format(" TABLESAMPLE {} ({})", table.pages > k_small_pages ? "SYSTEM" : "BERNOULLI",
                       *wanted_.percent);
  }

  [[nodiscard]] static std::int64_t rows_of_a_part(const Table& table) {
    if (table.rows <= 0) return k_part_rows_unknown;
    return std::clamp<std::int64_t>(k_part_bytes / (table.bytes / table.rows + 1), 1,
                                    k_part_rows_max);
  }

  static void add(CopiedRows& table, const std::string& why) {
    table.why_not_all += (table.why_not_all.empty() ? "" : "; ") + why;
  }

  pg::Session& live_;
  pg::Session& copy_;
  const Target& target_;
  const RowsWanted& wanted_;
  const Stop& stop_;
};

}  // namespace

std::vector<CopiedRows> copy_rows(pg::Session& live, pg::Session& copy, const Target& target,
                                  const RowsWanted& wanted, const Stop& stop) {
  return Copier{live, copy, target, wanted, stop}.copy_all();
}

}  // namespace schemagate
