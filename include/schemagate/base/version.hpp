#pragma once
// The one place where the version is written; CMakeLists.txt reads it from here.

namespace schemagate {
inline constexpr const char* k_version = "0.1.0";
}  // namespace schemagate
