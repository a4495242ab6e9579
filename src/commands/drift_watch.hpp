#pragma once
// What a run does about drift, by the manifest's policy: it looks before it works, and stores what
// it leaves.

#include "schemagate/recovery/drift.hpp"

namespace schemagate {

class DriftWatch {
 public:
  explicit DriftWatch(const Target& target) : target_{target} {}

  // Tells what it finds, or throws Failure (drift). False where there was nothing to compare with
  // yet, and a run could change that. `run_id`: of the run that is at work.
  bool look(pg::Session& session, const std::string& run_id = "0");
  [[nodiscard]] const Drift& seen() const { return drift_; }

  // In the transaction that completes a run. `changed`: it may have changed the schema.
  void store(Fenced& transaction, const std::string& run_id, bool changed) const;
  // Of a run that failed: what it has made before that is no drift. Never fails.
  void store_after(const Failure& failure, pg::Session& session, const Lease& lease,
                   const std::string& run_id) const noexcept;

 private:
  const Target& target_;
  Drift drift_;
  bool has_looked_ = false;
  bool has_told_ = false;
};

// The manifest's checks hold for a complete release, too. Throws Failure (check_failed).
void hold_to_checks(pg::Session& session, const Target& target);

}  // namespace schemagate
