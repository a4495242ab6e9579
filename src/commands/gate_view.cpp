#include "schemagate/commands/gate_view.hpp"

#include <fmt/core.h>

#include "schemagate/lease/statements.hpp"
#include "schemagate/migrate/verify.hpp"
#include "schemagate/recovery/existing.hpp"

namespace schemagate {
namespace {

using State = GateView::State;

GateView closed(std::string why, Hint hint = {}) {
  return {.state = State::closed, .why = std::move(why), .hint = std::move(hint)};
}

GateView begun(const ReleaseId& id, const Marker& marker, std::optional<bool> is_at_work) {
  if (marker.error_code != 0)
    return closed(
        fmt::format("the last run for release {} ended with code {} at {}, and another one "
                    "may do better: {}",
                    id.release, marker.error_code, marker.changed_at, marker.error),
        "run the job again: " + own_command("run"));
  const auto since = marker.changed_at.empty() ? "" : " at " + marker.changed_at;
  if (!is_at_work)
    return closed(fmt::format("a run for release {} began{}, and nobody has recorded its end",
                              id.release, since));
  if (*is_at_work)
    return closed(fmt::format("a run for release {} began{} and is at work", id.release, since),
                  "wait for it");
  return closed(
      fmt::format("a run for release {} began{}, but was ended before it could say how (out "
                  "of memory, node gone, killed)",
                  id.release, since),
      "run the job again: " + own_command("run"));
}

// Without a right to look, nothing is said.
std::optional<bool> is_lease_held(pg::Session& session, const Target& target) {
  if (!session
           .row(
               "SELECT coalesce(bool_and(has_column_privilege(c.oid, attname, 'SELECT')), false) "
               "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON attrelid = c.oid "
               "WHERE nspname = $1 AND relname = 'lock' AND attname IN ('name', 'expires_at')",
               {target.bookkeeping.schema_name()})
           .flag(0))
    return std::nullopt;
  const auto rows = session.query(target.bookkeeping.sql(statements::k_is_lease_held),
                                  {target.lease_request().name});
  return !rows.empty() && rows.front().flag(0);
}

// What is not there needs no right.
bool may_read(pg::Session& session, const FoundTable& table) {
  return table.oid == 0 ||
         session
             .row(
                 "SELECT has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(oid, 'SELECT') "
                 "FROM pg_class WHERE oid = $1",
                 {std::to_string(table.oid)})
             .flag(0);
}

std::string listed(const std::vector<std::string>& missing) {
  return missing.front() +
         (missing.size() > 1 ? fmt::format(" (and {} more)", missing.size() - 1) : "");
}

// Whoever waits for what nobody marks should know what there is instead.
GateView with_what_else_is_known(GateView view, pg::Session& session, const Target& target) {
  const auto other =
      find_other_marker(session, target.bookkeeping, target.id, target.folder.digest);
  if (!other) return view;
  const auto& id = target.id;
  if (other->scope != id.scope) {
    view.why +=
        fmt::format("; it is complete for {}, but this gate is for {}", other->scope, id.scope);
    view.hint =
        "is it the right schema, and the same migrations.command and env? ?schema= of the URL, or migrations.schema, "
        "decides whose history it is";
  } else if (other->same_digest && !target.folder.migrations.empty()) {
    view.why +=
        fmt::format("; release {}, with the same migrations as this image, is complete since {}",
                    other->release, other->completed_at);
    view.hint =
        "if it is the same, set the same release in both manifests: the job's and this one's";
  } else {
    view.why +=
        fmt::format("; complete is release {}, since {}", other->release, other->completed_at);
  }
  return view;
}

GateView judged(pg::Session& session, const Target& target, const GateEvidence& evidence) {
  const auto& id = target.id;
  auto view = gate_view(id, evidence);
  const bool is_marked =
      evidence.marker && (!evidence.digest || evidence.marker->digest == *evidence.digest);
  if (view.state != State::open || evidence.missing)
    return view.state == State::closed && !is_marked
               ? with_what_else_is_known(std::move(view), session, target)
               : view;
  // The marker's word, held against the history where that can be seen.
  const auto again = "run the job again: " + own_command("run");
  const auto& table = target.history_table();
  if (!table) return view;
  const auto oid = evidence.marker->history_oid;
  const bool is_there = oid != 0 ? table->oid == oid  // which an older version did not write down
                                 : table->oid != 0 || target.settings.tool == Tool::command;
  if (!is_there)
    return closed(fmt::format("release {} was completed, but the history it was completed with is "
                              "gone: the schema was emptied, or made anew",
                              id.release),
                  again);
  if (!may_read(session, *table))
    view.why =
        fmt::format("this role may not read the history: that it is still whole is not looked "
                    "at (it needs SELECT on {})",
                    table->name.quoted());
  if (!evidence.digest || !view.why.empty()) return view;
  const auto missing = target.missing_in_history(session);
  if (missing.empty()) return view;
  return closed(fmt::format("release {} was completed, but by now {}", id.release, listed(missing)),
                again);
}

}  // namespace

GateView gate_view(const ReleaseId& id, const GateEvidence& evidence) {
  const auto& [marker, digest, missing, is_run_at_work] = evidence;
  // The same id was used for other content: its outcome says nothing about this image's.
  const bool is_ours = marker && (!digest || marker->digest == *digest);
  if (is_ours && marker->status == Marker::Status::failed)
    return {.state = State::failed,
            .why = fmt::format(
                "the run for release {} failed with code {}{}: {}", id.release, marker->error_code,
                marker->changed_at.empty() ? "" : " at " + marker->changed_at, marker->error),
            .code = static_cast<ExitCode>(marker->error_code)};
  if (is_ours && marker->status == Marker::Status::running)
    return begun(id, *marker, is_run_at_work);
  // For images whose release nobody marks: the migrations themselves.
  if (missing && missing->empty()) return {.state = State::open, .why = {}};
  if (missing) return closed(listed(*missing));
  if (is_ours) return {.state = State::open, .why = {}};
  return closed(marker ? fmt::format("the last run for release {} was for other migrations than "
                                     "this image holds",
                                     id.release)
                       : fmt::format("no run for release {} yet", id.release));
}

GateView look_through_gate(pg::Session& session, const Target& target, bool has_folder) {
  const auto& bookkeeping = target.bookkeeping;
  try {
    target.refuse_untrusted(session, Bookkeeping::Trust::to_read);
  } catch (const Failure& failure) {
    return closed(failure.what(), failure.hint());
  }
  GateEvidence evidence;
  if (has_folder) evidence.digest = target.folder.digest;
  const bool by_history = target.manifest.gate.match == GateMatch::migrations;
  if (by_history) evidence.missing = target.missing_for_gate(session);
  const bool has_scopes = bookkeeping.has_scopes(session);
  if (!has_scopes && !bookkeeping.exists(session)) {
    auto view = gate_view(target.id, evidence);
    if (!by_history) view.why = "no run has happened on this database yet";
    return view;
  }
  if (!has_scopes)
    return closed(
        "schemagate's own tables here are those of an older version, or not all there any more, and "
        "do not say whose release is complete",
        "a run of this version brings them up to date: " + own_command("run"));
  evidence.marker = find_marker(session, bookkeeping, target.id);
  evidence.is_run_at_work = is_lease_held(session, target);
  auto view = judged(session, target, evidence);
  if (!by_history || view.state != State::open) return view;
  // A history is believed until a run has found that it is not so.
  if (const auto found = found_not_there(session, target))
    return closed(found->what, execute_again(*found->migration));
  return view;
}

}  // namespace schemagate
