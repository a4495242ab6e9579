#pragma once
// A migration tool's own advisory lock (session level), so that the tool started beside us waits.
// Shared among ourselves, whom the lease keeps apart: apps with schemas of their own do not wait
// for each other. It is polled for, never waited in: a session that waits inside PostgreSQL holds a
// snapshot, and CREATE INDEX CONCURRENTLY would wait for that. For the same reason it is let go
// while a CONCURRENTLY statement runs; the tool then finds the migration's unfinished row.

#include <cstdint>
#include <optional>

#include "schemagate/formats/format.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

class ToolLock {
 public:
  // On `session`, which must outlive this; when it is replaced by a new one, acquire() again. Does
  // nothing for a tool without a lock, and through a pooler, where a session lock cannot be held;
  // that is told.
  ToolLock(pg::Session& session, const Format& format, const Database& database, Milliseconds wait,
           Stop& stop);
  ~ToolLock();
  ToolLock(const ToolLock&) = delete;
  ToolLock& operator=(const ToolLock&) = delete;

  // Throws Failure (lease_held) after `wait`.
  void acquire();
  void release();

 private:
  pg::Session& session_;
  std::string owner_;
  std::optional<std::int64_t> key_;
  bool held_ = false;
  Milliseconds wait_;
  Stop& stop_;
};

}  // namespace schemagate
