#include "schemagate/postgres/cancel_on_stop.hpp"

namespace schemagate {

CancelOnStop::CancelOnStop(pg::Session& session, const Stop& stop)
    : on_stop_{stop.token(),
               [this, &session] { asking_ = std::jthread{[&session] { session.cancel(); }}; }} {}

}  // namespace schemagate
