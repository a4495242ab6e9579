#pragma once
// What a person should know before, or instead of, what a run does: nothing of it stops the run.

#include "schemagate/recovery/target.hpp"

namespace schemagate {

// Where nothing is pending, the migrations of a new release may be in another image than this.
void tell_if_old_image(pg::Session& session, const Target& target);
// A wrong URL looks like a first deploy.
void tell_no_history(pg::Session& session, const Target& target);
// Who, besides us, decides what a run and a gate believe.
void tell_who_else_may_write(pg::Session& session, const Target& target);

}  // namespace schemagate
