#pragma once
// Mistakes in a connection string that its text shows, and that libpq would find late, in words
// about something else, or never. Pure. All throw ConnectionStringError; none quotes what may be a
// password.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace schemagate::connection_mistakes {

// Quotes around the whole, NAME= or psql before it, or a variable instead of it.
void refuse_wrapping(std::string_view text);

// What stands before ://, of a URL.
void refuse_foreign_scheme(std::string_view scheme);

// Variables that nobody expanded and templates that nobody filled in ($HOST, ${HOST}, $(cat host),
// {{ host }}, <host>). What is meant so is written percent-encoded, or between quotes in key=value.
void refuse_placeholders_in_url(std::string_view url);
void refuse_placeholders_in_key_value(std::string_view text);

// A key that no libpq and none of ours knows: throws where it promises security, or is another
// tool's word for a schema or another spelling of a key that `is_known`. Else it may be left out.
using IsKnown = std::function<bool(const std::string& key)>;
void refuse_unknown_key(const std::string& key, const IsKnown& is_known);

struct Pair {
  std::string key;
  std::string value;
  bool is_quoted = false;
};
// libpq's key=value form in pieces, as far as it goes.
[[nodiscard]] std::vector<Pair> pairs_of(std::string_view key_value);
void refuse_contradicting_pairs(const std::vector<Pair>& pairs);

// Of libpq's parameters; an absent one is empty.
using Value = std::function<std::string(const std::string& key)>;
void refuse_bad_values(const Value& value);
// sslmode=disable beside what asks for TLS.
void refuse_contradicting_tls(const Value& value);

}  // namespace schemagate::connection_mistakes
