#include "drift_watch.hpp"

#include <fmt/core.h>

#include <utility>

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

// Where the policy says that it must not be let through, it is not.
Drift look_unless_locked(pg::Session& session, const Target& target, const std::string& run_id) {
  try {
    return look_for_drift(session, target, run_id);
  } catch (const pg::Error& e) {
    const bool is_locked = e.sqlstate == "55P03" || e.sqlstate == "57014";
    if (!is_locked || target.manifest.drift.policy == DriftPolicy::fail) throw;
  }
  Drift drift;
  drift.look = Drift::Look::locked;
  return drift;
}

}  // namespace

bool DriftWatch::look(pg::Session& session, const std::string& run_id) {
  drift_ = look_unless_locked(session, target_, run_id);
  has_looked_ = true;
  if (drift_.look == Drift::Look::locked) log::warn("drift is not looked for: " + drift_.why_not());
  if (!drift_.is_compared()) {
    if (run_id != "0" && !drift_.since.empty())
      log::info("drift is not looked for: " + drift_.why_not());
    return !a_run_can_store(drift_);
  }
  if (drift_.differences.empty()) return true;
  if (target_.manifest.drift.policy == DriftPolicy::fail) throw failure_of(drift_);
  if (std::exchange(has_told_, true)) return true;
  log::warn(headline(drift_));
  for (const auto& line : some_of(drift_.lines(), k_lines_max)) log::warn("  " + line);
  log::warn("hint: " + as_typed(remedy_of_drift(), target_.manifest.file));
  return true;
}

void DriftWatch::store(Fenced& transaction, const std::string& run_id, bool changed) const {
  const bool is_locked = drift_.look == Drift::Look::locked;
  if (!has_looked_ || !(a_run_can_store(drift_) || (is_locked && changed))) return;
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
