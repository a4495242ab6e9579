#include "schemagate/lease/run_record.hpp"

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/base/version.hpp"
#include "schemagate/lease/statements.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_text_size_max = 4000;

}  // namespace

void RunRecord::begin(Fenced& transaction, const Bookkeeping& bookkeeping, const ReleaseId& id,
                      const std::string& mode, const std::string& digest, Fence fence) {
  bookkeeping_ = &bookkeeping;
  for (pg::Rows begun; begun.empty();) {
    begun = transaction.query(bookkeeping.sql(statements::k_begin_run),
                              {id.app, id.release, id.scope,
                               std::to_string(static_cast<std::int64_t>(fence)), mode, digest,
                               k_version, this_host()});
    if (!begun.empty()) run_id_ = begun.front().text(0);
  }
}

void RunRecord::note(Fenced& transaction, const std::string& text) const {
  transaction.query(bookkeeping_->sql(statements::k_note_run),
                    {run_id_, shortened(log::redact(text), k_text_size_max)});
}

void RunRecord::complete(Fenced& transaction, std::size_t applied) const {
  transaction.query(bookkeeping_->sql(statements::k_finish_run),
                    {run_id_, "complete", std::to_string(applied), std::nullopt, std::nullopt});
}

void RunRecord::fail(Fenced& transaction, std::size_t applied, const Failure& failure) const {
  transaction.query(bookkeeping_->sql(statements::k_finish_run),
                    {run_id_, "failed", std::to_string(applied),
                     std::to_string(static_cast<int>(failure.code())),
                     shortened(log::redact(failure.what()), k_text_size_max)});
}

}  // namespace schemagate
