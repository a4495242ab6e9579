#pragma once
// Executes the migrations of a plan, in one session that is opened anew where it is lost. What
// cannot be in a transaction is in alone_segment.cpp, all else in apply.cpp.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/migrate/apply.hpp"
#include "schemagate/migrate/script_session.hpp"
#include "schemagate/postgres/cancel_on_stop.hpp"

namespace schemagate {

class Applier {
 public:
  Applier(pg::Session& session, const ApplyContext& context, std::vector<std::string>& applied)
      : session_{session}, context_{context}, script_{session, context.connection, context.stop},
        applied_{applied} {
    attend_session();
  }
  ~Applier() { session_.on_notice({}); }
  Applier(const Applier&) = delete;
  Applier& operator=(const Applier&) = delete;

  void apply(const PlannedMigration& planned);
  void apply_as_one(const std::vector<PlannedMigration>& pending,
                    const std::function<void(Fenced&)>& before_commit);

 private:
  void one_transaction(const PlannedMigration& planned);
  std::optional<PlannedMigration> cut_as_told(const PlannedMigration& planned,
                                              const StatementFailed& failure);
  void in_segments(PlannedMigration planned);
  void begin_or_continue(const PlannedMigration& planned, const std::string& id);
  void transactional_segment(const PlannedMigration& planned, std::size_t index,
                             const std::string& id);
  void alone_segment(const PlannedMigration& planned, std::size_t index, const std::string& id);
  bool was_done_before(const PlannedMigration& planned, const Segment& segment);
  void run_alone(const PlannedMigration& planned, const Segment& segment, const std::string& before,
                 bool resuming);
  void drop_left_invalid(const Migration& migration, const Segment& segment,
                         const std::string& before);

  void with_retries(const Migration* const& migration, const std::function<void()>& attempt);
  void in_fenced_transaction(const std::function<void(Fenced&)>& work);
  void commit(Fenced& transaction, const std::function<bool()>& happened);
  void reopen();
  void attend_session();
  void compare_if_left_out(const std::vector<const Migration*>& made);

  [[nodiscard]] std::string finish_part_sql(const PlannedMigration& planned, std::size_t index,
                                            const std::string& id) const;
  [[nodiscard]] Failure record_failure(const Migration& migration, const StatementFailed& failure);
  [[nodiscard]] Failure record_failure(const PlannedMigration& planned,
                                       const StatementFailed& failure, std::size_t index,
                                       const std::string& id);
  [[nodiscard]] Failure lock_not_had(const Migration& migration, const StatementFailed& failure);
  void quietly(const std::function<void(Fenced&)>& record);

  pg::Session& session_;
  const ApplyContext& context_;
  ScriptSession script_;
  std::vector<std::string>& applied_;

  bool was_noticed_ = false;  // the server said something since this was set to false
  std::optional<CancelOnStop> cancel_;
};

}  // namespace schemagate
