#include "schemagate/commands/under_lease.hpp"

#include "schemagate/postgres/database_errors.hpp"

namespace schemagate {
namespace {

class GiveBack {
 public:
  GiveBack(Lease& lease, pg::Session& session) : lease_{lease}, session_{session} {}
  ~GiveBack() { lease_.release(session_); }
  GiveBack(const GiveBack&) = delete;
  GiveBack& operator=(const GiveBack&) = delete;

 private:
  Lease& lease_;
  pg::Session& session_;
};

}  // namespace

void under_lease(pg::Session& session, const Target& target, bool writes_history, Stop& stop,
                 const std::function<void(const Lease&)>& work) {
  target.check_that_urls_agree(session);
  target.bookkeeping.create_if_missing(session);
  target.refuse_untrusted(session, Bookkeeping::Trust::to_work);
  std::optional<TableName> history;
  if (writes_history) history = target.history_table()->name;
  target.bookkeeping.check_rights(session, history);
  Lease lease{session, target.database, target.bookkeeping, target.lease_request(), stop};
  const GiveBack give_back{lease, session};
  explaining_database_errors(stop, [&] { work(lease); });
}

}  // namespace schemagate
