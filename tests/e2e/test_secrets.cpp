// What nobody may read in a log, a history, a marker or a run's row: values of variables, passwords
// of scripts, people's rows, other people's queries.
#include <doctest/doctest.h>

#include <functional>

#include "support/gate_project.hpp"
#include "support/open_transaction.hpp"

using namespace testing;

namespace {

// Of the log, of both forms of --json, of what the run left behind and of what a gate says.
std::string all_told(GateProject& project, int code) {
  project.set("marker.file", project.file("marker.json"));
  const auto first = project.run({"--json", "--log-level", "debug"});
  CHECK(first == exits(code));
  const auto again = project.run({"--log-format", "json"});
  CHECK(again == exits(code));
  const auto gate = project.gate({"--once"});
  const auto status = testing::schemagate(project.arguments("status"), project.options());
  const auto document =
      testing::schemagate(project.arguments("status", {"--json"}), project.options());
  return first.err + first.out + again.err + gate.err + status.out + document.out +
         read_text(project.file("marker.json")) +
         project.database.value(
             "SELECT coalesce(string_agg(m::text, ''), '') FROM schemagate.marker m") +
         project.database.value("SELECT string_agg(r::text, '') FROM schemagate.run r") +
         project.database.value(
             "SELECT CASE WHEN to_regclass('_prisma_migrations') IS NULL THEN '' ELSE "
             "(xpath('string(/)', query_to_xml('SELECT string_agg(logs, '''') FROM "
             "_prisma_migrations', true, false, '')))[1]::text END");
}

}  // namespace

TEST_SUITE_BEGIN("secrets");

TEST_CASE(
    "a command is told as the manifest has it, also where its output says a variable's value") {
  GateProject project;
  project.environment["TOK"] = "sk_live_1234";
  project.environment["OTHER"] = "a b'\"c";
  project.command("echo \"using $1 and $2\" >&2; echo \"env $HIDDEN\"; exit 3");
  project.set("migrations.command",
              "[sh, " + project.file("migrate.sh") + ", \"${TOK}\", \"x=${OTHER}\"]");
  project.set("migrations.env", "{HIDDEN: \"${TOK}-more\"}");
  const auto told = all_told(project, 25);
  CHECK(told != contains("sk_live_1234"));
  CHECK(told != contains("a b'"));
  CHECK(told == contains("running sh"));
  CHECK(told == contains("${TOK} x=${OTHER}"));
  CHECK(told == contains("| using ${TOK} and x=${OTHER}"));
}

TEST_CASE("a long command is shortened without half a value") {
  GateProject project;
  project.environment["TOK"] = std::string(300, 'k');
  project.command("exit 0");
  project.set("migrations.command", "[sh, " + project.file("migrate.sh") + ", \"${TOK}\"]");
  CHECK(project.run().err != contains("kkkk"));
}

TEST_CASE("a check is told as the manifest has it, whatever comes of it") {
  const std::vector<std::pair<std::string, std::string>> checks = {
      {"select count(*) > 5 from users where name = '${TOK}'", "= '${TOK}'"},
      {"select '${TOK}'", "check returned ${TOK}"},
      {"select '${TOK}'::integer = 1", "type integer: \\\"${TOK}\\\""},
      {"select ${TOK} from users", "${TOK}"},
      {"select '${TOK} from users", "${TOK}"}};
  for (const auto& [check, said] : checks) {
    CAPTURE(check);
    GateProject project;
    project.environment["TOK"] = "tok_verify_2";
    project.migration("1_users", "CREATE TABLE users (name text);")
        .set("verify", "[{sql: \"" + check + "\"}]");
    const auto told = all_told(project, 23);
    CHECK(told != contains("tok_verify_2"));
    CHECK(told == contains(said));
  }
}

TEST_CASE("what a check finds in a row is not told, a count is") {
  GateProject project;
  project.migration("1_users",
                    "CREATE TABLE users (name text); INSERT INTO users VALUES ('row' || 'data'), "
                    "('4000123412341234');");
  project.set(
      "verify",
      "[{sql: select min(name) from users}, {sql: select max(name) from users}, "
      "{sql: select count(*) from users}, {sql: select max(name)::integer = 1 from users}]");
  const auto told = all_told(project, 23);
  CHECK(told != contains("rowdata"));
  CHECK(told != contains("4000123412341234"));
  CHECK(told == contains("check returned a text"));
  CHECK(told == contains("check returned 2"));
}

TEST_CASE("rows that break a migration are not told, the constraint and its columns are") {
  const std::string rows =
      "CREATE TABLE source (id integer, mail text); INSERT INTO source SELECT n, "
      "'row' || 'data' || n / 2 FROM generate_series(2, 5) n;";
  const std::vector<std::pair<std::string, std::string>> scripts = {
      {"CREATE UNIQUE INDEX u_mail ON source (mail);", "Key (mail)=(…)"},
      {"ALTER TABLE source ADD CONSTRAINT u_mail UNIQUE (mail);", "u_mail"},
      {"CREATE TABLE t (mail text, other text NOT NULL); INSERT INTO t SELECT mail FROM source;",
       "\\\"other\\\""},
      {"CREATE TABLE t (mail text CONSTRAINT short CHECK (mail = '')); INSERT INTO t SELECT mail FROM source;",
       "short"},
      {"CREATE TABLE p (mail text PRIMARY KEY); CREATE TABLE t (mail text REFERENCES p); "
       "INSERT INTO t SELECT mail FROM source;",
       "Key (mail)=(…) is not present"},
      {"ALTER TABLE source ALTER COLUMN mail TYPE integer USING mail::integer;",
       "type integer: \\\"…\\\""},
      {"SELECT mail::json FROM source;", "json"},
      {"SELECT mail::date FROM source;", "date"},
      {"CREATE TABLE t (mail text) PARTITION BY LIST (mail); INSERT INTO t SELECT mail FROM source;",
       "(mail) = (…)"},
      {"DO $$ DECLARE m text; BEGIN SELECT mail INTO m FROM source LIMIT 1; "
       "EXECUTE format('INSERT INTO nowhere VALUES (%L)', m); END $$;",
       "nowhere"},
      {"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.mail; RETURN NEW; END $$; "
       "CREATE TRIGGER f BEFORE UPDATE ON source FOR EACH ROW EXECUTE FUNCTION f(); UPDATE source SET mail = mail;",
       "f()"}};
  for (const auto& [script, said] : scripts) {
    CAPTURE(script);
    GateProject project;
    project.migration("1_source", rows).migration("2_bad", script);
    const auto told = all_told(project, 21);
    CHECK(told != contains("rowdata"));
    CHECK(told == contains(said));
  }
}

TEST_CASE("a row at the end of a transaction, or outside of one, is not told either") {
  for (
      const std::string script :
      {"CREATE TABLE t (a text UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t SELECT 'row' || 'data' FROM "
       "generate_series(1, 2);",
       "CREATE TABLE t AS SELECT 'row' || 'data' AS a FROM generate_series(1, 2); COMMIT; "
       "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a);"}) {
    CAPTURE(script);
    GateProject project;
    project.migration("1_bad", script);
    CHECK(all_told(project, 21) != contains("rowdata"));
  }
}

TEST_CASE("what a blocker executes is not told, but who it is") {
  GateProject project;
  project.migration("1_users", "CREATE TABLE users (iban text);");
  project.set("migrations.lock_timeout", "200ms").set("migrations.lock_retry", "1s");
  REQUIRE(project.run() == exits(0));
  const OpenTransaction blocker{project.database, "SELECT 'query' FROM users WHERE iban = 'DE00'"};
  project.migration("2_name", "ALTER TABLE users ADD COLUMN name text;");
  const auto told = all_told(project, 13);
  CHECK(told != contains("DE00"));
  CHECK(told == contains("pid " + blocker.pid() + " (user postgres"));
  CHECK(told == contains("idle in transaction for "));
}

TEST_CASE("a statement is told without its password, and with its names") {
  GateProject project;
  project.migration("1_role",
                    "CREATE TABLE users (password_changed_at date, id int);\n"
                    "ALTER TABLE users ADD COLUMN id int, ADD COLUMN reset_password_token text;");
  auto told = all_told(project, 21);
  CHECK(told == contains("reset_password_token text"));
  project.migration("1_role", "ALTER ROLE nobody_at_all LOGIN PASSWORD 'hunter2';");
  told = all_told(project, 21);
  CHECK(told != contains("hunter2"));
  CHECK(told == contains("LOGIN PASSWORD '***'"));
}

TEST_SUITE_END();
