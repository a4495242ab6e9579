#pragma once
// Foreign keys of a copy while it is filled with some of the live database's rows. They are taken
// out; then the rows that those copied refer to are copied as well, and what these refer to, until
// nothing is missing; then they are there again. So that a rehearsal never fails for want of a row
// that nobody asked for.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "row_writer.hpp"

namespace schemagate {

class ForeignKeys {
 public:
  // `live`: as copy_rows() has it, and with k_same_words. `bytes_max`: of rows to be completed. All
  // must outlive it.
  ForeignKeys(pg::Session& live, pg::Session& copy, std::int64_t bytes_max, const Stop& stop)
      : live_{live}, copy_{copy}, bytes_left_{bytes_max}, stop_{stop} {}

  // Those of this table, of its partitions and of what it is a partition of; none where the copy
  // lacks it. `teller`: which element of what is told is to tell of them.
  void take_out(const std::string& table, std::size_t teller);
  // Appends the tables that rows were added to. What cannot be read stays missing.
  void complete(std::vector<CopiedRows>& told);
  // One that does not hold is NOT VALID from then on, and told.
  void bring_back(std::vector<CopiedRows>& told);

 private:
  struct Key {
    std::string add;      // SQL
    std::string name;     // quoted
    std::string of_root;  // the table that it belongs to, or the root of its partitions
    std::string to_root;  // likewise of the other end
    std::string to;       // the other end: qualified and quoted
    std::string from_to;  // the same as FROM has it: ONLY, where it has no partitions
    std::string missing;  // a query in the copy: values that have no other end, as SQL
    std::string values;   // "k1, k2", as `same` names them
    std::string same;     // a row r of the other end is that of the values k
    std::size_t teller = 0;
    std::size_t rounds = 0;
    std::size_t dangling = 0;  // values that the live database has no row for, either
    std::string why_not = {};  // a sentence; empty: nothing stands in the way
  };
  // True: rows were added.
  bool complete_one(std::size_t index, std::vector<CopiedRows>& told);
  bool complete_parts(std::size_t index, std::vector<CopiedRows>& told);
  // Of the live database; none and why_not: not all of them can be had.
  pg::Rows rows_for(Key& key, const std::string& columns, const pg::Rows& values);
  static void give_up(Key& key, const std::string& why);
  // Where it is told of. The first time its own foreign keys are taken out.
  std::size_t begin_table(const std::string& table, std::vector<CopiedRows>& told);
  void bring_back(const Key& key, CopiedRows& table);

  pg::Session& live_;
  pg::Session& copy_;
  std::int64_t bytes_left_;
  const Stop& stop_;
  std::vector<Key> keys_;
  std::map<std::string, std::size_t> completed_;  // tables, and who tells of them
};

// Columns of a live table that can be written, quoted, with commas; empty: there is no such table.
[[nodiscard]] std::string writable_columns(pg::Session& live, const std::string& table);

}  // namespace schemagate
