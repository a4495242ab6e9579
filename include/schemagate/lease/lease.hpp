#pragma once
// The lease: one row a protected thing in schemagate.lock, taken by one runner at a time, renewed
// every third of its ttl on a connection of its own, and the fence number that grows with every
// taking. Three rules make a successor safe (docs/internals.md connects them with the model):
//   1. every transaction that changes anything calls check() as its last statement before COMMIT;
//   2. a statement that cannot be in a transaction runs on a direct connection that carries
//      application_name(), and check() is called on that connection before;
//   3. whoever takes over first ends every backend with an older fence in its name.
// The lease is given up locally (the Stop is requested, code 12) well before the server lets it
// expire. release() gives it back; the row stays, and with it the fence.

#include <cstdint>
#include <memory>
#include <string>

#include "schemagate/base/wait.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/postgres/database.hpp"

namespace schemagate {

enum class Fence : std::int64_t {};

// Takes back what a script has made of its session, whatever that was.
inline constexpr const char* k_reset_session =
    "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL;";

struct LeaseRequest {
  std::string name;  // what is protected: "FORMAT:SCHEMA" of a history, "app:shop"
  std::string app;
  std::string release;
  Milliseconds ttl{};
  Milliseconds wait{};
};

class Lease {
 public:
  // Blocks until the lease is ours, telling whom it waits for. Throws Failure (lease_held) after
  // request.wait, or the Stop's reason. `database`, `bookkeeping` and `stop` must outlive the
  // lease.
  Lease(pg::Session& session, const Database& database, const Bookkeeping& bookkeeping,
        const LeaseRequest& request, Stop& stop);
  ~Lease();  // stops renewing; without release() the lease expires by itself
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // Locks the row until the session's transaction ends; throws Failure (lease_lost) when it is not
  // ours any more. Outside a transaction it is a check for that moment only
  // (rule 2).
  void check(pg::Session& session) const;
  // The same in two halves, for a message that ends with the check: its SQL text, then its answer.
  [[nodiscard]] std::string check_sql() const;
  void judge(const pg::Rows& answer) const;

  [[nodiscard]] Fence fence() const;
  [[nodiscard]] const std::string& application_name() const;
  // For the start of a transaction: it carries our name to its end. All that names us through a
  // pooler, whose backends must not keep the name: a successor would end them under a neighbour.
  [[nodiscard]] std::string name_sql() const;
  // For the start of a transaction of bookkeeping, on whatever a script has left: reset (but
  // through a pooler, where nothing of a script's stays), guarded, and named.
  [[nodiscard]] std::string clean_sql() const;

  // Gives it back on `session`, so that a waiting runner need not wait for the ttl. Quiet: if this
  // fails the lease expires.
  void release(pg::Session& session) noexcept;

 private:
  class Keeper;
  std::unique_ptr<Keeper> keeper_;
};

[[nodiscard]] std::string this_host();  // for people: the pod's or machine's name

// "schemagate:<16 digits>:", of the oid of our schema and the lease's name: two bookkeepings in one
// database do not take each other's backends for their own. "<fence>:<nonce>" follows.
[[nodiscard]] std::string backend_name_prefix(pg::Session& session, const Bookkeeping& bookkeeping,
                                              const std::string& lease_name);

}  // namespace schemagate
