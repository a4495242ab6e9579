#include "schemagate/formats/generic.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

using namespace schemagate;
using namespace testing;
namespace fs = std::filesystem;

namespace {

Folder read(const std::string& preset, const fs::path& directory) {
  Manifest::Migrations::History history;
  history.preset = preset;
  return generic::format(generic::described(history))->read_folder(directory, false);
}

std::string hint(const std::string& preset, const fs::path& directory) {
  try {
    (void)read(preset, directory);
    return "taken";
  } catch (const Failure& failure) {
    return failure.hint().text();
  }
}

}  // namespace

TEST_SUITE("migrations") {
  TEST_CASE("the files of a Kubernetes volume are found once, by their links") {
    const TempDir dir;
    dir.write("..2026/0001_init.py", "");
    dir.write("..2026/app/migrations/0002_next.py", "");
    fs::create_directory_symlink("..2026", dir.path() / "..data");
    fs::create_symlink("..data/0001_init.py", dir.path() / "0001_init.py");
    fs::create_directory_symlink("..data/app", dir.path() / "app");
    fs::create_directory_symlink("app", dir.path() / "another");
    CHECK(generic::files_below(dir.path()) ==
          std::vector<std::string>{"0001_init.py", "app/migrations/0002_next.py"});
  }

  TEST_CASE("a link that leads back is not followed for ever") {
    const TempDir dir;
    dir.write("a/file", "");
    fs::create_directory_symlink(".", dir.path() / "..data");
    fs::create_directory_symlink("..data/a", dir.path() / "b");
    fs::create_directory_symlink("../..data/", dir.path() / "a" / "back");
    fs::create_directory_symlink("..data/", dir.path() / "all");
    CHECK(generic::files_below(dir.path()) ==
          std::vector<std::string>{"a/file", "all/a/file", "b/file"});
  }

  TEST_CASE("the folder one or two levels down is proposed where it has the files") {
    const TempDir dir;
    dir.write("server/db/migrations/20260101_init.js", "");
    dir.write("node_modules/migrations/20260101_other.js", "");
    dir.write("laravel/database/migrations/2026_01_01_init.php", "");
    CHECK(hint("knex", dir.path() / "server") == contains("server/db/migrations?"));
    CHECK(hint("knex", dir.path() / "server/db") == contains("server/db/migrations?"));
    CHECK(hint("laravel", dir.path() / "laravel") == contains("laravel/database/migrations?"));
    CHECK(hint("knex", dir.path() / "server/db/migrations") == "taken");
    CHECK(hint("laravel", dir.path() / "server") == contains("is it missing in the image"));
    CHECK(hint("knex", dir.path() / "nowhere") == contains("is it missing in the image"));
  }
}
