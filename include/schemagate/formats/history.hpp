#pragma once
// Prisma's table `_prisma_migrations`, read and written so that Prisma's own engine finds nothing
// unusual. Its DDL, the meaning of its columns and the order of its checks: Prisma 7.10,
// schema-engine (flavour/postgres.rs, sql_migration_persistence.rs); docs/prisma.md lists them.

#include <map>
#include <string>
#include <vector>

#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

struct HistoryRow {
  std::string id;
  std::string name;
  std::string checksum;
  std::string logs;
  std::string started_at;        // only of rows that did not finish, or with Times::all
  std::string finished_at = {};  // only with Times::all
  int steps = 1;                 // applied_steps_count: 0 also where a person said so (resolve)
  bool by_resolve = false;       // as `resolve --applied` writes it, Prisma's and ours
  bool finished = false;
  bool rolled_back = false;

  [[nodiscard]] bool applied() const { return finished && !rolled_back; }
  [[nodiscard]] bool failed() const { return !finished && !rolled_back; }
};

struct Step {
  std::string digest;
  std::string evidence;  // what was there before the segment started, for indexes
  bool finished = false;
};

struct History {
  bool exists = false;
  std::vector<HistoryRow> rows;             // by start
  std::vector<std::string> foreign_tables;  // the schema's tables when `exists` is false (P3005)
  std::map<std::string, std::map<int, Step>> steps;  // row id → segment → progress

  [[nodiscard]] const HistoryRow* applied(const std::string& name) const;
};

// Where Prisma puts its table when no schema is given: the first existing one of the search_path.
[[nodiscard]] std::string current_schema(pg::Session& session);

class HistoryTable {
 public:
  HistoryTable(const std::string& schema, const Bookkeeping& bookkeeping);

  enum class Times { unfinished, all };
  [[nodiscard]] History read(pg::Session& session, Times times = Times::unfinished) const;

  // Under the lease:
  void create_if_missing(pg::Session& session) const;  // the schema too, as Prisma does

  // As text, to be sent with other bookkeeping in one message. `started_at`: an SQL expression.
  [[nodiscard]] std::string insert_applied_sql(const std::string& id, const std::string& name,
                                               const std::string& checksum,
                                               const std::string& started_at) const;
  [[nodiscard]] std::string finish_sql(const std::string& id, const std::string& checksum) const;

  // The following belong into the transaction of the work they describe.
  void insert_started(pg::Session& session, const std::string& id, const std::string& name,
                      const std::string& checksum) const;
  void insert_rolled_back(pg::Session& session, const std::string& id, const std::string& name,
                          const std::string& checksum, const std::string& logs) const;
  void set_failed(pg::Session& session, const std::string& id, const std::string& logs) const;
  void forget_logs(pg::Session& session, const std::string& id) const;  // it is tried again
  void set_rolled_back(pg::Session& session, const std::string& id, const std::string& logs) const;

  // A person's or the evidence's word, as Prisma's `migrate resolve` writes it (Prisma 7.10,
  // mark_migration_applied.rs, mark_migration_rolled_back.rs).
  // mark_applied() adds a row; unfinished ones of the name are to be marked rolled back before.
  void mark_applied(pg::Session& session, const std::string& name,
                    const std::string& checksum) const;
  void mark_rolled_back(pg::Session& session, const std::string& id) const;

  [[nodiscard]] bool is_finished(pg::Session& session, const std::string& id) const;
  [[nodiscard]] const std::string& schema() const { return schema_; }

 private:
  std::string schema_;
  std::string table_;  // qualified and quoted: scripts may leave any search_path behind
  const Bookkeeping& bookkeeping_;
};

}  // namespace schemagate
