#pragma once
// Percent-encoding, as in URLs. Pure.

#include <string>
#include <string_view>

namespace schemagate {

// `where` names the part in the message. Throws ConnectionStringError for a % without two digits.
[[nodiscard]] std::string percent_decoded(std::string_view text, std::string_view where);
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace schemagate
