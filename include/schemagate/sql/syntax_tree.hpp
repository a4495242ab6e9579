#pragma once
// The door to libpg_query (the PostgreSQL 15 grammar): tokens and parse trees of SQL text. Only
// sql_script, classify, impact/acts and offending_rows come in by it; all others see Statements and
// Acts.
// Pure.
// Node and field names: PostgreSQL 15, src/include/nodes/parsenodes.h.

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace schemagate::syntax {

struct Token {
  std::string_view text;
  PgQuery__Token kind;
  PgQuery__KeywordKind keyword;
};

// Views into `sql`, comments included. Empty when the text cannot even be split into tokens (an
// unterminated string, say).
std::vector<Token> tokens_of(std::string&& sql) = delete;
[[nodiscard]] std::vector<Token> tokens_of(const std::string& sql);
[[nodiscard]] bool is_comment(const Token& token);
// The same without comments.
std::vector<Token> words_of(std::string&& sql) = delete;
[[nodiscard]] std::vector<Token> words_of(const std::string& sql);
[[nodiscard]] bool is_word(const Token& token, std::string_view word);  // whatever its case

struct Range {
  std::size_t start;
  std::size_t end;
};
// The statements between semicolons, in order, without those that hold no keyword. Empty when the
// text cannot be split into tokens.
[[nodiscard]] std::vector<Range> ranges_of(const std::string& sql);

// Null when the grammar does not know the text.
using Tree = std::unique_ptr<PgQuery__ParseResult, void (*)(PgQuery__ParseResult*)>;
[[nodiscard]] Tree parse(const std::string& sql);

// `message` and all that is below it, each before what it holds.
void each_message(const ProtobufCMessage& message,
                  const std::function<void(const ProtobufCMessage&)>& visit);

[[nodiscard]] std::string string_of(const PgQuery__Node* node);  // empty when it is no string
[[nodiscard]] std::string name_of(PgQuery__Node* const* parts, std::size_t count);  // "a.b"
[[nodiscard]] bool has_option(PgQuery__Node* const* options, std::size_t count,
                              std::string_view name);

}  // namespace schemagate::syntax
