#include "drift_watch.hpp"

#include <fmt/core.h>

#include "schemagate/base/log.hpp"
#include "schemagate/manifest/typed_hint.hpp"
#include "schemagate/migrate/verify.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_lines_max = 10;

bool a_run_can_store(const Drift& drift) {
  using Look = Drift::Look;
  return drift.look == Look::compared || drift.look == Look::no_snapshot ||
         drift.look == Look::moved || drift.look == Look::other_server;
}

}  // namespace

bool DriftWatch::look(pg::Session& session, const std::string& run_id) {
  drift_ = look_for_drift(session, target_, run_id);
  has_looked_ = true;
  if (!drift_.is_compared()) {
    if (run_id != "0" && !drift_.since.empty())
      log::info("drift is not looked for: " + drift_.why_not());
    return !a_run_can_store(drift_);
  }
  if (drift_.differences.empty()) return true;
  if (target_.manifest.drift.policy == DriftPolicy::fail) throw failure_of(drift_);
  log::warn(headline(drift_));
  for (const auto& line : some_of(drift_.lines(), k_lines_max)) log::warn("  " + line);
  log::warn("hint: " + as_typed(remedy_of_drift(), target_.manifest.file));
  return true;
}

void DriftWatch::store(Fenced& transaction, const std::string& run_id, bool changed) const {
  if (!has_looked_ || !a_run_can_store(drift_)) return;
  if (changed || !drift_.is_compared()) return store_snapshot(transaction, target_, drift_, run_id);
  if (!drift_.renewed.empty()) renew_guard(transaction, target_, drift_);
}

void DriftWatch::store_after(const Failure& failure, pg::Session& session, const Lease& lease,
                             const std::string& run_id) const noexcept {
  if (failure.code() == ExitCode::drift || !drift_.is_compared()) return;
  try {
    fenced(session, lease,
           [&](Fenced& transaction) { store_snapshot(transaction, target_, drift_, run_id); });
  } catch (const std::exception& e) {  // the next run has nothing to compare with, and says so
    log::debug(fmt::format("what the run left could not be stored: {}", e.what()));
  }
}

void hold_to_checks(pg::Session& session, const Target& target) {
  if (target.manifest.verify.empty()) return;
  const pg::Transaction look{session, pg::k_guard, pg::Transaction::Kind::snapshot};
  (void)verify(session, expectation_of(target));
}

}  // namespace schemagate
