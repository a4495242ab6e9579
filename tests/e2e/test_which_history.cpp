// docs/manifest.md, "Which schema, which history", where other files do not show it: two URLs, an
// external command.

#include <doctest/doctest.h>

#include "support/gate_project.hpp"

using namespace testing;

TEST_SUITE_BEGIN("which history");

TEST_CASE("two URLs that disagree about the schema are refused before anything is made") {
  const struct {
    const char *url, *direct_url;
    bool agree;
  } k_pairs[] = {
      {"schema=shop", "", false},
      {"", "schema=shop", false},
      {"schema=shop", "schema=cart", false},
      {"schema=public", "schema=shop", false},
      {"schema=shop", "schema=shop", true},
      {"schema=public", "", true},
      {"", "schema=public", true},
  };
  for (const auto& [url, direct_url, agree] : k_pairs) {
    CAPTURE(url);
    CAPTURE(direct_url);
    GateProject project;
    project.migration("1_users", "CREATE TABLE users (id int);");
    const auto base = project.database.url() + "?";
    project.set("database.direct_url", "\"" + base + direct_url + "\"");
    for (const std::string pooler : {"", "&pgbouncer=true"}) {
      project.environment["DATABASE_URL"] = base + url + pooler;
      if (agree) CHECK(project.run() == exits(0));
      else CHECK(project.run() == exits(24, "disagree about the schema"));
      CHECK(project.look() == (agree ? 0 : 24));
    }
    CHECK(project.is_untouched() == !agree);
  }
}

TEST_CASE("two URLs that lead to different databases are refused before anything is made") {
  const TestDatabase elsewhere;
  GateProject project;
  project.migration("1_users", "CREATE TABLE users (id int);");
  project.environment["DATABASE_URL"] = project.database.url() + "?pgbouncer=true";
  project.set("database.direct_url", elsewhere.url());
  CHECK(project.run() == exits(24, "lead to different databases", elsewhere.name()));
  CHECK(project.is_untouched());
  CHECK(elsewhere.value("SELECT to_regnamespace('schemagate')") == "NULL");
  // One that cannot be reached from here is nobody's mistake.
  project.environment["DATABASE_URL"] = "postgresql://postgres@127.0.0.1:1/x?pgbouncer=true";
  CHECK(project.run() == exits(0, "cannot be reached from here"));
}

TEST_CASE("two URLs whose roles look into different schemas are refused before anything is made") {
  const struct {
    const char* app;       // search_path of the role of url
    const char* migrator;  // and of direct_url's
    const char* schema;    // where the history is; empty: refused
  } k_paths[] = {
      {"public", "shop, public", ""},
      {"shop", "public", ""},
      {"shop", "shop, public", "shop"},
      {"cart, shop", "shop", ""},
      {"nowhere", "shop", "shop"},
      {"nowhere, shop", "shop", "shop"},
      {"\"$user\", public", "public", "public"},
  };
  for (const auto& [app_path, migrator_path, schema] : k_paths) {
    for (const bool in_database : {false, true}) {
      CAPTURE(app_path);
      CAPTURE(migrator_path);
      CAPTURE(in_database);
      const TestRole app{"app"};
      const TestRole migrator{"migrator"};
      GateProject project;
      project.migration("1_users", "CREATE TABLE IF NOT EXISTS users (id int);");
      const auto& database = project.database;
      const std::string in = in_database ? " IN DATABASE " + database.name() : "";
      database.execute(
          "CREATE SCHEMA shop; CREATE SCHEMA cart; GRANT USAGE ON SCHEMA shop, cart TO " +
          app.name() + "; GRANT ALL ON SCHEMA shop, public TO " + migrator.name() +
          "; GRANT CREATE ON DATABASE " + database.name() + " TO " + migrator.name() +
          "; ALTER ROLE " + app.name() + in + " SET search_path = " + app_path + "; ALTER ROLE " +
          migrator.name() + in + " SET search_path = " + migrator_path);
      const auto url = database.url_as(app.name()) + "?pgbouncer=true";
      project.environment["DATABASE_URL"] = url;
      project.set("database.direct_url", database.url_as(migrator.name()));
      if (schema[0] == '\0') {
        CHECK(project.run() ==
              exits(24, "lead to different schemas", "give both the same ?schema="));
        CHECK(project.is_untouched());
        // As the hint has it, either way.
        project.environment["DATABASE_URL"] = url + "&schema=shop";
        project.set("database.direct_url",
                    "\"" + database.url_as(migrator.name()) + "?schema=shop\"");
        CHECK(project.run() == exits(0));
        project.environment["DATABASE_URL"] = url;
        project.set("database.direct_url", database.url_as(migrator.name()))
            .set("migrations.schema", "shop");
        CHECK(project.run() == exits(0, "nothing to do"));
      } else {
        CHECK(project.run() == exits(0, std::string{"schema "} + schema));
        // A history that is there already is found from both sides.
        database.execute("ALTER ROLE " + migrator.name() + in + " SET search_path = cart, " +
                         schema);
        project.set("release", "r2");
        CHECK(project.run() == exits(0));
        CHECK(project.marker("scope", "r2") == std::string{"prisma:"} + schema);
      }
      database.execute("DROP OWNED BY " + migrator.name() + ", " + app.name());
    }
  }
}

TEST_CASE("a search_path of the environment decides for the history and for what scripts make") {
  GateProject project;
  project.database.execute("CREATE SCHEMA shop");
  project.migration("1_users", "CREATE TABLE users (id int);");
  project.environment["PGOPTIONS"] = "-c search_path=shop,public";
  CHECK(project.run() == exits(0, "schema shop"));
  CHECK(project.database.value("SELECT to_regclass('shop.users')") == "shop.users");
  CHECK(project.database.value("SELECT to_regclass('shop._prisma_migrations')") ==
        "shop._prisma_migrations");
  CHECK(project.look() == 0);
  project.environment.erase("PGOPTIONS");
  CHECK(project.gate({"--once"}) ==
        exits(30, "it is complete for prisma:shop, but this gate is for prisma:public"));
}

TEST_CASE("a command is known by what it is told, but not by a password") {
  GateProject project;
  const auto told = [&](const std::string& argument, const std::string& value) {
    project.command("echo \"told $1 $SETTING\"\n");
    project.set("migrations.command",
                "[sh, " + project.file("migrate.sh") + ", \"" + argument + "\"]");
    project.set("migrations.env", "{SETTING: \"" + value + "\"}");
  };
  const auto is_executed = [&] {
    const auto result = project.run();
    CHECK(result == exits(0));
    return result.err == contains("| told ");
  };
  told("postgresql://me:secret@db/shop", "one");
  CHECK(is_executed());
  CHECK_FALSE(is_executed());
  told("postgresql://you:changed@db/shop", "one");
  CHECK(project.look() == 0);
  CHECK_FALSE(is_executed());
  for (const auto& [argument, value] :
       {std::pair{"postgresql://me:secret@db/cart", "one"}, {"--all", "one"}, {"--all", "two"}}) {
    CAPTURE(argument);
    CAPTURE(value);
    told(argument, value);
    CHECK(project.gate({"--once"}) == exits(30, "it is complete for command:public:"));
    CHECK(is_executed());
    CHECK(project.look() == 0);
  }
  // In another schema it is other work, too.
  project.environment["DATABASE_URL"] = project.database.url() + "?schema=shop";
  CHECK(project.look() == 30);
  CHECK(is_executed());
}

TEST_SUITE_END();
