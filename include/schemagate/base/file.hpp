#pragma once
// Whole files into memory.

#include <filesystem>
#include <optional>
#include <string>

namespace schemagate {

// Nothing when there is no such file, or it is no file. Throws Failure (usage) when it may not be
// read. Without a stream's costs: a folder may hold ten thousand.
[[nodiscard]] std::optional<std::string> read_file(const std::filesystem::path& file);

}  // namespace schemagate
