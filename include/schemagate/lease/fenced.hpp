#pragma once
// Rule 1 of the lease as a type: a transaction that commits through the fence, or not at all. What
// changes anything takes a Fenced&, so that forgetting the check does not compile.

#include <string>
#include <utility>
#include <vector>

#include "schemagate/lease/lease.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

class Fenced {
 public:
  // BEGIN, and in the same message what makes the session ours for as long as the transaction lasts
  // (Lease::clean_sql), or `prologue` instead of it. Rolled back at destruction without commit().
  Fenced(pg::Session& session, const Lease& lease);
  Fenced(pg::Session& session, const Lease& lease, const std::string& prologue);
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  pg::Rows query(const std::string& sql, const std::vector<pg::Value>& parameters = {}) {
    return session_.query(sql, parameters);
  }
  pg::Row row(const std::string& sql, const std::vector<pg::Value>& parameters = {}) {
    return session_.row(sql, parameters);
  }
  void execute(const std::string& sql) { session_.execute(sql); }
  [[nodiscard]] pg::Session& session() const { return session_; }  // for what only reads

  // `sql` and the fence check in one message; nothing may follow but commit().
  void conclude(const std::string& sql);
  // The fence check, if it was not made yet, and COMMIT. Throws Failure (lease_lost) and what
  // pg::Transaction::commit() throws.
  void commit();

 private:
  pg::Session& session_;
  const Lease& lease_;
  pg::Transaction transaction_;
  bool checked_ = false;
};

template <class Work> void fenced(pg::Session& session, const Lease& lease, Work&& work) {
  Fenced transaction{session, lease};
  std::forward<Work>(work)(transaction);
  transaction.commit();
}

}  // namespace schemagate
