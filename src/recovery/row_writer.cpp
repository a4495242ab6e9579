#include "row_writer.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

// $1 a table: what keeps its rows out, and brings that back. What a partition has of its parent is
// called internal before PostgreSQL 15; internal ones of foreign keys belong to a constraint.
constexpr const char* k_triggers = R"sql(
SELECT format('ALTER TABLE ONLY %s DISABLE TRIGGER %I;', tgrelid::regclass, tgname),
       format('ALTER TABLE ONLY %s ENABLE %s TRIGGER %I;', tgrelid::regclass,
              CASE tgenabled WHEN 'A' THEN 'ALWAYS' ELSE '' END, tgname)
  FROM pg_trigger
 WHERE tgrelid IN (SELECT $1::regclass UNION SELECT relid FROM pg_partition_tree($1::regclass))
   AND (NOT tgisinternal OR (tgparentid <> 0 AND tgconstraint = 0)) AND tgenabled IN ('O', 'A'))sql";

std::string values(const pg::Rows& rows) {
  std::string sql;
  for (const auto& one : rows) {
    std::string row;
    for (const auto& value : one)
      row += (row.empty() ? "" : ",") + (value ? pg::quote_literal(*value) : "NULL");
    sql += (sql.empty() ? "(" : ",(") + row + ")";
  }
  return sql;
}

}  // namespace

pg::Rows ask_copy(pg::Session& copy, const std::string& sql, const std::vector<pg::Value>& values) {
  return copy.query_unguarded(pg::k_guard + pg::with_values(sql, values));
}

void tell(CopiedRows& table, const std::string& why) {
  if (table.why_not_all.find(why) != std::string::npos) return;
  table.why_not_all += (table.why_not_all.empty() ? "" : "; ") + why;
}

RowWriter::RowWriter(pg::Session& copy, const std::string& table, const std::string& columns,
                     const Stop& stop)
    : copy_{copy}, stop_{stop},
      begin_{k_same_words + fmt::format("SET LOCAL row_security = off; INSERT INTO {} ({}) "
                                        "OVERRIDING SYSTEM VALUE VALUES ",
                                        table, columns)} {
  (void)ask_copy(copy_, fmt::format("SELECT {} FROM ONLY {} LIMIT 0", columns, table));
  std::string off;
  std::string on;
  for (const auto& row : ask_copy(copy_, k_triggers, {table})) {
    off += row.text(0);
    on += row.text(1);
  }
  if (off.empty()) return;
  copy_.execute(off);
  triggers_on_ = on;
}

RowWriter::~RowWriter() {
  if (triggers_on_.empty()) return;
  try {
    copy_.execute(triggers_on_);
  } catch (const std::exception& e) {  // mostly a lost connection, which the next statement tells
    log::debug(fmt::format("triggers of the copy stay disabled: {}", e.what()));
  }
}

void RowWriter::write(const pg::Rows& rows) {
  if (rows.empty()) return;
  try {
    copy_.execute(begin_ + values(rows));
    written_ += static_cast<std::int64_t>(rows.size());
  } catch (const pg::Error& e) {
    stop_.check();
    if (rows.size() == 1) {
      ++lost_;
      lost_by_ = e.sqlstate;
      return;
    }
    const auto middle = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2);
    write({rows.begin(), middle});
    write({middle, rows.end()});
  }
}

void RowWriter::tell_what_was_written(CopiedRows& table) const {
  table.rows += written_;
  if (lost_ > 0)
    tell(table, fmt::format("{} could not be written ({})",
                            counted(static_cast<std::size_t>(lost_), "row"), lost_by_));
}

}  // namespace schemagate
