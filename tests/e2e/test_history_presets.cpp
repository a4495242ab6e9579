#include <doctest/doctest.h>

#include <fmt/core.h>

#include "e2e/history_tools.hpp"

using namespace testing;

namespace {

std::string table_sql(const std::string& name) { return "CREATE TABLE " + name + " (id int)"; }

std::string django_migration(const std::string& after, const std::string& table) {
  return fmt::format(R"(from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [{}]
    operations = [migrations.RunSQL("{}")]
)",
                     after.empty() ? "" : "(\"shop\", \"" + after + "\")", table_sql(table));
}

const HistoryTool k_django{
    "django", "python", "[python, -Bm, django, migrate, --pythonpath, ., --settings, settings]",
    ".", [](int number) -> MigrationFile {
      const auto name = [](int n) { return n == 0 ? "" : fmt::format("{:04}_step{}", n, n); };
      return {"shop/migrations/" + name(number) + ".py",
              django_migration(name(number - 1), fmt::format("step{}", number)),
              "shop." + name(number)};
    }};

const HistoryTool k_rails{"rails", "ruby", "[ruby, migrate.rb]", "db/migrate",
                          [](int number) -> MigrationFile {
                            const auto version = fmt::format("2026010{}000000", number);
                            return {fmt::format("db/migrate/{}_step{}.rb", version, number),
                                    fmt::format("class Step{} < ActiveRecord::Migration[6.0]\n"
                                                "  def change\n    execute \"{}\"\n  end\nend\n",
                                                number, table_sql(fmt::format("step{}", number))),
                                    version};
                          }};

const HistoryTool k_laravel{
    "laravel", "php", "[php, migrate.php]", "database/migrations", [](int number) -> MigrationFile {
      const auto name = fmt::format("2026_01_0{}_000000_step", number);
      return {
          "database/migrations/" + name + ".php",
          fmt::format("<?php\nuse Illuminate\\Database\\Capsule\\Manager;\n"
                      "return new class extends Illuminate\\Database\\Migrations\\Migration {{\n"
                      "    public function up() {{ Manager::statement(\"{}\"); }}\n}};\n",
                      table_sql(fmt::format("step{}", number))),
          name};
    }};

const HistoryTool k_knex{
    "knex", "node", "[knex, migrate:latest]", "migrations", [](int number) -> MigrationFile {
      const auto name = fmt::format("2026010{}000000_step.js", number);
      return {"migrations/" + name,
              fmt::format("exports.up = (knex) => knex.raw('{}');\nexports.down = () => {{}};\n",
                          table_sql(fmt::format("step{}", number))),
              name};
    }};

const HistoryTool k_typeorm{
    "typeorm", "node", "[typeorm, \"migration:run\", -d, source.js]", "migrations",
    [](int number) -> MigrationFile {
      const auto timestamp = fmt::format("176722560000{}", number);
      return {"migrations/" + timestamp + "-Step.js",
              fmt::format("exports.Step{0} = class Step{0} {{\n"
                          "  async up(runner) {{ await runner.query('{1}'); }}\n"
                          "  async down() {{}}\n}};\n",
                          timestamp, table_sql(fmt::format("step{}", number))),
              timestamp};
    }};

const HistoryTool k_sequelize{
    "sequelize", "node", "[sequelize-cli, \"db:migrate\", --config, config.js]", "migrations",
    [](int number) -> MigrationFile {
      const auto name = fmt::format("2026010{}000000-step.js", number);
      return {"migrations/" + name,
              fmt::format("module.exports = {{\n  up: (queries) => queries.sequelize.query('{}'),\n"
                          "  down: async () => {{}},\n}};\n",
                          table_sql(fmt::format("step{}", number))),
              name};
    }};

// The same for each: two migrations of an image, and one more in the next.
void check_with_the_real_tool(const HistoryTool& tool) {
  const auto programs = tool.programs();
  if (programs.empty()) return;
  Image image{tool, programs};
  image.add(1).add(2);
  CHECK(image.gate({"--once"}) == exits(30, image.key(1)));

  CHECK(image.run() == exits(0));
  CHECK(image.look() == 0);
  CHECK(image.database.value("SELECT to_regclass('step2') IS NOT NULL") == "t");
  const auto second = image.run();
  CHECK(second == exits(0, "nothing to do"));
  CHECK_FALSE(second.err == contains("running "));

  Image next{image, "r2"};
  next.add(3);
  const auto behind = next.gate({"--once"});
  CHECK(behind == exits(30, next.key(3)));
  CHECK_FALSE(behind.err == contains(next.key(2)));
  CHECK(image.look() == 0);
  CHECK(next.run() == exits(0));
  CHECK(next.look() == 0);
  CHECK(image.look() == 0);
}

// The last message: the look before the work names all that is pending.
template <class Result> std::string what_failed(const Result& result) {
  const auto at = result.err.rfind(" error ");
  return at == std::string::npos ? result.err : result.err.substr(at);
}

}  // namespace

TEST_SUITE_BEGIN("history presets");

TEST_CASE("django: an image's gate is open when Django has applied what its folder holds") {
  check_with_the_real_tool(k_django);
}
TEST_CASE("rails: an image's gate is open when ActiveRecord has applied what its folder holds") {
  check_with_the_real_tool(k_rails);
}
TEST_CASE("laravel: an image's gate is open when Laravel has applied what its folder holds") {
  check_with_the_real_tool(k_laravel);
}
TEST_CASE("knex: an image's gate is open when Knex has applied what its folder holds") {
  check_with_the_real_tool(k_knex);
}
TEST_CASE("typeorm: an image's gate is open when TypeORM has applied what its folder holds") {
  check_with_the_real_tool(k_typeorm);
}
TEST_CASE("sequelize: an image's gate is open when Sequelize has applied what its folder holds") {
  check_with_the_real_tool(k_sequelize);
}

TEST_CASE(
    "with each preset a command that ends well and applies nothing is 25, and what is missing is named") {
  for (const auto* tool : {&k_django, &k_rails, &k_laravel, &k_knex, &k_typeorm, &k_sequelize}) {
    Image image{*tool};
    image.add(1).add(2).set("migrations.command", "[\"true\"]");
    const auto result = image.run();
    INFO(tool->preset << ": " << result.err);
    CHECK(result == exits(25, "exit code 0", image.key(1), image.key(2)));
    CHECK(image.marker("status") == "failed");
    CHECK(image.look() == 31);
  }
}

TEST_CASE("django: each app's migrations count, those of installed packages do not") {
  const auto programs = k_django.programs();
  if (programs.empty()) return;
  Image image{k_django, programs};
  image.add(1).add("stock/__init__.py", "").add("stock/migrations/__init__.py", "");
  image.add("stock/migrations/backfill.py", django_migration("0001_step1", "stock"));
  image.add("shop/migrations/_helper.py", "");
  image.add("lib/site-packages/blog/migrations/0001_initial.py", "");
  image.add("lib/dist-packages/blog/migrations/0001_initial.py", "");
  image.add(".venv/blog/migrations/0001_initial.py", "");
  const auto closed = image.gate({"--once"});
  INFO(closed.err);
  CHECK(closed.err == contains("shop.0001_step1 is not applied (and 1 more)"));
  CHECK(image.run() == exits(0));
  CHECK(image.look() == 0);
}

// Packages bring migrations of their own, which are no part of the app's folder.
TEST_CASE(
    "django: the next release applies what an installed package brings, though nothing of its own is new") {
  const auto programs = k_django.programs();
  if (programs.empty()) return;
  Image image{k_django, programs};
  image.add(1);
  CHECK(image.run() == exits(0));
  Image next{image, "r2"};
  next.add("site-packages/blog/__init__.py", "")
      .add("site-packages/blog/migrations/__init__.py", "");
  next.add("site-packages/blog/migrations/0001_initial.py", django_migration("", "blog"));
  next.environment["PYTHONPATH"] = "site-packages";
  CHECK(next.look() == 0);
  CHECK(next.run() == exits(0));
  CHECK(image.database.value("SELECT to_regclass('blog') IS NOT NULL") == "t");
}

TEST_CASE(
    "django: what squashes migrations is applied, on an empty database and after those it replaces") {
  const auto programs = k_django.programs();
  if (programs.empty()) return;
  Image older{k_django, programs};
  older.add(1).add(2);
  CHECK(older.run() == exits(0));
  for (const bool is_empty : {false, true}) {
    Image image{older, "r2"};
    if (is_empty) image.environment["DATABASE_URL"] = image.database.url();
    image.add("shop/migrations/0001_squashed.py",
              django_migration("", "step1") +
                  "    replaces = [(\"shop\", \"0001_step1\"), (\"shop\", \"0002_step2\")]\n");
    CHECK(image.gate({"--once"}) == exits(30, "shop.0001_squashed"));
    CHECK(image.run() == exits(0));
    CHECK(image.look() == 0);
  }
}

TEST_CASE(
    "django: an app that Django passes over in silence, for want of an __init__.py, is told") {
  const auto programs = k_django.programs();
  if (programs.empty()) return;
  Image image{k_django, programs};
  image.add(1).add("stock/__init__.py", "");
  image.add("stock/migrations/0001_initial.py", django_migration("", "stock"));
  const auto result = image.run();
  CHECK(result == exits(25, "stock.0001_initial"));
  CHECK_FALSE(what_failed(result) == contains("shop.0001_step1"));
}

TEST_CASE("django: an app with a label of its own is followed by a key that says so") {
  const auto programs = k_django.programs();
  if (programs.empty()) return;
  Image image{k_django, programs};
  image.add(1).add("shop/apps.py", "from django.apps import AppConfig\n\n\nclass Shop(AppConfig):\n"
                                   "    name = \"shop\"\n    label = \"store\"\n");
  const auto result = image.run();
  CHECK(result == exits(25));  // the row says store.0001_step1
  image.set("migrations.history",
            "{table: django_migrations, files: '(?:.*/)?([^/]+)/migrations/([^_~/.][^/.]*)\\.py', "
            "key: \"CASE app WHEN 'store' THEN 'shop' ELSE app END || '.' || name\"}");
  CHECK(image.run() == exits(0));
  CHECK(image.look() == 0);
}

TEST_CASE("rails: numbers are compared without their zeros, and subfolders are looked into") {
  const auto programs = k_rails.programs();
  if (programs.empty()) return;
  Image image{k_rails, programs};
  image.add("db/migrate/003_old.rb", "class Old < ActiveRecord::Migration[6.0]; end\n");
  image.add("db/migrate/shop/20260101000000_from_engine.shop.rb",
            "class FromEngine < ActiveRecord::Migration[6.0]; end\n");
  CHECK(image.run() == exits(0));
  CHECK(image.look() == 0);
  image.database.execute("UPDATE schema_migrations SET version = '003' WHERE version = '3'");
  CHECK(image.look() == 0);
  image.database.execute("DELETE FROM schema_migrations WHERE version = '20260101000000'");
  CHECK(image.look() == 30);
}

TEST_CASE("knex: a file that Knex passes over in silence, for its extension, is told") {
  const auto programs = k_knex.programs();
  if (programs.empty()) return;
  Image image{k_knex, programs};
  image.add(1).add("migrations/20260102000000_step.mjs",
                   "export const up = () => {};\nexport const down = () => {};\n");
  image.add("migrations/README.md", "").add("migrations/helpers/money.js", "");
  const auto result = image.run();
  CHECK(result == exits(25, "20260102000000_step.mjs"));
  CHECK_FALSE(result.err == contains("money.js"));
  CHECK_FALSE(what_failed(result) == contains("20260101000000_step.js"));
}

TEST_CASE("typeorm: what a compiler leaves beside a migration is not another one") {
  const auto programs = k_typeorm.programs();
  if (programs.empty()) return;
  Image image{k_typeorm, programs};
  image.add(1)
      .add("migrations/1767225600001-Step.d.ts", "")
      .add("migrations/1767225600001-Step.js.map", "{}");
  image.add("migrations/index.js", "");
  CHECK(image.run() == exits(0));
  CHECK(image.look() == 0);
}
