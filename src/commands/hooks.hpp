#pragma once
// The manifest's hooks: the user's own commands around the work of a run, under its lease.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/recovery/target.hpp"

namespace schemagate {

class Hooks {
 public:
  // Both must outlive this.
  Hooks(const Target& target, Stop& stop) : target_{target}, stop_{stop} {}

  // Each list in its order, the rest not where one fails. Throw Failure (hook_failed), or the
  // Stop's reason.

  // Before a migration is begun; `pending`: nothing where nobody can tell. Where nothing is to be
  // done no hook is started, but one that is not there is told all the same.
  void before(const Lease& lease, std::optional<std::vector<std::string>> pending);
  // Once everything is applied and verified, before the release is complete.
  void after(const Lease& lease) const;

  [[nodiscard]] bool has_after() const { return !settings().after.empty(); }

  // The run has failed with this. What becomes of these hooks is only told. Not after a stop: there
  // is no time for them, or another runner is at work.
  void failed(const Lease& lease, const Failure& failure) const;

 private:
  using Commands = std::vector<std::vector<std::string>>;
  using Environment = std::map<std::string, std::optional<std::string>>;
  void refuse_missing_programs() const;
  void run_all(const std::string& name, const Commands& commands, const Lease& lease,
               const std::string& consequence, const Environment& more = {}) const;
  [[nodiscard]] Environment environment(const std::string& name, const Lease& lease) const;
  [[nodiscard]] const Manifest::Hooks& settings() const { return target_.manifest.hooks; }

  const Target& target_;
  Stop& stop_;
  std::optional<std::vector<std::string>> pending_;
};

}  // namespace schemagate
