#pragma once
// What one statement asked of the relations that are there: measured on a server, around its
// execution, by the locks of this session (pg_locks), the files of relations (pg_class.relfilenode)
// and the counters of its transaction (pg_stat_get_xact_...). Nothing that the statement or the
// script has set is disturbed: each look is taken back.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "schemagate/impact/impact.hpp"
#include "schemagate/postgres/session.hpp"
#include "schemagate/sql/sql_script.hpp"

namespace schemagate {

class Measure {
 public:
  // What is there now counts from now on: tables, views, sequences, with their indexes; but no
  // temporary ones and none of PostgreSQL's own. The session must outlive this, and may be replaced
  // by another one in the same database. Each look throws what the session throws.
  explicit Measure(pg::Session& session);

  // Next to the statement, in the transaction (pg::Transaction) that it is executed in, which may
  // begin with it: whatever has to come before any query (SET TRANSACTION) must be behind us.
  void before();
  // Where it has succeeded, before its COMMIT. A lock counts where the transaction held a weaker
  // one, or none. How many rows a plan reads depends on how many there are: for a query, work on
  // an empty table tells nothing.
  [[nodiscard]] std::vector<Impact> after(const Statement& statement);
  // The same around a statement that refuses transactions, outside of any. Its locks are gone: told
  // are those that such work always takes. Of VACUUM (but FULL) and ANALYZE nothing is seen, which
  // let everybody read and write.
  [[nodiscard]] std::vector<Impact> after_alone(const Statement& statement);

 private:
  struct Relation {
    std::string name;                // empty: it is gone
    char kind = 0;                   // pg_class.relkind
    std::string file;                // relfilenode
    std::int64_t table = 0;          // that an index or a TOAST table belongs to, else itself
    std::int64_t parent = 0;         // that it is a partition of; 0: none
    LockMode lock = LockMode::none;  // the strongest that this session holds
    std::int64_t scans = 0;          // of the whole of it, begun
    std::int64_t rows = 0;           // written
  };
  using State = std::map<std::int64_t, Relation>;  // by oid

  [[nodiscard]] State look();
  [[nodiscard]] bool is_known(const Relation& relation) const {
    return there_.contains(relation.table);
  }
  // The table that a relation of either state belongs to, while it was there; null: none that
  // counts.
  [[nodiscard]] const Relation* table_of(const Relation& relation) const;
  [[nodiscard]] std::vector<Impact> works(const State& now, bool truncates) const;

  pg::Session& session_;
  std::set<std::int64_t> there_;  // tables and the like
  State before_;
};

}  // namespace schemagate
