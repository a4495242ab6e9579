#pragma once
// Passwords inside of scripts. Pure.

#include <string>
#include <string_view>

namespace schemagate {

// Shortened, and with '***' for the literal that follows the word PASSWORD: of a role, an option, a
// setting, a member of JSON; also inside of a string or a body that executes such a statement. And
// for password=... in a connection string, and what a URL has for it. Where a statement is put
// together, so that the password may be anything that follows, all of that. Names that hold the
// word (password_changed_at) are names.
[[nodiscard]] std::string without_password(std::string_view text, std::size_t size_max);

// The same in one line, to be shown: blanks inside of literals are one, too. Only what is without
// passwords is put into one line: a comment would go on to its end, and hide what follows it.
[[nodiscard]] std::string line_without_password(std::string_view text, std::size_t size_max);

}  // namespace schemagate
