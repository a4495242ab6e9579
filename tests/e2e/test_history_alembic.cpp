#include <doctest/doctest.h>

#include <fmt/core.h>

#include "e2e/history_tools.hpp"

using namespace testing;

namespace {

// As Alembic's own template has it; the arguments are Python.
std::string revision(const std::string& id, const std::string& down,
                     const std::string& labels = "None", const std::string& depends_on = "None") {
  return fmt::format("\"\"\"A step.\n\nRevision ID: of_the_docstring\nRevises: nothing\n\"\"\"\n"
                     "from typing import Sequence, Union\n\n"
                     "revision: str = '{}'\n"
                     "down_revision: Union[str, Sequence[str], None] = {}\n"
                     "branch_labels: Union[str, Sequence[str], None] = {}\n"
                     "depends_on: Union[str, Sequence[str], None] = {}\n\n\n"
                     "def upgrade() -> None:\n    pass\n\n\n"
                     "def downgrade() -> None:\n    pass\n",
                     id, down, labels, depends_on);
}

const HistoryTool k_alembic{
    "alembic", "python", "[alembic, upgrade, heads]", "migrations/versions",
    [](int number) -> MigrationFile {
      const auto id = [](int n) { return fmt::format("r{}", n); };
      return {"migrations/versions/" + id(number) + "_step.py",
              revision(id(number), number == 1 ? "None" : "'" + id(number - 1) + "'"), id(number)};
    }};

class Versions : public Image {
 public:
  explicit Versions(const std::string& programs) : Image{k_alembic, programs} {}
  Versions(const Versions& older, const std::string& release) : Image{older, release} {}

  Versions& file(const std::string& name, const std::string& content) {
    add("migrations/versions/" + name + ".py", content);
    return *this;
  }
};

std::string rows(const Versions& image) {
  return image.database.value(
      "SELECT string_agg(version_num, ' ' ORDER BY version_num) FROM alembic_version");
}

void check_open_after_run(const Versions& image) {
  const auto result = image.run();
  INFO(result.err);
  CHECK(result.exit_code == 0);
  const auto gate = image.gate({"--once"});
  INFO(gate.err);
  CHECK(gate.exit_code == 0);
}

void check_closed(const Versions& image, const std::string& because) {
  const auto gate = image.gate({"--once"});
  INFO(gate.err);
  CHECK(gate.exit_code == 30);
  CHECK(gate.err == contains(because));
}

}  // namespace

TEST_SUITE_BEGIN("history presets");

TEST_CASE("alembic: an image's gate is open when Alembic has applied what its folder holds") {
  const auto programs = k_alembic.programs();
  if (programs.empty()) return;
  Versions image{programs};
  image.add(1).add(2);
  check_closed(image, "r1");
  check_open_after_run(image);
  CHECK(rows(image) == "r2");
  const auto second = image.run();
  CHECK(second.exit_code == 0);
  CHECK(second.err == contains("nothing to do"));

  Versions next{image, "r2"};
  next.add(3);
  check_closed(next, "r3");
  check_open_after_run(next);
  CHECK(rows(image) == "r3");
}

TEST_CASE(
    "alembic: a command that ends well and applies nothing is 25, and what is missing is named") {
  Versions image{""};
  image.add(1).add(2).set("migrations.command", "[\"true\"]");
  const auto result = image.run();
  INFO(result.err);
  CHECK(result.exit_code == 25);
  CHECK(result.err == contains("exit code 0"));
  CHECK(result.err == contains("r2"));
  CHECK_FALSE(result.err == contains("of_the_docstring"));  // in the docstring
  CHECK(image.look() == 31);
}

TEST_CASE("alembic: every one of several heads is needed, and a merge stands for what it merges") {
  const auto programs = k_alembic.programs();
  if (programs.empty()) return;
  Versions image{programs};
  image.file("a", revision("a", "None"))
      .file("b", revision("b", "'a'"))
      .file("c", revision("c", "'a'"));
  check_open_after_run(image);
  CHECK(rows(image) == "b c");
  image.database.execute("DELETE FROM alembic_version WHERE version_num = 'c'");
  check_closed(image, "c");
  image.database.execute("INSERT INTO alembic_version VALUES ('c')");

  Versions merged{image, "r2"};
  merged.file("m", revision("m", "(\n    'b',\n    \"c\",\n)"));
  check_closed(merged, "m");
  check_open_after_run(merged);
  CHECK(rows(image) == "m");
}

// Alembic leaves it out of its table: https://alembic.sqlalchemy.org, "Branch Dependencies".
TEST_CASE("alembic: a head that another revision depends on is applied, though it is no row") {
  const auto programs = k_alembic.programs();
  if (programs.empty()) return;
  Versions image{programs};
  image.file("a", revision("a", "None")).file("b", revision("b", "'a'", "('shop',)"));
  image.file("x", revision("x", "None", "None", "'b'"));
  check_open_after_run(image);
  CHECK(rows(image) == "x");

  Versions labelled{image, "r2"};  // a label means the revision that has it
  labelled.file("y", revision("y", "None", "None", "['x', 'shop']"));
  check_closed(labelled, "y");
  check_open_after_run(labelled);
  CHECK(rows(image) == "y");
  check_closed(image, "y");
}

TEST_CASE(
    "alembic: an older image on a newer database is closed, in words, and its run ends with 25") {
  const auto programs = k_alembic.programs();
  if (programs.empty()) return;
  Versions older{programs};
  older.add(1);
  Versions newer{older, "r2"};
  newer.add(2);
  check_open_after_run(newer);
  check_closed(older, "r2");
  const auto result = older.run();
  INFO(result.err);
  CHECK(result.exit_code == 25);
  CHECK(result.err == contains("Can't locate revision identified by 'r2'"));
}

TEST_CASE(
    "alembic: a row that the folder does not know hides nothing where all of the folder is proven") {
  const auto programs = k_alembic.programs();
  if (programs.empty()) return;
  Versions image{programs};
  image.add(1).add(2);
  check_open_after_run(image);
  image.database.execute("INSERT INTO alembic_version VALUES ('of_another_folder')");
  CHECK(image.look() == 0);
}

TEST_CASE("alembic: files that are no revisions are passed over, and older templates are read") {
  const auto programs = k_alembic.programs();
  if (programs.empty()) return;
  Versions image{programs};
  image.file("__init__", "")
      .file("a", "revision = \"a\"\ndown_revision = None\n\ndef upgrade():\n    pass\n");
  image.file("b", "# revision identifiers, used by Alembic.\nrevision='b'  # the second\n"
                  "down_revision='a'\n\ndef upgrade():\n    revision = 'c'\n    pass\n");
  image.set("migrations.directory", "migrations");  // with env.py
  check_open_after_run(image);
  CHECK(rows(image) == "b");
}
