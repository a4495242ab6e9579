#pragma once
// A deployment whose history somebody else wrote (Prisma, a person, a crash), and what `status` and
// `resolve` say of it.

#include <algorithm>
#include <string>
#include <vector>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/text.hpp"
#include "support/deployment.hpp"
#include "support/history.hpp"
#include "support/json.hpp"

namespace testing {

// In every connection string of a Shop; nothing may ever print it. (The server trusts all.)
inline constexpr const char* k_url_password = "geheim-27182";

// What one look found: the text and the JSON, which agree.
struct Seen : Result {
  Json json{};

  // "STATE SUBJECT CODE", sorted.
  [[nodiscard]] std::string findings() const {
    std::vector<std::string> all;
    for (const auto& one : json.at("findings")) {
      const auto subject = one.at("subject").get<std::string>();
      all.push_back(one.at("state").get<std::string>() + " " +
                    (subject.empty() ? "" : subject + " ") +
                    std::to_string(one.at("exit_code").get<int>()));
    }
    std::sort(all.begin(), all.end());
    return joined(all);
  }
  [[nodiscard]] Json finding(const std::string& state, const std::string& subject = {}) const {
    for (const auto& one : json.at("findings"))
      if (one.at("state") == state && (subject.empty() || one.at("subject") == subject)) return one;
    FAIL("no finding " << state << " " << subject << " in\n" << json.dump(2));
    return {};
  }
  [[nodiscard]] std::string evidence(const std::string& state,
                                     const std::string& subject = {}) const {
    const auto found = finding(state, subject);
    std::string all;
    for (const auto& line : found.at("evidence")) all += line.get<std::string>() + "\n";
    return all;
  }
  [[nodiscard]] std::string hint(const std::string& state, const std::string& subject = {}) const {
    return text_of("hint", state, subject);
  }
  [[nodiscard]] std::string what(const std::string& state, const std::string& subject = {}) const {
    return text_of("what", state, subject);
  }
  // "NAME: STATE", as listed.
  [[nodiscard]] std::string migrations() const {
    std::vector<std::string> all;
    for (const auto& one : json.at("migrations"))
      all.push_back(one.at("name").get<std::string>() + ": " + one.at("state").get<std::string>());
    return joined(all);
  }

 private:
  [[nodiscard]] std::string text_of(const std::string& key, const std::string& state,
                                    const std::string& subject) const {
    const auto found = finding(state, subject);
    return found.at(key).get<std::string>();
  }
};

inline void check_agreement(const Seen& seen) {
  INFO(seen.out << seen.json.dump(2) << seen.err);
  CHECK(seen.json.at("exit_code") == seen.exit_code);
  CHECK(seen.json.at("healthy") == (seen.exit_code == 0));
  CHECK((seen.out == contains("healthy and up to date")) == (seen.exit_code == 0));
  CHECK(seen.out != contains("\x1b"));
  int lowest = 0;
  for (const auto& one : seen.json.at("findings")) {
    const auto code = one.at("exit_code").get<int>();
    if (code != 0 && (lowest == 0 || code < lowest)) lowest = code;
    CHECK(seen.out == contains(one.at("subject").get<std::string>()));
    for (const auto& line : one.at("evidence"))
      CHECK(seen.out == contains(line.get<std::string>()));
    const auto hint = one.at("hint").get<std::string>();
    const bool goes_without_saying =
        hint.empty() || hint == "schemagate run" || one.at("state") == "gate-closed";
    if (!goes_without_saying) CHECK(seen.out == contains("hint: " + hint));
    const auto what = schemagate::split(one.at("what").get<std::string>(), '\n').front();
    const bool is_said_shorter = one.at("state") == "pending" || one.at("state") == "gate-closed";
    if (!is_said_shorter) CHECK(seen.out == contains(what));
  }
  CHECK(seen == exits(lowest));
  if (lowest != 0) CHECK(seen.out == contains("exit code " + std::to_string(lowest)));
  for (const auto& one : seen.json.at("migrations"))
    if (one.at("state") != "applied")
      CHECK(seen.out == contains(one.at("name").get<std::string>()));
  for (const auto& run : seen.json.at("runs"))
    CHECK(seen.out == contains("#" + std::to_string(run.at("id").get<int>())));
  for (const auto& marker : seen.json.at("markers"))
    CHECK(seen.out == contains(marker.at("release").get<std::string>() + ": " +
                               marker.at("status").get<std::string>()));
}

class Shop : public Deployment {
 public:
  explicit Shop(Settings initial = {}) : Deployment{std::move(initial)} {
    if (settings.url.empty())
      settings.url = database().url_as(std::string{"postgres:"} + k_url_password);
  }

  [[nodiscard]] std::string checksum(const std::string& name) const {
    return schemagate::sha256_hex(read_text(folder() / name / "migration.sql"));
  }

  // A row of the history as `kind` leaves it, one second after the row before.
  void row(const std::string& name, const std::string& kind, std::string checksum = {}) const {
    if (checksum.empty())
      checksum = std::filesystem::exists(folder() / name / "migration.sql") ? this->checksum(name)
                                                                            : std::string(64, '0');
    const std::string error =
        "E'A migration failed to apply. New migrations cannot be applied before the error is "
        "recovered from. Read more about how to resolve migration issues in a production database: "
        "https://pris.ly/d/migrate-resolve\\n\\nMigration name: m\\n\\nDatabase error code: "
        "42703\\n\\nDatabase error:\\nERROR: column \"colour\" does not exist\\n\\nPosition:\\n"
        "\\u001B[1m  1\\u001B[0m SELECT 1;\\n\\nDbError { severity: \"ERROR\", code: SqlState(E42703) "
        "}\\n\\n   0: sql_schema_connector::apply_migration::apply_script\\n           with "
        "migration_name=\"m\"\\n'";
    struct Kind {
      const char* kind;
      std::string steps, logs, finished, rolled_back;
    };
    const std::vector<Kind> kinds = {
        {"applied", "1", "NULL", "at + interval '1 ms'", "NULL"},
        {"failed", "0", error, "NULL", "NULL"},
        {"killed", "0", "NULL", "NULL", "NULL"},     // or running now
        {"completed", "1", "NULL", "NULL", "NULL"},  // the script, but not the row
        {"rolled back", "0", error, "NULL", "at + interval '1 ms'"},
        {"baselined", "0", "''", "at", "NULL"},
        {"by hand", "0", "NULL", "at + interval '1 ms'", "NULL"},
    };
    const auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](const auto& one) { return kind == one.kind; });
    REQUIRE(found != kinds.end());
    using schemagate::pg::quote_literal;
    auto session = database().connect();
    session.execute(k_history_table);
    session.execute("INSERT INTO _prisma_migrations SELECT gen_random_uuid()::text, " +
                    quote_literal(checksum) + ", " + found->finished + ", " + quote_literal(name) +
                    ", " + found->logs + ", " + found->rolled_back + ", at, " + found->steps +
                    "  FROM (SELECT timestamptz '2026-01-02 03:04:00Z' + interval '1 s' * count(*)"
                    " AS at FROM _prisma_migrations) AS clock");
  }

  // One look each as text and as JSON.
  [[nodiscard]] Seen status() const {
    Seen seen{call({"status"})};
    const auto json = call({"status", "--json"});
    CHECK(seen == exits(json.exit_code));
    CHECK(seen.out + seen.err + json.out + json.err != contains(k_url_password));
    INFO(json.out << json.err);
    REQUIRE(Json::accept(json.out));
    seen.json = Json::parse(json.out);
    if (seen.json.contains("findings")) check_agreement(seen);
    return seen;
  }
  [[nodiscard]] Result resolve(const std::string& name, const std::string& decision) const {
    const auto result = call({"resolve", name, decision});
    CHECK(result.out + result.err != contains(k_url_password));
    return result;
  }

  // psql at work in the background, until the object goes or the database is dropped.
  [[nodiscard]] Process somebody_executes(const std::string& sql) const {
    Process psql{{"psql", "-qX", database().url() + "?application_name=somebody", "-c", sql}};
    REQUIRE(eventually([&] { return pid_of_somebody() != "NULL"; }));
    return psql;
  }
  [[nodiscard]] std::string pid_of_somebody() const {
    return database().value("SELECT max(pid) FROM pg_stat_activity WHERE application_name = "
                            "'somebody' AND datname = current_database() AND state = 'active'");
  }

  // Each row, every column.
  [[nodiscard]] std::vector<std::string> rows() const {
    if (database().value("SELECT to_regclass('_prisma_migrations') IS NULL") == "t") return {};
    return database().column("SELECT m::text FROM _prisma_migrations m ORDER BY started_at, id");
  }
  // All that is in the database: each row and each entry of the catalogue with the transaction that
  // wrote it, so that even a write that changes nothing shows.
  [[nodiscard]] std::string everything() const {
    return database().value(R"sql(
SELECT string_agg(line, E'\n' ORDER BY line) FROM (
  SELECT format('%s %s %s', c.oid, c.relname, c.xmin) AS line FROM pg_class c WHERE relpersistence <> 't'
  UNION ALL SELECT format('attribute %s %s %s', attrelid, attname, xmin) FROM pg_attribute
  UNION ALL SELECT format('constraint %s %s', oid, xmin) FROM pg_constraint
  UNION ALL SELECT format('schema %s %s', nspname, xmin) FROM pg_namespace WHERE nspname !~ '^pg_.*temp'
  UNION ALL SELECT format('type %s %s', oid, xmin) FROM pg_type
  UNION ALL SELECT format('function %s %s', oid, xmin) FROM pg_proc
  UNION ALL SELECT format('rows %s %s', c.oid::regclass,
                          query_to_xml(format(CASE relkind WHEN 'S' THEN 'SELECT last_value, is_called FROM %s'
                                              ELSE 'SELECT xmin, t::text FROM %s t' END,
                                 c.oid::regclass), true, true, ''))
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
   WHERE relkind IN ('r', 'S', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
     AND relpersistence <> 't') AS lines)sql");
  }
  // The notes of all runs, one a line.
  [[nodiscard]] std::string notes() const {
    if (database().value("SELECT to_regclass('schemagate.run') IS NULL") == "t") return "";
    return database().value("SELECT coalesce(string_agg(mode || ' ' || status || ': ' || note, "
                            "E'\\n' ORDER BY id), '') FROM schemagate.run WHERE note IS NOT NULL");
  }
  [[nodiscard]] bool is_lease_free() const { return !is_lease_held(database()); }
};

}  // namespace testing
