#include "schemagate/sql/syntax_tree.hpp"

#include <algorithm>
#include <cctype>

#include "schemagate/base/text.hpp"

namespace schemagate::syntax {
namespace {

bool is_of_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

// PostgreSQL 16 and later read 1_000 and 0x1F; to the scanner of 15 they are mistakes, after which
// it tells nothing of the whole text. In strings and comments the change does no harm: the texts of
// the tokens are not taken from here.
std::string with_plain_numbers(std::string sql) {
  constexpr std::string_view k_bases = "xXoObB";
  for (auto at = sql.begin(); at != sql.end();) {
    const auto end = std::find_if_not(at, sql.end(), is_of_word);
    if (at == end) {
      ++at;
      continue;
    }
    const bool has_base =
        end - at > 1 && *at == '0' && k_bases.find(at[1]) != std::string_view::npos;
    if (has_base) std::fill(at, end, '1');
    else if (std::isdigit(static_cast<unsigned char>(*at)) != 0) std::replace(at, end, '_', '1');
    at = end;
  }
  return sql;
}

}  // namespace

std::vector<Token> tokens_of(const std::string& sql) {
  std::vector<Token> tokens;
  auto result = ::pg_query_scan(sql.c_str());
  if (result.error != nullptr) {
    ::pg_query_free_scan_result(result);
    result = ::pg_query_scan(with_plain_numbers(sql).c_str());
  }
  if (result.error == nullptr) {
    auto* scan = ::pg_query__scan_result__unpack(
        nullptr, result.pbuf.len, reinterpret_cast<const std::uint8_t*>(result.pbuf.data));
    for (std::size_t i = 0; scan != nullptr && i < scan->n_tokens; ++i) {
      const auto* token = scan->tokens[i];
      const auto start = static_cast<std::size_t>(token->start);
      auto end = static_cast<std::size_t>(token->end);
      // libpg_query gives U&'...' and U&"..." a wrong end. Up to the next token there are blanks
      // only.
      if (token->token == PG_QUERY__TOKEN__USCONST || token->token == PG_QUERY__TOKEN__UIDENT) {
        const auto next = i + 1 < scan->n_tokens
                              ? static_cast<std::size_t>(scan->tokens[i + 1]->start)
                              : sql.size();
        end = sql.find_last_not_of(" \t\r\n\f\v", next - 1) + 1;
      }
      tokens.push_back(
          {std::string_view{sql}.substr(start, end - start), token->token, token->keyword_kind});
    }
    if (scan != nullptr) ::pg_query__scan_result__free_unpacked(scan, nullptr);
  }
  ::pg_query_free_scan_result(result);
  return tokens;
}

std::vector<Range> ranges_of(const std::string& sql) {
  std::vector<Range> ranges;
  auto result = ::pg_query_split_with_scanner(sql.c_str());
  if (result.error != nullptr) {
    ::pg_query_free_split_result(result);
    result = ::pg_query_split_with_scanner(with_plain_numbers(sql).c_str());
  }
  for (int i = 0; result.error == nullptr && i < result.n_stmts; ++i) {
    const auto start = static_cast<std::size_t>(result.stmts[i]->stmt_location);
    ranges.push_back({start, start + static_cast<std::size_t>(result.stmts[i]->stmt_len)});
  }
  ::pg_query_free_split_result(result);
  return ranges;
}

bool is_comment(const Token& token) {
  return token.kind == PG_QUERY__TOKEN__SQL_COMMENT || token.kind == PG_QUERY__TOKEN__C_COMMENT;
}

std::vector<Token> words_of(const std::string& sql) {
  auto tokens = tokens_of(sql);
  std::erase_if(tokens, is_comment);
  return tokens;
}

bool is_word(const Token& token, std::string_view word) { return lower_case(token.text) == word; }

// By the description that protobuf-c has of its structures.
void each_message(const ProtobufCMessage& message,
                  const std::function<void(const ProtobufCMessage&)>& visit) {
  visit(message);
  const auto* base = reinterpret_cast<const char*>(&message);
  for (unsigned i = 0; i < message.descriptor->n_fields; ++i) {
    const auto& field = message.descriptor->fields[i];
    if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
    const auto* quantifier = base + field.quantifier_offset;
    if (field.label == PROTOBUF_C_LABEL_REPEATED) {
      const auto count = *reinterpret_cast<const std::size_t*>(quantifier);
      auto* const* all = *reinterpret_cast<ProtobufCMessage** const*>(base + field.offset);
      for (std::size_t n = 0; n < count; ++n) each_message(*all[n], visit);
      continue;
    }
    const bool is_one_of_several = (field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (is_one_of_several && *reinterpret_cast<const std::uint32_t*>(quantifier) != field.id)
      continue;
    const auto* one = *reinterpret_cast<ProtobufCMessage* const*>(base + field.offset);
    if (one != nullptr) each_message(*one, visit);
  }
}

std::string string_of(const PgQuery__Node* node) {
  return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_STRING ? node->string->sval
                                                                           : "";
}

std::string name_of(PgQuery__Node* const* parts, std::size_t count) {
  std::string name;
  for (std::size_t i = 0; i < count; ++i) name += (i == 0 ? "" : ".") + string_of(parts[i]);
  return name;
}

bool has_option(PgQuery__Node* const* options, std::size_t count, std::string_view name) {
  return std::any_of(options, options + count, [&](const auto* node) {
    return node->node_case == PG_QUERY__NODE__NODE_DEF_ELEM && node->def_elem->defname == name;
  });
}

Tree parse(const std::string& sql) {
  const auto result = ::pg_query_parse_protobuf(sql.c_str());
  Tree tree{nullptr, [](PgQuery__ParseResult* owned) {
              ::pg_query__parse_result__free_unpacked(owned, nullptr);
            }};
  if (result.error == nullptr) {
    tree.reset(::pg_query__parse_result__unpack(
        nullptr, result.parse_tree.len,
        reinterpret_cast<const std::uint8_t*>(result.parse_tree.data)));
  }
  ::pg_query_free_protobuf_parse_result(result);
  return tree;
}

}  // namespace schemagate::syntax
