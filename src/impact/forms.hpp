#pragma once
// The form that an act takes on these relations: what the rules are about.

#include "schemagate/impact/relations.hpp"

namespace schemagate {

// An act, as these relations are.
enum class Form {
  harmless,
  change_entry,  // of a table, in the catalogue alone
  change_parameters,
  add_filled_column,
  add_checked_column,
  add_unique_column,
  add_reference,
  add_filled_reference,
  drop_column,
  keep_type,
  reindex_type,
  rewrite_type,
  set_not_null,
  add_check,
  add_foreign_key,
  add_foreign_key_not_valid,
  validate,
  validate_foreign_key,
  add_index_constraint,
  prove_not_null,
  drop_foreign_key,
  change_with_sequences,
  set_triggers,
  rewrite_all,
  set_logged,
  create_partition,
  attach,
  attach_checked,
  detach,
  detach_concurrently,
  inherit,
  no_inherit,
  drop_table,
  drop_others,
  create_index,
  create_index_concurrently,
  keep_index,
  drop_index,
  drop_index_concurrently,
  rebuild_index,
  rebuild_index_concurrently,
  change_index,
  replace_view,
  truncate,
  read,
  look,
  refresh,
  refresh_concurrently,
  create_trigger,
  comment,
  grant,
  alter_sequence,
  vacuum,
  insert,
  update,
  update_all,
  delete_all,
  lock_rows,
  check_domain,
};

[[nodiscard]] Form form_of(const Act& act, const Relations& relations);

}  // namespace schemagate
