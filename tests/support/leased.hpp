#pragma once
// Our tables and a lease that is held, for tests of what may only be written under one.

#include "schemagate/lease/fenced.hpp"
#include "support/server.hpp"

namespace testing {

struct Leased {
  explicit Leased(const TestDatabase& on)
      : database{settings(on), schemagate::Database::Purpose::work}, session{on.connect()} {}

  // In a transaction of its own.
  template <class Work> void write(Work&& work) { schemagate::fenced(session, lease, work); }

  schemagate::Stop stop;
  schemagate::Bookkeeping bookkeeping{"schemagate"};
  schemagate::Database database;
  schemagate::pg::Session session;
  schemagate::Lease lease{taken()};

 private:
  static schemagate::Manifest::Database settings(const TestDatabase& on) {
    schemagate::Manifest::Database settings;
    settings.url = on.url();
    return settings;
  }
  schemagate::Lease taken() {
    bookkeeping.create_if_missing(session);
    return schemagate::Lease{session,
                             database,
                             bookkeeping,
                             {.name = "prisma:public",
                              .app = "shop",
                              .release = "r1",
                              .ttl = schemagate::Milliseconds{30'000},
                              .wait = schemagate::Milliseconds{60'000}},
                             stop};
  }
};

}  // namespace testing
