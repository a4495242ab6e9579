#pragma once
// Rows of the live database, written into one table of its copy. Of what the server says against a
// row only the code is ever told: the rest holds the row.

#include <cstdint>
#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/postgres/session.hpp"
#include "schemagate/recovery/row_copy.hpp"

namespace schemagate {

// What a value is written as must not depend on a database's settings.
inline constexpr const char* k_same_words =
    "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC';"
    "SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 3; SET LOCAL xmloption = 'content';"
    "SET LOCAL standard_conforming_strings = on;";

// What the copy holds is not believed: names mean PostgreSQL's own.
pg::Rows ask_copy(pg::Session& copy, const std::string& sql,
                  const std::vector<pg::Value>& values = {});

// Once, however often it is said.
void tell(CopiedRows& table, const std::string& why);

class RowWriter {
 public:
  // As long as it lives the triggers of the table and of its partitions are off. Both must outlive
  // it. Throws pg::Error: the copy lacks the table or a column.
  RowWriter(pg::Session& copy, const std::string& table, const std::string& columns,
            const Stop& stop);
  ~RowWriter();
  RowWriter(const RowWriter&) = delete;
  RowWriter& operator=(const RowWriter&) = delete;

  // All of them, or, where one cannot be there, those that can.
  void write(const pg::Rows& rows);
  // How many were written, and how many could not be.
  void tell_what_was_written(CopiedRows& table) const;
  [[nodiscard]] std::int64_t written() const { return written_; }

 private:
  pg::Session& copy_;
  const Stop& stop_;
  std::string begin_;
  std::string triggers_on_;
  std::int64_t written_ = 0;
  std::int64_t lost_ = 0;
  std::string lost_by_;  // SQLSTATE
};

}  // namespace schemagate
