#include "schemagate/formats/prisma.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace schemagate;

namespace {

using Argv = std::vector<std::string>;

bool refused(const Argv& argv) {
  try {
    prisma::refuse_destructive_command(argv);
    return false;
  } catch (const Failure& failure) {
    CHECK(failure.code() == ExitCode::refused);
    CHECK_FALSE(failure.hint().empty());
    return true;
  }
}

}  // namespace

TEST_SUITE("command") {
  TEST_CASE("commands that reset or push are refused") {
    CHECK(refused({"npx", "prisma", "db", "push"}));
    CHECK(refused({"npx", "prisma", "migrate", "dev"}));
    CHECK(refused({"npx", "prisma", "migrate", "reset"}));
    CHECK(refused({"npx", "prisma", "migrate", "reset", "--force"}));
    CHECK(refused({"./node_modules/.bin/prisma", "db", "push", "--skip-generate"}));
    CHECK(refused({"pnpm", "exec", "prisma", "db", "push"}));
    CHECK(refused({"npx", "prisma@6", "migrate", "dev"}));
    CHECK(refused({"npx", "prisma", "migrate", "deploy", "--force-reset"}));
    CHECK(refused({"tool", "--accept-data-loss"}));
    CHECK(refused({"tool", "--accept-data-loss=true"}));
  }

  TEST_CASE("they are refused inside a shell line too") {
    CHECK(refused({"sh", "-c", "prisma db push"}));
    CHECK(refused({"sh", "-c", "npx prisma migrate reset --force && node seed.js"}));
    CHECK(refused({"bash", "-lc", "cd app;prisma\tmigrate   dev"}));
    CHECK(refused({"sh", "-c", "(prisma db push)"}));
    CHECK(refused({"sh", "-c", "echo y|prisma migrate reset"}));
    CHECK(refused({"sh", "-c", "prisma \"db\" 'push'"}));
    CHECK(refused({"sh", "-c", "`prisma db push`"}));
    CHECK(refused({"sh", "-c", "x=$(prisma db push)"}));
    CHECK(refused({"sh", "-c", "prisma migrate deploy\nprisma db push\n"}));
    CHECK(refused({"sh", "-c", "sh -c \"prisma db push\""}));
    CHECK(refused({"sh", "-c", "PRISMA DB PUSH"}));
  }

  TEST_CASE("a command that continues on the next line of a shell script is refused too") {
    CHECK(refused({"sh", "-c", "prisma migrate \\\n  reset --force"}));
  }

  TEST_CASE("commands that only look alike are let through") {
    CHECK_FALSE(refused({}));
    CHECK_FALSE(refused({"npx", "prisma", "migrate", "deploy"}));
    CHECK_FALSE(refused({"npx", "prisma", "migrate", "status"}));
    CHECK_FALSE(refused({"npx", "prisma", "migrate", "resolve", "--applied", "reset"}));
    CHECK_FALSE(refused({"npx", "prisma", "db", "execute", "--file", "push.sql"}));
    CHECK_FALSE(refused({"npx", "prisma", "db", "seed"}));
    CHECK_FALSE(refused({"sh", "-c", "prisma migrate deploy && git push"}));
    CHECK_FALSE(refused({"./migrate-dev.sh"}));
    CHECK_FALSE(refused({"node", "scripts/db-push.js"}));
    CHECK_FALSE(
        refused({"npx", "prisma", "migrate", "deploy", "--schema", "db/push/schema.prisma"}));
    CHECK_FALSE(refused({"npx", "prisma", "migrate", "deploy", "--no-accept-data-loss-check"}));
    CHECK_FALSE(refused({"npx", "drizzle-kit", "migrate"}));
    CHECK_FALSE(refused({"alembic", "upgrade", "head"}));
  }

  TEST_CASE("another tool's own db push, which only applies migrations, is let through") {
    CHECK_FALSE(refused({"supabase", "db", "push"}));
  }

  TEST_CASE("the refusal quotes what was refused") {
    CHECK_THROWS_WITH_AS(
        prisma::refuse_destructive_command({"sh", "-c", "prisma db push"}),
        "refused: \"prisma db push\" can drop data; schemagate never runs it against a "
        "database to be kept",
        Failure);
  }
}
