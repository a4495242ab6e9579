#include "schemagate/formats/prisma.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "support/temp_dir.hpp"
#include "support/text.hpp"

using namespace schemagate;
using prisma::read_folder;
using prisma::same_content;
using namespace testing;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> names(const Folder& folder) {
  std::vector<std::string> names;
  for (const auto& migration : folder.migrations) names.push_back(migration.name);
  return names;
}

// The code of the Failure with which reading the folder ends, or done.
ExitCode outcome(const fs::path& directory, bool allow_empty = false) {
  try {
    (void)read_folder(directory, allow_empty);
    return ExitCode::done;
  } catch (const Failure& failure) {
    CHECK_FALSE(failure.hint().empty());
    return failure.code();
  }
}

ExitCode outcome_with_lock_file(const std::string& content) {
  const testing::TempDir dir;
  dir.write("1_a/migration.sql", "SELECT 1;");
  dir.write("migration_lock.toml", content);
  return outcome(dir.path());
}

Migration migration_of(const std::string& bytes) {
  const testing::TempDir dir;
  dir.write("1_a/migration.sql", bytes);
  return read_folder(dir.path(), false).migrations.at(0);
}

}  // namespace

TEST_SUITE("migrations") {
  TEST_CASE("migration directories are ordered as JavaScript's localeCompare orders them") {
    // Printed by node 20: ["..."].sort((a, b) => a.localeCompare(b))
    const std::vector<std::string> ordered = {
        "_a",   "-a",      "0_init",     "00_init",          "1_a",
        "10_b", "2_c",     "20240101_b", "20240101000000_z", "a",
        "A",    "a_first", "ab",         "B_second",         "b1"};
    auto shuffled = ordered;
    std::reverse(shuffled.begin(), shuffled.end());
    std::sort(shuffled.begin(), shuffled.end(), prisma::locale_less);
    CHECK(shuffled == ordered);
  }

  TEST_CASE("every direct subdirectory is a migration, hidden ones too; files and links are not") {
    const testing::TempDir dir;
    dir.write("20240101000000_a/migration.sql", "SELECT 1;");
    dir.write(".hidden/migration.sql", "SELECT 2;");
    dir.write("sp ace/migration.sql", "SELECT 3;");
    dir.write("nested/deeper/migration.sql", "SELECT 4;");
    dir.write("x.sql", "SELECT 5;");
    dir.write(".DS_Store", "");
    dir.write("elsewhere_target/migration.sql", "SELECT 6;");
    fs::create_directory_symlink(dir.path() / "elsewhere_target", dir.path() / "link");
    fs::create_symlink("nowhere", dir.path() / "dangling");
    const auto folder = read_folder(dir.path(), false);
    CHECK(names(folder) == std::vector<std::string>{".hidden", "20240101000000_a",
                                                    "elsewhere_target", "nested", "sp ace"});
    CHECK(folder.find("nested")->file_missing);
    CHECK(folder.find("sp ace")->sql == "SELECT 3;");
    CHECK(folder.find("link") == nullptr);
  }

  TEST_CASE("the links of a Kubernetes volume are migrations, and its own directories are not") {
    const testing::TempDir dir;
    dir.write("..2026_11_29_19_00.123/1_a/migration.sql", "SELECT 1;");
    dir.write("..2026_11_29_19_00.123/2_b/migration.sql", "SELECT 2;");
    dir.write("..2026_11_29_19_00.123/migration_lock.toml", "provider = \"postgresql\"\n");
    dir.write("elsewhere/0_z/migration.sql", "SELECT 3;");
    fs::create_directory_symlink("..2026_11_29_19_00.123", dir.path() / "..data");
    for (const auto* name : {"1_a", "2_b", "migration_lock.toml"})
      fs::create_symlink(fs::path{"..data"} / name, dir.path() / name);
    fs::create_directory_symlink("..data/gone", dir.path() / "3_c");
    fs::create_directory_symlink("elsewhere/0_z", dir.path() / "0_z");
    fs::remove_all(dir.path() / "elsewhere");
    const auto folder = read_folder(dir.path(), false);
    CHECK(names(folder) == std::vector<std::string>{"1_a", "2_b"});
    CHECK(folder.find("2_b")->sql == "SELECT 2;");
    CHECK_FALSE(folder.find("1_a")->file_missing);
  }

  TEST_CASE("a volume whose files are links is read: a migration mounted by itself") {
    const testing::TempDir dir;
    dir.write("1_a/..2026/migration.sql", "SELECT 1;");
    fs::create_directory_symlink("..2026", dir.path() / "1_a" / "..data");
    fs::create_symlink("..data/migration.sql", dir.path() / "1_a" / "migration.sql");
    CHECK(read_folder(dir.path(), false).find("1_a")->sql == "SELECT 1;");
  }

  TEST_CASE("the folder that was meant is proposed where another one was given") {
    const testing::TempDir dir;
    dir.write("prisma/schema.prisma", "");
    dir.write("prisma/migrations/1_a/migration.sql", "SELECT 1;");
    dir.write("node_modules/.prisma/x/migration.sql", "SELECT 1;");
    dir.write("empty/file", "");
    const auto told = [&](const std::string& given) {
      try {
        (void)read_folder(dir.path() / given, false);
        return std::string{"taken"};
      } catch (const Failure& failure) {
        CHECK(failure.code() == ExitCode::usage);
        return failure.hint().text();
      }
    };
    for (const auto* mistaken : {"prisma", "prisma/", ".", "prisma/schema.prisma",
                                 "prisma/migration", "prisma/migrations/1_a"})
      CHECK_MESSAGE(told(mistaken) == contains("prisma/migrations?"), mistaken);
    CHECK(told("prisma/migrations") == "taken");
    CHECK(told("prisma/migrations/") == "taken");
    for (const auto* nothing : {"empty", "nowhere/else/migrations"})
      CHECK_MESSAGE(told(nothing) == contains("is it missing in the image"), nothing);
    CHECK(outcome(dir.path() / "prisma", true) == ExitCode::usage);
    CHECK(outcome(dir.path() / "prisma/schema.prisma", true) == ExitCode::usage);
    CHECK(outcome(dir.path() / "empty", true) == ExitCode::done);
    CHECK(outcome(dir.path() / "prisma/migration", true) == ExitCode::done);
  }

  TEST_CASE("only an empty directory may go where its migration.sql is missing") {
    const testing::TempDir dir;
    fs::create_directories(dir.path() / "1 empty");
    dir.write("2_other/up.sql", "SELECT 1;");
    dir.write("3_deep/more/file", "");
    const auto folder = read_folder(dir.path(), false);
    CHECK(remedy_for_missing_file(*folder.find("1 empty")) ==
          contains("rmdir '" + (dir.path() / "1 empty").string() + "'"));
    CHECK(remedy_for_missing_file(*folder.find("2_other")) == "restore the file");
    CHECK(remedy_for_missing_file(*folder.find("3_deep")) == "restore the file");
  }

  TEST_CASE("migrations are in Prisma's order, not in that of bytes or of the file system") {
    const testing::TempDir dir;
    for (const auto* name :
         {"20240101000000_z", "B_second", "a_first", "20240101_b", "0_init", "00_init", "_x"})
      dir.write(std::string{name} + "/migration.sql", "");
    CHECK(names(read_folder(dir.path(), false)) ==
          std::vector<std::string>{"_x", "0_init", "00_init", "20240101_b", "20240101000000_z",
                                   "a_first", "B_second"});
  }

  TEST_CASE("a directory without migration.sql is listed as such, whatever else it holds") {
    const testing::TempDir dir;
    fs::create_directories(dir.path() / "1_empty");
    fs::create_directories(dir.path() / "2_directory" / "migration.sql");
    dir.write("3_case/Migration.sql", "SELECT 1;");
    for (const auto& migration : read_folder(dir.path(), false).migrations) {
      CAPTURE(migration.name);
      CHECK(migration.file_missing);
      CHECK(migration.sql.empty());
    }
  }

  TEST_CASE("a linked migration.sql is read, as node reads it") {
    const testing::TempDir dir;
    const auto target = dir.write("shared.sql", "SELECT 1;");
    fs::create_directories(dir.path() / "m" / "1_a");
    fs::create_symlink(target, dir.path() / "m" / "1_a" / "migration.sql");
    CHECK(read_folder(dir.path() / "m", false).migrations.at(0).sql == "SELECT 1;");
  }

  TEST_CASE("the checksum is the SHA-256 of the text as node decodes it") {
    // node: createHash("sha256").update(Buffer.from(bytes).toString("utf8"))
    struct {
      std::string bytes;
      std::string sha256;
      bool valid;
    } const cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", true},
        {"a\xFF"
         "b",
         "05087813392efc16fe8ff448920c6328e53af865df39419436659d9ffda90f7b", false},
        {"\xE9t\xE9", "80926e3cc0e5ecc9800fa67d54feb068a401a5f16ae85dd7170e1e331231dbaf", false},
        {"\xF0\x9F\x98", "83d544ccc223c057d2bf80d3f2a32982c32c3c0db8e2674820da5064783fb097", false},
        {"\xED\xA0\x80", "a73f4cb996ceb6ee097888d897ae1004c9b1faab6c97629214139b9639aaf1af", false},
        {"\xC0\xAF", "52793f8dc1d85e409f8c88be99d8b31d58f676246340150f406289e04a11151e", false},
        {"\xF4\x90\x80\x80", "c22917d19a6656769f72fb7090d6590cb857aa735ef9e646a4ef15d78e7d2317",
         false},
        {"\xE2\x82", "83d544ccc223c057d2bf80d3f2a32982c32c3c0db8e2674820da5064783fb097", false},
        {"\xEF\xBB\xBF"
         "a",
         "1951c7860e968e742658b3af34e60741eb4aaf2a8d2ecc3993727016b12e81e8", true},
        {"-- caf\xE9\nSELECT 1;\n",
         "e67e2eb035ae0e06f34ba0a5eb4586c71db70a1d873782bbed25fb6830297721", false},
    };
    for (const auto& [bytes, sha256, valid] : cases) {
      const auto migration = migration_of(bytes);
      CHECK(migration.checksum == sha256);
      CHECK(migration.was_invalid_utf8 == !valid);
    }
  }

  TEST_CASE("contents that differ only in line ends are the same, both ways") {
    const std::string unix_text = "CREATE TABLE a (\n  i int\n);\n";
    std::string windows_text;
    for (const char c : unix_text) windows_text.append(c == '\n' ? "\r\n" : std::string{c});
    CHECK(same_content(migration_of(unix_text), sha256_hex(unix_text)));
    CHECK(same_content(migration_of(unix_text), sha256_hex(windows_text)));
    CHECK(same_content(migration_of(windows_text), sha256_hex(unix_text)));
    CHECK(same_content(migration_of(windows_text), sha256_hex(windows_text)));
    CHECK_FALSE(same_content(migration_of(unix_text), sha256_hex(unix_text + "\n")));
    CHECK_FALSE(
        same_content(migration_of(unix_text), sha256_hex("create table a (\n  i int\n);\n")));
    CHECK_FALSE(same_content(migration_of(unix_text), ""));
  }

  TEST_CASE("a lone carriage return is content") {
    CHECK_FALSE(same_content(migration_of("a\rb"), sha256_hex("ab")));
    CHECK_FALSE(same_content(migration_of("a\rb"), sha256_hex("a\nb")));
    CHECK(same_content(migration_of("a\r\r\n"), sha256_hex("a\r\n")));
    CHECK(same_content(migration_of("a\r"), sha256_hex("a\r")));
    // Every line feed gets its own carriage return in Prisma's comparison, present or not.
    CHECK(same_content(migration_of("a\r\nb\n"), sha256_hex("a\r\r\nb\r\n")));
  }

  TEST_CASE(
      "a checksum of old Prisma versions, without leading zeros in its bytes, is recognised") {
    const auto migration = migration_of("SELECT 1;");
    std::string unpadded;
    for (std::size_t i = 0; i < migration.checksum.size(); i += 2)
      unpadded += migration.checksum[i] == '0' ? migration.checksum.substr(i + 1, 1)
                                               : migration.checksum.substr(i, 2);
    REQUIRE(unpadded.size() < 64);
    CHECK(same_content(migration, unpadded));
  }

  TEST_CASE("migration_lock.toml is read as Prisma reads it, not as TOML") {
    CHECK(outcome_with_lock_file("provider = \"postgresql\"\n") == ExitCode::done);
    CHECK(outcome_with_lock_file("# Please do not edit this file manually\n"
                                 "# It should be added in your version-control system (e.g., Git)\n"
                                 "provider = \"postgresql\"\n") == ExitCode::done);
    CHECK(outcome_with_lock_file("provider = \"postgresql\"\r\n") == ExitCode::done);
    CHECK(outcome_with_lock_file("provider = \"postgresql\"") == ExitCode::done);
    CHECK(outcome_with_lock_file("provider = postgresql\n") == ExitCode::done);
    CHECK(outcome_with_lock_file("provider = provider = \"\"postgresql\"\n") == ExitCode::done);
    CHECK(outcome_with_lock_file("provider = \"postgresql\"\nprovider = \"mysql\"\n") ==
          ExitCode::done);
    for (const auto* refused :
         {"", "provider = \"mysql\"\n", "provider=\"postgresql\"\n", "provider = 'postgresql'\n",
          " provider = \"postgresql\"\n", "provider = \"postgresql\" # ours\n",
          "provider = \"PostgreSQL\"\n", "provider = \"mysql\"\nprovider = \"postgresql\"\n",
          "providers = 1\nprovider = \"postgresql\"\n", "provider = \n", "provider\n",
          "provider = \"postgres\"\n", "\xEF\xBB\xBFprovider = \"postgresql\"\n"}) {
      CAPTURE(std::string{refused});
      CHECK(outcome_with_lock_file(refused) == ExitCode::history);
    }
  }

  TEST_CASE("a foreign migration_lock.toml is named with its provider and Prisma's code") {
    const testing::TempDir dir;
    dir.write("1_a/migration.sql", "");
    dir.write("migration_lock.toml", "provider = \"sqlite\"\n");
    try {
      (void)read_folder(dir.path(), false);
      FAIL("no failure");
    } catch (const Failure& failure) {
      const std::string text = failure.what();
      CHECK(text == contains((dir.path() / "migration_lock.toml").string()));
      CHECK(text == contains("\"sqlite\""));
      CHECK(text == contains("P3019"));
    }
  }

  TEST_CASE("a folder without migration_lock.toml is not checked") {
    const testing::TempDir dir;
    dir.write("1_a/migration.sql", "");
    CHECK(outcome(dir.path()) == ExitCode::done);
    fs::create_directories(dir.path() /
                           "migration_lock.toml");  // counts as a migration, as in Prisma
    CHECK(outcome(dir.path()) == ExitCode::done);
  }

  TEST_CASE("a missing or empty folder is refused unless it is allowed to be empty") {
    const testing::TempDir dir;
    CHECK(outcome(dir.path() / "nope") == ExitCode::usage);
    CHECK(outcome(dir.path()) == ExitCode::usage);
    CHECK(outcome(dir.write("file", "")) == ExitCode::usage);
    CHECK(outcome(dir.path()) == ExitCode::usage);  // a file is no migration
    CHECK(outcome(dir.path() / "nope", true) == ExitCode::done);
    CHECK(outcome(dir.path(), true) == ExitCode::done);
    CHECK(read_folder(dir.path(), true).migrations.empty());
    CHECK(read_folder(dir.path(), true).digest == read_folder(dir.path() / "nope", true).digest);
  }

  TEST_CASE("the digest names the set: every name and every content counts, nothing else") {
    const testing::TempDir one;
    one.write("1_a/migration.sql", "SELECT 1;");
    one.write("2_b/migration.sql", "SELECT 2;");
    const testing::TempDir two;
    two.write("2_b/migration.sql", "SELECT 2;");
    two.write("1_a/migration.sql", "SELECT 1;");
    two.write("1_a/README.md", "not counted");
    two.write("migration_lock.toml", "provider = \"postgresql\"\n");
    const auto digest = read_folder(one.path(), false).digest;
    CHECK(digest.size() == 64);
    CHECK(read_folder(two.path(), false).digest == digest);
    two.write("2_b/migration.sql", "SELECT 3;");
    CHECK(read_folder(two.path(), false).digest != digest);
    two.write("2_b/migration.sql", "SELECT 2;");
    fs::rename(two.path() / "2_b", two.path() / "2_c");
    CHECK(read_folder(two.path(), false).digest != digest);
  }
}
