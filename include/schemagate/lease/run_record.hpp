#pragma once
// The row of one run in schemagate.run: the audit trail.

#include <string>

#include "schemagate/base/error.hpp"
#include "schemagate/lease/bookkeeping.hpp"
#include "schemagate/lease/fenced.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/lease/marker.hpp"

namespace schemagate {

class RunRecord {
 public:
  // `mode`: what kind of work: a format's name, "command", "resolve", "baseline".
  void begin(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
             const std::string& mode, const std::string& digest, Fence fence);
  [[nodiscard]] bool begun() const { return !run_id_.empty(); }
  [[nodiscard]] const std::string& run_id() const { return run_id_; }

  // Adds a line: what was settled in the history, and on which evidence.
  void note(Fenced& transaction, const std::string& text) const;
  void complete(Fenced& transaction, std::size_t applied) const;
  void fail(Fenced& transaction, std::size_t applied, const Failure& failure) const;

 private:
  const Bookkeeping* bookkeeping_ = nullptr;
  std::string run_id_;
};

}  // namespace schemagate
