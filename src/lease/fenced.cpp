#include "schemagate/lease/fenced.hpp"

namespace schemagate {

Fenced::Fenced(pg::Session& session, const Lease& lease)
    : Fenced{session, lease, lease.clean_sql()} {}

Fenced::Fenced(pg::Session& session, const Lease& lease, const std::string& prologue)
    : session_{session}, lease_{lease}, transaction_{session, prologue} {}

void Fenced::conclude(const std::string& sql) {
  lease_.judge(session_.query(sql + ";" + lease_.check_sql()));
  checked_ = true;
}

void Fenced::commit() {
  if (!checked_) lease_.check(session_);
  transaction_.commit();
}

}  // namespace schemagate
