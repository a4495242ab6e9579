#pragma once
// Small pure functions on text.

#include <string>
#include <string_view>
#include <vector>

namespace schemagate {

[[nodiscard]] std::string trim(std::string_view text);  // ASCII white space at both ends
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);
[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view separator);
[[nodiscard]] std::string without_carriage_returns(std::string text);
[[nodiscard]] std::string lower_case(std::string_view text);  // ASCII
// "1 migration", "2 migrations".
[[nodiscard]] std::string counted(std::size_t count, std::string_view noun);
// As one word for a shell: quoted where it has to be.
[[nodiscard]] std::string shell_word(std::string_view text);
// The candidate that a person most likely meant, or empty when none is close.
[[nodiscard]] std::string closest(std::string_view word,
                                  const std::vector<std::string>& candidates);
[[nodiscard]] std::size_t character_count(std::string_view utf8);
// At most `size_max` bytes, never half a character, "..." at a cut.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t size_max);
// Invalid UTF-8 becomes U+FFFD, as in the WHATWG decoder (and so in Node's fs.readFile).
[[nodiscard]] std::string valid_utf8(std::string_view bytes);
// What a terminal would obey instead of showing it, as \u001b: control characters but for tabs and
// line ends, and those that turn the direction of text. Changes no meaning of a JSON text.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace schemagate
