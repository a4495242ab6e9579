#include "schemagate/catalogue/drift.hpp"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "schemagate/base/text.hpp"

namespace schemagate {
namespace {

// Whatever a snapshot reads, but what PostgreSQL itself came with: those rows never change.
struct Catalogue {
  const char* name;
  const char* rows;
};
constexpr std::array k_catalogues = {
    Catalogue{"pg_namespace", "nspname !~ '^pg_' AND nspname <> 'information_schema'"},
    Catalogue{"pg_class", "oid >= 16384 AND relpersistence <> 't'"},
    Catalogue{"pg_attribute", "attrelid >= 16384 AND attnum > 0"},
    Catalogue{"pg_attrdef", "true"},
    Catalogue{"pg_constraint", "oid >= 16384"},
    Catalogue{"pg_index", "indexrelid >= 16384"},
    Catalogue{"pg_trigger", "true"},
    Catalogue{"pg_rewrite", "oid >= 16384"},
    Catalogue{"pg_policy", "true"},
    Catalogue{"pg_inherits", "true"},
    Catalogue{"pg_sequence", "true"},
    Catalogue{"pg_statistic_ext", "true"},
    Catalogue{"pg_foreign_table", "true"},
    Catalogue{"pg_type", "oid >= 16384"},
    Catalogue{"pg_enum", "true"},
    Catalogue{"pg_range", "rngtypid >= 16384"},
    Catalogue{"pg_proc", "oid >= 16384"},
    Catalogue{"pg_aggregate", "aggfnoid >= 16384"},
    Catalogue{"pg_operator", "oid >= 16384"},
    Catalogue{"pg_collation", "oid >= 16384"},
    Catalogue{"pg_ts_config", "oid >= 16384"},
    Catalogue{"pg_ts_config_map", "mapcfg >= 16384"},
    Catalogue{"pg_ts_dict", "oid >= 16384"},
    Catalogue{"pg_extension", "oid >= 16384"},
    Catalogue{"pg_event_trigger", "true"},
    Catalogue{"pg_publication", "true"},
    Catalogue{"pg_publication_rel", "true"},
    Catalogue{"pg_foreign_server", "true"},
    Catalogue{"pg_cast", "oid >= 16384"},
};

bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80U;
}

bool is_word(const std::string& name) { return std::all_of(name.begin(), name.end(), is_of_word); }

void add_words_of(std::string_view script, const std::set<std::string>& wanted,
                  std::set<std::string>& found) {
  std::string word;
  for (std::size_t i = 0; i <= script.size(); ++i) {
    if (i < script.size() && is_of_word(script[i])) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(script[i])));
      continue;
    }
    if (!word.empty() && wanted.contains(word)) found.insert(word);
    word.clear();
  }
}

// The first part of "public.users", or of what is quoted.
std::string first_name(std::string_view name) {
  if (!name.starts_with('"')) return std::string{name.substr(0, name.find('.'))};
  std::string unquoted;
  for (std::size_t i = 1; i < name.size(); ++i) {
    if (name[i] == '"' && (i + 1 >= name.size() || name[++i] != '"')) break;
    unquoted += name[i];
  }
  return unquoted;
}

bool is_partition(const std::optional<Object>& object) {
  return object && object->definition.find(" partition of ") != std::string::npos;
}

bool refers_to(const Difference& difference, const std::set<std::string>& tables) {
  if (difference.object.kind != "constraint") return false;
  const auto& definition = (difference.found ? difference.found : difference.wanted)->definition;
  const std::string_view word = " REFERENCES ";
  const auto at = definition.find(word);
  if (at == std::string::npos) return false;
  const auto rest = definition.substr(at + word.size());
  return std::any_of(tables.begin(), tables.end(),
                     [&](const auto& table) { return rest.starts_with(table + "("); });
}

const std::string& parent_of(const Difference& difference) {
  return (difference.found ? difference.found : difference.wanted)->parent;
}

bool fits(const Difference& difference, const std::string& pattern) {
  const auto& [kind, name] = difference.object;
  for (const auto& text : {kind + " " + name, name, parent_of(difference)})
    if (!text.empty() && ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0) return true;
  return false;
}

}  // namespace

std::string catalogue_guard_sql() {
  // The number of its rows, and the sum of the transactions that wrote them: counted back from the
  // present one, since an xid itself cannot be added (2^32 of them, then from the beginning).
  std::string all;
  for (const auto& [name, rows] : k_catalogues)
    all += fmt::format(
        "{}SELECT count(*) AS n, (count(*) * age('3'::xid)::bigint - coalesce(sum(age(xmin)), "
        "0)) & 4294967295 AS xids FROM {} WHERE {}",
        all.empty() ? "" : " UNION ALL ", name, rows);
  return "(SELECT string_agg(n || ':' || xids, ' ') FROM (" + all + ") AS every)";
}

std::string compared_sql(const std::string& schemas) {
  return fmt::format("SELECT kind, name, parent, definition FROM snapshot WHERE kind <> 'comment' "
                     "AND (kind <> 'operator' OR EXISTS (SELECT 1 FROM unnest({}::text[]) AS one "
                     "WHERE starts_with(name, quote_ident(one) || '.')))",
                     pg::quote_literal(schemas));
}

std::vector<std::string> schemas_named(const std::vector<std::string>& schemas,
                                       const std::vector<std::string_view>& scripts) {
  std::set<std::string> words;
  for (const auto& schema : schemas)
    if (is_word(schema)) words.insert(lower_case(schema));
  std::set<std::string> found;
  for (const auto& script : scripts) add_words_of(script, words, found);
  std::vector<std::string> named;
  for (const auto& schema : schemas) {
    const auto quoted = pg::quote_identifier(schema);
    const bool is_named =
        is_word(schema) ? found.contains(lower_case(schema))
                        : std::any_of(scripts.begin(), scripts.end(), [&](const auto& script) {
                            return script.find(quoted) != std::string_view::npos;
                          });
    if (is_named) named.push_back(schema);
  }
  return named;
}

std::string schema_of(const ObjectName& object) {
  std::string_view name = object.name;
  for (const auto* kind : {"extension", "event trigger", "publication", "cast", "server"})
    if (object.kind == kind) return {};
  if (object.kind == "grant")
    for (const std::string_view what : {"materialized view ", "table ", "view ", "sequence ",
                                        "column ", "function ", "procedure ", "type ", "schema "})
      if (name.starts_with(what)) {
        name.remove_prefix(what.size());
        if (what == "schema ") name = name.substr(0, name.rfind(" to "));
        break;
      }
  return first_name(name);
}

std::vector<Difference> that_count(std::vector<Difference> differences,
                                   const std::vector<std::string>& others,
                                   const std::vector<std::string>& ignore) {
  std::set<std::string> partitions;
  for (const auto& one : differences)
    if (one.object.kind == "relation" && is_partition(one.wanted) != is_partition(one.found))
      partitions.insert(one.object.name);
  std::erase_if(differences, [&](const auto& one) {
    return partitions.contains(one.object.name) || partitions.contains(parent_of(one)) ||
           refers_to(one, partitions) ||
           std::find(others.begin(), others.end(), schema_of(one.object)) != others.end() ||
           std::any_of(ignore.begin(), ignore.end(),
                       [&](const auto& pattern) { return fits(one, pattern); });
  });
  return differences;
}

}  // namespace schemagate
