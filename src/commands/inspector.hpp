#pragma once
// The work of status: one look at everything, each problem told with its evidence and what settles
// it. What the history says of the migrations is in history_inspector.cpp, what of
// the schema in schema_inspector.cpp, all else in status.cpp.

#include <map>
#include <string>

#include "schemagate/commands/status.hpp"
#include "schemagate/recovery/drift.hpp"
#include "schemagate/recovery/judge.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

class Inspector {
 public:
  Inspector(const Manifest& manifest, Stop& stop, Look look)
      : manifest_{manifest}, stop_{stop}, look_{look},
        target_{manifest, read_folder_if_possible()} {}

  StatusReport inspect();

 private:
  // A broken folder is a finding, and no reason not to look at the database.
  Folder read_folder_if_possible();

  void look_at_all(pg::Session& session);
  void refuse_what_a_run_refuses(pg::Session& session);
  void look_at_lease(pg::Session& session);
  void look_at_runs(pg::Session& session);
  void look_at_gate(pg::Session& session);
  void look_at_catalogue(pg::Session& session);
  void look_at_drift();
  void look_at_checks(pg::Session& session);
  void look_at_history(pg::Session& session);
  void look_at_writers(pg::Session& session);
  void look_at_failed(pg::Session& session);
  void look_at_pending(pg::Session& session);
  void tell_what_is_there(Finding& finding, const MigrationState& state,
                          const Judgement& judgement) const;
  void look_at_applied();
  void tell_what_is_untold(const Judgement& applied);
  void look_at_marked(pg::Session& session);
  void list_migrations();

  void add(Finding finding) { report_.findings.push_back(std::move(finding)); }
  [[nodiscard]] bool run_is_at_work() const { return report_.lease && report_.lease->held; }

  const Manifest& manifest_;
  Stop& stop_;
  Look look_;
  StatusReport report_;
  bool folder_is_readable_ = true;
  Hint settle_first_;  // what no run settles by itself, and stands in the way of all else
  Target target_;
  History history_;
  Drift drift_;
  std::map<std::string, std::string> states_;  // of migrations that are not simply applied
};

}  // namespace schemagate
