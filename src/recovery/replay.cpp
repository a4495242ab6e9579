#include "schemagate/recovery/replay.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <utility>

#include "schemagate/base/hash.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/lease/lease.hpp"
#include "schemagate/migrate/plan.hpp"
#include "schemagate/migrate/statement_failure.hpp"
#include "schemagate/postgres/cancel_on_stop.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;
using Trace = Statement::Trace;

constexpr auto k_replay_within = 5min;
constexpr Milliseconds k_statement_within = 60s;  // an extension may take long
constexpr Milliseconds k_data_within = 5s;        // there is none yet
constexpr std::size_t k_failed_max = 20;
constexpr std::size_t k_shown_max = 80;
constexpr std::int64_t k_size_max_bytes = std::int64_t{2} << 30;

// Behind the scripts' own limits: their sessions have none there.
OpenSession door_to(const Target& target) {
  const auto& settings = target.manifest.scratch;
  const auto allow = [](const char* how) { return std::string{"in the manifest: "} + how; };
  if (settings.off)
    throw CannotTell{"the manifest forbids a scratch database (scratch: off)",
                     allow("leave scratch out, or scratch: {url: ...}")};
  if (settings.url.empty() && target.database.pooled())
    throw CannotTell{"a scratch database cannot be reached through a pooler",
                     allow("database.direct_url, or scratch: {url: ...}")};
  const auto address = settings.url.empty() ? target.database.address()
                                            : connection_string("scratch.url", settings.url);
  return [address, path = target.search_path_setting(),
          timeout = target.manifest.database.connect_timeout](const std::string& database) {
    ConnectionSettings with{.application_name = "schemagate scratch",
                            .connect_timeout = timeout,
                            .defaults = {{"default_transaction_read_only", "off"}}};
    if (!database.empty())
      with.defaults = {{"default_transaction_read_only", "off"},
                       {"search_path", path},
                       {"statement_timeout", std::to_string(k_statement_within.count())},
                       {"lock_timeout", "0"},
                       {"idle_in_transaction_session_timeout", "0"},
                       {"client_min_messages", "error"},
                       {"standard_conforming_strings", "on"},
                       {"synchronous_commit", "off"}};
    pg::Session session{
        (database.empty() ? address : address.with_database(database)).conninfo(with)};
    if (database.empty()) session.guard();
    return session;
  };
}

// Those that a script insists on making.
std::vector<std::string> extensions_made_by(const Folder& folder) {
  std::vector<std::string> names;
  for (const auto& migration : folder.migrations) {
    const auto text = lower_case(migration.sql);
    for (auto at = text.find("create extension"); at != std::string::npos;
         at = text.find("create extension", at + 1)) {
      const auto name = trim(text.substr(at + 16, 80));
      if (name.starts_with("if ")) continue;
      const auto start = name.starts_with('"') ? 1U : 0U;
      names.push_back(name.substr(start, name.find_first_of("\"; \t\r\n", start) - start));
    }
  }
  return names;
}

// A platform or a person made them before the first migration.
std::vector<std::string> schemas_made_by_nobody(pg::Session& live, const Target& target) {
  std::string scripts;
  for (const auto& migration : target.folder.migrations)
    scripts += lower_case(migration.sql) + "\n";
  std::vector<std::string> schemas;
  for (const auto& row :
       live.query("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND "
                  "nspname <> 'information_schema' AND nspname <> $1 "
                  "AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE deptype = 'e' AND "
                  "classid = 'pg_namespace'::regclass AND objid = pg_namespace.oid)",
                  {target.bookkeeping.schema_name()})) {
    const auto name = lower_case(row.text(0));
    bool is_made = false;
    for (auto at = scripts.find("create schema"); at != std::string::npos && !is_made;
         at = scripts.find("create schema", at + 1))
      is_made = scripts.substr(at, scripts.find(';', at) - at).find(name) != std::string::npos;
    if (!is_made) schemas.push_back(row.text(0));
  }
  return schemas;
}

struct Told {
  std::string make;
  std::string read;
};

// How an object is made again from what was printed of it, and read again, under the name {0}.
std::optional<Told> again(const ObjectName& name, const Object& object) {
  constexpr const char* k_name = "schemagate_printed_again";
  const auto& text = object.definition;
  if (name.kind == "constraint" && text.starts_with("CHECK"))
    return Told{
        fmt::format("ALTER TABLE {} ADD CONSTRAINT {} {}", object.parent, k_name, text),
        fmt::format("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{}'",
                    k_name)};
  if (name.kind == "default")
    return Told{
        fmt::format("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}", object.parent,
                    name.name.substr(object.parent.size() + 1), text),
        fmt::format(
            "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid "
            "AND attnum = adnum WHERE adrelid = {}::regclass AND quote_ident(attname) = {}",
            pg::quote_literal(object.parent),
            pg::quote_literal(name.name.substr(object.parent.size() + 1)))};
  const auto query = text.find("view as ");
  if (name.kind == "relation" && query != std::string::npos)
    return Told{fmt::format("CREATE TEMPORARY VIEW {} AS {}", k_name, text.substr(query + 8)),
                fmt::format("SELECT {} || pg_get_viewdef('pg_temp.{}'::regclass)",
                            pg::quote_literal(text.substr(0, query + 8)), k_name)};
  const auto on = text.find(" ON ");
  const auto index = text.find("INDEX ");
  if (name.kind == "index" && index != std::string::npos && on != std::string::npos)
    return Told{
        fmt::format("{}{}{}", text.substr(0, index + 6), k_name, text.substr(on)),
        fmt::format(
            "SELECT {} || substr(d, strpos(d, ' ON ')) FROM (SELECT pg_get_indexdef(oid) AS d "
            "FROM pg_class WHERE relname = '{}') AS made",
            pg::quote_literal(text.substr(0, on)), k_name)};
  if (name.kind == "policy") {
    const auto with = text.find(" with check (");
    const auto head = std::min({text.find(" using ("), with, text.size()});
    const auto words = split(text.substr(0, head), ' ');  // permissive for all to a, b
    if (words.size() < 5) return std::nullopt;
    return Told{
        fmt::format("CREATE POLICY {} ON {} AS {} FOR {} TO {} {}", k_name, object.parent, words[0],
                    words[2], text.substr(text.find(" to ") + 4, head - text.find(" to ") - 4),
                    text.substr(head)),
        fmt::format(
            "SELECT {} || coalesce(' using (' || pg_get_expr(polqual, polrelid) || ')', '') || "
            "coalesce(' with check (' || pg_get_expr(polwithcheck, polrelid) || ')', '') "
            "FROM pg_policy WHERE polname = '{}'",
            pg::quote_literal(text.substr(0, head)), k_name)};
  }
  return std::nullopt;
}

}  // namespace

Replay::Replay(pg::Session& live, const Target& target, const Stop& stop)
    : target_{target}, stop_{stop}, beside_{beside(target)},
      scratch_{live, door_to(target), scratch_key(target), extensions_made_by(target.folder)},
      deadline_{k_replay_within} {
  auto sql = "CREATE SCHEMA IF NOT EXISTS " + pg::quote_identifier(target.schema()) + ";";
  for (const auto& schema : schemas_made_by_nobody(live, target))
    sql += "CREATE SCHEMA IF NOT EXISTS " + pg::quote_identifier(schema) + ";";
  if (const auto* history = target.writable_history()) sql += history->create_sql();
  scratch_.session().execute(sql);
}

void Replay::refuse_what_may_reach_outside(const Migration& migration,
                                           const std::vector<Statement>& script) {
  for (const auto& statement : script)
    if (ways_out_.may_be_taken_by(statement))
      throw CannotTell{
          fmt::format("{} may reach beyond its database, and is not executed in a scratch",
                      location(migration, statement.line, statement.column)),
          {}};
}

void Replay::keep_within_bounds(const Migration& migration) {
  stop_.check();
  const auto give_up = [&](const std::string& why) {
    return CannotTell{
        fmt::format("the replay of the migrations {} ({} was reached)", why, migration.name), {}};
  };
  if (deadline_.passed()) throw give_up("takes longer than " + for_people(k_replay_within));
  if (scratch_.size_bytes() > k_size_max_bytes) throw give_up("needs more than 2 GB");
}

std::vector<Replay::Failed> Replay::execute(const Migration& migration,
                                            const AfterStatement& after_statement) {
  keep_within_bounds(migration);
  if (migration.sql.find('\0') != std::string::npos)
    throw CannotTell{fmt::format("{} holds NUL bytes", display_path(migration)), {}};
  const auto script = parse_script(migration.sql);
  refuse_what_may_reach_outside(migration, script);
  const CancelOnStop cancel{scratch_.session(), stop_};
  try {
    auto failed = attempt(migration, script, after_statement);
    stop_.check();
    return failed;
  } catch (const ScriptRefused& e) {
    throw CannotTell{fmt::format("{}: {}", location(migration, e.line, e.column), e.what()),
                     e.hint};
  } catch (const pg::ConnectionLost& e) {
    stop_.check();
    throw CannotTell{fmt::format("the scratch database was lost: {}", trim(e.what())),
                     own_command("status") + " looks again"};
  }
}

// Ours (history, bookkeeping) are nobody's to compare, and do no harm.
void Replay::restore(const std::string& dump) {
  const CancelOnStop cancel{scratch_.session(), stop_};
  for (const auto& statement : parse_script(dump)) {
    stop_.check();
    if (!counts(statement) || statement.trace == Trace::outside) continue;
    if (ways_out_.may_be_taken_by(statement)) continue;
    try {
      execute_within_limits(statement);
    } catch (const pg::Error& e) {
      stop_.check();
      log::debug(fmt::format("restoring the structure: {}", e.message));
    }
  }
  reset();
}

std::vector<Replay::Failed> Replay::attempt(const Migration& migration,
                                            const std::vector<Statement>& script,
                                            const AfterStatement& after_statement) {
  std::vector<Cut> cuts;
  std::vector<Failed> failed;
  auto segments = split_into_segments(script, cuts);
  for (std::size_t i = 0; i < segments.size();) {
    const Statement* at = nullptr;
    try {
      run_segment(script, segments[i], failed, after_statement, at);
      ++i;
    } catch (const pg::Error& e) {
      stop_.check();
      if (std::exchange(in_transaction_, false)) scratch_.session().execute("ROLLBACK");
      reset();
      const auto count = segments.size();
      if (at != nullptr && (needs_commit_before(e.sqlstate) || refuses_transactions(e.sqlstate))) {
        cuts.push_back({at->line, at->column,
                        needs_commit_before(e.sqlstate) ? Cut::Kind::before : Cut::Kind::alone});
        segments = split_into_segments(script, cuts);
      }
      if (segments.size() != count) continue;
      failed.push_back({at == nullptr ? 0 : number_of(script, *at), e.message});
      if (at == nullptr) ++i;  // the COMMIT itself
      if (failed.size() > k_failed_max)
        throw CannotTell{fmt::format("too much of {} fails in an empty database: {}",
                                     migration.name, failed.front().reason),
                         {}};
    }
  }
  return failed;
}

void Replay::run_segment(const std::vector<Statement>& script, const Segment& segment,
                         const std::vector<Failed>& failed, const AfterStatement& after_statement,
                         const Statement*& at) {
  auto& session = scratch_.session();
  if (segment.transactional)
    session.execute("BEGIN" + (segment.transaction_options.empty()
                                   ? std::string{}
                                   : " " + segment.transaction_options));
  in_transaction_ = segment.transactional;
  for (const auto& setting : segment.settings) session.execute(setting.text);
  for (const auto& statement : segment.statements) {
    at = &statement;
    const auto number = number_of(script, statement);
    const bool is_left_out = std::any_of(failed.begin(), failed.end(), [&](const auto& one) {
      return number != 0 && one.number == number;
    });
    if (statement.trace == Trace::outside)
      left_out_.push_back(without_password(statement.text, k_shown_max));
    else if (!is_left_out) execute_within_limits(statement);
    if (after_statement && number > 0) after_statement(number);
  }
  at = nullptr;
  if (segment.transactional) session.execute("SET CONSTRAINTS ALL IMMEDIATE; COMMIT");
  in_transaction_ = false;
  reset();
}

void Replay::execute_within_limits(const Statement& statement) {
  auto& session = scratch_.session();
  if (statement.trace != Trace::data) return session.execute(statement.text);
  const auto limit = [&](Milliseconds within) {
    session.execute(fmt::format("SET statement_timeout = {}", within.count()));
  };
  limit(k_data_within);
  session.execute(statement.text);
  limit(k_statement_within);
}

std::size_t Replay::number_of(const std::vector<Statement>& script, const Statement& statement) {
  std::size_t number = 0;
  for (const auto& one : script) {
    if (!counts(one)) continue;
    ++number;
    if (one.line == statement.line && one.column == statement.column && one.text == statement.text)
      return number;
  }
  return 0;  // not of the script
}

void Replay::reset() { scratch_.session().execute(k_reset_session); }

Snapshot Replay::snapshot(const pg::Value& only_in) {
  auto& session = scratch_.session();
  auto what = beside_;
  what.only_in = only_in;
  const auto sql = pg::k_guard + snapshot_sql(what, k_all_objects);
  if (!in_transaction_) return snapshot_of(session.query_unguarded(sql));
  auto snapshot = snapshot_of(session.query_unguarded("SAVEPOINT schemagate;" + sql));
  session.execute("ROLLBACK TO SAVEPOINT schemagate; RELEASE SAVEPOINT schemagate");
  return snapshot;
}

std::optional<std::string> Replay::printed_again(const ObjectName& name, const Object& object) {
  const auto told = again(name, object);
  if (!told) return std::nullopt;
  auto& session = scratch_.session();
  std::optional<std::string> text;
  session.execute("BEGIN;" + std::string{pg::k_guard});
  try {
    session.execute(told->make);
    const auto rows = session.query_unguarded(told->read);
    if (rows.size() == 1) text = rows.front().text(0);
  } catch (const pg::Error&) {  // then it is what it is
  }
  session.execute("ROLLBACK");
  return text == object.definition ? std::nullopt : text;
}

std::string scratch_key(const Target& target) {
  return sha256_hex(target.database.address().display() + "\n" + target.lease_request().name)
      .substr(0, 16);
}

Beside beside(const Target& target) {
  const auto table = target.history_table() ? target.history_table()->name : TableName{};
  return {target.bookkeeping.schema_name(), table.schema, table.name};
}

}  // namespace schemagate
