// What counts as drift, and what is somebody else's to change. Pure.

#include <doctest/doctest.h>

#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/drift.hpp"

using namespace schemagate;

namespace {

Difference came(const std::string& kind, const std::string& name, const std::string& definition,
                const std::string& parent = {}) {
  return {{kind, name}, {}, Object{definition, parent}};
}

Difference went(const std::string& kind, const std::string& name, const std::string& definition,
                const std::string& parent = {}) {
  return {{kind, name}, Object{definition, parent}, {}};
}

std::string names(const std::vector<Difference>& differences) {
  std::vector<std::string> all;
  for (const auto& one : differences) all.push_back(one.object.name);
  return join(all, " ");
}

}  // namespace

TEST_CASE("a schema is named by a script where its name stands as a word, in any case") {
  const auto named = [](const std::string& script) {
    return join(schemas_named({"auth", "Billing", "my-schema", "ops_2"}, {script}), " ");
  };
  CHECK(named("CREATE TABLE auth.users ();") == "auth");
  CHECK(named("create table AUTH.users ()") == "auth");
  CHECK(named("CREATE TABLE \"Billing\".\"Invoice\" ()") == "Billing");
  CHECK(named("CREATE TABLE authors (); -- oauth, auth_x, $auth") == "");
  CHECK(named("SET search_path = 'ops_2'") == "ops_2");
  CHECK(named("CREATE TABLE \"my-schema\".t ()") == "my-schema");
  CHECK(named("-- in my-schema") == "");
  CHECK(named("authé.t") == "");
  CHECK(named("auth") == "auth");
  CHECK(schemas_named({"a", "b", "c"}, {"x b", "c.y"}) == std::vector<std::string>{"b", "c"});
  CHECK(schemas_named({}, {"x"}).empty());
}

TEST_CASE("the schema of an object is told from its name") {
  CHECK(schema_of({"relation", "public.users"}) == "public");
  CHECK(schema_of({"column", "\"a.b\".\"c.d\".e"}) == "a.b");
  CHECK(schema_of({"column", "\"say \"\"hi\"\"\".t.e"}) == "say \"hi\"");
  CHECK(schema_of({"schema", "shop"}) == "shop");
  CHECK(schema_of({"grant", "table public.users to app"}) == "public");
  CHECK(schema_of({"grant", "materialized view m.v to app"}) == "m");
  CHECK(schema_of({"grant", "schema shop to app"}) == "shop");
  CHECK(schema_of({"grant", "function f.f(a integer) to public"}) == "f");
  CHECK(schema_of({"extension", "citext"}) == "");
}

TEST_CASE("an array is written so that PostgreSQL reads the same names") {
  CHECK(pg::array_of({}) == "{}");
  CHECK(pg::array_of({"a", "b c"}) == R"({"a","b c"})");
  CHECK(pg::array_of({R"(a"b\c,d})"}) == R"({"a\"b\\c,d}"})");
}

TEST_CASE("partitions that come and go are a scheduler's, with all that belongs to them") {
  const std::string partition = "table partition of public.log FOR VALUES IN (1)";
  CHECK(names(that_count({came("relation", "public.log_1", partition),
                          came("column", "public.log_1.a", "integer", "public.log_1"),
                          came("index", "public.log_1_a_idx", "CREATE INDEX", "public.log_1"),
                          came("grant", "table public.log_1 to app", "SELECT", "public.log_1"),
                          came("constraint", "public.ref.ref_1",
                               "FOREIGN KEY (a) REFERENCES public.log_1(a)", "public.ref"),
                          came("constraint", "public.ref.mine",
                               "FOREIGN KEY (a) REFERENCES public.log_10(a)", "public.ref"),
                          came("column", "public.log.b", "text", "public.log")},
                         {}, {})) == "public.ref.mine public.log.b");
  CHECK(that_count({went("relation", "public.log_1", partition)}, {}, {}).empty());
  // Detached, and kept as a table.
  CHECK(that_count({{{"relation", "public.log_1"}, Object{partition, {}}, Object{"table", {}}}}, {},
                   {})
            .empty());
  // Its bounds were changed: that is no scheduler's work.
  CHECK(that_count({{{"relation", "public.log_1"},
                     Object{partition, {}},
                     Object{"table partition of public.log FOR VALUES IN (2)", {}}}},
                   {}, {})
            .size() == 1);
}

TEST_CASE("what others may change is left out by its kind and name, its name, or its table's") {
  const std::vector<Difference> all = {
      came("relation", "public.tmp_import", "table"),
      came("column", "public.tmp_import.a", "text", "public.tmp_import"),
      came("index", "public.users_dba", "CREATE INDEX", "public.users"),
      came("function", "public.users_dba()", "..."), came("relation", "other.t", "table")};
  CHECK(names(that_count(all, {}, {"public.tmp_*"})) ==
        "public.users_dba public.users_dba() other.t");
  CHECK(names(that_count(all, {}, {"index *"})) ==
        "public.tmp_import public.tmp_import.a public.users_dba() other.t");
  CHECK(names(that_count(all, {}, {"index public.users_dba", "relation *"})) ==
        "public.tmp_import.a public.users_dba()");
  CHECK(names(that_count(all, {"other"}, {})) ==
        "public.tmp_import public.tmp_import.a public.users_dba public.users_dba()");
  CHECK(that_count(all, {}, {"*"}).empty());
}
