// migration_lock.toml ---- migration.sql → the folder: only PostgreSQL's lock file is taken, and a
// script's checksum is Prisma's.

#include <algorithm>

#include "fuzz.hpp"
#include "schemagate/base/error.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;
using prisma::read_folder;
using prisma::same_content;

void check_migration(const Migration& migration, const std::string& bytes) {
  promise(migration.sql == valid_utf8(bytes), "a script is read as Prisma does");
  promise(migration.was_invalid_utf8 == (migration.sql != bytes), "bytes that change are noticed");
  promise(migration.checksum == sha256_hex(migration.sql), "the checksum is the text's");
  std::string unix_endings;
  for (std::size_t i = 0; i < migration.sql.size(); ++i)
    if (migration.sql.compare(i, 2, "\r\n") != 0) unix_endings += migration.sql[i];
  promise(same_content(migration, migration.checksum), "a script is the same as itself");
  promise(same_content(migration, sha256_hex(unix_endings)), "line endings do not count");
  promise(!same_content(migration, sha256_hex(migration.sql + "x")), "an edit counts");
  promise(!same_content(migration, ""), "no checksum is nobody's");
}

// The first line that starts with "provider" is all that counts; quotes may be missing or doubled.
bool names_postgresql(const std::string& lock_file) {
  for (auto line : split(lock_file, '\n')) {
    if (!line.starts_with("provider")) continue;
    const auto name = line.find("postgresql");
    if (name == std::string::npos) return false;
    for (const char c : line.substr(0, name))
      if (!fuzz::holds("provider = \"", std::string{c})) return false;
    for (const char c : line.substr(name + 10))
      if (c != '"' && c != '\r') return false;
    return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::ScratchDir scratch;
  const auto texts = fuzz::texts_of(data, size, 2);
  if (fuzz::holds(texts[0], std::string_view{"\0", 1})) return 0;  // what() ends there
  scratch.write("migration_lock.toml", texts[0]);
  scratch.write("1_first/migration.sql", texts[1]);
  try {
    const auto folder = read_folder(scratch.path(), false);
    promise(names_postgresql(texts[0]), "the migrations are for PostgreSQL", texts[0]);
    promise(folder.migrations.size() == 1 && folder.migrations[0].name == "1_first",
            "each directory is a migration");
    check_migration(folder.migrations[0], texts[1]);
    promise(folder.digest == sha256_hex(folder.migrations[0].checksum + " 1_first\n"),
            "the digest is of names and checksums");
  } catch (const Failure& e) {
    promise(e.code() == ExitCode::history, "another database's lock file is P3019", e.what());
    promise(fuzz::holds(e.what(), "P3019"), "another database's lock file is P3019", e.what());
    const auto lines = split(texts[0], '\n');
    const auto provider = std::find_if(
        lines.begin(), lines.end(), [](const auto& line) { return line.starts_with("provider"); });
    promise(provider == lines.end() || *provider != "provider = \"postgresql\"",
            "PostgreSQL's lock file is taken", texts[0]);
  }
  return 0;
}
