#pragma once
// Prisma's advisory lock (72707369, session level; Prisma 7.10, flavour/postgres.rs), so that a
// `prisma migrate deploy` started beside us waits. Shared among ourselves, whom the lease keeps
// apart: apps with schemas of their own do not wait for each other. It is polled for, never waited
// in: a session that waits inside PostgreSQL holds a snapshot, and CREATE INDEX CONCURRENTLY would
// wait for that. For the same reason it is let go while a CONCURRENTLY statement runs; Prisma then
// finds the migration's unfinished row and stops by itself (P3009).

#include "schemagate/base/wait.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

class PrismaLock {
 public:
  // On `session`, which must outlive this; when it is replaced by a new one, acquire() again. Does
  // nothing through a pooler, where a session lock cannot be held; says so.
  PrismaLock(pg::Session& session, const Database& database, Milliseconds wait, Stop& stop);
  ~PrismaLock();
  PrismaLock(const PrismaLock&) = delete;
  PrismaLock& operator=(const PrismaLock&) = delete;

  // Throws Failure (lease_held) after `wait`.
  void acquire();
  void release();

 private:
  pg::Session& session_;
  bool usable_;
  bool held_ = false;
  Milliseconds wait_;
  Stop& stop_;
};

}  // namespace schemagate
