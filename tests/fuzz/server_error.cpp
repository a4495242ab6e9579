// A server's error text ---- the statement that was sent → fields and a place in that statement.

#include <algorithm>

#include "fuzz.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/migrate/statement_failure.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;

// As libpq prints a line that need not be shortened, with its caret below `column`.
void check_place(const std::string& sql, std::size_t number) {
  const auto lines = split(sql, '\n');
  const auto line_number = number % lines.size();
  auto line = lines[line_number];
  const auto column = number % (character_count(line) + 1);
  std::replace(line.begin(), line.end(), '\t', ' ');
  const auto label = "LINE " + std::to_string(line_number + 1) + ": ";
  const auto text = "ERROR:  no\n" + label + line + "\n" + std::string(label.size() + column, ' ') +
                    "^\nHINT:  yes\n";
  const auto error = pg::parse_error(text, "42601", sql);
  promise(error.message == "no" && error.hint == "yes", "the excerpt is no part of a field", text);
  promise(error.position.has_value(), "a caret is a place", text);
  promise(error.position->line == static_cast<int>(line_number) + 1, "the line is found", text);
  promise(error.position->column == static_cast<int>(column) + 1, "the column is found", text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto texts = fuzz::texts_of(data, size, 2);
  if (fuzz::holds(texts[0], std::string_view{"\0", 1})) return 0;  // ends a text for libpq
  const auto text = valid_utf8(texts[0]);
  const auto sql = valid_utf8(texts[1]);
  const auto error = pg::parse_error(text, "42601", sql);
  promise(error.sqlstate == "42601", "the state stays");
  promise(text.starts_with(error.what()) || error.what() == "ERROR:  " + error.message,
          "the text stays", error.what());
  for (const auto* field : {&error.message, &error.detail, &error.hint, &error.context})
    promise(field->size() <= 3 * text.size(), "a field is part of the text", *field);
  if (error.position)
    promise(error.position->line >= 1 && error.position->column >= 1, "places count from 1", text);
  check_place(sql, text.size());

  Migration migration;
  migration.name = "1_first";
  migration.file = "1_first/migration.sql";
  Statement statement;
  statement.text = sql;
  const StatementFailed failure{error, &statement};
  const auto described = describe(migration, failure);
  promise(fuzz::holds(described, "1_first/migration.sql:"), "the place is said", described);
  const auto reason = split(error.message, '\n').front();
  promise(fuzz::holds(described, reason) || fuzz::holds(lower_case(described), "password"),
          "the reason is said", described);
  return 0;
}
