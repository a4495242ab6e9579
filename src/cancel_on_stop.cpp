#include "schemagate/cancel_on_stop.hpp"

namespace schemagate {

using namespace std::chrono_literals;

CancelOnStop::CancelOnStop(pg::Session& session, const Stop& stop)
    : on_stop_{stop.token(), [this, &session] {
                 asking_ = std::jthread{[&session](const std::stop_token& done) {
                   do session.cancel();
                   while (sleep(1s, done));
                 }};
               }} {}

}  // namespace schemagate
