#pragma once
// What is in a database, object by object, in PostgreSQL's own words; and how two of these differ.
// Two servers of one major version print the same thing with the same words, whatever made it: a
// script, a migration tool, a restored dump (but see Replay::printed_again).

#include <compare>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/postgres/session.hpp"

namespace schemagate {

// Qualified and quoted: "column", "public.users.nickname". What a column may be, whether it may be
// null and its default are objects of their own.
struct ObjectName {
  std::string kind;
  std::string name;
  auto operator<=>(const ObjectName&) const = default;
};

struct Object {
  std::string definition;
  std::string parent;  // the relation that it goes away with; or empty
};

using Snapshot = std::map<ObjectName, Object>;

// What is not the app's: the schema of our bookkeeping, and the table that the history is kept in.
struct Beside {
  std::string bookkeeping_schema;
  std::string history_schema;
  std::string history_table;
  pg::Value only_in = {};  // these schemas, as PostgreSQL writes an array; nothing: all
};

// One statement, behind settings for its transaction; the session must be guarded. `select` reads
// from "snapshot (kind, name, parent, definition)".
inline constexpr const char* k_all_objects = "SELECT kind, name, parent, definition FROM snapshot";
[[nodiscard]] std::string snapshot_sql(const Beside& beside, const std::string& select);
[[nodiscard]] Snapshot snapshot_of(const pg::Rows& all_objects);

// One query, of catalogues that every role may read (PostgreSQL manual, 53.1). 10 to 30 ms for 100
// tables, 250 ms for 1,000.
[[nodiscard]] Snapshot take_snapshot(pg::Session& session, const Beside& beside);

struct Difference {
  ObjectName object;
  std::optional<Object> wanted;  // nothing: it should not be there
  std::optional<Object> found;   // nothing: it is missing
};

// Equal but for what others may have been granted beyond what is wanted.
[[nodiscard]] bool is_as_wanted(const ObjectName& name, const Object* wanted, const Object* found);

// A line each; what hangs below a missing table, or one too many, is told with that table. Names in
// schema `home` are told without it.
[[nodiscard]] std::vector<std::string> describe(const std::vector<Difference>& differences,
                                                const std::string& home);

// `lines` of at most `max`, and how many more there are.
[[nodiscard]] std::vector<std::string> some_of(std::vector<std::string> lines, std::size_t max);

}  // namespace schemagate
