#pragma once
// A migration tool's own table: what it says is applied. Every format reads one; a tool whose
// folders we apply, or whose history we may correct, has one that can be written, too.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/fenced.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

struct HistoryRow {
  std::string id;
  std::string name;
  std::string checksum;  // empty: the tool keeps none
  std::string logs;
  std::vector<std::string> reason = {};  // the lines of a failure's logs that tell why
  std::string started_at;                // only of rows that did not finish, or with Times::all
  std::string finished_at = {};          // only with Times::all
  std::int64_t finished_us = 0;          // the same, since 1970
  int steps = 1;                         // 0: no script was executed, or not to its end
  bool by_resolve = false;               // a person or a baseline wrote it, by a command for that
  bool finished = false;
  bool rolled_back = false;

  [[nodiscard]] bool applied() const { return finished && !rolled_back; }
  [[nodiscard]] bool failed() const { return !finished && !rolled_back; }
};

struct Step {
  std::string digest;  // finished: of each statement, one a line; begun outside of transactions: of
                       // its statement; else empty
  std::string evidence;  // what was there before the segment started, for indexes
  bool finished = false;
};

struct History {
  std::int64_t oid = 0;                              // of the table; 0: there is none
  std::vector<HistoryRow> rows;                      // by start
  std::vector<std::string> foreign_tables;           // the schema's tables, then
  std::map<std::string, std::map<int, Step>> steps;  // row id → segment → progress
  std::string remark = {};  // what whoever misses a migration in it should know

  [[nodiscard]] bool exists() const { return oid != 0; }
  [[nodiscard]] const HistoryRow* applied(const std::string& name) const;
};

// What bookkeeping knows of migrations that cannot be one transaction; nothing for a role that may
// not look.
[[nodiscard]] std::map<std::string, std::map<int, Step>> read_steps(pg::Session& session,
                                                                    const Bookkeeping& bookkeeping);

class WritableHistory;

// Where a table of this name ("name" or "schema.name") is: in the first schema of `search_path`
// that has it, as a tool would find it, else (oid 0) in the first one. `search_path` is not empty.
struct FoundTable {
  TableName name;
  std::int64_t oid = 0;
};
[[nodiscard]] FoundTable find_table(pg::Session& session, const std::string& name,
                                    const std::vector<std::string>& search_path);

class HistoryTable {
 public:
  virtual ~HistoryTable() = default;

  enum class Times { unfinished, all };
  // Throws Failure (usage) where the manifest's description of the table is wrong.
  [[nodiscard]] virtual History read(pg::Session& session,
                                     Times times = Times::unfinished) const = 0;
  // Null where only the tool itself writes it.
  [[nodiscard]] virtual const WritableHistory* writable() const { return nullptr; }
};

// Rows as the tool itself would write them.
class WritableHistory : public HistoryTable {
 public:
  [[nodiscard]] const WritableHistory* writable() const override { return this; }

  virtual void create_if_missing(Fenced& transaction) const = 0;  // the schema too
  [[nodiscard]] virtual std::string create_sql() const = 0;       // the table alone

  // As text, to be sent with other bookkeeping in one message. `started_at`: an SQL expression.
  [[nodiscard]] virtual std::string insert_applied_sql(const std::string& id,
                                                       const std::string& name,
                                                       const std::string& checksum,
                                                       const std::string& started_at) const = 0;
  [[nodiscard]] virtual std::string finish_sql(const std::string& id,
                                               const std::string& checksum) const = 0;

  virtual void insert_started(Fenced& transaction, const std::string& id, const std::string& name,
                              const std::string& checksum) const = 0;
  virtual void insert_rolled_back(Fenced& transaction, const std::string& id,
                                  const std::string& name, const std::string& checksum,
                                  const std::string& logs) const = 0;
  virtual void set_failed(Fenced& transaction, const std::string& id,
                          const std::string& logs) const = 0;
  virtual void forget_logs(Fenced& transaction, const std::string& id) const = 0;  // tried again
  virtual void set_rolled_back(Fenced& transaction, const std::string& id,
                               const std::string& logs) const = 0;

  // A person's or the evidence's word. mark_applied() adds a row; unfinished ones of the name are
  // to be marked rolled back before.
  virtual void mark_applied(Fenced& transaction, const std::string& name,
                            const std::string& checksum) const = 0;
  virtual void mark_rolled_back(Fenced& transaction, const std::string& id) const = 0;
  virtual void set_checksum(Fenced& transaction, const std::string& id,
                            const std::string& checksum) const = 0;

  [[nodiscard]] virtual bool is_finished(pg::Session& session, const std::string& id) const = 0;
};

}  // namespace schemagate
