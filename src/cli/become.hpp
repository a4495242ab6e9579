#pragma once
// Replaces this process: the program keeps our PID, and signals, output and exit code are its own.

#include <string>
#include <vector>

namespace schemagate::cli {

// Returns only when the program cannot be started, with the exit code that a shell has for that.
[[nodiscard]] int become(const std::vector<std::string>& program);

}  // namespace schemagate::cli
