#pragma once
// Whole files: into memory, and onto disk in one step.

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace schemagate {

// Nothing when there is no such file, or it is no file; a FIFO is not waited for. Throws Failure
// (usage) when it may not be read. Without a stream's costs: a folder may hold ten thousand.
[[nodiscard]] std::optional<std::string> read_file(const std::filesystem::path& file);

// Both for a directory that others may write to, too; it may be reached by symbolic links. Whatever
// stands at the file's own name (a link, a FIFO, a device) is not opened for what it leads to.

// Nothing when there is no such file. Throws std::runtime_error saying why it cannot be read, is no
// regular file, or has more than `size_max` bytes.
[[nodiscard]] std::optional<std::string> read_shared_file(const std::filesystem::path& file,
                                                          std::size_t size_max);
// Replaces what has the name: written under a name that nobody can know before, synced, renamed.
// Throws std::system_error, and then leaves nothing. What a killed writer of this file left, ten
// minutes ago or more, is taken away.
void replace_shared_file(const std::filesystem::path& file, std::string_view content);

}  // namespace schemagate
