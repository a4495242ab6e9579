// Prisma's own table, as our code makes and fills it.

#include <doctest/doctest.h>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/formats/prisma.hpp"
#include "support/history.hpp"
#include "support/leased.hpp"

using schemagate::Bookkeeping;
using schemagate::Fenced;
using schemagate::prisma::Table;
using namespace testing;

namespace {

struct Fixture {
  TestDatabase database;
  testing::Leased leased{database};
  schemagate::pg::Session& session = leased.session;
  schemagate::Folder folder;
  Table history{"public", leased.bookkeeping, folder};
  std::string id = schemagate::random_uuid();
  const std::string checksum = schemagate::sha256_hex("script");

  Fixture() {
    leased.write([&](Fenced& transaction) { history.create_if_missing(transaction); });
  }
  [[nodiscard]] std::string row(const std::string& columns) const {
    return database.value("SELECT concat_ws(' ', " + columns + ") FROM _prisma_migrations");
  }
};

}  // namespace

TEST_CASE("our _prisma_migrations is Prisma's, column by column, constraint by constraint") {
  const Fixture fixture;
  fixture.database.execute(std::string{"CREATE SCHEMA prisma; SET search_path = prisma;"} +
                           k_history_table);
  const auto described = [&](const std::string& schema) {
    auto facts = fixture.database.column(
        "SELECT concat_ws('|', ordinal_position, column_name, data_type, udt_name, character_maximum_length,"
        "                 datetime_precision, numeric_precision, is_nullable, column_default, collation_name)"
        "  FROM information_schema.columns"
        " WHERE table_name = '_prisma_migrations' AND table_schema = '" +
        schema + "' ORDER BY ordinal_position");
    for (
        const auto& fact : fixture.database.column(
            "SELECT conname || '|' || contype::text || '|' || pg_get_constraintdef(c.oid) FROM pg_constraint c"
            "  JOIN pg_namespace n ON n.oid = connamespace WHERE nspname = '" +
            schema + "' ORDER BY 1"))
      facts.push_back(fact);
    for (const auto& fact : fixture.database.column("SELECT replace(indexdef, '" + schema +
                                                    ".', '') FROM pg_indexes WHERE schemaname = '" +
                                                    schema + "' ORDER BY 1"))
      facts.push_back(fact);
    return facts;
  };
  const auto theirs = described("prisma");
  // PostgreSQL 18 also lists NOT NULL as a constraint.
  const auto not_null = fixture.database.value("SELECT count(*) FROM pg_constraint"
                                               " WHERE contype = 'n' AND conrelid ="
                                               " 'public._prisma_migrations'::regclass");
  CHECK(theirs.size() == 8 + 1 + 1 + std::stoul(not_null));
  CHECK(described("public") == theirs);
  CHECK(fixture.database.value("SELECT conname FROM pg_constraint WHERE contype <> 'n'"
                               "   AND conrelid = 'public._prisma_migrations'::regclass") ==
        "_prisma_migrations_pkey");
}

TEST_CASE("the table and its schema are made where they are missing, whatever the schema's name") {
  const TestDatabase database;
  testing::Leased leased{database};
  const schemagate::Folder folder;
  const Table history{"My \"odd\" schema", leased.bookkeeping, folder};
  CHECK_FALSE(history.read(leased.session).exists());
  const auto create = [&](Fenced& transaction) { history.create_if_missing(transaction); };
  leased.write(create);
  leased.write(create);
  CHECK(history.read(leased.session).exists());
  CHECK(database.value("SELECT schemaname FROM pg_tables WHERE tablename = '_prisma_migrations'") ==
        "My \"odd\" schema");
}

TEST_CASE(
    "the row of an applied migration looks like Prisma's: one step, no logs, finished after it started") {
  Fixture fixture;
  fixture.session.execute(
      fixture.history.insert_applied_sql(fixture.id, "1_init", fixture.checksum, "now()"));
  CHECK(fixture.row("id, checksum, migration_name, applied_steps_count") ==
        fixture.id + " " + fixture.checksum + " 1_init 1");
  CHECK(fixture.row("finished_at >= started_at, logs IS NULL, rolled_back_at IS NULL") == "t t t");
  CHECK(fixture.database.value(
            "SELECT id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'"
            " FROM _prisma_migrations") == "t");
  CHECK(fixture.history.is_finished(fixture.session, fixture.id));
}

TEST_CASE(
    "the row of a migration in parts goes from started to failed to finished as Prisma's would") {
  Fixture fixture;
  fixture.leased.write([&](Fenced& transaction) {
    fixture.history.insert_started(transaction, fixture.id, "1_init", "old");
  });
  CHECK(fixture.row(
            "applied_steps_count, finished_at IS NULL, rolled_back_at IS NULL, logs IS NULL") ==
        "0 t t t");
  CHECK_FALSE(fixture.history.is_finished(fixture.session, fixture.id));
  CHECK(fixture.history.read(fixture.session).rows.at(0).failed());

  fixture.leased.write(
      [&](Fenced& transaction) { fixture.history.set_failed(transaction, fixture.id, "why"); });
  CHECK(fixture.row("applied_steps_count, finished_at IS NULL, rolled_back_at IS NULL, logs") ==
        "0 t t why");

  fixture.session.execute(fixture.history.finish_sql(fixture.id, fixture.checksum));
  CHECK(
      fixture.row(
          "applied_steps_count, finished_at > started_at, rolled_back_at IS NULL, logs IS NULL, checksum") ==
      "1 t t t " + fixture.checksum);
  CHECK(fixture.history.read(fixture.session).applied("1_init") != nullptr);
}

TEST_CASE("the row of a rolled-back migration does not block Prisma and keeps the reason") {
  Fixture fixture;
  fixture.leased.write([&](Fenced& transaction) {
    fixture.history.insert_rolled_back(transaction, fixture.id, "1_init", fixture.checksum, "why");
  });
  CHECK(fixture.row("applied_steps_count, finished_at IS NULL, rolled_back_at IS NOT NULL, logs") ==
        "0 t t why");
  const auto rows = fixture.history.read(fixture.session).rows;
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].rolled_back);
  CHECK_FALSE(rows[0].failed());
  CHECK_FALSE(rows[0].applied());
  CHECK(rows[0].logs == "why");
}

TEST_CASE(
    "without a history the schema's tables are listed, but not PostGIS's, views and partitions") {
  const TestDatabase database;
  database.execute(
      "CREATE TABLE b (x int); CREATE UNLOGGED TABLE a (x int); CREATE TABLE spatial_ref_sys (x int);"
      "CREATE VIEW v AS SELECT 1; CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE SCHEMA o;"
      "CREATE TABLE o.elsewhere (x int)");
  auto session = database.connect();
  const Bookkeeping bookkeeping{"schemagate"};
  const auto history = Table{"public", bookkeeping, {}}.read(session);
  CHECK(history.foreign_tables == std::vector<std::string>{"a", "b"});
}

TEST_CASE("of a history of very many rows only what a folder or a person needs is read") {
  Fixture fixture;
  const auto add = [&](const std::string& columns, const std::string& values) {
    fixture.database.execute(
        "INSERT INTO _prisma_migrations (id, checksum, logs, started_at, migration_name" + columns +
        ") SELECT gen_random_uuid(), 'c', repeat('x', 20000), now() + n * interval '1 s', " +
        values + " FROM generate_series(1, 5000) AS n");
  };
  fixture.folder.migrations = {{.name = "1_ours", .file = {}, .sql = {}, .checksum = "c"}};
  add(", finished_at", "'1_ours', now()");
  add(", rolled_back_at", "'2_tried', now()");
  add(", finished_at", "'other_' || n, now()");
  fixture.database.execute(
      "UPDATE _prisma_migrations SET started_at = 'epoch', checksum = 'first'"
      " WHERE id = (SELECT id FROM _prisma_migrations WHERE migration_name = '1_ours' LIMIT 1)");
  const auto history = fixture.history.read(fixture.session);
  CHECK(history.rows.size() < 1100);
  CHECK(history.applied("1_ours") != nullptr);
  CHECK(history.applied("other_5000") != nullptr);  // the last ones
  std::size_t size = 0;
  for (const auto& row : history.rows) size += row.logs.size();
  CHECK(size <= 10000);  // of one attempt, and not all of it
}
