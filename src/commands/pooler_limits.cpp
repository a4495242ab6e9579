#include "pooler_limits.hpp"

#include <fmt/core.h>

namespace schemagate {

bool may_run_unfenced(const Target& target) {
  return !target.database.pooled() || target.manifest.lease.allow_unfenced;
}

void refuse_unfenced(const Target& target, const std::string& what) {
  if (may_run_unfenced(target)) return;
  throw Failure{
      ExitCode::refused,
      fmt::format(
          "refused: {} cannot be fenced through a pooler ({}): if this runner lost its lease, nobody "
          "could end it",
          what, target.database.address().display()),
      "set database.direct_url to the server's own address; or accept the risk with lease.unfenced: allow"};
}

// Outside of transactions a SET would stay on a pooled backend, which is another client's next.
void refuse_what_a_pooler_forbids(const Target& target, const Plan& plan) {
  if (!plan.needs_direct_connection()) return;
  refuse_unfenced(target, "a statement that PostgreSQL does not run in a transaction");
  if (!target.database.pooled()) return;
  const bool other_schema =
      target.search_path_setting() != target.database.surroundings().search_path;
  if (!plan.sets_outside_transactions() && !other_schema) return;
  throw Failure{
      ExitCode::refused,
      fmt::format("refused: {} cannot be set through a pooler ({}) for a statement that PostgreSQL "
                  "does not run in a transaction",
                  other_schema ? "the search_path" : "what the script SETs",
                  target.database.address().display()),
      "set database.direct_url to the server's own address"};
}

}  // namespace schemagate
