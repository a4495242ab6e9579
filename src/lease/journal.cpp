#include "schemagate/lease/journal.hpp"

#include <utility>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/marker_file.hpp"
#include "schemagate/manifest/typed_hint.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_error_size_max = 4000;

}  // namespace

Journal::Journal(const Bookkeeping& bookkeeping, ReleaseId id, std::string digest,
                 const Manifest& manifest)
    : bookkeeping_{bookkeeping}, id_{std::move(id)}, digest_{std::move(digest)},
      manifest_{manifest} {}

void Journal::begin(pg::Session& session, const Lease& lease, const std::string& mode) {
  fenced(session, lease, [&](Fenced& transaction) {
    record_.begin(transaction, bookkeeping_, id_, mode, digest_, lease.fence());
  });
}

void Journal::close_gates(pg::Session& session, const Lease& lease) {
  write_file(Marker::Status::running, 0, {});
  fenced(session, lease, [&](Fenced& transaction) {
    mark_running(transaction, bookkeeping_, id_, digest_, record_.run_id());
  });
}

void Journal::end_idle(pg::Session& session, const Lease& lease,
                       const std::function<void(Fenced&)>& more) {
  fenced(session, lease, [&](Fenced& transaction) {
    record_.complete(transaction, 0);
    more(transaction);
  });
}

void Journal::complete(Fenced& transaction, const Verified& verified, std::size_t applied) const {
  record_.complete(transaction, applied);
  mark_complete(transaction, bookkeeping_, id_, verified, record_.run_id());
}

// Gates print it as it is: what is to be typed is typed where the run was, and by its manifest.
std::string Journal::error_of(const Failure& failure) const {
  auto text = log::redact(failure.what());
  if (!failure.hint().empty())
    text += "\nhint: " + log::redact(as_typed(failure.hint(), manifest_.file));
  return shortened(text, k_error_size_max);
}

void Journal::fail(pg::Session& session, const Lease& lease, std::size_t applied,
                   const Failure& failure) const {
  if (!record_.begun()) return;
  const auto code = failure.code();
  const auto error = error_of(failure);
  bool closes_gates = false;
  fenced(session, lease, [&](Fenced& transaction) {
    record_.fail(transaction, applied, failure);
    if (is_permanent(code))
      closes_gates =
          mark_failed(transaction, bookkeeping_, id_, digest_, record_.run_id(), code, error);
    else mark_ended(transaction, bookkeeping_, id_, record_.run_id(), code, error);
  });
  if (closes_gates) write_file(Marker::Status::failed, static_cast<int>(code), error);
}

void Journal::write_file(Marker::Status status, int code, const std::string& error) const {
  const auto& file = manifest_.marker_file;
  if (file.empty()) return;
  MarkerFile{file}.write(
      id_,
      {.status = status, .digest = digest_, .error_code = code, .error = error, .changed_at = {}});
}

}  // namespace schemagate
