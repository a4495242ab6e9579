#pragma once
// Numbers as people say them, in no more digits than they are known to. Pure.

#include <cstdint>
#include <string>

#include "schemagate/base/wait.hpp"

namespace schemagate {

// "512 bytes", "8 kB", "1.5 GB": 1 kB is 1024 bytes, as PostgreSQL counts.
[[nodiscard]] std::string size_for_people(std::int64_t bytes);
// "980", "9,800", "12 thousand", "1.2 million".
[[nodiscard]] std::string number_for_people(double number);
// Of something that is only guessed: "4 to 7 min", "up to 2 s", "under 1 s".
[[nodiscard]] std::string range_for_people(Milliseconds low, Milliseconds high);

}  // namespace schemagate
