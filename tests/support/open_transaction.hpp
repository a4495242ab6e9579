#pragma once
// Somebody's transaction that stays open: it holds locks, and a snapshot that CREATE INDEX
// CONCURRENTLY waits for. Rolled back at destruction.

#include <string>

#include "support/server.hpp"

namespace testing {

// Taken by `prisma migrate` while it works; until the transaction ends.
inline constexpr const char* k_take_prismas_lock = "SELECT pg_advisory_xact_lock(72707369)";

class OpenTransaction {
 public:
  // Has done this.
  OpenTransaction(schemagate::pg::Session session, const std::string& sql)
      : session_{std::move(session)}, transaction_{session_} {
    transaction_.execute(sql);
  }
  OpenTransaction(const TestDatabase& database, const std::string& sql)
      : OpenTransaction{database.connect(), sql} {}
  [[nodiscard]] std::string pid() const { return std::to_string(session_.backend_pid()); }
  void commit() { transaction_.commit(); }

 private:
  schemagate::pg::Session session_;
  schemagate::pg::Transaction transaction_;
};

}  // namespace testing
