#include "schemagate/recovery/row_copy.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "foreign_keys.hpp"
#include "row_writer.hpp"
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

// Ordinary tables, with the partitions of those named. {0}: which.
constexpr const char* k_tables = R"sql(
SELECT c.oid, format('%I.%I', nspname, relname), pg_relation_size(c.oid), c.relpages, c.reltuples::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relkind = 'r' AND relpersistence <> 't' AND {0} ORDER BY 2)sql";

// $1 a table: where the sequences of it and of its partitions are, those that this role may read.
constexpr const char* k_sequences = R"sql(
WITH own AS (SELECT c.oid::regclass AS one FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
              WHERE format('%I.%I', nspname, relname) = $1)
SELECT format('%I.%I', nspname, relname)
  FROM pg_depend JOIN pg_class s ON s.oid = objid AND relkind = 'S' JOIN pg_namespace n ON n.oid = relnamespace
 WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
   AND refobjid IN (SELECT one FROM own UNION SELECT relid FROM own, pg_partition_ancestors(one)
                                        UNION SELECT relid FROM own, pg_partition_tree(one))
   AND has_table_privilege(s.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'))sql";

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
    const auto bytes = bytes_wanted(tables);
    if (bytes > k_size_max_bytes) throw too_much(tables, bytes);
    live_.execute(k_same_words);
    ForeignKeys foreign_keys{live_, copy_, k_size_max_bytes - bytes, stop_};
    std::vector<CopiedRows> all;
    for (const auto& table : tables) {
      foreign_keys.take_out(table.name, all.size());
      all.push_back(copied(table));
    }
    foreign_keys.complete(all);
    foreign_keys.bring_back(all);
    for (auto& table : all) copy_sequences(table);
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

  [[nodiscard]] std::int64_t bytes_wanted(const std::vector<Table>& tables) const {
    const auto percent = wanted_.percent.value_or(100);
    return static_cast<std::int64_t>(static_cast<double>(bytes_of(tables)) * percent / 100);
  }
  [[nodiscard]] static std::int64_t bytes_of(const std::vector<Table>& tables) {
    std::int64_t bytes = 0;
    for (const auto& table : tables) bytes += table.bytes;
    return bytes;
  }
  [[nodiscard]] static Failure too_much(const std::vector<Table>& tables, std::int64_t wanted) {
    return {
        ExitCode::refused,
        fmt::format("these tables hold {} MB, and a rehearsal copies 1 GB at most", wanted >> 20),
        fmt::format("name fewer tables, or copy a part: --sample {:.2g}%",
                    std::max(0.01, 90.0 * static_cast<double>(k_size_max_bytes) /
                                       static_cast<double>(bytes_of(tables))))};
  }

  CopiedRows copied(const Table& table) {
    CopiedRows told{.table = table.name};
    const auto columns = writable_columns(live_, table.name);
    if (columns.empty()) return told;
    live_.execute("SAVEPOINT schemagate_rows");
    try {
      RowWriter writer{copy_, table.name, columns, stop_};
      copy_parts(table, columns, writer);
      writer.tell_what_was_written(told);
    } catch (const pg::Error& e) {
      stop_.check();
      live_.execute("ROLLBACK TO SAVEPOINT schemagate_rows");
      tell(told, "they could not be copied: " + e.message);
    }
    return told;
  }

  void copy_parts(const Table& table, const std::string& columns, RowWriter& writer) {
    const auto cursor = "DECLARE schemagate_rows NO SCROLL CURSOR FOR SELECT " + columns +
                        " FROM ONLY " + table.name + sample(table);
    (void)read(cursor, table);
    const auto fetch = fmt::format("FETCH {} FROM schemagate_rows", rows_of_a_part(table));
    for (auto rows = read(fetch, table); !rows.empty(); rows = read(fetch, table)) {
      stop_.check();
      writer.write(rows);
    }
    (void)read("CLOSE schemagate_rows", table);
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

  // So that serial columns go on behind the rows that were copied.
  void copy_sequences(CopiedRows& table) {
    for (const auto& row : live_.query(k_sequences, {table.table})) {
      const auto state = live_.row("SELECT last_value, is_called FROM " + row.text(0));
      try {
        (void)ask_copy(copy_, "SELECT setval($1::regclass, $2::bigint, $3::boolean)",
                       {row.text(0), state.text(0), state.text(1)});
      } catch (const pg::Error& e) {
        stop_.check();
        tell(table, "its sequence does not go on: " + e.message);
      }
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
