#include "support/generated.hpp"

#include <algorithm>

namespace testing {
namespace {

std::string identifier(const std::string& name) { return "\"" + name + "\""; }

// Characters that a careless reader of SQL stumbles over.
constexpr const char* k_odd_text = "'it''s; -- no /* comment */ $$ \\ ? $1 :x %s é'";

}  // namespace

// --- a migration

std::string GeneratedMigration::script() const {
  std::string text;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    if (!statements[i].comment.empty()) text += statements[i].comment + "\n";
    text += statements[i].sql + (i + 1 < statements.size() ? ";\n\n" : end);
  }
  if (statements.empty()) text = end == ";" ? "" : "-- This is an empty migration.\n";
  if (line_end == "\n") return text;
  std::string windows;
  for (const char c : text) windows += c == '\n' ? line_end : std::string{c};
  return windows;
}

std::size_t GeneratedMigration::line_of(std::size_t statement) const {
  auto before = *this;
  before.line_end = "\n";
  before.statements.resize(statement + 1);
  before.end = ";";
  const auto text = before.script();
  const auto start = text.size() - before.statements.back().sql.size() - 1;
  return 1 + static_cast<std::size_t>(
                 std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(start), '\n'));
}

std::size_t GeneratedMigration::done_when_sent_whole() const {
  std::size_t done = 0;
  for (std::size_t i = 0; i < failing; ++i)
    if (statements[i].nature == GeneratedStatement::Nature::commit) done = i + 1;
  return done;
}

std::size_t GeneratedMigration::done_when_split() const {
  if (std::any_of(statements.begin(), statements.end(),
                  [](const auto& one) { return one.is_do_block(); }))
    return done_when_sent_whole();
  auto done = failing;
  for (std::size_t i = 0; i < failing; ++i) {
    if (statements[i].nature == GeneratedStatement::Nature::begin) done = i;
    if (statements[i].nature == GeneratedStatement::Nature::commit) done = failing;
  }
  return done;
}

GeneratedMigration GeneratedMigration::mended() const {
  auto mended = *this;
  if (failure == Failure::none || failure == Failure::outside) return mended;
  mended.statements.erase(mended.statements.begin() + static_cast<std::ptrdiff_t>(failing));
  mended.failure = Failure::none;
  return mended;
}

// --- the model

Generator::Column Generator::any_column(bool nullable_only) {
  static const std::vector<std::string> types = {"TEXT",
                                                 "INTEGER",
                                                 "DECIMAL(65,30)",
                                                 "JSONB",
                                                 "TIMESTAMP(3)",
                                                 "TEXT[]",
                                                 "VARCHAR(40)",
                                                 "DOUBLE PRECISION",
                                                 "UUID",
                                                 "BOOLEAN NOT NULL DEFAULT false",
                                                 "BIGINT",
                                                 "BYTEA",
                                                 "DATE",
                                                 "INET",
                                                 "INTEGER NOT NULL DEFAULT 7",
                                                 "TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP"};
  const auto last = static_cast<int>(types.size()) - 1;
  auto type = types[static_cast<std::size_t>(number(0, last))];
  if (nullable_only) type = type.substr(0, type.find(" NOT NULL"));
  return {fresh(chance(20) ? "some col " : chance(50) ? "camelCase" : "snake_"), type, true};
}

Generator::Column* Generator::free_column(Table& table) {
  std::vector<Column*> free;
  for (auto& column : table.columns)
    if (column.is_free) free.push_back(&column);
  return free.empty() ? nullptr : any_of(free);
}

std::string Generator::value_for(const std::string& type) {
  if (type == "TEXT") return chance(50) ? k_odd_text : "'plain'";
  if (type == "VARCHAR(40)") return "'short'";
  if (type == "JSONB") return R"('{"a": [1, "b;"]}')";
  if (type == "TEXT[]") return "ARRAY['a', 'b;c']::TEXT[]";
  if (type.starts_with("BOOLEAN")) return chance(50) ? "true" : "false";
  if (type == "UUID") return "'0b0e7b1e-7d1c-4c5e-9f43-0d7a3c3f5a11'";
  if (type == "DATE") return "'2026-02-28'";
  if (type == "BYTEA") return "'\\xdeadbeef'";
  if (type == "INET") return "'10.0.0.1'";
  if (const auto labels = enums_.find(type); labels != enums_.end())
    return "'" + labels->second.front() + "'";
  if (type.starts_with("TIMESTAMP")) return "'2026-01-02 03:04:05.678'";
  return std::to_string(number(1, 999));
}

std::string Generator::shape_of(const std::string& type) {
  return enums_.contains(type) ? identifier(type) : type;
}

void Generator::create_table() {
  Table table{.name = fresh(chance(30) ? "item_" : "Item"), .columns = {}, .ids = {}};
  std::string columns;
  for (int i = number(1, 4); i > 0; --i) {
    table.columns.push_back(any_column(false));
    columns +=
        "    " + identifier(table.columns.back().name) + " " + table.columns.back().type + ",\n";
  }
  add("CREATE TABLE " + identifier(table.name) + " (\n    \"id\" SERIAL NOT NULL,\n" + columns +
          "\n    CONSTRAINT " + identifier(table.name + "_pkey") + " PRIMARY KEY (\"id\")\n)",
      Nature::visible, "-- CreateTable");
  tables_.push_back(table);
}

void Generator::add_column() {
  auto& table = any_of(tables_);
  std::string sql = "ALTER TABLE " + identifier(table.name);
  for (int i = number(1, 2); i > 0; --i) {
    table.columns.push_back(any_column(false));
    sql += std::string{" ADD COLUMN     "} + identifier(table.columns.back().name) + " " +
           table.columns.back().type + (i > 1 ? ",\n" : "");
  }
  add(sql, Nature::visible, "-- AlterTable");
}

void Generator::drop_column() {
  auto& table = any_of(tables_);
  const auto* column = free_column(table);
  if (column == nullptr) return;
  const auto name = column->name;
  add("ALTER TABLE " + identifier(table.name) + " DROP COLUMN " + identifier(name), Nature::visible,
      "/*\n  Warnings:\n\n  - You are about to drop the column; all the data will be lost.\n*/");
  std::erase_if(table.columns, [&](const auto& one) { return one.name == name; });
  std::erase_if(indexes_,
                [&](const auto& one) { return one.table == table.name && one.column == name; });
}

void Generator::rename_column() {
  auto& table = any_of(tables_);
  auto* column = free_column(table);
  if (column == nullptr) return;
  const auto name = fresh("renamed");
  add("ALTER TABLE " + identifier(table.name) + " RENAME COLUMN " + identifier(column->name) +
      " TO " + identifier(name));
  for (auto& index : indexes_)
    if (index.table == table.name && index.column == column->name) index.column = name;
  column->name = name;
}

void Generator::change_column() {
  auto& table = any_of(tables_);
  auto* column = free_column(table);
  if (column == nullptr) return;
  const auto alter =
      "ALTER TABLE " + identifier(table.name) + " ALTER COLUMN " + identifier(column->name) + " ";
  if (column->type == "INTEGER") {
    add(alter + "SET DATA TYPE BIGINT", Nature::repeatable, "-- AlterTable");
    column->type = "BIGINT";
  } else if (column->type == "TEXT") {
    add(alter + "SET DEFAULT 'v" + std::to_string(++count_) + "'", Nature::repeatable);
  } else if (column->type.starts_with("BOOLEAN")) {
    add(alter + "DROP NOT NULL", Nature::repeatable);
  }
}

void Generator::create_index() {
  auto& table = any_of(tables_);
  const auto* column = free_column(table);
  if (column == nullptr || column->type == "JSONB") return;
  indexes_.push_back({fresh("index_"), table.name, column->name});
  const bool unique = chance(40);
  add(std::string{unique ? "CREATE UNIQUE INDEX " : "CREATE INDEX "} +
          identifier(indexes_.back().name) + " ON " + identifier(table.name) + "(" +
          (unique ? "\"id\", " : "") + identifier(column->name) + ")",
      Nature::visible, "-- CreateIndex");
}

void Generator::drop_index() {
  if (indexes_.empty()) return;
  const auto name = any_of(indexes_).name;
  add("DROP INDEX " + identifier(name), Nature::visible, "-- DropIndex");
  std::erase_if(indexes_, [&](const auto& one) { return one.name == name; });
}

void Generator::foreign_key() {
  auto& table = any_of(tables_);
  auto& other = any_of(tables_);
  const Column column{fresh("refId"), "INTEGER", false};
  table.columns.push_back(column);
  other.is_used = true;
  add("ALTER TABLE " + identifier(table.name) + " ADD COLUMN " + identifier(column.name) +
      " INTEGER");
  add("ALTER TABLE " + identifier(table.name) + " ADD CONSTRAINT " +
          identifier(column.name + "_fkey") + " FOREIGN KEY (" + identifier(column.name) +
          ") REFERENCES " + identifier(other.name) +
          "(\"id\") ON DELETE SET NULL ON UPDATE CASCADE",
      Nature::visible, "-- AddForeignKey");
}

void Generator::enum_type() {
  if (!enums_.empty() && chance(40)) {
    auto& [name, labels] = *enums_.begin();
    labels.push_back(fresh("LATER_"));
    new_values_.push_back(name);
    add("ALTER TYPE " + identifier(name) + " ADD VALUE '" + labels.back() + "'", Nature::visible,
        "-- AlterEnum");
    return;
  }
  const auto name = fresh("Kind");
  enums_[name] = {"FIRST", "it is second"};
  add("CREATE TYPE " + identifier(name) + " AS ENUM ('FIRST', 'it is second')", Nature::visible,
      "-- CreateEnum");
  auto& table = any_of(tables_);
  table.columns.push_back({fresh("kind"), name, false});
  add("ALTER TABLE " + identifier(table.name) + " ADD COLUMN " +
      identifier(table.columns.back().name) + " " + identifier(name));
}

// As Prisma writes it when a value is removed.
void Generator::swap_enum() {
  if (enums_.empty()) return;
  auto& [name, labels] = *enums_.rbegin();
  if (std::find(new_values_.begin(), new_values_.end(), name) != new_values_.end()) return;
  labels = {"FIRST", "it is second", fresh("SWAPPED_")};
  add("BEGIN", Nature::begin, "-- AlterEnum");
  add("CREATE TYPE " + identifier(name + "_new") + " AS ENUM ('FIRST', 'it is second', '" +
      labels.back() + "')");
  for (const auto& table : tables_)
    for (const auto& column : table.columns)
      if (column.type == name)
        add("ALTER TABLE " + identifier(table.name) + " ALTER COLUMN " + identifier(column.name) +
            " TYPE " + identifier(name + "_new") + " USING (" + identifier(column.name) +
            "::text::" + identifier(name + "_new") + ")");
  add("ALTER TYPE " + identifier(name) + " RENAME TO " + identifier(name + "_old"));
  add("ALTER TYPE " + identifier(name + "_new") + " RENAME TO " + identifier(name));
  add("DROP TYPE " + identifier(name + "_old"));
  add("COMMIT", Nature::commit);
}

void Generator::view() {
  if (!views_.empty() && chance(30)) {
    add("DROP VIEW " + identifier(views_.back()));
    views_.pop_back();
    return;
  }
  auto& table = any_of(tables_);
  table.is_used = true;
  views_.push_back(fresh("view_"));
  add("CREATE VIEW " + identifier(views_.back()) + " AS SELECT \"id\", 'a;b' AS \"text\" FROM " +
      identifier(table.name));
}

void Generator::function() {
  const bool replace = !functions_.empty() && chance(50);
  if (!replace) functions_.push_back(fresh("function_"));
  const auto tag = chance(50) ? "$$" : "$body$";
  add(std::string{"CREATE "} + (replace ? "OR REPLACE " : "") + "FUNCTION " + functions_.back() +
          "(x int) RETURNS int AS " + tag +
          "\nDECLARE\n  y int := 1; -- it's; $1\nBEGIN\n  RETURN x + y + " +
          std::to_string(++count_) + ";\nEND;\n" + tag + " LANGUAGE plpgsql",
      replace ? Nature::repeatable : Nature::visible);
}

void Generator::insert() {
  auto& table = any_of(tables_);
  std::string names = "\"id\"";
  table.ids.push_back(++count_);
  std::string values = std::to_string(table.ids.back());
  for (const auto& column : table.columns) {
    const bool added_now =
        std::find(new_values_.begin(), new_values_.end(), column.type) != new_values_.end();
    if (column.name.starts_with("refId") || added_now || chance(40)) continue;
    names += ", " + identifier(column.name);
    values += ", " + value_for(column.type);
  }
  add("INSERT INTO " + identifier(table.name) + " (" + names + ") VALUES (" + values + ")",
      Nature::unseen);
}

void Generator::change_rows() {
  auto& table = any_of(tables_);
  for (const auto& column : table.columns)
    if (column.type == "TEXT")
      return add("UPDATE " + identifier(table.name) + " SET " + identifier(column.name) +
                     " = coalesce(" + identifier(column.name) + ", '') || 'x;' WHERE \"id\" > 3",
                 Nature::unseen);
}

void Generator::remark() {
  auto& table = any_of(tables_);
  if (chance(50))
    add("COMMENT ON TABLE " + identifier(table.name) + " IS " + k_odd_text, Nature::of_no_account,
        "-- a remark; /* with a mark");
  else add("SET lock_timeout = '20s'", Nature::of_no_account);
}

void Generator::do_block() {
  auto& table = any_of(tables_);
  table.columns.push_back({fresh("done"), "INTEGER", true});
  add("DO $$\nBEGIN\n  IF NOT EXISTS (SELECT 1 FROM information_schema.columns WHERE table_name = '" +
          table.name + "' AND column_name = '" + table.columns.back().name +
          "') THEN\n    ALTER TABLE " + identifier(table.name) + " ADD COLUMN " +
          identifier(table.columns.back().name) + " INTEGER;\n  END IF;\nEND $$",
      Nature::unseen);
}

void Generator::rename_table() {
  auto& table = any_of(tables_);
  const auto name = fresh("Renamed");
  add("ALTER TABLE " + identifier(table.name) + " RENAME TO " + identifier(name));
  for (auto& index : indexes_)
    if (index.table == table.name) index.table = name;
  table.name = name;
}

void Generator::drop_table() {
  if (tables_.size() < 3) return;
  const auto& table = any_of(tables_);
  if (table.is_used) return;
  const auto name = table.name;
  add("DROP TABLE " + identifier(name), Nature::visible, "-- DropTable");
  std::erase_if(indexes_, [&](const auto& one) { return one.table == name; });
  std::erase_if(tables_, [&](const auto& one) { return one.name == name; });
}

void Generator::check() {
  const auto& table = any_of(tables_);
  add("ALTER TABLE " + identifier(table.name) + " ADD CONSTRAINT " + identifier(fresh("check_")) +
      " CHECK (\"id\" > 0)" + (chance(30) ? " NOT VALID" : ""));
}

void Generator::something() {
  using Template = void (Generator::*)();
  static const std::vector<Template> templates = {
      &Generator::create_table, &Generator::add_column,    &Generator::add_column,
      &Generator::drop_column,  &Generator::rename_column, &Generator::change_column,
      &Generator::create_index, &Generator::create_index,  &Generator::drop_index,
      &Generator::foreign_key,  &Generator::enum_type,     &Generator::swap_enum,
      &Generator::view,         &Generator::function,      &Generator::insert,
      &Generator::insert,       &Generator::change_rows,   &Generator::remark,
      &Generator::do_block,     &Generator::rename_table,  &Generator::drop_table,
      &Generator::check};
  (this->*any_of(templates))();
}

GeneratedMigration Generator::next() {
  static const std::vector<std::string> suffixes = {"_init", "_Add-Thing", "_two words", "",
                                                    "_x.y"};
  GeneratedMigration migration;
  migration.name = std::to_string(20260101000000 + ++migrations_) + any_of(suffixes);
  now_ = &migration.statements;
  new_values_.clear();
  if (chance(10)) migration.line_end = "\r\n";
  if (chance(30)) migration.end = ";";
  while (tables_.size() < 2) create_table();
  if (chance(5)) return migration;
  if (migration.statements.empty() && chance(8)) {
    if (create_index(); !migration.statements.empty()) {
      auto& sql = migration.statements.front().sql;
      sql.insert(sql.find("INDEX ") + 6, "CONCURRENTLY ");
      return migration;
    }
  }
  for (int i = number(1, 6); i > 0; --i) something();
  return migration;
}

bool Generator::spoil(GeneratedMigration& migration, bool atomic) {
  using Failure = GeneratedMigration::Failure;
  auto& statements = migration.statements;
  if (statements.empty() || statements.front().sql.find("CONCURRENTLY") != std::string::npos)
    return false;
  auto most = statements.size();
  for (std::size_t i = 0; i < statements.size() && atomic; ++i)
    if (statements[i].nature == Nature::commit) most = std::min(most, i);
  migration.failing = static_cast<std::size_t>(number(0, static_cast<int>(most)));
  const auto put = [&](Failure failure, const std::string& sql) {
    migration.failure = failure;
    statements.insert(statements.begin() + static_cast<std::ptrdiff_t>(migration.failing),
                      {sql, Nature::unseen, ""});
    return true;
  };
  switch (number(0, 8)) {
    case 0: return put(Failure::unseen, "SELECT 1/0");
    case 1: return put(Failure::unseen, "INSERT INTO missing VALUES ('a;b')");
    case 2: return put(Failure::unseen, "DO $$ BEGIN RAISE EXCEPTION 'no; never'; END $$");
    case 3: return put(Failure::unseen, "UPDATE \"_prisma_migrations\" SET \"nothing\" = 1");
    case 4: return put(Failure::conflicting, "DROP TABLE \"missing\"");
    case 5: return put(Failure::conflicting, "ALTER TABLE \"missing\" ADD COLUMN \"x\" INTEGER");
    case 6:
      return put(Failure::conflicting, "CREATE TABLE \"_prisma_migrations\" (\"id\" INTEGER)");
    default: return put(Failure::outside, "INSERT INTO aside.tried SELECT aside.check()");
  }
}

}  // namespace testing
