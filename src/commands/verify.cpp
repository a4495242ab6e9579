#include "schemagate/commands/verify.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/commands/under_lease.hpp"
#include "schemagate/lease/run_record.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/drift.hpp"
#include "schemagate/recovery/settle.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_lines_max = 40;

void refuse_what_is_not_looked_for(const Drift& drift) {
  if (drift.look == Drift::Look::off)
    throw Failure{ExitCode::usage, "there is nothing to accept: policy.drift is off",
                  "set policy.drift to warn or fail"};
  if (drift.look == Drift::Look::mixed)
    throw Failure{ExitCode::refused,
                  "refused: schemagate's own tables are in the app's schema: nobody can tell what "
                  "of it is the app's",
                  "choose another one: database.bookkeeping_schema"};
}

void write(pg::Session& session, const Target& target, const Lease& lease, const Drift& drift) {
  const auto lines = some_of(drift.lines(), k_lines_max);
  fenced(session, lease, [&](Fenced& transaction) {
    RunRecord record;
    record.begin(transaction, target.bookkeeping, target.id, "verify", target.folder.digest,
                 lease.fence());
    record.note(transaction,
                fmt::format("what is there was accepted by {} (role {}){}{}", this_user(),
                            transaction.row("SELECT session_user").text(0),
                            lines.empty() ? "" : ":\n", join(lines, "\n")));
    store_snapshot(transaction, target, {}, record.run_id());
    record.complete(transaction, 0);
  });
  for (const auto& line : lines) log::info("accepted: " + line);
  log::info("what is there now is what drift is told from");
}

}  // namespace

void accept_drift(const Manifest& manifest, Stop& stop) {
  explaining_database_errors(stop, [&] {
    Target target{manifest, folder_of(manifest)};
    auto session = wait_until_ready(target.database, manifest.database, stop);
    target.find_history(session);
    target.refuse_untrusted(session, Bookkeeping::Trust::to_work);
    refuse_what_is_not_looked_for(look_for_drift(session, target));
    under_lease(session, target, false, stop, [&](const Lease& lease) {
      write(session, target, lease, look_for_drift(session, target));
    });
  });
}

}  // namespace schemagate
