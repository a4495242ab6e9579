#pragma once
// What a cryptographic library is needed for. The only file that knows OpenSSL. Any thread.

#include <string>
#include <string_view>

namespace schemagate {

[[nodiscard]] std::string sha256_hex(std::string_view bytes);
[[nodiscard]] std::string random_uuid();  // version 4, lower case

}  // namespace schemagate
