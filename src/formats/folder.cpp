#include "schemagate/formats/folder.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/format.hpp"

namespace schemagate {

const Migration* Folder::find(const std::string& name) const {
  const auto found = std::find_if(migrations.begin(), migrations.end(),
                                  [&](const auto& migration) { return migration.name == name; });
  return found == migrations.end() ? nullptr : &*found;
}

bool Folder::has_content(const Migration& migration, const std::string& checksum) const {
  return !format || format->same_content(migration, checksum);
}

std::string Folder::code_of(Problem problem) const {
  const auto code = format ? format->code_of(problem) : std::string_view{};
  return code.empty() ? "" : fmt::format(" ({}: {})", format->title(), code);
}

std::string digest_of(const std::vector<Migration>& migrations) {
  std::string all;
  for (const auto& migration : migrations) all += migration.checksum + " " + migration.name + "\n";
  return sha256_hex(all);
}

Failure nothing_there(const std::filesystem::path& directory, std::string_view what,
                      const std::filesystem::path& meant) {
  return {
      ExitCode::usage, fmt::format("the migrations folder {} {}", directory.string(), what),
      meant.empty()
          ? "is it missing in the image (COPY)? a project that has no migrations yet says so by "
            "migrations.allow_empty: true"
          : fmt::format("did you mean migrations.directory: {}?",
                        meant.lexically_proximate(std::filesystem::current_path()).string())};
}

std::string remedy_for_missing_file(const Migration& migration) {
  return migration.directory_is_empty ? "restore the file, or, as its directory is empty: rmdir " +
                                            shell_word(migration.file.parent_path().string())
                                      : "restore the file";
}

bool is_link_into_volume(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::read_symlink(path, error).native().starts_with("..data/");
}

}  // namespace schemagate
