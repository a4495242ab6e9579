// The lease and its fence, against a real server.

#include <doctest/doctest.h>

#include <atomic>
#include <stop_token>

#include "schemagate/lease/lease.hpp"
#include "support/lease.hpp"
#include "support/process.hpp"
#include "support/server.hpp"

using schemagate::Bookkeeping;
using schemagate::Database;
using schemagate::ExitCode;
using schemagate::Failure;
using schemagate::Fence;
using schemagate::Lease;
using schemagate::LeaseRequest;
using schemagate::Stop;
using namespace testing;
using namespace std::chrono_literals;

namespace {

struct Fixture {
  TestDatabase test;
  Bookkeeping bookkeeping{"schemagate"};
  Stop stop;
  schemagate::pg::Session session = test.connect();
  Database database{settings(), Database::Purpose::work};

  Fixture() { bookkeeping.create_if_missing(session); }
  [[nodiscard]] schemagate::Manifest::Database settings() const {
    schemagate::Manifest::Database settings;
    settings.url = test.url();
    return settings;
  }
  static LeaseRequest request(schemagate::Milliseconds ttl = 30s,
                              schemagate::Milliseconds wait = 1min) {
    return {.name = "prisma:public", .app = "shop", .release = "r1", .ttl = ttl, .wait = wait};
  }
  [[nodiscard]] Lease take(schemagate::Milliseconds ttl = 30s) {
    return Lease{session, database, bookkeeping, request(ttl), stop};
  }
};

template <class Work> ExitCode code_of(Work&& work) {
  try {
    work();
  } catch (const Failure& failure) {
    return failure.code();
  }
  return ExitCode::done;
}

}  // namespace

TEST_CASE("a lease given back is free at once, and every taking has a greater fence") {
  Fixture fixture;
  for (std::int64_t expected = 1; expected <= 3; ++expected) {
    auto lease = fixture.take();
    CHECK(lease.fence() == Fence{expected});
    CHECK(lease.application_name().starts_with(
        runner_name(fixture.test, "prisma:public", static_cast<int>(expected))));
    lease.check(fixture.session);
    lease.release(fixture.session);
  }
  CHECK_FALSE(fixture.stop.requested());
}

TEST_CASE("a held lease is refused to others after their wait, but another name is free") {
  Fixture fixture;
  auto lease = fixture.take();
  auto other = fixture.test.connect();
  Stop stop;
  CHECK(code_of([&] {
          const Lease second{other, fixture.database, fixture.bookkeeping,
                             Fixture::request(30s, 300ms), stop};
        }) == ExitCode::lease_held);
  auto elsewhere = Fixture::request();
  elsewhere.name = "prisma:other";
  const Lease free{other, fixture.database, fixture.bookkeeping, elsewhere, stop};
  CHECK(free.fence() == Fence{1});
}

TEST_CASE("an expired lease is taken, and the former holder's fence check fails") {
  Fixture fixture;
  auto first = fixture.take();
  fixture.test.execute(
      "UPDATE schemagate.lock SET expires_at = clock_timestamp() - interval '1 s'");
  auto other = fixture.test.connect();
  Stop stop;
  const Lease second{other, fixture.database, fixture.bookkeeping, Fixture::request(), stop};
  CHECK(second.fence() == Fence{2});
  CHECK(code_of([&] { first.check(fixture.session); }) == ExitCode::lease_lost);
  CHECK(code_of([&] { second.check(other); }) == ExitCode::done);
}

TEST_CASE("a successor cannot take the lease between a fence check and its COMMIT") {
  Fixture fixture;
  auto first = fixture.take();
  auto other = fixture.test.connect();
  Stop stop;
  schemagate::pg::Transaction transaction{fixture.session};
  fixture.test.execute(
      "UPDATE schemagate.lock SET expires_at = clock_timestamp() + interval '200 ms'");
  first.check(fixture.session);
  CHECK(code_of([&] {
          const Lease second{other, fixture.database, fixture.bookkeeping,
                             Fixture::request(30s, 1s), stop};
        }) == ExitCode::lease_held);
  transaction.commit();
  const Lease second{other, fixture.database, fixture.bookkeeping, Fixture::request(), stop};
  CHECK(second.fence() == Fence{2});
}

TEST_CASE("a successor ends the backends of all other takings, its own and foreign ones live on") {
  Fixture fixture;
  const auto named = [&](const std::string& name) {
    auto session = fixture.test.connect();
    session.execute("SET application_name = '" + name + "'");
    return session;
  };
  auto older = named(runner_name(fixture.test, "prisma:public", 1, "ab"));
  // A failover may lose that the fence was taken before, and greater ones.
  auto same_fence = named(runner_name(fixture.test, "prisma:public", 2, "ab"));
  auto other_lease = named(runner_name(fixture.test, "prisma:public2", 1, "ab"));
  auto no_nonce = named(runner_name(fixture.test, "prisma:public", 1));
  auto not_a_fence = named(runner_name(fixture.test, "prisma:public", 1, "x"));
  {
    auto first = fixture.take();
    first.release(fixture.session);
  }
  auto newer = named(runner_name(fixture.test, "prisma:public", 99, "ab"));
  const auto second = fixture.take();
  auto own = named(second.application_name());
  REQUIRE(second.fence() == Fence{2});
  CHECK_THROWS_AS(older.query("SELECT 1"), schemagate::pg::ConnectionLost);
  CHECK_THROWS_AS(same_fence.query("SELECT 1"), schemagate::pg::ConnectionLost);
  CHECK_NOTHROW(other_lease.query("SELECT 1"));
  CHECK_NOTHROW(no_nonce.query("SELECT 1"));
  CHECK_NOTHROW(not_a_fence.query("SELECT 1"));
  CHECK_THROWS_AS(newer.query("SELECT 1"), schemagate::pg::ConnectionLost);
  CHECK_NOTHROW(own.query("SELECT 1"));
}

TEST_CASE("a holder ends what comes later under a greater fence, unless it was taken meanwhile") {
  Fixture fixture;
  const auto lease = fixture.take(3s);
  const auto greater = [&] {
    return schemagate::pg::Session{fixture.test.url() + "?application_name=" +
                                   runner_name(fixture.test, "prisma:public", 3, "ab")};
  };
  auto lost = greater();
  CHECK(eventually([&] {
    return fixture.test.value("SELECT count(*) FROM pg_stat_activity WHERE pid = " +
                              std::to_string(lost.backend_pid())) == "0";
  }));
  // A successor's: the row says so before its backends come.
  fixture.test.execute("UPDATE schemagate.lock SET fence = 3, nonce = 'ab'");
  auto successor = greater();
  REQUIRE(eventually([&] { return fixture.stop.requested(); }));
  CHECK_NOTHROW(successor.query("SELECT 1"));
}

TEST_CASE("a lease is renewed for as long as it is held") {
  Fixture fixture;
  // It is given up where a renewal takes longer than a third of the ttl, which may happen.
  const auto lease = fixture.take(9s);
  CHECK(eventually([&] {
    return fixture.test.value(
               "SELECT renewed_at - acquired_at > interval '9 s' FROM schemagate.lock") == "t";
  }));
  CHECK_FALSE(fixture.stop.requested());
  CHECK(fixture.test.value("SELECT expires_at > clock_timestamp() FROM schemagate.lock") == "t");
}

TEST_CASE("a holder whose lease was taken stops with 12") {
  Fixture fixture;
  const auto lease = fixture.take(3s);
  fixture.test.execute("UPDATE schemagate.lock SET fence = fence + 1, holder = 'another'");
  REQUIRE(eventually([&] { return fixture.stop.requested(); }));
  CHECK(code_of([&] { fixture.stop.check(); }) == ExitCode::lease_lost);
}

TEST_CASE("a holder that cannot renew stops with 12 before its lease expires") {
  Fixture fixture;
  using SystemClock = std::chrono::system_clock;
  std::atomic<SystemClock::time_point> stopped_at{};  // our clock is the server's
  const std::stop_callback note{fixture.stop.token(), [&] { stopped_at = SystemClock::now(); }};
  const auto lease = fixture.take(6s);
  auto blocker = fixture.test.connect();
  schemagate::pg::Transaction transaction{blocker};
  transaction.execute("LOCK TABLE schemagate.lock");
  REQUIRE(eventually(
      [&] { return stopped_at.load() != SystemClock::time_point{} && fixture.stop.requested(); }));
  CHECK(code_of([&] { fixture.stop.check(); }) == ExitCode::lease_lost);
  const auto expires_at =
      blocker.query("SELECT extract(epoch FROM expires_at)::float8 FROM schemagate.lock");
  CHECK(std::chrono::duration<double>(stopped_at.load().time_since_epoch()).count() <
        std::stod(expires_at.at(0).at(0).value_or("0")));
}

TEST_CASE("a backend's name fits into an application_name, whatever the lease is called") {
  Fixture fixture;
  const auto long_name = "prisma:" + std::string(80, 'x');
  const auto name = runner_name(fixture.test, long_name, 1'000'000'000, "0123abcd");
  CHECK(name.size() <= 63);
  CHECK(name != runner_name(fixture.test, long_name + "x", 1'000'000'000, "0123abcd"));
}

TEST_CASE("two bookkeepings in one database call their runners differently") {
  Fixture fixture;
  auto session = fixture.test.connect();
  Bookkeeping{"other"}.create_if_missing(session);
  CHECK(schemagate::backend_name_prefix(session, Bookkeeping{"other"}, "prisma:public") !=
        schemagate::backend_name_prefix(session, Bookkeeping{"schemagate"}, "prisma:public"));
}

TEST_CASE(
    "a lease whose row nobody renews for its ttl is taken, whatever the server's clock says") {
  Fixture fixture;
  (void)fixture.take();  // not given back
  fixture.test.execute("UPDATE schemagate.lock SET renewed_at = now() + interval '1 hour',"
                       " expires_at = now() + interval '1 hour 1 second'");
  auto session = fixture.test.connect();
  Stop stop;
  const Lease second{session, fixture.database, fixture.bookkeeping, Fixture::request(30s, 60s),
                     stop};
  CHECK(second.fence() == Fence{2});
}

TEST_CASE("a holder that renews is waited for, though its clock was set back") {
  Fixture fixture;
  const auto first = fixture.take(3s);
  auto session = fixture.test.connect();
  Stop stop;
  CHECK(code_of([&] {
          const Lease second{session, fixture.database, fixture.bookkeeping,
                             Fixture::request(30s, 5s), stop};
        }) == ExitCode::lease_held);
  CHECK(fixture.test.value("SELECT fence FROM schemagate.lock") == "1");
}

TEST_CASE("whoever still waits does not end the backends of the one who took the lease meanwhile") {
  Fixture fixture;
  (void)fixture.take();
  expire_lease(fixture.test);
  schemagate::pg::Session working{fixture.test.url() + "?application_name=" +
                                  runner_name(fixture.test, "prisma:public", 2, "ab")};
  // Not committed yet: the waiter sees the row as it was, expired.
  auto taking = fixture.test.connect();
  schemagate::pg::Transaction transaction{taking};
  transaction.execute("UPDATE schemagate.lock SET fence = 2, nonce = 'ab',"
                      " expires_at = clock_timestamp() + interval '1 hour'");
  auto session = fixture.test.connect();
  Stop stop;
  CHECK(code_of([&] {
          const Lease second{session, fixture.database, fixture.bookkeeping,
                             Fixture::request(30s, 1s), stop};
        }) == ExitCode::lease_held);
  CHECK_NOTHROW(working.query("SELECT 1"));
}
