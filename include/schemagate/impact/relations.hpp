#pragma once
// The relations that statements name, as they are: what decides which lock and work a statement
// needs. A model that follows the statements (apply()): what a script has made or changed is known
// to the next one.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "schemagate/impact/acts.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

struct Column {
  std::string name;
  TypeName type;
  bool not_null = false;
  bool is_indexed = false;
  double null_fraction = -1;  // of the rows, as ANALYZE counted; -1: unknown
  bool is_new = false;        // made by a statement of the plan
  bool is_empty = false;      // and nothing was written to it since
};

struct Reference {
  RelationName from;
  std::vector<std::string> columns;  // that are referenced; empty: the primary key
  bool is_valid = true;
};

struct Relation {
  RelationName name;
  std::string quoted;     // qualified, as PostgreSQL writes it
  char kind = 'r';        // pg_class.relkind
  bool is_new = false;    // made by a statement of the plan: nobody waits for it
  bool is_empty = false;  // and nothing was written to it since
  std::int64_t oid = 0;
  std::int64_t heap_bytes = -1;  // with TOAST; -1: unknown
  std::int64_t index_bytes = 0;
  double rows = -1;  // as last counted; -1: unknown
  std::vector<Column> columns = {};
  std::vector<NewConstraint> constraints = {};  // references: with its schema
  std::vector<Reference> referenced_by = {};
  std::vector<RelationName> partitions = {};           // all below it
  std::optional<RelationName> default_partition = {};  // its own
  std::optional<RelationName> partition_of = {};
  std::optional<RelationName> table = {};                    // an index: of which
  std::map<std::string, RelationName> owned_sequences = {};  // by column
  std::set<std::string> parts = {};                          // triggers, policies, rules
  std::vector<RelationName> reads = {};                      // a materialized view

  [[nodiscard]] const Column* column(const std::string& column_name) const;
  [[nodiscard]] const NewConstraint* constraint(const std::string& constraint_name) const;
};

struct Domain {
  TypeName base;
  bool is_constrained = false;
  std::vector<RelationName> tables = {};  // with such a column
};

class Relations {
 public:
  // Nothing is known to be there.
  explicit Relations(std::vector<std::string> search_path)
      : first_path_{std::move(search_path)}, path_{first_path_} {}
  // What `acts` name, and what hangs on it: partitions, ends of foreign keys, sequences. Reads
  // only; where somebody holds a lock on one of them, its size is the one that VACUUM last saw.
  static Relations read(pg::Session& session, std::vector<std::string> search_path,
                        const std::vector<Act>& acts);

  // Null: not there, or not known.
  [[nodiscard]] const Relation* find(const RelationName& name) const;
  // By the name that impacts have.
  [[nodiscard]] const Relation* written(const std::string& quoted) const;
  [[nodiscard]] const Domain* domain(const std::string& name) const;
  // Of functions that a default calls.
  [[nodiscard]] bool is_volatile(const std::string& function) const;
  [[nodiscard]] std::vector<const Relation*> in_schema(const std::string& schema) const;
  // With a trigger that calls it.
  [[nodiscard]] std::vector<RelationName> triggered_by(const std::string& function) const;
  [[nodiscard]] bool time_zone_is_utc() const { return time_zone_is_utc_; }

  // Columns of a type, or of an array of it.
  struct Use {
    const Relation* relation;
    std::string column;
  };
  [[nodiscard]] std::vector<Use> uses_of(const std::string& type) const;

  // Another script's session.
  void begin_script() { path_ = first_path_; }
  // It was executed.
  void apply(const Act& act);
  // From now on all that is known counts as there before.
  void age();

 private:
  [[nodiscard]] RelationName resolved(const RelationName& name) const;
  Relation* find_to_change(const RelationName& name);
  void make(const Act& act);
  void rename(const RelationName& from, const RelationName& to);
  void change_constraints(Relation& relation, const Act& act);
  void read_relations(pg::Session& session, const std::vector<Act>& acts);
  void read_columns(pg::Session& session);
  void read_constraints(pg::Session& session);
  void read_families(pg::Session& session);
  void read_parts(pg::Session& session);
  void read_sizes(pg::Session& session);
  void read_domains(pg::Session& session);
  void read_functions(pg::Session& session, const std::vector<Act>& acts);
  [[nodiscard]] std::string oids() const;
  Relation* by_oid(std::int64_t oid);

  std::vector<std::string> first_path_;
  std::vector<std::string> path_;  // of names without a schema
  std::map<RelationName, Relation> relations_;
  std::map<std::int64_t, RelationName> names_;
  std::map<std::string, Domain> domains_;
  std::map<std::string, bool> volatile_;
  std::map<std::string, std::vector<RelationName>> triggers_;
  bool time_zone_is_utc_ = true;
};

}  // namespace schemagate
