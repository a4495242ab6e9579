#include "remarks.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "schemagate/base/text.hpp"
#include "schemagate/impact/rules.hpp"

namespace schemagate {
namespace {

using Kind = Act::Kind;
using Made = NewConstraint::Kind;

// Below that, whoever waits does not notice.
constexpr std::int64_t k_small_bytes = std::int64_t{10} << 20;

std::string rounded(double count, const std::string& noun) {
  const auto whole = static_cast<std::int64_t>(std::llround(count));
  return whole == 1 ? "1 " + noun : fmt::format("{} {}s", whole, noun);
}

class Remarker {
 public:
  Remarker(const Act& act, const RemarkContext& context)
      : act_{act}, context_{context}, relation_{context.relations.find(act.relation)} {}

  std::vector<Remark> remarks() {
    if (act_.kind == Kind::opaque) tell_unknown();
    if (act_.kind == Kind::drop_schema) tell_dropped_schema();
    if (act_.kind == Kind::drop_type && act_.cascade) tell_dropped_type();
    if (relation_ == nullptr || relation_->is_new) return std::move(remarks_);
    tell_what_is_lost();
    tell_what_breaks();
    if (!is_small()) tell_what_is_safer();
    return std::move(remarks_);
  }

 private:
  void add(Remark::Kind kind, const char* rule, std::string text, std::string instead = {}) {
    remarks_.push_back(
        {.kind = kind, .rule = rule, .text = std::move(text), .instead = std::move(instead)});
  }

  [[nodiscard]] std::string column() const {
    return relation_->quoted + "." + written_name(act_.name);
  }
  // One that a statement of the plan made is known to nobody yet.
  [[nodiscard]] bool is_column_there() const {
    const auto* found = relation_->column(act_.name);
    return found == nullptr ? relation_->columns.empty() : !found->is_new;
  }
  [[nodiscard]] bool is_index_there() const {
    return act_.if_exists &&
           context_.relations.find({relation_->name.schema, act_.name}) != nullptr;
  }
  // Of a table and its partitions; offline nobody knows.
  [[nodiscard]] bool is_small() const {
    auto bytes = relation_->heap_bytes;
    for (const auto& name : relation_->partitions)
      if (const auto* one = context_.relations.find(name)) bytes += one->heap_bytes;
    return bytes >= 0 && bytes < k_small_bytes;
  }

  void tell_unknown();
  void tell_dropped_schema();
  void tell_dropped_type();
  void tell_what_is_lost();
  void tell_what_breaks();
  void tell_what_is_safer();
  void tell_safer_constraint();
  void tell_safer_column();
  void tell_safer_not_null();
  [[nodiscard]] std::optional<std::string> lost(const Relation& table,
                                                const std::string& column = {}) const;
  [[nodiscard]] std::string with_word(const char* after, const char* word) const;

  const Act& act_;
  const RemarkContext& context_;
  const Relation* relation_;
  std::vector<Remark> remarks_;
};

void Remarker::tell_unknown() {
  add(Remark::Kind::unknown, "unknown",
      act_.relation.name.empty()
          ? "what it locks and how long it takes is not in its text: schemagate rehearse measures it"
          : "it is in words that are newer than the grammar that is known here: schemagate "
            "rehearse measures it");
}

// In the table and in all that hangs below it; nothing where there is nothing to lose. `column`:
// its values; empty: rows.
std::optional<std::string> Remarker::lost(const Relation& table, const std::string& column) const {
  std::vector<const Relation*> parts{&table};
  for (const auto& name : table.partitions)
    if (const auto* one = context_.relations.find(name)) parts.push_back(one);
  double sum = 0;
  bool is_exact = true;
  bool is_known = true;
  for (const auto* part : parts) {
    if (part->is_new || (part->kind != 'r' && part->kind != 'm')) continue;
    if (context_.count)
      if (const auto counted_now = context_.count(*part, column)) {
        sum += static_cast<double>(*counted_now);
        continue;
      }
    if (part->heap_bytes == 0) continue;
    is_exact = false;
    const auto* found = part->column(column);
    const bool is_counted =
        part->rows >= 0 && (column.empty() || (found != nullptr && found->null_fraction >= 0));
    if (is_counted) sum += part->rows * (column.empty() ? 1 : 1 - found->null_fraction);
    else is_known = false;
  }
  const char* const noun = column.empty() ? "row" : "value";
  if (!is_known) return fmt::format("all of its {}s", noun);
  if (std::llround(sum) == 0) return std::nullopt;
  return (is_exact ? "" : "about ") + rounded(sum, noun);
}

void Remarker::tell_dropped_schema() {
  for (const auto* one : context_.relations.in_schema(act_.name))
    if (one->kind == 'r' && !one->is_new)
      if (const auto rows = lost(*one))
        add(Remark::Kind::destructive, "drop_schema",
            fmt::format("drops {} with the schema: {}", one->quoted, *rows));
}

void Remarker::tell_dropped_type() {
  for (const auto& [table, name] : context_.relations.uses_of(act_.name)) {
    if (table->is_new || table->kind == 'v') continue;
    const auto written = table->quoted + "." + written_name(name);
    if (const auto some = lost(*table, name))
      add(Remark::Kind::destructive, "drop_column",
          fmt::format("drops column {} with its type: {}", written, *some));
    add(Remark::Kind::incompatible, "drop_column",
        fmt::format("an app of the release before that still uses {} fails", written));
  }
}

void Remarker::tell_what_is_lost() {
  const auto rows = [&](const char* rule, const char* what) {
    if (const auto some = lost(*relation_))
      add(Remark::Kind::destructive, rule,
          fmt::format(fmt::runtime(what), relation_->quoted, *some));
  };
  switch (act_.kind) {
    case Kind::drop_table: return rows("drop_table", "drops table {}: {}");
    case Kind::truncate: return rows("truncate", "empties {}: {}");
    case Kind::delete_all: return rows("delete_all", "deletes from {} without a condition: {}");
    case Kind::drop_column:
      if (!is_column_there()) return;
      if (const auto some = lost(*relation_, act_.name))
        add(Remark::Kind::destructive, "drop_column",
            fmt::format("drops column {}: {}", column(), *some));
      return;
    case Kind::alter_type: {
      const auto* found = relation_->column(act_.name);
      if (found == nullptr || found->is_new) return;
      if (!type_change(*found, act_, context_.relations).may_lose) return;
      if (relation_->heap_bytes == 0) return;
      add(Remark::Kind::destructive, "narrow_type",
          fmt::format("{} holds less as {} than as {}: values that do not fit are refused, cut or "
                      "rounded",
                      column(), act_.type.name, found->type.name));
      return;
    }
    default: return;
  }
}

void Remarker::tell_what_breaks() {
  const auto breaks = [&](const char* rule, const std::string& text) {
    add(Remark::Kind::incompatible, rule, text);
  };
  const auto uses = [&](const std::string& what) {
    return fmt::format("an app of the release before that still uses {} fails", what);
  };
  switch (act_.kind) {
    case Kind::drop_table: return breaks("drop_table", uses(relation_->quoted));
    case Kind::drop_view: return breaks("drop_view", uses(relation_->quoted));
    case Kind::rename:
      if (relation_->kind == 'i' || relation_->kind == 'I' || relation_->kind == 'S') return;
      return breaks("rename_table", uses("the name " + relation_->quoted));
    case Kind::set_schema: return breaks("rename_table", uses("the name " + relation_->quoted));
    case Kind::drop_column:
      if (!is_column_there()) return;
      return breaks("drop_column", uses(column()));
    case Kind::rename_column:
      if (!is_column_there()) return;
      return breaks("rename_column", uses("the name " + column()));
    case Kind::set_not_null: {
      const auto* found = relation_->column(act_.name);
      if (found != nullptr && found->not_null) return;
      return breaks(
          "set_not_null",
          fmt::format("an app of the release before that leaves {} empty fails", column()));
    }
    case Kind::add_column: {
      const auto& made = *act_.column_made;
      if (!made.not_null || made.has_default || made.is_computed_for_each_row) return;
      return breaks("add_required_column",
                    fmt::format("an app of the release before, which knows nothing of {}, cannot "
                                "insert rows; and it fails at once where there are rows already",
                                column()));
    }
    default: return;
  }
}

// The statement with a word more, behind the first one that is `after`.
std::string Remarker::with_word(const char* after, const char* word) const {
  const auto& text = context_.statement.text;
  const auto at = lower_case(text).find(std::string{" "} + after);
  if (at == std::string::npos) return {};
  const auto end = at + 1 + std::string_view{after}.size();
  return fmt::format("{} {}{};", text.substr(0, end), word, text.substr(end));
}

void Remarker::tell_safer_not_null() {
  const auto* found = relation_->column(act_.name);
  if (found != nullptr && found->not_null) return;
  const auto& table = relation_->quoted;
  const auto name = written_name(act_.name);
  const auto constraint = written_name(relation_->name.name + "_" + act_.name + "_not_null");
  const bool has_not_null_constraints = context_.server_major_version >= 18;
  add(Remark::Kind::safer, "set_not_null",
      "all rows are read while nobody reads or writes it; in two migrations, nobody waits",
      has_not_null_constraints
          ? fmt::format("ALTER TABLE {0} ADD CONSTRAINT {1} NOT NULL {2} NOT VALID;\n"
                        "-- in the next migration:\nALTER TABLE {0} VALIDATE CONSTRAINT {1};",
                        table, constraint, name)
          : fmt::format("ALTER TABLE {0} ADD CONSTRAINT {1} CHECK ({2} IS NOT NULL) NOT VALID;\n"
                        "-- in the next migration:\nALTER TABLE {0} VALIDATE CONSTRAINT {1};\n"
                        "-- in the one behind it:\nALTER TABLE {0} ALTER COLUMN {2} SET NOT NULL;\n"
                        "ALTER TABLE {0} DROP CONSTRAINT {1};",
                        table, constraint, name));
}

void Remarker::tell_safer_constraint() {
  const auto& made = *act_.constraint;
  const auto& table = relation_->quoted;
  if (made.kind == Made::check || made.kind == Made::foreign_key) {
    if (!made.is_valid) return;
    const auto name = made.name.empty() ? std::string{"NAME"} : written_name(made.name);
    const bool can_be_pasted = context_.is_only_act && !made.name.empty();
    const bool is_late = made.kind == Made::foreign_key && relation_->kind == 'p' &&
                         context_.server_major_version < 18;
    if (is_late) return;  // NOT VALID is refused on partitioned tables
    add(Remark::Kind::safer, made.kind == Made::check ? "add_check" : "add_foreign_key",
        "all rows are checked under the lock; NOT VALID first, checked in the next migration, "
        "nobody waits",
        can_be_pasted ? fmt::format("{} NOT VALID;\n-- in the next migration:\n"
                                    "ALTER TABLE {} VALIDATE CONSTRAINT {};",
                                    context_.statement.text, table, name)
                      : "");
    return;
  }
  if (!made.using_index.empty() || made.kind == Made::exclusion || made.columns.empty()) return;
  if (!made.is_plain_index) return;
  std::vector<std::string> columns;
  for (const auto& name : made.columns) columns.push_back(written_name(name));
  const bool is_primary = made.kind == Made::primary_key;
  const auto name = written_name(
      !made.name.empty()
          ? made.name
          : relation_->name.name + (is_primary ? "_pkey" : "_" + made.columns.front() + "_key"));
  add(Remark::Kind::safer, "add_unique",
      "the index is built while nobody reads or writes it; built first, nobody waits",
      fmt::format("CREATE UNIQUE INDEX CONCURRENTLY {0} ON {1} ({2});\n"
                  "ALTER TABLE {1} ADD CONSTRAINT {0} {3} USING INDEX {0}{4};",
                  name, table, join(columns, ", "), is_primary ? "PRIMARY KEY" : "UNIQUE",
                  made.timing));
}

void Remarker::tell_safer_column() {
  const auto& made = *act_.column_made;
  if (!fills_each_row(made, context_.relations)) return;
  const auto name = written_name(made.name);
  add(Remark::Kind::safer, "add_filled_column",
      "all rows are written anew, each with a value of its own; without it first, and filled in "
      "batches, nobody waits",
      made.functions.empty() || made.is_computed_for_each_row
          ? ""
          : fmt::format("ALTER TABLE {0} ADD COLUMN {1} {2};\n"
                        "ALTER TABLE {0} ALTER COLUMN {1} SET DEFAULT {3}();\n"
                        "-- then fill it, some thousand rows a transaction, and SET NOT NULL last",
                        relation_->quoted, name, made.type.name, made.functions.front()));
}

void Remarker::tell_what_is_safer() {
  const auto safer = [&](const char* rule, const char* text, std::string instead) {
    add(Remark::Kind::safer, rule, text, std::move(instead));
  };
  switch (act_.kind) {
    case Kind::create_index:
      if (act_.concurrently || relation_->kind == 'p' || is_index_there()) return;
      return safer("create_index", "nobody writes while the index is built; so nobody waits",
                   with_word("index", "CONCURRENTLY"));
    case Kind::reindex_index:
    case Kind::reindex_table:
      if (act_.concurrently) return;
      return safer("reindex", "nobody reads or writes meanwhile; so nobody waits",
                   with_word(act_.kind == Kind::reindex_index ? "index" : "table", "CONCURRENTLY"));
    case Kind::refresh:
      if (act_.concurrently) return;
      return safer("refresh",
                   "nobody reads it meanwhile; so readers go on, if it has a unique index",
                   with_word("view", "CONCURRENTLY"));
    case Kind::set_not_null: return tell_safer_not_null();
    case Kind::add_constraint:
      if (act_.constraint) tell_safer_constraint();
      return;
    case Kind::add_column: return tell_safer_column();
    case Kind::alter_type: {
      const auto* found = relation_->column(act_.name);
      if (found == nullptr ||
          type_change(*found, act_, context_.relations).kind != TypeChange::Kind::rewritten)
        return;
      return safer(
          "alter_type",
          "all rows are written anew while nobody reads or writes it; a new column, filled "
          "in batches and renamed at the end, lets everybody go on",
          "");
    }
    case Kind::update:
    case Kind::update_all:
    case Kind::delete_all:
      return safer("batches",
                   "rows that it writes are locked until COMMIT; in batches, each its own "
                   "transaction, others wait less",
                   "");
    default: return;
  }
}

}  // namespace

std::vector<Remark> remarks_on(const Act& act, const RemarkContext& context) {
  return Remarker{act, context}.remarks();
}

}  // namespace schemagate
