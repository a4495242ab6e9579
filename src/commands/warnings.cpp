#include "warnings.hpp"

#include <fmt/core.h>

#include "schemagate/base/container.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/marker.hpp"
#include "schemagate/lease/other_writers.hpp"

namespace schemagate {
namespace {

constexpr std::size_t k_young_folder_max = 3;  // migrations of a project that begins

// $1 a table's name: the schemas that have one.
constexpr const char* k_tables_of_name = R"sql(
SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
 WHERE relname = $1 AND relkind = 'r' ORDER BY 1 LIMIT 5)sql";

}  // namespace

// Where nothing is pending, the migrations of a new release may be in another image than this.
void tell_if_old_image(pg::Session& session, const Target& target) {
  const auto newer = find_newer_release(session, target.bookkeeping, target.id);
  const auto is_newer = newer ? fmt::format("release {} was completed later, at {}", newer->release,
                                            newer->completed_at)
                              : "";
  const auto running_for = entered_running_container();
  if (!running_for) {
    if (newer) log::info(is_newer + ": this is an older image (right for a roll-back)");
    return;
  }
  log::warn(
      fmt::format("this run was started in a container that had been running for {} (docker "
                  "exec): it sees the migrations in that container, perhaps of an older image{}",
                  for_people(*running_for), newer ? ", and " + is_newer : ""));
  log::warn("hint: to deploy a new release, run schemagate in the new image; Coolify's "
            "pre-deployment command runs in the old container");
}

// A wrong URL looks like a first deploy.
void tell_no_history(pg::Session& session, const Target& target) {
  std::vector<std::string> elsewhere;
  for (const auto& row : session.query(k_tables_of_name, {target.folder.format->table()}))
    elsewhere.push_back(row.text(0));
  const auto text = fmt::format(
      "schema {} of {} had no history: everything is applied from the first migration on; is it the "
      "right database?{}",
      target.schema(), target.database.address().display(),
      elsewhere.empty() ? "" : " (there is a history in schema " + join(elsewhere, ", ") + ")");
  if (elsewhere.empty() && target.folder.migrations.size() <= k_young_folder_max) log::info(text);
  else log::warn(text);
}

void tell_who_else_may_write(pg::Session& session, const Target& target) {
  const auto& table = target.history_table();
  const auto writers = other_writers(session, target.bookkeeping, table ? table->oid : 0);
  for (const auto& [who, tables, remedy] : writers)
    log::warn(fmt::format("{} may write {}: what it says is believed, whoever wrote it ({})", who,
                          tables, remedy));
  if (!writers.empty() || target.writable_history() == nullptr) return;
  if (const auto some = other_writers_of_new_tables(session, target.schema()); !some.empty())
    log::info(fmt::format(
        "by this role's default privileges {} may do more with its new tables than read "
        "them; {} is kept from that",
        join(some, ", "), table->name.quoted()));
}

}  // namespace schemagate
