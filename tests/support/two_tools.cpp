#include "support/two_tools.hpp"

#include <stdexcept>

#include "schemagate/base/text.hpp"

namespace testing {

SharedFolder::SharedFolder(const std::string& manifest_lines) {
  dir_.write("migrations/migration_lock.toml", "provider = \"postgresql\"\n");
  dir_.write("schemagate.yaml",
             "version: 1\ndatabase: {url: \"${DATABASE_URL}\"}\n" +
                 (manifest_lines.empty() ? "migrations: {directory: migrations}" : manifest_lines) +
                 "\n");
}

void SharedFolder::migration(const std::string& name, const std::string& sql) const {
  dir_.write("migrations/" + name + "/migration.sql", sql);
}

void SharedFolder::remove(const std::string& name) const {
  std::filesystem::remove_all(path() / name);
}

std::string SharedFolder::script(const std::string& name) const {
  return read_text(path() / name / "migration.sql");
}

Result SharedFolder::ours(const TestDatabase& database,
                          const std::vector<std::string>& arguments) const {
  return schemagate(arguments, {.environment = {{"DATABASE_URL", database.url()}},
                                .directory = dir_.path().string()});
}

Json SharedFolder::status(const TestDatabase& database) const {
  const auto result = ours(database, {"status", "--json"});
  if (!Json::accept(result.out)) throw std::runtime_error{"no status: " + result.out + result.err};
  auto json = Json::parse(result.out);
  if (json.at("exit_code") != result.exit_code)
    throw std::runtime_error{"status says another exit code than it has: " + result.out};
  return json;
}

std::string states_of(const Json& status, const std::string& subject) {
  std::string states;
  for (const auto& finding : status.at("findings")) {
    if (finding.at("subject") != subject || finding.at("state") == "gate-closed") continue;
    const auto code = finding.at("exit_code").get<int>();
    states += (states.empty() ? "" : ", ") + finding.at("state").get<std::string>() +
              (code == 0 ? "" : " (" + std::to_string(code) + ")");
  }
  return states;
}

std::vector<std::string> history_rows(const TestDatabase& database) {
  if (database.value("SELECT to_regclass('public._prisma_migrations') IS NULL") == "t")
    return {"no table"};
  return database.column(R"sql(
SELECT concat_ws(', ', migration_name, checksum, applied_steps_count || ' steps',
         'finished ' || CASE WHEN finished_at IS NULL THEN 'NULL' WHEN finished_at < started_at THEN 'too early'
           WHEN applied_steps_count = 0 AND finished_at = started_at THEN '= started' ELSE 'later' END,
         'rolled back ' || CASE WHEN rolled_back_at IS NULL THEN 'NULL'
           WHEN rolled_back_at < started_at THEN 'too early' ELSE 'later' END,
         'logs ' || CASE WHEN logs IS NULL THEN 'NULL' WHEN logs = '' THEN 'empty' ELSE 'text' END,
         CASE WHEN id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' THEN 'uuid'
           ELSE id END,
         CASE WHEN greatest(started_at, finished_at, rolled_back_at) > now() THEN 'in the future' END)
  FROM _prisma_migrations ORDER BY started_at, migration_name)sql");
}

std::string data_of(const TestDatabase& database) {
  auto session = database.connect();
  const auto tables = session.query(R"sql(
SELECT relname, format('SELECT (to_jsonb(t) - %L::text[])::text AS row FROM %s t ORDER BY 1',
                       ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = c.oid
                                AND atttypid IN ('timestamp'::regtype, 'timestamptz'::regtype)),
                       c.oid::regclass)
  FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
   AND relname <> '_prisma_migrations' ORDER BY relname)sql");
  std::string data;
  for (const auto& table : tables)
    for (const auto& row : session.query(table[1].value_or("")))
      data += table[0].value_or("") + ": " + row[0].value_or("NULL") + "\n";
  return data;
}

std::string contents_of(const TestDatabase& database) {
  return database.dump_schema() + data_of(database);
}

std::string difference(const std::string& one, const std::string& other) {
  if (one == other) return {};
  const auto left = schemagate::split(one, '\n');
  const auto right = schemagate::split(other, '\n');
  std::size_t at = 0;
  while (at < left.size() && at < right.size() && left[at] == right[at]) ++at;
  const auto line = [&](const auto& lines) { return at < lines.size() ? lines[at] : "(the end)"; };
  return "line " + std::to_string(at + 1) + ":\n" + line(left) + "\nbut:\n" + line(right);
}

std::unique_ptr<TestDatabase> copy_of(const TestDatabase& database) {
  auto copy = std::make_unique<TestDatabase>(false);
  const TestDatabase other;  // the template must have no sessions, so one of another database
  const auto made = eventually([&] {
    try {
      other.execute("CREATE DATABASE " + copy->name() + " TEMPLATE " + database.name());
      return true;
    } catch (const std::exception&) {  // a backend of the process that has just ended
      return false;
    }
  });
  if (!made) throw std::runtime_error{"cannot copy the database " + database.name()};
  return copy;
}

void prepare_fault(const TestDatabase& database) {
  database.execute(
      "CREATE SCHEMA aside; CREATE TABLE aside.fault (); CREATE TABLE aside.tried (said text);"
      "CREATE FUNCTION aside.check() RETURNS text LANGUAGE plpgsql AS $$"
      "BEGIN IF to_regclass('aside.fault') IS NOT NULL THEN RAISE 'not yet'; END IF;"
      " RETURN 'mended'; END $$");
}

void mend_fault(const TestDatabase& database) { database.execute("DROP TABLE aside.fault"); }

}  // namespace testing
